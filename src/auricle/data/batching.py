"""Which utterances make a batch, and in which order batches come: pure functions of sizes and seeds.

Everything here gives fairseq's numbers exactly, which is why it draws from numpy's legacy `RandomState`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = list[int]


def ordered_indices(
    sizes: NDArray[np.int64], *, max_sample_size: int | None, rng: np.random.RandomState | None
) -> NDArray[np.int64]:
    """Order utterances from long to short, equals at random (golden quirk 31).

    Args:
        sizes: [U] samples.
        max_sample_size: Longer ones count as equal, since they will be cropped to it.
        rng: Orders equals; None keeps them in the data's order.

    Returns:
        [U] int64.
    """
    cropped = sizes if max_sample_size is None else np.minimum(sizes, max_sample_size)
    if rng is None:
        return np.argsort(-cropped, kind="stable").astype(np.int64)
    return np.lexsort((rng.permutation(len(sizes)), cropped))[::-1].astype(np.int64)


def batch_by_size(
    indices: Sequence[int],
    num_tokens: Sequence[int],
    *,
    max_tokens: int | None,
    batch_size: int | None = None,
    multiple: int = 1,
    drop_remainder: bool = False,
) -> list[Indices]:
    """Cut an order of utterances into batches, as fairseq's `batch_by_size`.

    A batch grows while its longest utterance times their number stays within `max_tokens`. Where it has to
    end, it ends at the last number of utterances that is below `multiple` or divisible by it; the rest begins
    the next batch.

    Args:
        indices: Utterances in order.
        num_tokens: [U] samples that each fills in a batch, by utterance number; none above `max_tokens`.
        max_tokens: Most samples in a batch, padding included; None for no limit.
        batch_size: Most utterances in a batch; None for no limit.
        multiple: fairseq's `required_batch_size_multiple`.
        drop_remainder: Drop a last batch that is not a multiple, even an only one, as fairseq does without
            a word (golden quirk 30).
    """
    token_limit = max_tokens or float("inf")
    count_limit = batch_size or float("inf")
    batches: list[Indices] = []
    batch: Indices = []
    tail: Indices = []  # what was taken since the batch last had a size to end at
    batch_longest = tail_longest = 0
    for index in indices:
        size = int(num_tokens[index])
        longest, count = max(batch_longest, tail_longest, size), len(batch) + len(tail) + 1
        if count <= count_limit and count * longest <= token_limit:
            tail, tail_longest = [*tail, index], max(tail_longest, size)
            if count < multiple or count % multiple == 0:
                batch, batch_longest = batch + tail, longest
                tail, tail_longest = [], 0
            continue
        if batch:
            batches.append(batch)
        if tail and (len(tail) + 1) * max(tail_longest, size) > token_limit:
            batches.append(tail)
            tail, tail_longest = [], 0
        batch, batch_longest = [*tail, index], max(tail_longest, size)
        tail, tail_longest = [], 0
    batches += [part for part in (batch, tail) if part]
    if drop_remainder and batches and len(batches[-1]) % multiple:
        batches.pop()
    return batches


def shuffled(batches: Sequence[Indices], rng: np.random.RandomState) -> list[Indices]:
    """Batches in a random order, as fairseq's `EpochBatchIterator` draws it."""
    order = list(batches)
    rng.shuffle(order)
    return order


def deal(
    start: int, stop: int, per_update: int, num_workers: int = 1, worker: int = 0
) -> list[list[int | None]]:
    """For each update, the numbers of the batches that one worker takes, in order.

    Update u takes `per_update` batches from start + u * per_update on, the last one what is left. Dealt like
    cards: number i of an update goes to worker i % k. All workers get equally many, filled up with None.
    (fairseq gives a worker the same batches; k workers that accumulate n batches make k * n an update.)

    Args:
        start: Batches of the epoch that are done.
        stop: Batches of the epoch.
        per_update: Batches that all workers together take for an update.
        num_workers: k.
        worker: From 0.
    """
    updates = []
    for begin in range(start, stop, per_update):
        end = min(begin + per_update, stop)
        mine = range(
            begin + worker, begin + worker + -(-(end - begin) // num_workers) * num_workers, num_workers
        )
        updates.append([number if number < end else None for number in mine])
    return updates
