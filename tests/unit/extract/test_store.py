import io
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from auricle.errors import UserError
from auricle.extract import store
from auricle.extract.store import FORMATS, FormatName, PartStore, opened

RATE = 50
KEYS = ("a", "folder/b", "caf\udce9")


def values(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def read_npy(folder: Path, key: str) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.load(folder / f"{key}.npy")
    return array


def read_hdf5(folder: Path, key: str) -> NDArray[np.float32]:
    with h5py.File(io.BytesIO((folder / f"{key}.h5context").read_bytes())) as file:
        assert set(file) == {"features", "info"} and file["features"].dtype == np.float32
        rate, frames, channels = file["info"][:]
        assert rate == RATE and file["features"].shape == (frames * channels,)
        array: NDArray[np.float32] = file["features"][:].reshape(int(frames), int(channels))
    return array


def read_safetensors(folder: Path, key: str) -> NDArray[np.float32]:
    parts = [load_file(path) for path in folder.glob("*.safetensors")]
    (array,) = (part[store.printable(key)] for part in parts if store.printable(key) in part)
    return array


def read_parquet(folder: Path, key: str) -> NDArray[np.float32]:
    rows = [row for path in folder.glob("*.parquet") for row in pyarrow.parquet.read_table(path).to_pylist()]
    (row,) = (row for row in rows if row["key"] == store.printable(key))
    assert row["rate"] == RATE
    return np.array(row["features"], np.float32).reshape(row["shape"])


READERS: dict[FormatName, Callable[[Path, str], NDArray[np.float32]]] = {
    "npy": read_npy,
    "hdf5": read_hdf5,
    "safetensors": read_safetensors,
    "parquet": read_parquet,
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_put_is_read_and_known_afterwards(name: FormatName, tmp_path: Path) -> None:
    given = {key: values(seed, 5 + seed, 3) for seed, key in enumerate(KEYS)}
    with opened(name, tmp_path, RATE) as first:
        assert not any(first.holds(key) for key in KEYS)
        for key in KEYS[:2]:
            first.put(key, given[key])
    with opened(name, tmp_path, RATE) as second:
        assert [second.holds(key) for key in KEYS] == [True, True, False]
        second.put(KEYS[2], given[KEYS[2]])
    for key, array in given.items():
        np.testing.assert_array_equal(READERS[name](tmp_path, key), array)
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("name", FORMATS)
def test_all_layers(name: FormatName, tmp_path: Path) -> None:
    layers = values(1, 2, 4, 3)
    with opened(name, tmp_path, RATE) as opened_store:
        opened_store.put("a", layers)
    read = READERS[name](tmp_path, "a")
    np.testing.assert_array_equal(
        read, np.concatenate([layers[0], layers[1]], axis=1) if name == "hdf5" else layers
    )


def test_parts_are_written_when_they_are_big_enough(tmp_path: Path) -> None:
    parts = PartStore(tmp_path, "safetensors", "part", store.safetensors, store.keys_of_safetensors, 100)
    for number in range(5):
        parts.put(str(number), values(number, 5, 3))  # 60 bytes each
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "part-00000.safetensors",
        "part-00001.safetensors",
    ]
    parts.finish()
    parts.finish()
    again = PartStore(tmp_path, "safetensors", "shard001", store.safetensors, store.keys_of_safetensors)
    assert all(again.holds(str(number)) for number in range(5))
    again.put("5", values(5, 1, 1))
    again.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"part-0000{number}.safetensors" for number in range(3)),
        "shard001-00000.safetensors",
    ]


@pytest.mark.parametrize("name", ["safetensors", "parquet"])
def test_what_is_held_back_is_written_also_when_the_work_is_interrupted(
    name: FormatName, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt), opened(name, tmp_path, RATE) as parts:
        parts.put("a", values(0, 2, 2))
        raise KeyboardInterrupt
    with opened(name, tmp_path, RATE) as parts:
        assert parts.holds("a")


@pytest.mark.parametrize("name", ["safetensors", "parquet"])
def test_a_damaged_part_is_named(name: FormatName, tmp_path: Path) -> None:
    (tmp_path / f"part-00000.{name}").write_bytes(b"damaged, certainly")
    with (
        pytest.raises(UserError, match=r"part-00000.* cannot be read .*remove it"),
        opened(name, tmp_path, 1),
    ):
        pass


@pytest.mark.parametrize(("name", "module"), [("hdf5", "h5py"), ("parquet", "pyarrow")])
def test_a_missing_library_is_named_with_its_extra(
    name: FormatName, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.parquet", None)
    message = rf"--format {name} needs {module}: pip install 'auricle\[{name}\]'"
    with pytest.raises(UserError, match=message), opened(name, tmp_path, RATE):
        pass
