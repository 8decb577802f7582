"""A checkpoint that wants something run is refused, and nothing is run: imports, calls, files, processes."""

import pickle
import pickletools
import subprocess
from pathlib import Path

import pytest

import forged
from attacks.audit import HOOK, run
from attacks.hostile_pickles import COMMAND, hostile_pickles
from auricle.convert.load import load
from auricle.convert.unpickle import _INSTRUCTIONS
from auricle.errors import UserError

NAMES = [of for of, _ in hostile_pickles("")]


def hostile(of: str, marker: Path) -> bytes:
    return dict(hostile_pickles(COMMAND.format(marker=marker)))[of]


@pytest.mark.parametrize("of", NAMES)
def test_calls_are_refused(tmp_path: Path, of: str) -> None:
    marker = tmp_path / "marker"
    pickled = hostile(of, marker)
    for path in (
        forged.save_pickle(pickled, tmp_path / "zip.pt"),
        forged.save_legacy_pickle(pickled, tmp_path / "legacy.pt", {}),
    ):
        with pytest.raises(UserError) as caught:
            load(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not marker.exists()


def test_every_instruction_is_known_or_refused() -> None:
    """Those that reach for something outside the pickle are not among the known ones."""
    unknown = {opcode.name for opcode in pickletools.opcodes} - _INSTRUCTIONS.keys() - {"STOP"}
    assert unknown == {"EXT1", "EXT2", "EXT4", "PERSID", "NEXT_BUFFER", "READONLY_BUFFER"}


def test_the_attacks_are_real(tmp_path: Path) -> None:
    """Python's own reader runs the plainest of them, so a marker that is absent means something."""
    marker = tmp_path / "marker"
    pickle.loads(hostile("REDUCE", marker))
    assert marker.exists()


@pytest.mark.parametrize("position", range(4))
def test_calls_beside_the_content_of_an_old_file(tmp_path: Path, position: int) -> None:
    """The three pickles before the content and the one after it are read by the same machine."""
    marker, path = tmp_path / "marker", tmp_path / "x.pt"
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    parts = [*head, pickle.dumps({}, 2), pickle.dumps([], 2)]
    parts[position if position < 3 else 4] = hostile("in alone", marker)
    path.write_bytes(b"".join(parts))
    with pytest.raises(UserError):
        load(path)
    assert not marker.exists()


def test_messages_cannot_drive_the_terminal(tmp_path: Path) -> None:
    evil = "sys\x1b[2Jtem" + "x" * 10_000
    pickled = forged.program(forged.text("os") + forged.text(evil) + b"\x93")
    with pytest.raises(UserError) as caught:
        load(forged.save_pickle(pickled, tmp_path / "x.pt"))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


WATCHED = (
    """
import sys
from pathlib import Path

from auricle.convert.load import load
from auricle.errors import UserError

folder, benign = Path(sys.argv[1]), Path(sys.argv[2])
hostile = sorted(folder.iterdir())
load(benign)  # what honest reading imports is imported by now
"".encode("cp437")  # the code of names in zip archives, which the standard library imports when it meets one
try:
    load(hostile[0])
except UserError:
    pass

allowed_files = {str(path) for path in [*hostile, benign]}
"""
    + HOOK
    + """
sys.addaudithook(watch)
if "control" in sys.argv:
    open(folder / "written", "w")
refused = 0
for path in hostile:
    try:
        load(path)
    except UserError:
        refused += 1
load(benign)
watching = False
print(refused)
"""
)


def watched(folder: Path, benign: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return run(WATCHED, folder, benign, *more)


def test_reading_imports_runs_and_writes_nothing(tmp_path: Path) -> None:
    """Under an audit hook that ends the process at any import, call out, write or look at another file."""
    folder, marker = tmp_path / "hostile", tmp_path / "marker"
    folder.mkdir()
    for number, (_, pickled) in enumerate(hostile_pickles(COMMAND.format(marker=marker))):
        forged.save_pickle(pickled, folder / f"{number}.zip.pt")
        forged.save_legacy_pickle(pickled, folder / f"{number}.legacy.pt", {})
    benign = forged.save(forged.ctc_checkpoint(), tmp_path / "benign.pt")
    result = watched(folder, benign)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) == len(list(folder.iterdir())) == 2 * len(NAMES)
    assert not marker.exists()
    assert watched(folder, benign, "control").returncode == 13  # the hook does bite
