"""Small files that would have a reader build or compute something endless."""

import pickle
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import forged
from auricle.convert import torch_file, unpickle
from auricle.convert.load import load
from auricle.convert.torch_file import read
from auricle.errors import UserError

LIMITED = """
import resource, sys
from auricle.convert.load import load
path = sys.argv[1]
import torch
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + int(sys.argv[2]),) * 2)
model = load(path).model
print(sum(p.numel() for p in model.parameters()))
"""

DEEP = 100_000


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1_000
    return str(caught.value)


@pytest.mark.parametrize(
    "nested",
    [
        b"(" * DEEP + b"t" * DEEP,
        b"]" * DEEP + b"a" * (DEEP - 1),
        b")" + b"\x85" * DEEP,
        b"}" + b"q\x00" + b"0}K\x00h\x00sq\x00" * DEEP,
        forged.made(forged.name("argparse", "Namespace"))
        + b"q\x00"
        + (b"0" + forged.name("argparse", "Namespace") + b"h\x00\x85Rq\x00") * (DEEP // 10),
    ],
    ids=["marks", "lists", "tuples", "dictionaries", "stand-ins"],
)
@pytest.mark.parametrize("where", ["model", "cfg", "args"])
def test_deep_nesting(tmp_path: Path, nested: bytes, where: str) -> None:
    path = forged.save_pickle(forged.program(forged.dictionary(**{where: nested})), tmp_path / "x.pt")
    refused(path)


@pytest.mark.parametrize(
    "word", ["_name", "encoder_layers", "conv_feature_layers", "layer_type", "normalize"]
)
def test_deep_nesting_in_an_option(tmp_path: Path, word: str) -> None:
    options = {
        **{key: forged.text(value) for key, value in forged.MODEL_WORDS.items() if isinstance(value, str)},
        word: b")" + b"\x85" * DEEP,
    }
    content = forged.dictionary(model=b"}", cfg=forged.dictionary(model=forged.dictionary(**options)))
    refused(forged.save_pickle(forged.program(content), tmp_path / "x.pt"))


def test_memo_bombs_stay_small(tmp_path: Path) -> None:
    """Lists of the list before, ten times over: 10**60 items to whoever walks through them."""
    bomb = b"]q\x00" + (b"0](" + b"h\x00" * 10 + b"eq\x00") * 60
    for where in ("model", "cfg", "args", "task_state", "optimizer_history", "extra_state"):
        content = forged.dictionary(**{"model": b"}", where: bomb})
        refused(forged.save_pickle(forged.program(content), tmp_path / "x.pt"))
    options = forged.dictionary(_name=forged.text("wav2vec2"), conv_feature_layers=bomb)
    content = forged.dictionary(model=b"}", cfg=forged.dictionary(model=options))
    assert "conv_feature_layers" in refused(forged.save_pickle(forged.program(content), tmp_path / "x.pt"))


def test_a_thing_that_holds_itself(tmp_path: Path) -> None:
    itself = (
        forged.made(forged.name("omegaconf.nodes", "AnyNode")) + b"q\x00" + b"}X\x04\x00\x00\x00_valh\x00sb"
    )
    for where in ("model", "cfg", "args"):
        content = forged.dictionary(**{"model": b"}", where: itself})
        refused(forged.save_pickle(forged.program(content), tmp_path / "x.pt"))


@pytest.mark.parametrize(
    "claim",
    [
        b"B" + struct.pack("<I", 2**32 - 1),
        b"\x8e" + struct.pack("<Q", 2**62),
        b"\x8d" + struct.pack("<Q", 2**40),
        b"\x96" + struct.pack("<Q", 2**40),
        b"X" + struct.pack("<I", 2**31),
        b"\x8b" + struct.pack("<i", 2**31 - 1),
        b"\x8b" + struct.pack("<i", -1),
        b"\x95" + struct.pack("<Q", 2**60),
        b"I" + b"9" * 5_000 + b"\n",
        b"L" + b"9" * 100_000 + b"L\n",
        b"r" + struct.pack("<I", 2**32 - 1),
    ],
    ids=lambda claim: claim[:1].hex(),
)
def test_huge_declared_sizes(tmp_path: Path, claim: bytes) -> None:
    refused(forged.save_pickle(forged.program(b"N", claim), tmp_path / "zip.pt"))
    refused(forged.save_legacy_pickle(forged.program(b"N", claim), tmp_path / "legacy.pt", {}))


def test_numbers_that_collide_cannot_be_keys(tmp_path: Path) -> None:
    """All of these have one hash, so that a dictionary of n of them takes n * n steps to build."""
    colliding = [number * (2**61 - 1) for number in range(2, 50)]
    assert len({hash(number) for number in colliding}) == 1
    path = forged.save_pickle(pickle.dumps(dict.fromkeys(colliding), 2), tmp_path / "x.pt")
    assert "key" in refused(path)


def test_too_long_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_file, "MAX_PICKLE_BYTES", 1_000)
    refused(forged.save_pickle(forged.program(b"N" * 2_000), tmp_path / "x.pt"))
    refused(forged.save_legacy_pickle(forged.program(b"N" * 2_000), tmp_path / "x.pt", {}))
    monkeypatch.undo()
    monkeypatch.setattr(unpickle, "MAX_INSTRUCTIONS", 1_000)
    assert "too long" in refused(forged.save_pickle(forged.program(b"N" * 2_000), tmp_path / "x.pt"))


