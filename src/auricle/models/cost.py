"""What a network costs: parameters, arithmetic and memory of a pass, counted on a network without data.

The network is built on torch's "meta" device, where tensors have shapes and no values, and is walked through
at three lengths; costs are quadratic in the length (attention is), so these give every other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from auricle.models.build import Model, build_model
from auricle.models.config import ModelConfig, SpeechConfig
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.models.wav2vec import Wav2Vec
from auricle.models.wav2vec2 import Wav2Vec2

_PROBES_SECONDS = (2, 8, 16)


@dataclass(frozen=True, slots=True)
class Quadratic:
    """A cost of one row as a function of its samples: a + b x + c x²."""

    a: float
    b: float
    c: float

    def __call__(self, num_samples: int) -> float:
        """The cost of a row of so many samples."""
        return max(self.a + self.b * num_samples + self.c * num_samples**2, 0.0)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of the encoder of a model that hears; heads and losses, which are small beside it, are left out.

    Attributes:
        num_parameters: Of the whole model.
        forward_flops: Floating-point operations of a forward pass over one row.
        activation_bytes: Held from the forward to the backward pass of one row, in float32, by plain
            arithmetic: fused attention holds less, and so does `checkpoint_activations`.
    """

    num_parameters: int
    forward_flops: Quadratic
    activation_bytes: Quadratic

    def training_flops(self, num_rows: int, num_samples: int) -> float:
        """Of the forward and the backward pass over a batch; the backward one counts twice."""
        return 3.0 * num_rows * self.forward_flops(num_samples)


@cache
def cost_of(config: ModelConfig) -> Cost | None:
    """Counts what a model costs; None for one that does not hear."""
    if not isinstance(config, SpeechConfig):
        return None
    with torch.device("meta"):
        model = build_model(config).eval()
    encode = _encoder_pass(model)
    if encode is None:
        return None
    probes = [seconds * config.sample_rate for seconds in _PROBES_SECONDS]
    waveforms = [torch.empty(1, num_samples, device="meta") for num_samples in probes]
    return Cost(
        sum(parameter.numel() for parameter in model.parameters()),
        _through(probes, [_flops(encode, waveform) for waveform in waveforms]),
        _through(probes, [_bytes_held(encode, waveform, model) for waveform in waveforms]),
    )


def _encoder_pass(model: Model) -> Callable[[Tensor], object] | None:
    """What takes a batch of waveforms to the context."""
    match model:
        case Wav2Vec():
            return lambda waveforms: model.feature_aggregator(model.feature_extractor(waveforms))
        case Wav2Vec2CTC() | Wav2Vec2Seq2Seq():
            return lambda waveforms: model.encoder.extract_features(waveforms, None, corpus_key=0)
        case Wav2Vec2():
            return lambda waveforms: model.extract_features(waveforms, None, corpus_key=0)
        case _:
            return None


def _flops(encode: Callable[[Tensor], object], waveforms: Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encode(waveforms)
    return float(counter.get_total_flops())


def _bytes_held(encode: Callable[[Tensor], object], waveforms: Tensor, model: Model) -> float:
    """What autograd saves for the backward pass, each tensor once, parameters not counted."""
    own = {id(parameter) for parameter in model.parameters()}
    held: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        whole = tensor if tensor._base is None else tensor._base
        if id(whole) not in own:
            held[id(whole)] = whole  # kept alive: an id may otherwise be given again
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        encode(waveforms)
    return float(sum(tensor.numel() * tensor.element_size() for tensor in held.values()))


def _through(x: Sequence[int], y: Sequence[float]) -> Quadratic:
    """The parabola through three points."""
    slope = (y[1] - y[0]) / (x[1] - x[0])
    c = ((y[2] - y[1]) / (x[2] - x[1]) - slope) / (x[2] - x[0])
    b = slope - c * (x[0] + x[1])
    return Quadratic(y[0] - b * x[0] - c * x[0] ** 2, b, c)
