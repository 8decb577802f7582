"""Files that are cut off, changed at random, or lie about what is where."""

import json
import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import forged
from auricle.convert.load import load
from auricle.convert.own import write_model
from auricle.convert.torch_file import read
from auricle.errors import UserError
from auricle.models.build import build_model
from auricle.models.config import CTCConfig

Save = Callable[[Path], Path]
FILES: dict[str, Save] = {
    "zip": lambda path: forged.save(forged.ctc_checkpoint(), path),
    "before 1.6": lambda path: forged.save(forged.ctc_checkpoint(), path, zipped=False),
    "namespace": lambda path: forged.save(forged.flat(forged.pretraining_checkpoint()), path),
}
EVERY_FILE = pytest.mark.parametrize("save", FILES.values(), ids=FILES.keys())


@EVERY_FILE
def test_a_file_that_is_cut_off_anywhere_is_a_mistake(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "x.pt")
    whole = path.read_bytes()
    for length in sorted({*range(0, 300, 7), *range(0, len(whole), len(whole) // 60), len(whole) - 1}):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError) as caught:
            load(path)
        assert "\n" not in str(caught.value)


def attempt(path: Path) -> None:
    """Either the file loads, its damage being in a number, or it is a mistake in one line; nothing else."""
    try:
        loaded = load(path)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 1_000
    else:
        assert sum(parameter.numel() for parameter in loaded.model.parameters()) < 10**6


@EVERY_FILE
@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_never_crash(tmp_path: Path, save: Save, seed: int) -> None:
    path = save(tmp_path / "x.pt")
    whole, chance = path.read_bytes(), random.Random(seed)
    for _ in range(60):
        changed = bytearray(whole)
        for _ in range(chance.choice((1, 1, 1, 2, 8))):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        attempt(path)


@EVERY_FILE
@pytest.mark.parametrize("seed", range(4))
def test_changed_instructions_never_crash(tmp_path: Path, save: Save, seed: int) -> None:
    """Bytes of the pickle itself, where every one says what to do next."""
    whole, chance = save(tmp_path / "x.pt").read_bytes(), random.Random(seed)
    start, end = whole.find(b"\x80\x02"), whole.rfind(b"u.")
    for _ in range(120):
        changed = bytearray(whole)
        for _ in range(chance.choice((1, 2, 4))):
            changed[chance.randrange(start, end)] = chance.randrange(256)
        path = tmp_path / "x.pt"
        path.write_bytes(changed)
        attempt(path)


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_table_of_contents_never_crashes(tmp_path: Path, seed: int) -> None:
    whole, chance = FILES["zip"](tmp_path / "x.pt").read_bytes(), random.Random(seed)
    start = whole.find(b"PK\x01\x02")
    for _ in range(120):
        changed = bytearray(whole)
        for _ in range(chance.choice((1, 2, 4))):
            changed[chance.randrange(start, len(whole))] = chance.choice(
                (0, 1, 0x7F, 0xFF, chance.randrange(256))
            )
        path = tmp_path / "x.pt"
        path.write_bytes(changed)
        attempt(path)


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


ONE_TENSOR = forged.program(forged.tensor(forged.storage(4), 0, (4,), (1,)))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("archive/data.pkl", ONE_TENSOR)
        file.writestr("archive/data/0", b"\0" * 10**7)
    with pytest.raises(UserError, match="compressed or encrypted"):
        read(path)


def test_names_that_climb_out_of_the_archive_name_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef")
    for key in ("../../secret", str(secret), "../data.pkl"):
        pickled = forged.program(forged.tensor(forged.storage(4, key=key), 0, (4,), (1,)))
        path = forged.save_pickle(pickled, tmp_path / "x.pt")
        with pytest.raises(UserError, match="a storage is missing or too short"):
            read(path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("../../escaped", "x")
        file.writestr("/absolute", "x")
        file.writestr("archive/data/../../up", b"\0" * 16)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="a storage is missing or too short"):
        read(path)
    pickled = forged.program(forged.tensor(forged.storage(4, key="../../up"), 0, (4,), (1,)))
    path = forged.save_pickle(pickled, path, {"../../up": b"\0" * 16})
    assert torch.equal(read(path).load(), torch.zeros(4))  # but a name, of a member of the archive
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = forged.save_pickle(ONE_TENSOR, tmp_path / "x.pt", {"0": b"\0" * 16})
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("archive/data/0", b"\1" * 16)
    with pytest.raises(UserError, match="share a name"):
        read(path)


def entry(whole: bytes, name: bytes) -> int:
    """Where the table of contents of an archive speaks of a member."""
    return whole.index(b"PK\x01\x02", whole.rindex(name) - 46 - 1)


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    path = forged.save_pickle(ONE_TENSOR, tmp_path / "x.pt", {"0": b"\0" * 16, "1": b"\1" * 16})
    whole = bytearray(path.read_bytes())
    first, second = entry(whole, b"archive/data/0"), entry(whole, b"archive/data/1")
    whole[second + 42 : second + 46] = whole[first + 42 : first + 46]
    path.write_bytes(whole)
    with pytest.raises(UserError, match=r"overlap|cannot be read"):  # newer Pythons see it themselves
        read(path)


@pytest.mark.parametrize("size", [10**3, 10**6, 2**31, 2**32 - 2])
def test_members_larger_than_the_file_are_refused(tmp_path: Path, size: int) -> None:
    path = forged.save_pickle(ONE_TENSOR, tmp_path / "x.pt", {"0": b"\0" * 16})
    whole = bytearray(path.read_bytes())
    at = entry(whole, b"archive/data/0")
    whole[at + 20 : at + 28] = struct.pack("<II", size, size)
    path.write_bytes(whole)
    with pytest.raises(UserError, match="damaged or cut off"):
        load(path)


@pytest.mark.parametrize("offset", [1, 10**6, 2**32 - 2])
def test_members_that_begin_nowhere_are_refused(tmp_path: Path, offset: int) -> None:
    path = forged.save_pickle(ONE_TENSOR, tmp_path / "x.pt", {"0": b"\0" * 16})
    whole = bytearray(path.read_bytes())
    at = entry(whole, b"archive/data/0")
    whole[at + 42 : at + 46] = struct.pack("<I", offset)
    path.write_bytes(whole)
    with pytest.raises(UserError, match="damaged or cut off"):
        read(path)


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = forged.save_pickle(ONE_TENSOR, tmp_path / "x.pt", {"0": b"\0" * 16})
    whole = bytearray(path.read_bytes())
    whole[entry(whole, b"archive/data/0") + 8] |= 1
    path.write_bytes(whole)
    with pytest.raises(UserError, match="compressed or encrypted"):
        read(path)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    config = CTCConfig(encoder=forged.ENCODER, num_labels=5)
    folder = tmp_path / "own"
    folder.mkdir()
    write_model(folder, build_model(config), config, None, {})
    return folder


def header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


TWO = (
    b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
    b'"b":{"dtype":"F32","shape":[4],"data_offsets":%s}}'
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 10**9) + b"{",
        header(b"{"),
        header(b"[]"),
        header(b'{"a":1}'),
        header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
        header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}') + b"\0" * 16,
        header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,8]}}') + b"\0" * 8,
        header(b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,16]}}') + b"\0" * 16,
        header(b'{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,16]}}') + b"\0" * 16,
        header(b'{"a":{"dtype":"F99","shape":[4],"data_offsets":[0,16]}}') + b"\0" * 16,
        header(b'{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}') + b"\0" * 16,
        header(TWO % b"[0,16]") + b"\0" * 16,
        header(TWO % b"[8,24]") + b"\0" * 24,
        header(TWO % b"[32,48]") + b"\0" * 48,
        header(b'{"a":' * 100_000),
        header(b"\xff" * 100),
        b"\x80\x02cposix\nsystem\n",
    ],
)
def test_hostile_headers_of_our_own_files(own: Path, content: bytes) -> None:
    (own / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(own)
    assert "\n" not in str(caught.value)


def test_flipped_bits_of_our_own_files_never_crash(own: Path) -> None:
    chance = random.Random(0)
    for name in ("model.safetensors", "config.json"):
        whole = (own / name).read_bytes()
        reach = min(len(whole), 8 + int.from_bytes(whole[:8], "little") if name[0] == "m" else len(whole))
        for _ in range(150):
            changed = bytearray(whole)
            changed[chance.randrange(reach)] ^= 1 << chance.randrange(8)
            (own / name).write_bytes(changed)
            attempt(own)
        (own / name).write_bytes(whole)
    assert load_file(own / "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["encoder"]["encoder"].update(num_layers=10**9),
        lambda config: config["encoder"]["encoder"].update(num_layers=10**400),
        lambda config: config["encoder"]["encoder"].update(num_layers=-1),
        lambda config: config["encoder"]["encoder"].update(num_layers=1e308),
        lambda config: config["encoder"]["encoder"].update(dim=10**7, ffn_dim=10**7),
        lambda config: config["encoder"]["encoder"].update(dropout=float("nan")),
        lambda config: config["encoder"]["encoder"].update(dropout=float("inf")),
        lambda config: config["encoder"].update(conv_layers=[[512, 10, 5]] * 10**4),
        lambda config: config["encoder"].update(conv_layers=[[10**7, 10**7, 1]] * 100),
        lambda config: config["encoder"].update(conv_layers=[[[[]]]]),
        lambda config: config["encoder"].update(conv_layers="[(1, 1, 1)] * 10000000000"),
        lambda config: config["encoder"].update(conv_layers=[]),
        lambda config: config.update(num_labels=10**7),
        lambda config: config.update(num_labels=True),
        lambda config: config.update(encoder=None),
        lambda config: config.update(encoder=[]),
        lambda config: config.update({"__class__": "os.system"}),
        lambda config: config.update({"x" * 10_000: 1}),
    ],
)
def test_hostile_configurations_of_our_own_files(own: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((own / "config.json").read_text())
    change(content["config"])
    (own / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"config\.json|model\.safetensors") as caught:
        load(own)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 10**5,
        b'{"a":' * 10**5,
        b"9" * 10**5,
        b"\xff\xfe",
        b" " * (10**6 + 1),
        b"NaN",
        b"",
        b"{}",
        b"\0" * 100,
    ],
)
def test_what_is_no_configuration(own: Path, content: bytes) -> None:
    (own / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=r"config\.json") as caught:
        load(own)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "dictionary.txt"])
def test_pipes_in_our_own_folders(own: Path, name: str) -> None:
    """Neither is waited for: a folder without its files is none, a model without a dictionary has none."""
    (own / name).unlink(missing_ok=True)
    os.mkfifo(own / name)
    if name == "dictionary.txt":
        assert load(own).dictionary is None
    else:
        with pytest.raises(UserError):
            load(own)
