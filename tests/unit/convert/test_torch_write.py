"""Files written for torch: its own reader and ours find in them what was put in."""

import argparse
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import forged
from auricle.convert import torch_write
from auricle.convert.pickle_values import Global, StandIn
from auricle.convert.torch_file import read
from auricle.convert.torch_write import write

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(content=plain)
def test_plain_data(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = tmp_path_factory.mktemp("x") / "x.pt"
    write(path, content)
    assert torch.load(path, weights_only=True) == content
    assert read(path) == content


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool],
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (1, 1, 5)])
def test_tensors(tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.arange(30.0)[: torch.Size(shape).numel()].view(shape) % 2).to(dtype)
    write(tmp_path / "x.pt", {"a": tensor, "b": torch.nn.Parameter(tensor.float())})
    found = torch.load(tmp_path / "x.pt", weights_only=True)
    assert found["a"].dtype == dtype and torch.equal(found["a"], tensor)
    assert torch.equal(found["b"], tensor.float()) and not found["b"].requires_grad
    assert torch.equal(read(tmp_path / "x.pt")["a"].load(), tensor)


def test_tensors_that_are_turned_or_cut(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    write(tmp_path / "x.pt", [whole.t(), whole[1:, 2], whole])
    found = torch.load(tmp_path / "x.pt", weights_only=True)
    assert all(torch.equal(a, b) for a, b in zip(found, [whole.t(), whole[1:, 2], whole], strict=True))


def test_a_tensor_of_two_names_stands_in_the_file_once(tmp_path: Path) -> None:
    shared = torch.arange(1000.0)
    write(tmp_path / "x.pt", OrderedDict(a=shared, b=shared.view(10, 100), c=shared.clone()))
    found = torch.load(tmp_path / "x.pt", weights_only=True)
    assert (
        type(found) is OrderedDict and found["a"].data_ptr() == found["b"].data_ptr() != found["c"].data_ptr()
    )
    assert 8000 < (tmp_path / "x.pt").stat().st_size < 12000


def test_numbers_can_be_mapped_into_memory(tmp_path: Path) -> None:
    write(tmp_path / "x.pt", [torch.full((size,), float(size)) for size in (1, 3, 50)])
    found = torch.load(tmp_path / "x.pt", weights_only=True, mmap=True)
    assert [float(tensor.sum()) for tensor in found] == [1.0, 9.0, 2500.0]
    assert all(tensor.data_ptr() % 64 == 0 for tensor in found)


def test_large_members_are_aligned_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their sizes take eight bytes; here, those of all do."""
    monkeypatch.setattr(torch_write, "_LARGE", 0)
    write(tmp_path / "x.pt", [torch.full((size,), float(size)) for size in (1, 3, 50)])
    found = torch.load(tmp_path / "x.pt", weights_only=True, mmap=True)
    assert [float(tensor.sum()) for tensor in found] == [1.0, 9.0, 2500.0]
    assert all(tensor.data_ptr() % 64 == 0 for tensor in found)
    assert read(tmp_path / "x.pt")[2].load().sum() == 2500


def test_instances(tmp_path: Path) -> None:
    """A class that is not here is named, and whoever has it gets an instance of it."""
    state = {"symbols": ["a", "b"], "count": [2, 1]}
    dictionary = StandIn(Global("fairseq.data.dictionary", "Dictionary"), (), state)
    namespace = StandIn(Global("argparse", "Namespace"), (), {"lr": [0.1], "arch": "roberta"})
    write(tmp_path / "x.pt", [dictionary, namespace])
    with forged._fairseq_importable():
        found = torch.load(tmp_path / "x.pt", weights_only=False)
    assert type(found[0]) is forged.Dictionary and vars(found[0]) == state
    assert found[1] == argparse.Namespace(lr=[0.1], arch="roberta")
    again = read(tmp_path / "x.pt")
    assert [(one.kind, one.args, one.state) for one in again] == [
        (one.kind, one.args, one.state) for one in (dictionary, namespace)
    ]


def test_the_same_content_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write(tmp_path / name, {"a": torch.arange(9.0), "b": [1, "two"]})
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_the_layout_is_torchs(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "theirs")
    write(tmp_path / "ours", {"a": torch.zeros(2)})
    inside = [
        {name.partition("/")[2] for name in zipfile.ZipFile(tmp_path / path).namelist()}
        for path in ("theirs", "ours")
    ]
    assert inside[1] <= inside[0] and {"data.pkl", "version", "byteorder", "data/0"} <= inside[1]


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), 1j, [Path()]])
def test_other_things_are_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError, match="cannot be written"):
        write(tmp_path / "x.pt", value)
