"""Which frames and channels to mask, and which frames are distractors: pure functions of their generators.

wav2vec 2.0, sections 3.1 and 3.2 and appendix A. Drawn with numpy, outside the training step; one
generator a row, so that an utterance's draws depend on nothing else in its batch.

Legend: B batch, N positions (frames or channels), M masked frames of a row, K negatives.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Selection = Literal["static", "uniform", "normal", "poisson"]


def span_mask(
    sizes: Sequence[int],
    width: int,
    generators: Sequence[np.random.Generator],
    *,
    prob: float,
    length: int,
    selection: Selection = "static",
    other: float = 0.0,
    min_spans: int = 0,
    no_overlap: bool = False,
    min_space: int = 1,
    require_same: bool = True,
    add_positions: bool = False,
    dropout: float = 0.0,
) -> NDArray[np.bool_]:
    """Masks of spans, draw for draw those of fairseq's `compute_mask_indices` (quirk 29).

    Where that raises (a row that would be masked whole, static spans of which none was drawn), one
    position of the row stays unmasked, or nothing is masked.

    Args:
        sizes: Valid positions of each row.
        width: N; what lies past a row's size is never masked.
        generators: One a row.
        prob: Share of positions that would be masked if no spans overlapped.
        length: Span length (its mean, where it is drawn).
        selection: How the length of a span is drawn.
        other: Second parameter of that: lower bound ("uniform") or deviation ("normal").
        min_spans: Spans of a row, at least.
        no_overlap: Keep spans apart, by `min_space` positions.
        min_space: See `no_overlap`.
        require_same: Mask as many positions in every row: the fewest of any, the others' surplus
            unmasked at random (positions, not spans).
        add_positions: With `require_same`: the most of any, filled up at random.
        dropout: Share of the masked positions that are unmasked again.

    Returns:
        bool [B, N], True where masked.
    """
    rows = []
    for size, rng in zip(sizes, generators, strict=True):
        num_spans = max(min_spans, int(prob * size / float(length) + rng.random()))
        lengths = _span_lengths(rng, num_spans, length, selection, other, size)
        place = _apart if no_overlap else _anywhere
        rows.append(_leave_one(rng, place(rng, lengths, size, min_space), size))
    mask = np.zeros((len(rows), width), dtype=bool)
    target = (max if add_positions else min)(map(len, rows), default=0) if require_same else None
    # The surplus of every row is drawn by the last row's generator: fairseq's choice, kept for its draws.
    rng = generators[-1] if generators else np.random.default_rng(0)
    for row, size, positions in zip(mask, sizes, rows, strict=True):
        _fill(rng, row, size, positions, target)
        if dropout > 0:
            masked = np.flatnonzero(row)
            row[rng.choice(masked, int(np.rint(len(masked) * dropout)), replace=False)] = False
    return mask


def _span_lengths(
    rng: np.random.Generator, count: int, length: int, selection: Selection, other: float, size: int
) -> list[int]:
    if selection == "static":
        return [length] * count
    if selection == "uniform":
        lengths = rng.integers(int(other), length * 2 + 1, size=count).tolist()
    elif selection == "normal":
        lengths = [max(1, round(x)) for x in rng.normal(length, other, size=count)]
    else:
        lengths = rng.poisson(length, size=count).tolist()
    return lengths if sum(lengths) else [min(length, max(size - 1, 0))]


def _anywhere(rng: np.random.Generator, lengths: list[int], size: int, _: int) -> NDArray[np.int64]:
    """Spans that may overlap: their starts are drawn without replacement."""
    if not lengths or size == 0:
        return np.zeros(0, dtype=np.int64)
    shortest = min(lengths)
    if size - shortest <= len(lengths):
        shortest = size - len(lengths) - 1
    starts = rng.choice(size - shortest, len(lengths), replace=False)
    spans = [np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    positions = np.unique(np.concatenate(spans))
    return positions[(positions >= 0) & (positions < size)]


def _apart(rng: np.random.Generator, lengths: list[int], size: int, min_space: int) -> NDArray[np.int64]:
    """Spans kept apart: the longest first, each into a free part drawn by its size."""
    free = [(0, size)]
    shortest = min(lengths, default=0)
    spans = []
    for length in sorted(lengths, reverse=True):
        room = np.array([end - start if end - start >= length + min_space else 0 for start, end in free])
        if room.sum() == 0:
            break
        start, end = free.pop(int(rng.choice(len(free), p=room / room.sum())))
        # Where the span fills its part, there is one place for it (fairseq fails there).
        first = int(rng.integers(start, end - length)) if end - length > start else start
        spans.append(np.arange(first, first + length))
        if first - start - min_space >= shortest:
            free.append((start, first - min_space + 1))
        if end - first - length - min_space > shortest:
            free.append((first + length + min_space, end))
    return np.unique(np.concatenate(spans)) if spans else np.zeros(0, dtype=np.int64)


def _leave_one(rng: np.random.Generator, positions: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    if size == 0 or len(positions) < size:
        return positions
    return np.delete(positions, rng.integers(size))


def _fill(
    rng: np.random.Generator,
    row: NDArray[np.bool_],
    size: int,
    positions: NDArray[np.int64],
    target: int | None,
) -> None:
    """Mask `positions` of `row`, `target` of them where one is given."""
    if target is not None and len(positions) > target:
        positions = rng.choice(positions, target, replace=False)
    row[positions] = True
    if target is not None and len(positions) < target:
        free = np.flatnonzero(~row[:size])
        row[rng.choice(free, min(target - len(positions), len(free)), replace=False)] = True


def sample_negatives(
    counts: Sequence[int],
    width: int,
    num_negatives: int,
    generators: Sequence[np.random.Generator],
    limit: int = 0,
    own: Sequence[NDArray[np.int64]] | None = None,
) -> NDArray[np.int64]:
    """Distractors of each masked frame, uniform over the other candidates of its row (section 3.2).

    Args:
        counts: Candidates of each row: its masked frames, or all of its frames.
        width: M, the size to pad to.
        num_negatives: K.
        generators: One a row.
        limit: Draw from this many first candidates of the row only; 0: from all.
        own: Which of its row's candidates each masked frame is; None: the candidates are the masked frames.

    Returns:
        int64 [B, M, K], numbers of candidates in the row; 0 in the padding, and in rows with a single
        candidate, which has no other.
    """
    negatives = np.zeros((len(counts), width, num_negatives), dtype=np.int64)
    places = [np.arange(count) for count in counts] if own is None else own
    for row, count, place, rng in zip(negatives, counts, places, generators, strict=True):
        high = min(count, limit or count)
        if high > 1:
            drawn = rng.integers(0, high - 1, size=(len(place), num_negatives))
            row[: len(place)] = drawn + (drawn >= place[:, None])
    return negatives


def sample_cross_negatives(
    counts: Sequence[int],
    width: int,
    num_negatives: int,
    generators: Sequence[np.random.Generator],
    own: Sequence[NDArray[np.int64]] | None = None,
    stride: int | None = None,
) -> NDArray[np.int64]:
    """Distractors of each masked frame, uniform over the other candidates of the whole batch.

    (fairseq's draws exclude, in any row but the first, another candidate than the frame's own: quirk 14.)

    Args:
        counts: Candidates of each row.
        width: M, the size to pad to.
        num_negatives: K.
        generators: One a row.
        own: As in `sample_negatives`.
        stride: R, by which the numbers of two rows' candidates differ; None: M.

    Returns:
        int64 [B, M, K], where candidate r of row b is the number b * R + r; 0 in the padding, and where there
        is no other candidate.
    """
    negatives = np.zeros((len(counts), width, num_negatives), dtype=np.int64)
    stride = width if stride is None else stride
    numbers = np.concatenate([row * stride + np.arange(count) for row, count in enumerate(counts)])
    places = [np.arange(count) for count in counts] if own is None else own
    first = 0
    for row, count, place, rng in zip(negatives, counts, places, generators, strict=True):
        if len(numbers) > 1:
            drawn = rng.integers(0, len(numbers) - 1, size=(len(place), num_negatives))
            row[: len(place)] = numbers[drawn + (drawn >= first + place[:, None])]
        first += count
    return negatives
