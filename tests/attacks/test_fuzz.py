"""Bytes that nobody thought of: sound files changed at random, and random programs for the pickle machine."""

import pickletools
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import forged
from attacks.targets import TARGETS, seeds

FEW, MANY = 40, 2_000

SMALL = st.integers(0, 255)
TEXTS = st.sampled_from(
    [
        "model",
        "cfg",
        "args",
        "a",
        "_name",
        "wav2vec2",
        "storage",
        "0",
        "posix",
        "system",
        "_content",
        "",
        "ä" * 9,
    ]
)
NAMES = st.sampled_from(
    [
        ("argparse", "Namespace"),
        ("collections", "OrderedDict"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch", "FloatStorage"),
        ("torch", "Size"),
        ("builtins", "set"),
        ("copyreg", "_reconstructor"),
        ("omegaconf.dictconfig", "DictConfig"),
        ("fairseq.data.dictionary", "Dictionary"),
        ("os", "system"),
    ]
)
# Instructions without an argument, by their one byte.
BARE = st.sampled_from([op.code.encode("latin-1") for op in pickletools.opcodes if op.arg is None])
INSTRUCTIONS = st.one_of(
    BARE,
    st.sampled_from(
        [b"(", b"t", b"R", b"b", b"Q", b"\x81", b"e", b"u", b"}", b"]", b")", b"\x94", b"h\0", b"h\1"]
    ),
    SMALL.map(lambda number: b"K" + bytes([number])),
    SMALL.map(lambda number: b"h" + bytes([number % 8])),
    SMALL.map(lambda number: b"q" + bytes([number % 8])),
    st.integers(-(2**60), 2**60).map(forged.number),
    TEXTS.map(forged.text),
    NAMES.map(lambda name: forged.name(*name)),
    st.sampled_from(
        [forged.storage(4), forged.storage(16, "1"), forged.tensor(forged.storage(4), 0, (2, 2), (2, 1))]
    ),
    st.binary(max_size=6),
)
PROGRAMS = st.lists(INSTRUCTIONS, max_size=40).map(lambda parts: forged.program(*parts))
PLACED = PROGRAMS.map(
    lambda whole: forged.program(forged.dictionary(model=whole[2:-1] or b"}", cfg=whole[2:-1] or b"}"))
)


def changed(seed: bytes) -> st.SearchStrategy[bytes]:
    """A sound file with some bytes replaced, taken out, put in or cut off; as often near its beginning."""
    near = st.integers(0, min(len(seed), 2_000))
    places = st.one_of(near, st.integers(0, len(seed)), st.integers(-min(len(seed), 400), -1))
    pieces = st.one_of(
        st.binary(max_size=8), st.sampled_from([b"\xff" * 8, bytes(8), b"9" * 30, b"[" * 60, b"\n"])
    )
    edits = st.lists(st.tuples(places, st.integers(0, 9), pieces), min_size=1, max_size=6)

    def edited(content: bytes, edit: tuple[int, int, bytes]) -> bytes:
        place, length, piece = edit
        place %= len(content) + 1
        return content[:place] + piece + content[place + (len(piece) if length == 9 else length) :]

    whole = edits.map(lambda changes: reduce(edited, changes, seed))
    return st.one_of(whole, st.tuples(whole, places).map(lambda pair: pair[0][: pair[1]]))


def strategy(name: str, folder: Path) -> st.SearchStrategy[bytes]:
    from_seeds = st.one_of([changed(seed) for seed in seeds(folder)[name]])
    programs = [PROGRAMS, PLACED] if name in ("pickles", "zipped", "legacy") else []
    return st.one_of(from_seeds, st.binary(max_size=60), *programs)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.timeout(3_600)
def test_no_bytes_are_more_than_a_mistake(name: str, examples: int, tmp_path: Path) -> None:
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
    @given(strategy(name, tmp_path))
    def check(content: bytes) -> None:
        TARGETS[name](content, tmp_path)

    check()
