"""ONNX files: a recogniser or a bare encoder exported, checked, and read again.

What `decode/backend.py` runs. The file's metadata hold the model's configuration and dictionary, as text.

B utterances, T samples, N frames, V units.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from auricle.convert.loaded import Loaded
from auricle.convert.own import FORMAT_VERSION, checked_version, config_of, content_of
from auricle.decode.arithmetic import BackendName, Precision
from auricle.decode.backend import (
    INPUTS,
    OUTPUTS,
    ExportedCTC,
    open_exported,
    require,
)
from auricle.decode.emissions import pad
from auricle.dictionary import SPECIALS, Dictionary
from auricle.errors import UserError
from auricle.files import atomic_copy
from auricle.models.config import CTCConfig, Wav2Vec2Config
from auricle.models.conv import receptive_field
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.wav2vec2 import Wav2Vec2

SUFFIX = ".onnx"
_KEY = "auricle"
_MOST_BYTES = 2**31 - 2**24
"""Of weights; an ONNX file is a protocol buffer, which ends at 2 GiB."""
_INT8_OPERATORS = frozenset({"MatMulInteger", "DynamicQuantizeLinear", "ConvInteger"})
_TOLERANCE = 1e-3
"""Of float32: largest difference over the largest value."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An exported file against the model, on the valid frames of several batches.

    Attributes:
        largest: Largest absolute difference of what they give.
        share: The same, over the largest absolute value.
        changed: Share of the frames whose best unit is another one; of a bare encoder 0.
    """

    largest: float
    share: float
    changed: float


class _Traced(nn.Module):
    """A model as a function of tensors to tensors."""

    def __init__(self, model: Wav2Vec2CTC | Wav2Vec2) -> None:
        super().__init__()
        self.model = model

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T] float32 and int64 [B], in samples -> logits or context [B, N, C], and frames [B]."""
        if isinstance(self.model, Wav2Vec2CTC):
            scores = self.model(waveforms, lengths)
            return scores.logits, scores.lengths
        features = self.model.extract_features(waveforms, lengths)
        return features.context, features.lengths


def export(loaded: Loaded, path: Path, clips: Sequence[Tensor], *, int8: bool = False) -> Difference:
    """Write a model as an ONNX file of any batch size and length, once it is shown to give the same.

    Args:
        loaded: A CTC recogniser, or a wav2vec 2.0 encoder of any other kind.
        path: The file; there after this only if it is right.
        clips: [T_i] float32, to compare on, of several lengths; those of a batch are padded.
        int8: Quantize the weights of the matrix products, and their inputs as they come.

    Returns:
        How far the file is from the model; int8 is for the caller to judge.

    Raises:
        UserError: The model is of another kind, too large or opened to run only, a library is missing, or
            the file does not give what the model gives.
    """
    model = _exportable(loaded)
    encoder = model.encoder if isinstance(model, Wav2Vec2CTC) else model
    encoder.check_whole()
    size = sum(p.numel() * torch.float32.itemsize for p in model.parameters())
    if size > _MOST_BYTES:
        raise UserError(f"{loaded.source}: its {size / 2**30:.1f} GiB do not fit in an ONNX file (2 GiB)")
    require("onnx", "onnx")
    require("onnxscript", "onnx")
    traced = _Traced(model).float().cpu().eval()
    with TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "small.onnx"
        _write(traced, loaded, whole)
        difference = _compared(traced, whole, clips)
        if difference.share > _TOLERANCE:
            raise UserError(
                f"the exported model is wrong by {difference.share:.2g} of its largest value, and is not "
                "kept: install the versions of constraints.txt"
            )
        if int8:
            _quantize(whole, small)
            difference = _compared(traced, small, clips)
        atomic_copy(small if int8 else whole, path)
    return difference


def _write(traced: _Traced, loaded: Loaded, path: Path) -> None:
    samples = receptive_field(encoder_config(loaded).conv_layers)
    example = torch.zeros(2, 3 * samples), torch.tensor([3 * samples, 2 * samples])
    free = torch.export.Dim.AUTO
    with _quietly():
        program = torch.onnx.export(
            traced,
            example,
            dynamo=True,
            verbose=False,
            input_names=INPUTS,
            output_names=OUTPUTS if isinstance(traced.model, Wav2Vec2CTC) else ("context", OUTPUTS[1]),
            dynamic_shapes={INPUTS[0]: {0: free, 1: free}, INPUTS[1]: {0: free}},
        )
    assert program is not None
    content = {
        "format_version": FORMAT_VERSION,
        **content_of(loaded.config),
        "num_updates": loaded.num_updates,
    }
    if loaded.dictionary is not None:
        own = slice(len(SPECIALS), None)
        content["dictionary"] = [loaded.dictionary.symbols[own], loaded.dictionary.counts[own]]
    program.model.metadata_props[_KEY] = json.dumps(content)
    try:
        program.save(os.fspath(path), external_data=False)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another folder") from error


