"""How often an epoch hears the utterances of each corpus."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.data.mixing import mixture
from auricle.errors import UserError


def heard(counts: list[int], weights: list[float], epoch: int = 1, seed: int = 1) -> Counter[int]:
    """How often each utterance stands in an epoch."""
    mix, numbers = mixture(counts, weights)
    return Counter(numbers[mix.in_epoch(seed, epoch)].tolist())


def test_shares_are_the_weights() -> None:
    times = heard([100, 20], [1.0, 1.0])
    assert sum(times[number] for number in range(100)) == 60
    assert sum(times[number] for number in range(100, 120)) == 60
    assert {times[number] for number in range(100, 120)} == {3}
    assert max(times[number] for number in range(100)) == 1


def test_what_is_left_over_is_drawn_anew_each_epoch() -> None:
    first, second = heard([10, 10], [3.0, 1.0], 1), heard([10, 10], [3.0, 1.0], 2)
    assert sum(first.values()) == sum(second.values()) == 20
    assert {first[number] for number in range(10)} == {1, 2}
    assert first != second
    assert first == heard([10, 10], [3.0, 1.0], 1) != heard([10, 10], [3.0, 1.0], 1, seed=2)


def test_a_corpus_without_weight_is_not_heard_and_adds_nothing() -> None:
    times = heard([10, 1000], [1.0, 0.0])
    assert times == dict.fromkeys(range(10), 1)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4).flatmap(
        lambda counts: st.tuples(
            st.just(counts), st.lists(st.floats(0.1, 5), min_size=len(counts), max_size=len(counts))
        )
    ),
    st.integers(1, 5),
)
def test_every_utterance_of_a_corpus_is_heard_almost_equally_often(
    case: tuple[list[int], list[float]], epoch: int
) -> None:
    counts, weights = case
    times = heard(counts, weights, epoch)
    start = 0
    for count, weight in zip(counts, weights, strict=True):
        mine = [times[number] for number in range(start, start + count)]
        assert max(mine) - min(mine) <= 1
        assert abs(sum(mine) - weight / sum(weights) * sum(counts)) <= 0.5 + 1e-9
        start += count


@pytest.mark.parametrize("weights", [[1.0, -1.0], [0.0, 0.0], [float("nan"), 1.0]])
def test_weights_that_are_none(weights: list[float]) -> None:
    with pytest.raises(UserError, match="give one share a corpus"):
        mixture([1, 1], weights)


def test_an_empty_corpus_with_a_weight() -> None:
    with pytest.raises(UserError, match="has no utterance"):
        mixture([3, 0], [1.0, 1.0])
