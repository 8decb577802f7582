"""Orders and batches by hand; fairseq's own are in tests/parity."""

import numpy as np
import pytest

from auricle.data.batching import batch_by_size, deal, ordered_indices, shuffled


def test_long_ones_first_and_equals_at_random() -> None:
    sizes = np.array([5, 9, 5, 7, 5])
    kept = ordered_indices(sizes, max_sample_size=None, rng=None).tolist()
    assert kept == [1, 3, 0, 2, 4]
    drawn = {
        tuple(ordered_indices(sizes, max_sample_size=None, rng=np.random.RandomState(seed)).tolist())
        for seed in range(40)
    }
    assert {order[:2] for order in drawn} == {(1, 3)}
    assert {order[2:] for order in drawn} == {
        (0, 2, 4),
        (0, 4, 2),
        (2, 0, 4),
        (2, 4, 0),
        (4, 0, 2),
        (4, 2, 0),
    }


def test_what_will_be_cropped_counts_as_equal() -> None:
    orders = {
        tuple(
            ordered_indices(np.array([9, 7, 8]), max_sample_size=7, rng=np.random.RandomState(seed)).tolist()
        )
        for seed in range(40)
    }
    assert len(orders) == 6


@pytest.mark.parametrize(
    ("sizes", "limits", "batches"),
    [
        ([4, 4, 4, 4], {"max_tokens": 8}, [[0, 1], [2, 3]]),
        ([4, 4, 4, 4], {"max_tokens": None, "batch_size": 3}, [[0, 1, 2], [3]]),
        ([4, 4, 4, 4], {"max_tokens": 12, "batch_size": 2}, [[0, 1], [2, 3]]),
        ([1, 9, 1], {"max_tokens": 9}, [[0], [1], [2]]),
        ([4] * 7, {"max_tokens": 20, "multiple": 2}, [[0, 1, 2, 3], [4, 5], [6]]),
        ([4] * 7, {"max_tokens": 20, "multiple": 2, "drop_remainder": True}, [[0, 1, 2, 3], [4, 5]]),
        ([4] * 5, {"max_tokens": 100, "multiple": 8, "drop_remainder": True}, []),
        ([9, 9, 9], {"max_tokens": 5}, [[0], [1], [2]]),
        ([], {"max_tokens": 5, "drop_remainder": True, "multiple": 8}, []),
    ],
)
def test_batches(sizes: list[int], limits: dict[str, int], batches: list[list[int]]) -> None:
    assert batch_by_size(range(len(sizes)), sizes, **limits) == batches


def test_shuffling_keeps_batches_whole() -> None:
    batches = [[1, 2], [3], [4, 5, 6]] * 5
    mixed = shuffled(batches, np.random.RandomState(0))
    assert sorted(mixed) == sorted(batches) and mixed != batches
    assert batches == [[1, 2], [3], [4, 5, 6]] * 5


def test_workers_are_dealt_the_batches_of_an_update_like_cards() -> None:
    assert deal(0, 7, 6, 3, 0) == [[0, 3], [6]]
    assert deal(0, 7, 6, 3, 1) == [[1, 4], [None]]
    assert deal(0, 7, 6, 3, 2) == [[2, 5], [None]]
    assert deal(0, 5, 2) == [[0, 1], [2, 3], [4]]
    # Taken up in the middle, by another number of workers.
    assert deal(4, 7, 2, 2, 0) == [[4], [6]]
    assert deal(4, 7, 2, 2, 1) == [[5], [None]]
    assert deal(7, 7, 2, 2, 1) == []