def _exportable(loaded: Loaded) -> Wav2Vec2CTC | Wav2Vec2:
    if not isinstance(loaded.model, Wav2Vec2CTC | Wav2Vec2):
        raise UserError(
            f"{loaded.source}: only CTC recognisers and wav2vec 2.0 encoders can be exported, not "
            f"{type(loaded.model).__name__}"
        )
    return loaded.model


def encoder_config(loaded: Loaded) -> Wav2Vec2Config:
    """Of the encoder, whatever stands on it.

    Raises:
        UserError: The model is of a kind that cannot be exported.
    """
    _exportable(loaded)
    config = loaded.config.encoder if isinstance(loaded.config, CTCConfig) else loaded.config
    assert isinstance(config, Wav2Vec2Config)
    return config


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter warns of what is torch's own and of libraries that nothing here needs."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)


def _quantize(whole: Path, small: Path) -> None:
    """Weights of matrix products in 8 bits, a scale for each output; inputs are quantized as they come.

    The first product, of the features, and the last, the head's, stay in float32: together they take a
    hundredth of the time, and the letters are nearer to float32's.
    """
    quantization = require("onnxruntime.quantization", "onnx")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises, on the root logger, a preparation that dynamic lengths break
    try:
        quantization.quantize_dynamic(
            whole,
            small,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            nodes_to_exclude=_ends(whole),
            # Unsigned, as inputs are: without VNNI, products of mixed signs overflow.
            weight_type=quantization.QuantType.QUInt8,
        )
    finally:
        root.setLevel(level)


def _ends(path: Path) -> list[str]:
    """Names of the first and the last product by a weight."""
    graph = require("onnx", "onnx").load(path, load_external_data=False).graph
    weights = {weight.name for weight in graph.initializer}
    products = [
        node.name for node in graph.node if node.op_type in ("MatMul", "Gemm") and weights & set(node.input)
    ]
    return [*products[:1], *products[-1:]]


def _compared(traced: _Traced, path: Path, clips: Sequence[Tensor]) -> Difference:
    """The file, run by onnxruntime, against the model: each clip alone, then all in a batch."""
    run = open_exported(path, "onnxruntime", "float32")
    batches = [pad([clip]) for clip in clips]
    if len(clips) > 1:
        batches.append(pad(clips))
    largest = scale = 0.0
    changed = frames = 0
    for waveforms, lengths in batches:
        with torch.inference_mode():
            expected, valid = traced(waveforms, lengths)
        given, given_valid = run(waveforms, lengths)
        if given_valid.tolist() != valid.tolist() or given.shape != expected.shape:
            raise UserError(f"the exported model gives {given_valid.tolist()} frames, not {valid.tolist()}")
        for row, count in enumerate(valid.tolist()):
            ours, theirs = expected[row, :count], given[row, :count]
            # A NaN is a difference that no limit lets through.
            largest = max(largest, torch.nan_to_num((ours - theirs).abs(), nan=torch.inf).max().item())
            scale = max(scale, ours.abs().max().item())
            changed += int((ours.argmax(-1) != theirs.argmax(-1)).sum())
            frames += count
    is_ctc = isinstance(traced.model, Wav2Vec2CTC)
    return Difference(largest, largest / max(scale, 1e-12), changed / frames if is_ctc else 0.0)


def load_exported(path: Path, backend: BackendName, precision: Precision | None = None) -> Loaded:
    """A recogniser from a file that `export` wrote.

    Args:
        path: The file.
        backend: What shall run it: "onnxruntime" or "openvino".
        precision: Of the arithmetic; None for the file's.

    Raises:
        UserError: The file is damaged, no recogniser of ours, or of another precision; or a library is
            missing.
    """
    content, stored = _metadata(path)
    chosen = precision or stored
    if (chosen == "int8") != (stored == "int8"):
        how = "with" if chosen == "int8" else "without"
        raise UserError(f"{path} is in {stored}: leave --precision out, or export again {how} --int8")
    config = config_of(content)
    if not isinstance(config, CTCConfig):
        raise UserError(f"{path} holds an encoder that writes no letters: export a CTC recogniser")
    try:
        dictionary = Dictionary(*content["dictionary"]) if "dictionary" in content else None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: its dictionary is damaged ({error}): export the checkpoint again") from None
    model = ExportedCTC(config, open_exported(path, backend, chosen), chosen).eval()
    return Loaded(model, dictionary, config, int(content.get("num_updates", 0)), path)


def _metadata(path: Path) -> tuple[dict[str, Any], Precision]:
    """What the file says of its model, and in what precision it is."""
    onnx = require("onnx", "onnx")
    try:
        file = onnx.load(path, load_external_data=False)
    except OSError:
        raise
    except Exception as error:  # protobuf's DecodeError, which is not a package of ours to import
        raise UserError(f"{path} is no ONNX file, or cut off: export the checkpoint again") from error
    text = next((entry.value for entry in file.metadata_props if entry.key == _KEY), None)
    try:
        content = checked_version(json.loads(text or "null"), path)
    except (ValueError, RecursionError):
        raise UserError(f"{path}: what it says of its model is damaged: export it again") from None
    is_int8 = any(node.op_type in _INT8_OPERATORS for node in file.graph.node)
    return content, "int8" if is_int8 else "float32"
