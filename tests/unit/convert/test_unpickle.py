"""The pickle machine against Python's own on honest pickles of every protocol."""

import argparse
import collections
import io
import pickle
from pathlib import PurePosixPath
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import forged
from auricle.convert.storages import DamagedError
from auricle.convert.unpickle import MAX_DEPTH, Global, RefusedError, StandIn, unpickle

# Before protocol 3 bytes were written as a call of an encoder; nothing that is used of a checkpoint is bytes.
KEYS = st.none() | st.booleans() | st.integers(-(2**59), 2**59) | st.text()
PLAIN = st.recursive(
    KEYS | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS, inner)
        | st.sets(KEYS)
        | st.lists(inner).map(lambda items: [items, items])
    ),
    max_leaves=20,
)


def read(pickled: bytes) -> Any:
    return unpickle(io.BytesIO(pickled))


@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_is_read_as_python_reads_it(value: object, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_namespace_is_a_stand_in_with_its_attributes(protocol: int) -> None:
    namespace = argparse.Namespace(a=1, b=argparse.Namespace(c=[2]))
    found = read(pickle.dumps(namespace, protocol))
    assert isinstance(found, StandIn) and found.kind == Global("argparse", "Namespace")
    assert found.state["a"] == 1 and found.state["b"].state == {"c": [2]}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_ordered_and_default_dictionaries_are_dictionaries(protocol: int) -> None:
    ordered = collections.OrderedDict([("b", 1), ("a", 2)])
    assert list(read(pickle.dumps(ordered, protocol)).items()) == [("b", 1), ("a", 2)]
    default = collections.defaultdict(list, {"a": [1]})
    assert read(pickle.dumps(default, protocol)) == {"a": [1]}


def test_ordered_dictionaries_of_old_pythons_come_with_their_items() -> None:
    items = b"](" + forged.tuple_of(forged.text("a"), b"K\x01") + b"e"
    assert read(forged.program(forged.made(forged.name("collections", "OrderedDict"), items))) == {"a": 1}


def test_attributes_of_a_state_dict_are_left_out() -> None:
    ordered = collections.OrderedDict(a=1)
    ordered._metadata = {"version": 1}  # type: ignore[attr-defined]
    assert read(pickle.dumps(ordered, 2)) == {"a": 1}


def test_what_is_the_same_stays_the_same() -> None:
    shared: list[int] = [1]
    found = read(pickle.dumps([shared, shared], 2))
    assert found[0] is found[1]
    endless: list[Any] = []
    endless.append(endless)
    found = read(pickle.dumps(endless, 2))
    assert found[0] is found


@pytest.mark.parametrize(
    "value", [torch.Size([1, 2]), {torch.float32: torch.int64}, frozenset({"a"}), PurePosixPath("a/b"), list]
)
def test_harmless_values_beside_the_model_do_not_stop_the_reading(value: object) -> None:
    read(pickle.dumps({"extra_state": value}, 2))


def test_sizes_are_tuples() -> None:
    assert read(pickle.dumps(torch.Size([3, 4]), 2)) == (3, 4)


@pytest.mark.parametrize(
    "module", ["fairseq.data.dictionary", "fairseq.dataclass.constants", "omegaconf.dictconfig"]
)
def test_classes_of_known_packages_become_stand_ins(module: str) -> None:
    found = read(forged.program(forged.made(forged.name(module, "Any"), b"K\x05")))
    assert isinstance(found, StandIn) and (found.kind.module, found.args) == (module, (5,))


@pytest.mark.parametrize(
    ("old", "today"),
    [
        ("__builtin__\nlong", Global("builtins", "int")),
        ("copy_reg\n_reconstructor", Global("copyreg", "_reconstructor")),
    ],
)
def test_names_of_python_2_are_those_of_today(old: str, today: Global) -> None:
    assert read(forged.program(f"c{old}\n".encode())) == today


@pytest.mark.parametrize(
    "name", ["fairseq_evil.x", "omegaconfx.y", "fairseqx.data.Dictionary", "Fairseq.x", "collections.Counter"]
)
def test_only_whole_names_are_on_the_list(name: str) -> None:
    module, _, of = name.rpartition(".")
    with pytest.raises(RefusedError, match="which no checkpoint needs"):
        read(forged.program(forged.name(module, of)))


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"N", b"a"),
        (b"]", b"e"),
        (b"N", b"K\x01", b"a"),
        (b"N", b"K\x01", b"K\x01", b"s"),
        (b"N", b"(K\x01", b"\x90"),
        (b"}", b"(K\x01u"),
        (b"}", b"]", b"K\x01", b"s"),
        (b"}", b"K\x01\x85", b"K\x01", b"s"),
        (b"\x8a\x30" + b"\x7f" * 48,),
        (b"h\x07",),
        (b"K\x01", b"\x87"),
        (b"K\x01", b"K\x02", b"b"),
        (b"(" * (MAX_DEPTH + 1),),
        (b"K\x01", b"K\x02\x85", b"\x93"),
        (forged.name("argparse", "Namespace"), b"K\x02", b"R"),
        (forged.made(forged.name("collections", "OrderedDict"), b"](K\x01e"),),
        (forged.made(forged.name("collections", "OrderedDict"), b"K\x01"),),
        (forged.made(forged.name("torch._utils", "_rebuild_parameter"), b"K\x01"),),
        (forged.made(forged.name("torch._utils", "_rebuild_tensor_v2"), b"K\x01"),),
        (forged.made(forged.name("copyreg", "_reconstructor"), b"K\x01"),),
    ],
)
def test_what_does_not_hold_together_is_damage(parts: tuple[bytes, ...]) -> None:
    with pytest.raises((DamagedError, IndexError, KeyError, ValueError)):
        read(forged.program(*parts))


def test_too_long_a_program_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auricle.convert.unpickle.MAX_INSTRUCTIONS", 10)
    with pytest.raises(DamagedError, match="too long"):
        read(pickle.dumps(list(range(20)), 2))


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_bytes_are_bytes(protocol: int) -> None:
    assert read(pickle.dumps({"a": b"b"}, protocol)) == {"a": b"b"}
