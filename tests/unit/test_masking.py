"""Span masks and negatives: what always holds, whatever is drawn."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from auricle.masking import sample_negatives, span_mask

SELECTIONS = ("static", "uniform", "normal", "poisson")


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng((seed, row)) for row in range(count)]


def draw(sizes: list[int], width: int | None = None, seed: int = 0, **options: Any) -> NDArray[np.bool_]:
    return span_mask(sizes, width or max(sizes), generators(len(sizes), seed), **options)


def runs(row: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, end) of each run of masked positions."""
    edges = np.flatnonzero(np.diff(row.astype(int), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


options = st.fixed_dictionaries(
    {
        "prob": st.floats(0, 1),
        "length": st.integers(1, 12),
        "selection": st.sampled_from(SELECTIONS),
        "other": st.integers(0, 4),
        "min_spans": st.integers(0, 3),
        "no_overlap": st.booleans(),
        "min_space": st.integers(0, 3),
        "require_same": st.booleans(),
        "add_positions": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.3]),
    }
).filter(lambda given: given["selection"] != "uniform" or given["other"] <= 2 * given["length"])


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    options=options,
)
def test_no_row_is_masked_whole_nor_past_its_size(
    sizes: list[int], seed: int, options: dict[str, Any]
) -> None:
    width = max(sizes) + 3
    mask = draw(sizes, width, seed, **options)
    assert mask.shape == (len(sizes), width)
    for row, size in zip(mask, sizes, strict=True):
        assert not row[size:].any()
        assert size == 0 or not row[:size].all() or options["add_positions"]
    assert np.array_equal(mask, draw(sizes, width, seed, **options))
    counts = {int(count) for count in mask.sum(1)}
    if options["require_same"] and not options["add_positions"]:
        assert len(counts) == 1


@given(prob=st.floats(0.05, 0.9), length=st.integers(1, 8), space=st.integers(0, 4), seed=st.integers(0, 99))
def test_spans_kept_apart_are_apart(prob: float, length: int, space: int, seed: int) -> None:
    (row,) = draw([80], seed=seed, prob=prob, length=length, no_overlap=True, min_space=space)
    found = runs(row)
    assert all((end - start) % length == 0 if space == 0 else end - start == length for start, end in found)
    gaps = [start - end for (_, end), (start, _) in pairwise(found)]
    assert all(gap >= max(space, 1) for gap in gaps)


def test_static_spans_cover_the_share_asked_for() -> None:
    # prob * size / length spans, of which overlaps take some: about half is masked at 0.65 and 10.
    counts = [draw([500], seed=seed, prob=0.65, length=10).mean() for seed in range(200)]
    assert 0.47 < np.mean(counts) < 0.50
    apart = [draw([500], seed=seed, prob=0.5, length=10, no_overlap=True).sum() for seed in range(20)]
    assert set(apart) == {250}


@pytest.mark.parametrize("selection", SELECTIONS)
def test_mean_length_of_a_span(selection: str) -> None:
    lengths = []
    for seed in range(300):
        (row,) = draw(
            [400], seed=seed, prob=0.05, length=8, selection=selection, other=3, no_overlap=True, min_space=3
        )
        lengths += [end - start for start, end in runs(row)]
    # "uniform" is drawn from `other` to twice the length: 3 to 16.
    expected = 9.5 if selection == "uniform" else 8
    assert np.mean(lengths) == pytest.approx(expected, abs=0.4)
    assert (len(set(lengths)) == 1) == (selection == "static")


def test_rows_have_as_many_masked_as_the_fewest_or_the_most() -> None:
    separate = draw([90, 50, 20], prob=0.6, length=5, require_same=False)
    assert np.array_equal(draw([90, 50, 20], prob=0.6, length=5).sum(1), [separate.sum(1).min()] * 3)
    more = draw([90, 50, 40], prob=0.3, length=5, add_positions=True)
    assert set(more.sum(1)) == {draw([90, 50, 40], prob=0.3, length=5, require_same=False).sum(1).max()}


def test_surplus_positions_are_dropped_not_spans() -> None:
    separate = draw([90, 20], prob=0.6, length=5, require_same=False)
    same = draw([90, 20], prob=0.6, length=5)
    assert (same <= separate).all()
    assert len(runs(same[0])) > 2


def test_dropout_unmasks_a_share() -> None:
    mask = draw([100], prob=0.5, length=10)
    dropped = draw([100], prob=0.5, length=10, dropout=0.25)
    assert dropped.sum() == mask.sum() - round(mask.sum() * 0.25)
    assert (dropped <= mask).all()


def test_a_row_does_not_depend_on_the_others() -> None:
    alone = draw([70], prob=0.5, length=4, require_same=False)
    together = draw([70, 30, 50], prob=0.5, length=4, require_same=False)
    assert np.array_equal(alone[0], together[0])


@pytest.mark.parametrize("size", [0, 1, 2, 3])
@pytest.mark.parametrize("no_overlap", [False, True])
def test_short_rows(size: int, no_overlap: bool) -> None:
    for seed in range(20):
        mask = draw([size], 5, seed, prob=0.9, length=10, min_spans=2, no_overlap=no_overlap)
        assert mask.sum() < max(size, 1)


def test_nothing_is_masked_where_nothing_is_asked_for() -> None:
    assert not draw([50, 20], prob=0.0, length=10).any()
    assert span_mask([], 7, [], prob=0.5, length=3).shape == (0, 7)


@given(counts=st.lists(st.integers(0, 12), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_negatives_are_other_masked_frames_of_the_row(counts: list[int], seed: int) -> None:
    width = max(counts) + 2
    negatives = sample_negatives(counts, width, 6, generators(len(counts), seed))
    assert negatives.shape == (len(counts), width, 6)
    for row, count in zip(negatives, counts, strict=True):
        assert not row[max(count, 0) :].any()
        if count > 1:
            assert row[:count].min() >= 0 and row[:count].max() < count
            assert not (row[:count] == np.arange(count)[:, None]).any()
        else:
            assert not row.any()


def test_negatives_are_uniform_over_the_others() -> None:
    count, draws = 5, 20_000
    (negatives,) = sample_negatives([count], count, draws, generators(1))
    for own, row in enumerate(negatives):
        shares = np.bincount(row, minlength=count) / draws
        others = np.delete(shares, own)
        assert np.abs(others - 0.25).max() < 5 * (0.25 * 0.75 / draws) ** 0.5
