"""Tensors that reach outside their storage, or claim to be more than the file can hold."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import forged
from auricle.convert.storages import DamagedError, Source, Storage, StoredTensor
from auricle.convert.torch_file import read
from auricle.errors import UserError

FOUR = torch.arange(4.0).numpy().tobytes()
HUGE = 2**40


def files(folder: Path, pickled: bytes) -> list[Path]:
    """The pickle with one storage of four float32, in both layouts."""
    return [
        forged.save_pickle(pickled, folder / "zip.pt", {"0": FOUR}),
        forged.save_legacy_pickle(pickled, folder / "legacy.pt", {"0": (4, FOUR)}),
    ]


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (5,), (1,)),
        (1, (4,), (1,)),
        (4, (1,), (1,)),
        (-1, (2,), (1,)),
        (0, (-1,), (1,)),
        (0, (2,), (-1,)),
        (3, (4,), (-1,)),
        (0, (2, 2), (3, 1)),
        (0, (2,), (4,)),
        (0, (HUGE,), (0,)),
        (0, (HUGE, HUGE), (0, 0)),
        (0, (2**31, 2**33), (0, 0)),
        (0, (5,), (0,)),
        (0, (0, 2**62, 2**62), (0, 0, 0)),
        (0, (2**63 - 1,), (1,)),
        (2**63 - 1, (1,), (1,)),
        (0, (2,), (2**63 - 1,)),
        (2**61, (0,), (1,)),
        (0, (2,), ()),
        (0, (1,) * 17, (1,) * 17),
    ],
)
def test_tensors_that_reach_beyond_their_storage(
    tmp_path: Path, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    for path in files(tmp_path, forged.program(forged.tensor(forged.storage(4), offset, shape, strides))):
        with pytest.raises(UserError, match="damaged or cut off"):
            read(path)


@pytest.mark.parametrize(
    "pid",
    [
        forged.storage(5),
        forged.storage(4, kind="DoubleStorage"),
        forged.storage(HUGE),
        forged.storage(2**62),
        forged.storage(-1),
        forged.storage(4, key="1"),
        forged.storage(4, key="../archive/data.pkl"),
        forged.storage(4, key=""),
        forged.text("storage") + b"Q",
        forged.tuple_of(forged.text("module"), b"N", b"N", b"N", b"K\x01") + b"Q",
        forged.tuple_of(forged.text("storage"), forged.text("FloatStorage"), forged.text("0"), b"N", b"K\x04")
        + b"Q",
        forged.tuple_of(
            forged.text("storage"), forged.name("argparse", "Namespace"), forged.text("0"), b"N", b"K\x04"
        )
        + b"Q",
        forged.tuple_of(
            forged.text("storage"), forged.name("torch", "FloatStorage"), b"K\x00", b"N", b"K\x04"
        )
        + b"Q",
        b"N",
    ],
)
def test_storages_that_are_not_in_the_file(tmp_path: Path, pid: bytes) -> None:
    for path in files(tmp_path, forged.program(forged.tensor(pid, 0, (4,), (1,)))):
        with pytest.raises(UserError, match="damaged or cut off"):
            read(path)


def test_a_shape_that_is_no_shape(tmp_path: Path) -> None:
    rebuild = forged.name("torch._utils", "_rebuild_tensor_v2")
    for shape in (b"N", b"K\x04", b"(K\x04F1.5\nt", b"(\x88t", forged.text("4"), b"}"):
        call = forged.made(rebuild, forged.storage(4), b"K\x00", shape, b"(K\x01t")
        for path in files(tmp_path, forged.program(call)):
            with pytest.raises(UserError, match="damaged or cut off"):
                read(path)


def test_two_sizes_for_one_storage(tmp_path: Path) -> None:
    """Of old files, whose storages are found by counting: the sizes must agree."""
    both = forged.tuple_of(
        forged.tensor(forged.storage(4), 0, (4,), (1,)), forged.tensor(forged.storage(2), 0, (2,), (1,))
    )
    path = forged.save_legacy_pickle(forged.program(both), tmp_path / "x.pt", {"0": (4, FOUR)})
    with pytest.raises(UserError, match="share a name"):
        read(path)


@pytest.mark.parametrize(
    "storages",
    [{}, {"1": (4, FOUR)}, {"0": (3, FOUR)}, {"0": (4, FOUR[:-1])}, {"0": (-1, FOUR)}, {"0": (2**62, FOUR)}],
)
def test_an_old_file_whose_storages_are_others(
    tmp_path: Path, storages: dict[str, tuple[int, bytes]]
) -> None:
    pickled = forged.program(forged.tensor(forged.storage(4), 0, (4,), (1,)))
    with pytest.raises(UserError, match="damaged or cut off"):
        read(forged.save_legacy_pickle(pickled, tmp_path / "x.pt", storages))


SMALL = st.integers(0, 6)


@given(st.integers(0, 12), SMALL, st.lists(st.tuples(SMALL, SMALL), max_size=4))
def test_a_view_is_allowed_exactly_when_every_element_is_inside(
    count: int, offset: int, axes: list[tuple[int, int]]
) -> None:
    """And has no more elements than its storage."""
    shape, strides = tuple(size for size, _ in axes), tuple(step for _, step in axes)
    storage = Storage(Source(Path("x"), (0, 0, 0, 0)), torch.float32, count)
    places = [
        offset + sum(index * step for index, step in zip(indices, strides, strict=True))
        for indices in itertools.product(*map(range, shape))
    ]
    inside = all(place < count for place in places) and len(places) <= count
    if not places:
        inside = offset <= count
    try:
        tensor = StoredTensor.checked(storage, offset, shape, strides)
    except DamagedError:
        assert not inside
    else:
        assert inside and tensor.num_elements == len(places)
        assert not places or offset + tensor.extent == max(places) + 1
