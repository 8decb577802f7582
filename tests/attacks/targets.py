"""What strangers' bytes are read by, one function each: it returns, or the bytes are a mistake in one line.

For `test_fuzz.py`, which draws the bytes, and for `tools/fuzz.py`, which lets coverage find them.
"""

import io
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

import forged
from auricle.convert.literals import LiteralError, read_literal
from auricle.convert.load import load
from auricle.convert.own import write_model
from auricle.convert.safetensors_file import read_safetensors
from auricle.convert.storages import Source, Storage
from auricle.convert.torch_file import DAMAGE
from auricle.convert.unpickle import RefusedError, unpickle
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.manifest import read_labels, read_manifest
from auricle.models.build import build_model

Target = Callable[[bytes, Path], None]

MAX_MESSAGE = 1_000


def _refused(read: Callable[[], object]) -> None:
    try:
        read()
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < MAX_MESSAGE, error


def _file(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


def pickles(content: bytes, folder: Path) -> None:
    """The machine alone: it runs nothing, and fails in the ways that its callers know."""
    source = Source(folder / "x", (0, 0, 10**6, 0))
    with suppress(RefusedError, *DAMAGE):
        unpickle(io.BytesIO(content), lambda dtype, key, count: Storage(source, dtype, count, 0))


def checkpoints(content: bytes, folder: Path) -> None:
    """A whole file, of either layout, or a tar."""
    _refused(lambda: load(_file(content, folder / "x.pt")))


def zipped(content: bytes, folder: Path) -> None:
    """The pickle of a zip archive."""
    _refused(lambda: load(forged.save_pickle(content, folder / "x.pt", {"0": bytes(64)})))


def legacy(content: bytes, folder: Path) -> None:
    """What comes after the three pickles that an old file begins with."""
    _refused(lambda: load(_file(forged.legacy_head() + content, folder / "x.pt")))


def tables(content: bytes, folder: Path) -> None:
    """A safetensors file."""
    _refused(lambda: [tensor.load() for tensor in read_safetensors(_file(content, folder / "x")).values()])


def headers(content: bytes, folder: Path) -> None:
    """The header of a safetensors file with 64 bytes of numbers."""
    tables(struct.pack("<Q", len(content)) + content + bytes(64), folder)


def configurations(content: bytes, folder: Path) -> None:
    """The configuration beside sound weights."""
    own = folder / "own"
    if not own.is_dir():
        own.mkdir()
        write_model(own, build_model(forged.ENCODER), forged.ENCODER, None, {})
    _file(content, own / "config.json")
    _refused(lambda: load(own))


def dictionaries(content: bytes, folder: Path) -> None:
    """A dict.ltr.txt."""
    _refused(lambda: Dictionary.load(_file(content, folder / "dict.txt")))


def manifests(content: bytes, folder: Path) -> None:
    """A manifest, and labels beside a sound one."""
    _refused(lambda: read_manifest(_file(content, folder / "train.tsv")))
    sound = read_manifest(_file(b"/root\na.wav\t1\nb.wav\t2\n", folder / "valid.tsv"))
    _refused(lambda: read_labels(_file(content, folder / "valid.ltr"), sound))


def literals(content: bytes, folder: Path) -> None:
    """An option's text."""
    try:
        read_literal(content.decode(errors="replace"))
    except LiteralError as error:
        assert "\n" not in str(error) and len(str(error)) < MAX_MESSAGE


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        *(pickles, checkpoints, zipped, legacy, tables, headers, configurations),
        *(dictionaries, manifests, literals),
    )
}


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """Sound bytes for each target, to be changed."""
    content = forged.ctc_checkpoint()
    whole = [
        forged.save(content, folder / "zip.pt").read_bytes(),
        forged.save(content, folder / "old.pt", zipped=False).read_bytes(),
        forged.save(forged.flat(content), folder / "flat.pt").read_bytes(),
    ]
    pickle = forged.pickled({**content, "model": {"a": torch.zeros(4)}})
    own = folder / "seed"
    own.mkdir(exist_ok=True)
    write_model(own, build_model(forged.ENCODER), forged.ENCODER, None, {})
    table = (own / "model.safetensors").read_bytes()
    length = int.from_bytes(table[:8], "little")
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    header = json.dumps({"a": entry, "b": {**entry, "shape": [3, 4], "data_offsets": [16, 64]}}).encode()
    return {
        "pickles": [pickle],
        "checkpoints": whole,
        "zipped": [pickle],
        "legacy": [whole[1].partition(forged.legacy_head())[2] or whole[1][-2000:], pickle],
        "tables": [table[: 8 + length] + table[8 + length :]],
        "headers": [header],
        "configurations": [(own / "config.json").read_bytes()],
        "dictionaries": ["| 10\nÄ 9\nab 3\n".encode()],
        "manifests": ["/root\na/b.flac\t16000\narchive.zip:10:20\t5\nö.wav\t1\n".encode()],
        "literals": [b"[(512, 10, 5)] + [(512, 3, 2)] * 4", b"{'a': -1.5, 2: ('x', None, True)}"],
    }
