"""Models for inference only: laid out for the processor, in bf16, in onnxruntime, in OpenVINO.

Whatever does the arithmetic, decoders are given a `Wav2Vec2CTC`, so that nothing else knows of it.

B utterances, T samples, N frames, V units.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.decode.arithmetic import BackendName, Precision
from auricle.errors import UserError
from auricle.models.config import CTCConfig
from auricle.models.conv import receptive_field
from auricle.models.cpu_matmul import Linear, lay_out
from auricle.models.ctc import CTCOutput, Wav2Vec2CTC
from auricle.models.transformer import TransformerLayer
from auricle.models.wav2vec2 import Wav2Vec2

Run = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Waveforms [B, T] float32 and lengths int64 [B] in samples -> [B, N, V] float32 and lengths in frames."""

INPUTS = ("waveforms", "lengths")
OUTPUTS = ("logits", "frames")
"""Names in an exported file; a bare encoder's first output is "context"."""


class ExportedCTC(Wav2Vec2CTC):
    """A recogniser whose arithmetic another library does, from an exported file.

    Its own weights are names without memory, but for the head's, which say to callers where it runs (on the
    CPU) and what it takes (float32).

    Args:
        config: Of the model that was exported.
        run: Its arithmetic.
        precision: Of that.
    """

    def __init__(self, config: CTCConfig, run: Run, precision: Precision) -> None:
        with torch.device("meta"):
            super().__init__(config)
        self.proj = Linear(config.encoder.encoder.dim, config.num_labels)
        self.run = run
        self.precision = precision

    @property
    def packs_frames(self) -> bool:
        """Not as far as is known."""
        return False

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None, **others: Any) -> CTCOutput:
        """As `Wav2Vec2CTC.forward`, of which an exported file knows the first two arguments.

        Raises:
            UserError: Others are given.
        """
        if others:
            raise UserError(f"an exported model knows nothing of {', '.join(others)}: use the checkpoint")
        if lengths is None:
            lengths = torch.full(waveforms.shape[:1], waveforms.shape[1])
        shortfall = receptive_field(self.config.encoder.conv_layers) - waveforms.shape[1]
        # Exported for clips of a frame or more: a shorter one has none, whatever stands behind it.
        waveforms = F.pad(waveforms, (0, shortfall)) if shortfall > 0 else waveforms
        return CTCOutput(*self.run(waveforms.contiguous(), lengths))


def for_inference(model: Wav2Vec2CTC, precision: Precision = "float32") -> Wav2Vec2CTC:
    """The model, converted in place: it can only run now, faster, and not be trained or saved.

    Args:
        model: In float32. On a CPU, its encoder's weights are laid out as products read them fastest.
        precision: "bf16" has the encoder in bfloat16. The head stays in float32: it takes no time, and of
            letters that are about as likely, rounding would make equals. So do, in a Transformer, what leads
            into the layers, their norms, and with them what the layers add to: there, each rounding would
            stay to the end.

    Raises:
        UserError: int8, which torch gives up (its quantized tensors are deprecated since 2.13); what is no
            precision; or another one than the model was converted to before.
    """
    if precision not in get_args(Precision):
        raise UserError(f"there is no precision {precision}: take float32 or bf16")
    if precision == "int8":
        raise UserError(
            "torch is giving up its 8-bit products: take --backend onnxruntime with --precision int8, or bf16"
        )
    if model.encoder.runs_only:
        if precision != precision_of(model):
            raise UserError(f"this model was opened to run in {precision_of(model)}: open it in {precision}")
        return model
    model.requires_grad_(False)
    if precision == "bf16":
        exact = {weight: weight.data for part in _exact(model.encoder) for weight in part.parameters()}
        model.encoder.bfloat16()
        for weight, data in exact.items():
            weight.data = data
    if model.proj.weight.device.type == "cpu":
        lay_out(model.encoder)
    model.encoder.run_only()
    return model


def _exact(encoder: Wav2Vec2) -> list[nn.Module]:
    """What stays in float32: only where all layers take their input to the type of their weights."""
    network = encoder.encoder
    if not all(type(layer) is TransformerLayer for layer in network.layers):
        return []
    norms = [part for part in network.modules() if isinstance(part, nn.LayerNorm)]
    projection = encoder.post_extract_proj
    return [encoder.layer_norm, *norms, *([] if projection is None else [projection])]


def precision_of(model: Wav2Vec2CTC) -> Precision:
    """In what the model's products are computed."""
    if isinstance(model, ExportedCTC):
        return model.precision
    return "bf16" if model.encoder.mask_emb.dtype == torch.bfloat16 else "float32"


def open_exported(path: Path, backend: BackendName, precision: Precision) -> Run:
    """An exported file, ready to run on as many threads as torch has.

    Raises:
        UserError: The library is not installed, cannot read the file, or knows no such precision.
    """
    if backend == "onnxruntime":
        return _onnxruntime(path, precision)
    return _openvino(path, precision)


def require(library: str, extra: str) -> Any:
    """A library of an extra.

    Raises:
        UserError: It is not installed.
    """
    try:
        return import_module(library)
    except ImportError as error:
        raise UserError(f"{library} is not installed: pip install 'auricle[{extra}]'") from error


def library_of(backend: BackendName, precision: Precision | None) -> Any:
    """The library that runs exported files.

    Raises:
        UserError: It is not installed, or knows no such precision.
    """
    if backend == "onnxruntime" and precision == "bf16":
        raise UserError(
            "onnxruntime computes nothing in bf16 on a CPU: choose --precision float32 or int8, or "
            "--backend torch or openvino"
        )
    return require(backend, "onnx" if backend == "onnxruntime" else backend)


def _onnxruntime(path: Path, precision: Precision) -> Run:
    library = library_of("onnxruntime", precision)
    options = library.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = library.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common type of their own
        raise _unreadable(path, "onnxruntime", error) from error

    def run(waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        fed = dict(zip(INPUTS, (waveforms.numpy(), lengths.numpy()), strict=True))
        scores, frames = session.run(None, fed)
        return torch.from_numpy(scores), torch.from_numpy(frames)

    return run


def _openvino(path: Path, precision: Precision) -> Run:
    library = library_of("openvino", precision)
    hints = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        compiled = library.Core().compile_model(str(path), "CPU", hints)
    except RuntimeError as error:
        raise _unreadable(path, "OpenVINO", error) from error

    def run(waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        found = compiled(dict(zip(INPUTS, (waveforms.numpy(), lengths.numpy()), strict=True)))
        # Copies: the arrays are the library's, which writes over them in the next call.
        scores, frames = (torch.tensor(found[index]) for index in range(len(OUTPUTS)))
        return scores, frames

    return run


def _unreadable(path: Path, library: str, error: Exception) -> UserError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(f"{path}: {library} cannot run it ({reason[-1]}): export the checkpoint again")
