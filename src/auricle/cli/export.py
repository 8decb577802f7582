"""``auricle export``: a model as a file for other inference libraries."""

import logging
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle.cli.output import check_writable_file
from auricle.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.convert.onnx_file import Difference
    from auricle.models.config import Wav2Vec2Config

logger = logging.getLogger(__name__)

_SPEECH = ("vm-opts", "confbridge-pin", "conf-full", "added")
"""Bundled recordings, of several lengths, that an exported model is checked on."""


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A checkpoint: CTC, or a bare encoder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The file to write.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize the matrix products: a quarter of the size.")
    ] = False,
) -> None:
    """Write a model as an ONNX file, for any batch size and length.

    Its inputs are waveforms (batch, samples; float32, as the model was trained on) and lengths (batch; int64,
    in samples): padding changes nothing. Its outputs are logits, or a bare encoder's context, and frames.
    The file is run by onnxruntime on real speech, and kept only if it gives what the checkpoint gives.
    """
    difference = export_checkpoint(model, out, int8=int8)
    size = out.stat().st_size / 2**20
    typer.echo(
        f"{out}: {size:.0f} MiB, {'int8' if int8 else 'float32'}; against the checkpoint, on speech, values "
        f"differ by at most {difference.largest:.2g} ({100 * difference.share:.2g} % of the largest), and "
        f"the best unit in {100 * difference.changed:.2g} % of the frames"
    )


def export_checkpoint(model: Path, out: Path, *, int8: bool) -> "Difference":
    """Exports what `model` holds.

    Raises:
        UserError: It cannot be exported.
    """
    from auricle.convert.load import load
    from auricle.convert.onnx_file import SUFFIX, encoder_config, export

    if out.suffix != SUFFIX:
        raise UserError(f"{out}: name the file to write with the ending {SUFFIX}")
    check_writable_file(out)
    loaded = load(model)
    config = encoder_config(loaded)
    logger.info("exporting %s: this takes a minute for a large model", model)
    return export(loaded, out, _speech(config), int8=int8)


def _speech(config: "Wav2Vec2Config") -> "list[Tensor]":
    """Some seconds of bundled recordings [T] float32, as the model wants them."""
    from auricle import audio

    folder = files("auricle") / "demo" / "audio" / "en"
    clips = [
        audio.read(str(folder / f"{name}.opus"), sample_rate=config.sample_rate).samples for name in _SPEECH
    ]
    return [audio.normalize(clip) for clip in clips] if config.normalize else clips
