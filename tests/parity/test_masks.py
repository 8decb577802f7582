"""Span masks against fairseq's: draw for draw where it was seeded, in the mean where it was not."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from auricle.masking import span_mask
from golden import golden_cases, load_case, read_meta, scalar

# fairseq's words for the arguments -> ours
WORDS = {
    "mask_prob": "prob",
    "mask_length": "length",
    "mask_type": "selection",
    "mask_other": "other",
    "min_masks": "min_spans",
    "require_same_masks": "require_same",
    "add_masks": "add_positions",
    "mask_dropout": "dropout",
}
BATCHES = 300
ERRORS = 5
"""How many standard errors two means may lie apart."""

RECORDED = [
    (case, name.removesuffix(".seeded"))
    for case in golden_cases()
    for name in read_meta(case).get("arrays", {})
    if name.endswith(".seeded")
]
each_recording = pytest.mark.parametrize(("case", "name"), RECORDED)


def arguments(case: Path, name: str) -> tuple[list[int], int, dict[str, Any]]:
    """Sizes of the rows, width, and the options in our words."""
    options = dict(scalar(read_meta(case), name)["args"])
    rows, width = options.pop("shape")
    padding = options.pop("pad") or [0] * rows
    ours = {WORDS.get(word, word): value for word, value in options.items()}
    return [width - count for count in padding], width, {"min_space": 0} | ours


def drawn(case: Path, name: str, generators: list[np.random.Generator]) -> NDArray[np.bool_]:
    sizes, width, options = arguments(case, name)
    return span_mask(sizes, width, generators, **options)


@each_recording
def test_seeded_masks_are_those_recorded(case: Path, name: str) -> None:
    meta, arrays = load_case(case)
    # "seeds [1, 2, 3], epoch 3, indices 10..13"
    words = meta["arrays"][f"{name}.seeded"]["desc"]
    seeds, epoch, first, last = re.search(
        r"seeds \[([\d, ]+)\], epoch (\d+), indices (\d+)\.\.(\d+)", words
    ).groups()
    indices = range(int(first), int(last) + 1)
    for seed, expected in zip(seeds.split(","), arrays[f"{name}.seeded"], strict=True):
        keys = [int(hash((int(seed), int(epoch), index)) % 1e6) for index in indices]
        mask = drawn(case, name, [np.random.default_rng(key) for key in keys])
        assert torch.equal(torch.from_numpy(mask), expected), f"seed {seed}"


def num_spans(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[rows] runs of masked positions."""
    return (np.diff(mask, axis=-1, prepend=False) & mask).sum(-1)


@each_recording
def test_unseeded_masks_have_the_statistics_recorded(case: Path, name: str) -> None:
    sizes, _, _ = arguments(case, name)
    expected = scalar(read_meta(case), name)["unseeded_statistics"]
    rng = np.random.default_rng(7)
    masks = np.stack([drawn(case, name, [rng] * len(sizes)) for _ in range(BATCHES)])
    counts, spans = masks.sum(-1), num_spans(masks)
    shares = counts / np.array(sizes)
    # The rows of a batch depend on each other: only batches count, in both means.
    error = ERRORS * (1 / BATCHES + 1 / expected["batches"]) ** 0.5

    def near(value: float, deviation: float) -> object:
        return pytest.approx(value, rel=1e-9, abs=error * deviation + 1e-12)

    deviation = expected["std"]
    assert shares.mean() == near(expected["masked_fraction_of_real_frames_mean"], deviation)
    assert shares.mean(0).tolist() == near(expected["row_masked_fraction_mean"], deviation)
    assert counts.mean() == near(expected["masked_count_mean"], counts.std())
    assert spans.mean() == near(expected["spans_per_row_mean"], expected["spans_std"])
    squares = (shares - shares.mean()) ** 2
    assert squares.mean() == near(deviation**2, squares.std())
    if expected["batches_with_equal_counts"] == expected["batches"]:
        assert (counts == counts[:, :1]).all()
