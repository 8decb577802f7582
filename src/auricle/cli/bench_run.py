"""The work of ``auricle bench``: clips go the way of `auricle transcribe`, and each stage is timed.

Legend: N frames, C channels (model width).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

from auricle import audio
from auricle.decode.arithmetic import Precision
from auricle.decode.backend import ExportedCTC, precision_of
from auricle.decode.emissions import emit, length_batches, most_padding, pad
from auricle.decode.transcribe import suggested_post_process
from auricle.decode.viterbi import viterbi
from auricle.dictionary import Dictionary
from auricle.models.conv import conv_length
from auricle.models.ctc import Wav2Vec2CTC

IN_MODEL = ("front end", "encoder", "head")
STAGES = ("read", "resample", *IN_MODEL, "decode")
WHOLE = "model"
"""Stands for the stages of the model, and what is between them."""

_PRODUCT = 1536
"""Rows and columns of the matrices that the device's peak is measured with."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of each stage, the median over the rounds, and what to compare them with.

    Attributes:
        stages: By name; a model that another library runs is one stage.
        audio_seconds: That went through in a round.
        operations: Floating-point ones of the model in a round, with those on padding where there are some.
        peak: Operations a second of a large matrix product, in the model's precision; None where torch has
            none such.
        memory_mib: Most that the process (on a GPU: torch) held at any time.
    """

    stages: dict[str, float]
    audio_seconds: float
    operations: float
    peak: float | None
    memory_mib: float

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(self.stages.values()) - sum(self.stages.get(name, 0.0) for name in IN_MODEL)

    @property
    def share_of_peak(self) -> float | None:
        """Of the device, while the model runs."""
        return None if self.peak is None else self.operations / self.stages[WHOLE] / self.peak


class _Clock:
    """Seconds of stages, with the device's queue emptied at both ends."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self._started: dict[str, float] = {}

    def start(self, name: str, *_: object) -> None:
        self._wait()
        self._started[name] = time.perf_counter()

    def stop(self, name: str, *_: object) -> None:
        self._wait()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - self._started[name]

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        self.start(name)
        yield
        self.stop(name)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measure(
    model: Wav2Vec2CTC,
    dictionary: Dictionary,
    paths: Sequence[str],
    *,
    batch_seconds: float,
    rounds: int,
    on_round: Callable[[], object] = lambda: None,
) -> Measured:
    """Transcribes the files once to warm up and then `rounds` times.

    Raises:
        AudioError: A file cannot be read.
    """
    device = model.proj.weight.device
    taken: list[dict[str, float]] = []
    batches: list[tuple[Tensor, Tensor]] = []
    for _ in range(rounds + 1):
        clock = _Clock(device)
        with _watched(model, clock):
            batches = _transcribe(model, dictionary, paths, batch_seconds, clock)
        taken.append(clock.seconds)
        on_round()
    names = [name for name in (*STAGES[:2], WHOLE, *STAGES[2:]) if name in taken[0]]
    return Measured(
        stages={name: median(seconds[name] for seconds in taken[1:]) for name in names},
        audio_seconds=sum(int(lengths.sum()) for _, lengths in batches) / model.config.sample_rate,
        operations=sum(operations_of_batch(model, *batch) for batch in batches),
        peak=None if precision_of(model) == "int8" else _peak(device, precision_of(model)),
        memory_mib=_memory_mib(device),
    )


def _transcribe(
    model: Wav2Vec2CTC, dictionary: Dictionary, paths: Sequence[str], batch_seconds: float, clock: _Clock
) -> list[tuple[Tensor, Tensor]]:
    """As `auricle transcribe` does; gives the batches, waveforms and lengths."""
    rate = model.config.sample_rate
    with clock.time("read"):
        read = [audio.read(path, sample_rate=audio.info(path).sample_rate) for path in paths]
    with clock.time("resample"):
        clips = [audio.resample(waveform, rate).samples for waveform in read]
        clips = [audio.normalize(clip) for clip in clips] if model.config.normalize else clips
    lengths = [len(clip) for clip in clips]
    groups = length_batches(lengths, int(batch_seconds * rate), padding=most_padding(model))
    batches = [pad([clips[i] for i in group]) for group in groups]
    for waveforms, valid in batches:
        with clock.time(WHOLE):
            emissions = emit(model, waveforms, valid)
        with clock.time("decode"):
            how = suggested_post_process(dictionary)
            viterbi(emissions.log_probs, emissions.lengths, dictionary, post_process=how)
    return batches


@contextmanager
def _watched(model: Wav2Vec2CTC, clock: _Clock) -> Iterator[None]:
    """Times the parts of the model; of one that another library runs there are none to be seen."""
    modules: tuple[nn.Module, ...] = (model.encoder.feature_extractor, model.encoder.encoder, model.proj)
    watched = [] if isinstance(model, ExportedCTC) else list(zip(IN_MODEL, modules, strict=True))
    handles = []
    for name, module in watched:
        handles.append(module.register_forward_pre_hook(partial(clock.start, name)))
        handles.append(module.register_forward_hook(partial(clock.stop, name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def operations_of_batch(model: Wav2Vec2CTC, waveforms: Tensor, lengths: Tensor) -> float:
    """As `operations`, of waveforms [B, T] and their lengths [B]: of padding where it is computed on."""
    if model.packs_frames and model.proj.weight.device.type == "cpu":
        return sum(operations(model, 1, length) for length in lengths.tolist())
    return operations(model, *waveforms.shape)


def operations(model: Wav2Vec2CTC, rows: int, samples: int) -> float:
    """Floating-point operations of products, for waveforms of that shape: two for each multiplication.

    Every weight of a convolution or linear layer works once a frame; attention has N products of C values
    with keys and N with values besides.
    """
    length, total = samples, 0
    for block, (_, kernel, stride) in zip(
        model.encoder.feature_extractor.conv_layers, model.encoder.config.conv_layers, strict=True
    ):
        length = conv_length(length, kernel, stride)
        total += 2 * _weights(block) * length
    encoder = model.encoder.config.encoder
    behind = _weights(model) - _weights(model.encoder.feature_extractor)
    total += 2 * behind * length + 4 * encoder.num_layers * encoder.dim * length**2
    return float(rows * total)


def _weights(module: nn.Module) -> int:
    """Values of matrices and kernels: not those of biases, norms and lengths (weight_g, 1 x 1 x K)."""
    return sum(p.numel() for p in module.parameters() if sum(size > 1 for size in p.shape) > 1)


def _peak(device: torch.device, precision: Precision) -> float:
    """Operations a second of the device's fastest product, of some seconds' worth."""
    from auricle.models.cpu_matmul import product

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x, y = (torch.randn(_PRODUCT, _PRODUCT, device=device, dtype=dtype) for _ in range(2))
    multiply = product if device.type == "cpu" else torch.mm
    clock, best = _Clock(device), float("inf")
    for _ in range(8):
        clock.seconds.clear()
        with clock.time("product"), torch.inference_mode():
            multiply(x, y)
        best = min(best, clock.seconds["product"])
    return 2 * _PRODUCT**3 / best


def _memory_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
