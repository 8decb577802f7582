"""Every recorded checkpoint opens in a process that may do nothing but read it; damaged, it is refused."""

import random
from pathlib import Path

import pytest

import forged
from attacks.audit import HOOK, run
from auricle.convert.load import load
from auricle.convert.own import write_model
from auricle.errors import UserError
from golden import golden_folder

GOLDEN = sorted(golden_folder().glob("*/*.pt"))

WATCHED = (
    """
import logging
import sys

for absent in ("fairseq", "omegaconf", "hydra", "transformers"):
    sys.modules[absent] = None  # importing them fails

from auricle.convert.load import load

benign, *paths = sys.argv[1:]
load(benign)  # what reading imports is imported by now, whatever the file
"".encode("cp437"), "".encode("utf-8-sig")  # of names in zip archives, of dictionaries
logging.disable()  # a notice looks at the frames of its callers
allowed_files = set(paths)
for path in paths:
    if path.endswith(".own"):
        allowed_files |= {f"{path}/{name}" for name in ("model.safetensors", "config.json", "dictionary.txt")}
"""
    + HOOK
    + """
sys.addaudithook(watch)
count = 0
for path in paths:
    model = load(path).model
    count += sum(parameter.numel() for parameter in model.parameters()) > 0
watching = False
print(count)
"""
)


@pytest.mark.skipif(not GOLDEN, reason="no recorded checkpoints here")
def test_every_recorded_checkpoint_opens_and_nothing_else_happens(tmp_path: Path) -> None:
    """Neither an import, nor a process, nor a look at another file, nor one opened for writing."""
    benign = forged.save(forged.ctc_checkpoint(), tmp_path / "benign.pt")
    folders = []
    for number, path in enumerate(GOLDEN[:3]):  # and what becomes of them in our own format
        loaded = load(path)
        folders.append(tmp_path / f"{number}.own")
        folders[-1].mkdir()
        write_model(folders[-1], loaded.model, loaded.config, loaded.dictionary, {})
    result = run(WATCHED, benign, *GOLDEN, *folders)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) == len(GOLDEN) + len(folders)


def test_eras_are_all_there() -> None:
    if golden_folder().name == "golden_subset":
        pytest.skip("the committed subset has few checkpoints")
    names = {path.name for path in GOLDEN}
    assert {"checkpoint.pt", "checkpoint_legacy.pt", "checkpoint_omegaconf.pt"} <= names


def attempt(path: Path) -> None:
    """Either it loads, its damage being in a number, or it is a mistake in one line; nothing else."""
    try:
        loaded = load(path)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 1_000
    else:
        assert sum(parameter.numel() for parameter in loaded.model.parameters()) < 10**6


def damaged(whole: bytes, chance: random.Random, times: int) -> list[bytes]:
    """Cut off and changed at places all over the file, and more of them where the structure is."""
    files = [whole[: chance.randrange(len(whole))] for _ in range(times // 3)]
    start = whole.find(b"\x80\x02")
    for number in range(times - len(files)):
        changed = bytearray(whole)
        at = (
            chance.randrange(start, min(start + 4_000, len(whole)))
            if number % 2
            else chance.randrange(len(whole))
        )
        changed[at] = chance.choice((0, 0xFF, changed[at] ^ 1 << chance.randrange(8), chance.randrange(256)))
        files.append(bytes(changed))
    return files


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.name}")
@pytest.mark.parametrize("times", [9, pytest.param(200, marks=pytest.mark.slow)])
def test_damaged_checkpoints_are_mistakes(path: Path, tmp_path: Path, times: int) -> None:
    chance = random.Random(f"{path.parent.name} {times}")
    for content in damaged(path.read_bytes(), chance, times):
        (tmp_path / "x.pt").write_bytes(content)
        attempt(tmp_path / "x.pt")
