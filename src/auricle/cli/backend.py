"""Which library runs a recogniser and in which precision: the options, and the model that they ask for."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle.cli.device import pick_device
from auricle.decode.arithmetic import BackendName, Precision
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.convert.load import Loaded

BackendOption = Annotated[
    BackendName | None,
    typer.Option(
        "--backend",
        help="What does the arithmetic; the last two on the CPU, on what `auricle export` wrote or on a "
        "checkpoint that is exported on the way.",
        show_default="onnxruntime for a .onnx file, else torch",
    ),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        help="Of the arithmetic (docs/speed.md).",
        show_default="a .onnx file's own, else float32",
    ),
]


_KERNELS = "256"
"""Of oneDNN, to keep in memory: some 0.3 MiB each. It would keep 1024, and pieces of recordings have many
lengths, of which each takes a dozen."""
_KEEP_KERNELS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"
"""The variables that say so to oneDNN, and to torch, which keeps them a second time."""


def open_model(
    model: Path, device: str | None, backend: BackendName | None = None, precision: Precision | None = None
) -> "Loaded":
    """A recogniser as `--device`, `--backend` and `--precision` want it.

    Raises:
        UserError: It cannot be read, or they do not go together.
    """
    from auricle.convert.load import load
    from auricle.convert.onnx_file import SUFFIX, load_exported

    # Read when the first product is computed.
    for variable in _KEEP_KERNELS:
        os.environ.setdefault(variable, _KERNELS)
    exported = model.suffix == SUFFIX and model.is_file()
    chosen = backend or ("onnxruntime" if exported else "torch")
    if chosen == "torch":
        if exported:
            raise UserError(f"{model} is exported: run it with --backend onnxruntime or openvino")
        return load(model, map_location=pick_device(device), precision=precision or "float32")
    if pick_device(device or "cpu").type != "cpu":
        raise UserError(f"--backend {chosen} runs on the CPU: leave --device out, or take --backend torch")
    return load_exported(model, chosen, precision) if exported else _on_the_way(model, chosen, precision)


def _on_the_way(model: Path, backend: BackendName, precision: Precision | None) -> "Loaded":
    """Exports a checkpoint for this once. The library has the file in memory when its folder goes."""
    from auricle.cli.export import export_checkpoint
    from auricle.convert.onnx_file import load_exported
    from auricle.decode.backend import library_of

    library_of(backend, precision)  # what is wrong with that is said before the minute that follows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_checkpoint(model, path, int8=precision == "int8")
        return load_exported(path, backend, precision)
