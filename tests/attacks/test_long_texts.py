"""Text of megabytes, hashed, joined or compared once for each of a million instructions, takes hours."""

import time
import zipfile
from pathlib import Path

import pytest

import forged
from auricle.convert.load import load
from auricle.errors import UserError

LONG = "fairseq." + "x" * (16 * 2**20)
TIMES = 300_000


def remembered(value: bytes, number: int) -> bytes:
    return value + b"q" + bytes([number])


CLASS = f"cfairseq\n{LONG}\n".encode()
KIND = forged.name("torch", "FloatStorage")
REFERENCE = forged.tuple_of(forged.text("storage"), KIND, forged.text(LONG), forged.text("cpu"), b"K\x01")

BODIES = {
    "the name of a class": remembered(CLASS, 0) + b"h\x00)R0" * TIMES,
    "the parts of a module": remembered(forged.text("fairseq" + ".ab" * 10**6), 0)
    + b"0"
    + forged.text("x")
    + b"q\x010"
    + b"h\x00h\x01\x930" * TIMES,
    "keys": remembered(forged.text(LONG), 0)
    + remembered(forged.text(LONG), 1)
    + b"00}h\x00Ns"
    + b"h\x01Ns" * TIMES,
    "members of sets": remembered(forged.text(LONG), 0)
    + remembered(forged.text(LONG), 1)
    + b"00\x8f(h\x00h\x01\x90"
    + b"(h\x01\x90" * TIMES,
    "storages": remembered(REFERENCE, 0) + b"Q0" + b"h\x00Q0" * TIMES,
}


@pytest.mark.parametrize("of", BODIES)
def test_long_texts_are_refused_at_once(tmp_path: Path, of: str) -> None:
    pickled = forged.program(BODIES[of], b"N")
    for path in (
        forged.save_pickle(pickled, tmp_path / "zip.pt"),
        forged.save_legacy_pickle(pickled, tmp_path / "legacy.pt", {}),
    ):
        begun = time.process_time()
        with pytest.raises(UserError) as caught:
            load(path)
        assert time.process_time() - begun < 5.0
        assert len(str(caught.value)) < 400 + len(str(path))


def test_symbols_that_are_equal_and_endless(tmp_path: Path) -> None:
    """Two equal texts, named in turns: each pair would be compared character by character."""
    both = [remembered(forged.text("s" * 2**24), 0), remembered(forged.text("s" * 2**24), 1)]
    symbols = b"](" + b"".join(both) + b"h\x00h\x01" * TIMES + b"e"
    state = forged.dictionary(symbols=symbols, count=b"]")
    words = forged.made(forged.name("argparse", "Namespace")) + state + b"b"
    content = forged.pickled(forged.ctc_checkpoint())
    assert content.endswith(b"u.")
    task = forged.text("task_state") + forged.dictionary(target_dictionary=words)
    path = forged.save(forged.ctc_checkpoint(), tmp_path / "honest.pt")
    hostile = forged.save_pickle(content[:-2] + task + b"u.", tmp_path / "x.pt", storages_of(path))
    begun = time.process_time()
    with pytest.raises(UserError, match="holds no symbols"):
        load(hostile)
    assert time.process_time() - begun < 10.0


def storages_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if "/data/" in name]
        return {name.rpartition("/")[2]: archive.read(name) for name in names}
