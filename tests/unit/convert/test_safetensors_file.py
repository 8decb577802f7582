"""Safetensors files read lazily: what the library writes comes back, and nothing else is taken for it."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from auricle.convert.safetensors_file import DTYPES, MAX_HEADER_BYTES, read_safetensors
from auricle.convert.storages import DamagedError
from auricle.errors import UserError


def write(path: Path, header: Any, num_bytes: int = 16) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(num_bytes))
    return path


def entry(first: int = 0, last: int = 16, shape: Any = (4,), dtype: Any = "F32") -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": list(shape) if isinstance(shape, tuple) else shape,
        "data_offsets": [first, last],
    }


def test_what_the_library_writes_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {
        str(dtype): (torch.rand(3, 4) * 100).to(dtype) for dtype in DTYPES.values() if dtype is not torch.bool
    }
    tensors |= {
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.0),
        "empty": torch.empty(0, 5),
        "transposed": torch.rand(2, 3).T.contiguous(),
    }
    save_file(tensors, tmp_path / "x.safetensors", {"format": "pt"})
    found = read_safetensors(tmp_path / "x.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].shape == tuple(tensor.shape)
        loaded = found[name].load()
        assert loaded.dtype is tensor.dtype and torch.equal(loaded, tensor)


def test_no_tensors(tmp_path: Path) -> None:
    save_file({}, tmp_path / "x.safetensors")
    assert read_safetensors(tmp_path / "x.safetensors") == {}


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"a": torch.rand(1000), "b": torch.rand(10)}, tmp_path / "x.safetensors")
    found, read = read_safetensors(tmp_path / "x.safetensors"), []
    original = type(found["a"].storage.source).read_into

    def counted(source: Any, buffer: memoryview, position: int) -> None:
        read.append(len(buffer))
        original(source, buffer, position)

    monkeypatch.setattr(type(found["a"].storage.source), "read_into", counted)
    found["b"].load()
    assert read == [40]


def test_a_file_that_changes_meanwhile(tmp_path: Path) -> None:
    save_file({"a": torch.rand(10)}, tmp_path / "x.safetensors")
    found = read_safetensors(tmp_path / "x.safetensors")
    save_file({"a": torch.rand(11)}, tmp_path / "x.safetensors")
    with pytest.raises(DamagedError, match="changed"):
        found["a"].load()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": entry(shape=(5,))}, "reaches beyond"),
        ({"a": entry(shape=(3,))}, "another size"),
        ({"a": entry(shape=(2**40, 0))}, "another size"),
        ({"a": entry(shape=(-4,))}, "is none"),
        ({"a": entry(shape=(True, 4))}, "is none"),
        ({"a": entry(shape=(4.0,))}, "is none"),
        ({"a": entry(shape=(1,) * 17)}, "do not go together"),
        ({"a": entry(shape=(1,) * 10_000)}, "do not go together"),
        ({"a": entry(shape=(2**62, 2**62))}, "is none"),
        ({"a": entry(shape=(2**31, 2**31))}, "counted"),
        ({"a": entry(shape=4)}, "described as no tensor"),
        ({"a": entry(first=-16, last=0)}, "nowhere"),
        ({"a": entry(first=16, last=0)}, "nowhere"),
        ({"a": entry(first=False, last=True, shape=(1,), dtype="U8")}, "nowhere"),
        ({"a": entry(last=2**70)}, "another size|beyond"),
        ({"a": entry(dtype="F8_E4M3")}, "of the type 'F8_E4M3'"),
        ({"a": entry(dtype=None)}, "described"),
        ({"a": {}}, "described"),
        ({"a": None}, "described"),
        ({"a": entry(last=8, shape=(2,))}, "end elsewhere"),
        ({"a": entry(last=12, shape=(3,)), "b": entry(first=8, last=16, shape=(2,))}, "overlap"),
        ({"a": entry(last=4, shape=(1,)), "b": entry(first=8, last=16, shape=(2,))}, "gaps"),
        ({"a": entry(), "b": entry()}, "overlap"),
        ([], "no table"),
        (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{}}', "share a name"),
        (b'{"a":{"dtype":"F64","dtype":"F32","shape":[4],"data_offsets":[0,16]}}', "share a name"),
        (b'{"\xff":1}', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"a":' * 100_000, "no JSON"),
        (b"9" * 10_000, "no JSON"),
        (b"NaN", "no table"),
        (b"", "no JSON"),
    ],
)
def test_hostile_headers(tmp_path: Path, header: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_safetensors(write(tmp_path / "x", header))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**9, MAX_HEADER_BYTES + 1, 100])
def test_headers_that_claim_to_be_longer_than_can_be(tmp_path: Path, length: int) -> None:
    (tmp_path / "x").write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(UserError, match="longer than can be"):
        read_safetensors(tmp_path / "x")


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a file"):
        read_safetensors(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        read_safetensors(tmp_path / "none")
    (tmp_path / "x").write_bytes(b"1234567")
    with pytest.raises(UserError, match="no header"):
        read_safetensors(tmp_path / "x")