ORDERED = forged.name("collections", "OrderedDict") + b"q\x00"
PAIRS = b"](" + b"K\x01K\x02\x86" * 2_000 + b"e\x85q\x01"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x8f" * 3_000, "more containers"),
        (b"}" * 3_000, "more containers"),
        (b"N" + b"\x85" * 3_000, "more containers"),
        (b"N" + b"\x94" * 3_000, "remembers more"),
        (ORDERED + PAIRS + b"h\x00h\x01R" * 3, "copies more"),
        (forged.name("torch", "Size") + b"q\x00" + PAIRS + b"h\x00h\x01R" * 3, "copies more"),
        (
            forged.name("builtins", "set")
            + b"q\x00]("
            + b"K\x01" * 2_000
            + b"e\x85q\x01"
            + b"h\x00h\x01\x81" * 3,
            "copies more",
        ),
    ],
)
def test_what_takes_more_memory_than_its_instruction_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, message: str
) -> None:
    monkeypatch.setattr(unpickle, "MAX_CONTAINERS", 2_500)
    monkeypatch.setattr(unpickle, "MAX_MEMO", 2_500)
    monkeypatch.setattr(unpickle, "MAX_COPIES", 5_000)
    assert message in refused(forged.save_pickle(forged.program(body), tmp_path / "x.pt"))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts address space as Linux does")
@pytest.mark.parametrize(
    "body",
    [b"\x8f" * 10**7, b"}" * 10**7, b"N" + b"\x94" * 10**7, b"\x8c\x02ab" * 10**7, b"N" + b"\x85" * 10**7],
    ids=["sets", "dictionaries", "memo", "texts", "tuples"],
)
def test_the_worst_pickles_stay_within_a_gibibyte(tmp_path: Path, body: bytes) -> None:
    path = forged.save_pickle(forged.program(body), tmp_path / "x.pt")
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(2**30)], capture_output=True, text=True, timeout=240
    )
    assert "UserError" in result.stderr and "MemoryError" not in result.stderr, result.stderr


def test_the_head_of_an_old_file_is_short(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    magic = forged.legacy_head()[:-1]
    path.write_bytes(b"\x80\x02" + b"N0" * 2_000 + magic)
    assert "is not a checkpoint" in refused(path)
    path.write_bytes(forged.legacy_head() + pickle.dumps({}, 2) + b"\x80\x02" + b"N0" * 10**6 + b"].")
    assert "too long" in refused(path)


def test_a_table_of_contents_of_absurd_size(tmp_path: Path) -> None:
    """Of a file that has the room for it, at no cost: it is all holes."""
    path = tmp_path / "x.pt"
    for size in (2**23, 2**31):
        with open(path, "wb") as file:
            file.write(b"PK\x03\x04")
            file.truncate(size + 100)
            file.seek(size + 100)
            file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 100, 0))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert "table of contents" in refused(path)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


@pytest.mark.parametrize("size", [2**40, 2**63, 2**64 - 1])
def test_a_table_of_contents_that_lies_in_64_bits(tmp_path: Path, size: int) -> None:
    path = forged.save_pickle(forged.program(b"}"), tmp_path / "x.pt")
    whole = path.read_bytes()
    at = whole.rindex(b"PK\x05\x06")
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, size, size)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    path.write_bytes(whole[:at] + wide + locator + end)
    assert "table of contents" in refused(path)


@pytest.mark.parametrize(
    "words",
    [
        {"encoder_layers": 10**9},
        {"encoder_layers": 900},
        {"encoder_embed_dim": 2 * 10**6, "encoder_ffn_embed_dim": 10**7},
        {"encoder_ffn_embed_dim": 10**7},
        {"latent_vars": 10**7, "quantizer_factor": 10**7, "quantizer_depth": 3},
        {"conv_pos": 10**7},
        {"conv_feature_layers": "[(10000000, 10000000, 1)] * 10"},
        {"conv_feature_layers": "[(512, 10, 5)] * 100000000000"},
    ],
)
def test_networks_that_are_not_in_the_file_take_no_memory(tmp_path: Path, words: dict[str, object]) -> None:
    path = forged.save(forged.pretraining_checkpoint(**words), tmp_path / "x.pt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts address space as Linux does")
@pytest.mark.parametrize(
    ("zipped", "size", "room"),
    [(True, 96, 64), (False, 192, 150)],  # of the old layout, the first 64 MiB are looked through
    ids=["zip", "before 1.6"],
)
def test_opening_takes_less_room_than_the_file(tmp_path: Path, zipped: bool, size: int, room: int) -> None:
    """An optimizer's moments are most of a checkpoint, and stay where they are. Sizes in MiB."""
    content = forged.pretraining_checkpoint()
    content["last_optimizer_state"] = {"state": {0: {"exp_avg": torch.zeros(size * 2**18)}}}
    path = forged.save(content, tmp_path / "x.pt", zipped=zipped)
    assert path.stat().st_size > size * 2**20
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(room * 2**20)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    path.unlink()
    assert result.returncode == 0, result.stderr


def test_reading_leaves_no_file_open(tmp_path: Path) -> None:
    path = forged.save(forged.ctc_checkpoint(), tmp_path / "x.pt")
    content = read(path)
    open_files = {str(link.resolve()) for link in Path("/proc/self/fd").iterdir()}
    assert str(path) not in open_files and content["model"]
