"""Both layouts against torch's own reader, and what is no such file."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import forged
from auricle.convert.storages import DamagedError, Source, StoredTensor
from auricle.convert.torch_file import read
from auricle.errors import UserError

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]
LAYOUTS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])


def loaded(stored: Any) -> torch.Tensor:
    assert isinstance(stored, StoredTensor)
    return stored.load()


@LAYOUTS
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numbers_of_every_type(tmp_path: Path, dtype: torch.dtype, zipped: bool) -> None:
    tensor = torch.arange(-6, 6).reshape(3, 4).to(dtype)
    found = loaded(read(forged.save(tensor, tmp_path / "x.pt", zipped=zipped)))
    assert found.dtype is dtype and torch.equal(found, tensor)


@LAYOUTS
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x,
        lambda x: x.T,
        lambda x: x[1:],
        lambda x: x[:, 2],
        lambda x: x[::2, ::3],
        lambda x: x.as_strided((2, 2), (0, 1), 3),
        lambda x: x[:0],
        lambda x: x[1, 1],
        lambda x: x[None, :, :, None],
    ],
)
def test_views_of_a_storage(tmp_path: Path, view: Any, zipped: bool) -> None:
    whole = torch.arange(20.0).reshape(4, 5)
    content = [view(whole), whole, torch.nn.Parameter(view(whole))]
    for stored, tensor in zip(
        read(forged.save(content, tmp_path / "x.pt", zipped=zipped)), content, strict=True
    ):
        found = loaded(stored)
        assert stored.shape == tuple(tensor.shape) and found.is_contiguous()
        assert torch.equal(found, tensor)


@LAYOUTS
def test_tensors_are_memory_of_their_own(tmp_path: Path, zipped: bool) -> None:
    path = forged.save([torch.zeros(3)], tmp_path / "x.pt", zipped=zipped)
    (stored,) = read(path)
    loaded(stored).add_(1)
    assert torch.equal(loaded(stored), torch.zeros(3))
    assert torch.equal(torch.load(path)[0], torch.zeros(3))


@LAYOUTS
def test_nothing_is_read_before_it_is_asked_for(
    tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    read_into = Source.read_into
    monkeypatch.setattr(
        Source, "read_into", lambda self, buffer, at: (taken.append(len(buffer)), read_into(self, buffer, at))
    )
    content = read(
        forged.save({"used": torch.zeros(10), "not": torch.zeros(99)}, tmp_path / "x.pt", zipped=zipped)
    )
    assert taken == []
    loaded(content["used"])
    assert taken == [40]


@LAYOUTS
def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path, zipped: bool) -> None:
    path = forged.save(torch.zeros(3), tmp_path / "x.pt", zipped=zipped)
    stored = read(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(DamagedError, match="changed while it was read"):
        stored.load()


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nonesuch\.pt cannot be read: No such file or directory"):
        read(tmp_path / "nonesuch.pt")
    with pytest.raises(UserError, match="is not a file"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is not a file"):
        read(tmp_path / "pipe")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_are_named(tmp_path: Path) -> None:
    path = forged.save([], tmp_path / "x.pt")
    path.chmod(0)
    with pytest.raises(UserError, match="cannot be read: Permission denied"):
        read(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"RIFF....WAVE",
        b"hello",
        b"\x80\x02",
        pickle.dumps(1),
        pickle.dumps({"model": {}}),
        pickle.dumps("a" * 100),
        pickle.dumps(os.getcwd),
        b"PK\x03\x04",
    ],
)
def test_other_files_are_told_apart(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is not a checkpoint|is damaged"):
        read(path)


def test_other_archives_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/b.txt", "c")
    with pytest.raises(UserError, match="zip archive of another kind"):
        read(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(1))
        archive.writestr("b/data.pkl", pickle.dumps(1))
    with pytest.raises(UserError, match="zip archive of another kind"):
        read(path)


def test_big_endian_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(1))
        archive.writestr("a/byteorder", "big")
    with pytest.raises(UserError, match="big-endian"):
        read(path)
    path.write_bytes(forged.legacy_head(little_endian=False) + pickle.dumps({}) + pickle.dumps([]))
    with pytest.raises(UserError, match="big-endian"):
        read(path)


def test_other_formats_of_torch_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    path.write_bytes(head + pickle.dumps(1002, 2))
    with pytest.raises(UserError, match="format that is not supported"):
        read(path)
