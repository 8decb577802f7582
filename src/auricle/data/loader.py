"""Batches of an epoch, in an order that depends on (seed, epoch) alone and can be taken up in its middle."""

import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from auricle.data.batching import Indices, batch_by_size, ordered_indices, shuffled
from auricle.data.collate import Batch, CropStart, SetAside
from auricle.data.text import TextBatch
from auricle.errors import UserError

_AHEAD = 2
"""Batches read before they are asked for, by each worker."""

_CROP, _SPEED = 1, 3
"""Keep these draws apart from each other, from the masks, whose generator is (seed, epoch, utterance), and
from the mixing of corpora (2)."""

_Key = tuple[int, Indices]
"""(epoch, utterance numbers): all that a worker needs to make a batch."""

AnyBatch = Batch | TextBatch
"""What training steps take."""

B = TypeVar("B", bound=AnyBatch)
B_co = TypeVar("B_co", bound=AnyBatch, covariant=True)


class Samples(Protocol[B_co]):
    """What batches are made of: `SpeechDataset` or `TextDataset`.

    Attributes:
        unit: What sizes count, in the plural.
        labels: Lines of labels; None where there are none.
        sizes: [U] int64.
        max_sample_size: Larger ones are cropped to it; None crops nothing.
        set_aside: What was left out.
    """

    unit: str
    labels: list[str] | None
    sizes: NDArray[np.int64]
    max_sample_size: int | None
    set_aside: tuple[SetAside, ...]

    @property
    def source(self) -> Path:
        """The file that lists or holds them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any:
        """Read one."""

    def heard(self, index: int, rng: np.random.Generator) -> Any:
        """Read one as an epoch has it, varied by `rng`, which is the same whenever the epoch is read."""

    def name(self, index: int) -> str:
        """What to call one in messages."""

    def in_epoch(self, seed: int, epoch: int) -> NDArray[np.bool_]:
        """Which of them an epoch consists of, bool [U]; a function of (seed, epoch)."""

    def collate(self, items: Sequence[Any], *, pad: bool, crop_start: CropStart) -> B_co:
        """Put some that were read together."""


class BatchLoader(Generic[B]):
    """Reads the batches of a dataset.

    Attributes:
        dataset: What is read.
        set_aside: What the dataset left out, and what is longer than a whole batch may be.
    """

    def __init__(
        self,
        dataset: Samples[B],
        *,
        max_tokens: int | None,
        batch_size: int | None = None,
        required_batch_size_multiple: int = 8,
        seed: int = 1,
        num_workers: int = 0,
        pad: bool,
        shuffle: bool = True,
        drop_remainder: bool = False,
        fixed_order: Sequence[Indices] | None = None,
    ) -> None:
        """Say how batches are made.

        Args:
            dataset: What to read.
            max_tokens: Most samples in a batch, padding included.
            batch_size: Most utterances in a batch.
            required_batch_size_multiple: Batches of at least so many utterances have a multiple of it.
            seed: With the epoch, decides order and crops.
            num_workers: Processes that read; 0 reads in a thread of this one.
            pad: Fill up to the longest utterance with zeros, otherwise crop to the shortest. Labels need it.
            shuffle: Draw the order of equals and that of the batches; otherwise they go from long to short.
            drop_remainder: Drop a last batch that is no multiple, as fairseq does.
            fixed_order: These batches, in every epoch.

        Raises:
            UserError: No limit is given, labelled speech would be cropped, or nothing is left to read.
        """
        if max_tokens is None and batch_size is None and fixed_order is None:
            raise UserError("batches need a limit: set dataset.max_tokens or dataset.batch_size")
        if dataset.labels is not None and not pad:
            raise UserError("labelled speech cannot be cropped: set task.enable_padding=true")
        self.dataset = dataset
        self._max_tokens = max_tokens
        self._batch_size = batch_size
        self._multiple = required_batch_size_multiple
        self._seed = seed
        self._shuffle = shuffle
        self._drop_remainder = drop_remainder
        self._fixed_order = None if fixed_order is None else [list(batch) for batch in fixed_order]
        cropped = np.minimum(dataset.sizes, dataset.max_sample_size or np.iinfo(np.int64).max)
        # with padding fairseq counts what there is before cropping
        self._num_tokens = dataset.sizes if pad else cropped
        self._fits = cropped <= (np.inf if max_tokens is None or fixed_order is not None else max_tokens)
        self.set_aside = (*dataset.set_aside, *_too_long(dataset, cropped, self._fits, max_tokens))
        if not self._fits.any():
            raise UserError(_nothing_left(dataset, self.set_aside))
        self._reader = _BatchReader(dataset, pad=pad, seed=seed)
        self._num_workers = min(num_workers, _available_cpus())
        self._workers: DataLoader[B] | None = None
        self._keys: list[_Key] = []

    def __len__(self) -> int:
        """Batches an epoch, the same in all."""
        return len(self.batches(1))

    def batches(self, epoch: int) -> list[Indices]:
        """Utterance numbers of each batch of an epoch (from 1), ordered as fairseq's `EpochBatchIterator`."""
        if self._fixed_order is not None:
            return self._fixed_order
        # fairseq seeds both draws alike
        drawn = np.random.RandomState(self._seed + epoch) if self._shuffle else None
        order = ordered_indices(self.dataset.sizes, max_sample_size=self.dataset.max_sample_size, rng=drawn)
        usable = self._fits & self.dataset.in_epoch(self._seed, epoch if self._shuffle else 1)
        batches = batch_by_size(
            order[usable[order]].tolist(),
            self._num_tokens.tolist(),
            max_tokens=self._max_tokens,
            batch_size=self._batch_size,
            multiple=self._multiple,
            drop_remainder=self._drop_remainder,
        )
        if not batches:
            raise UserError(
                f"{self.dataset.source} makes one batch, dropped since it is no multiple of "
                f"{self._multiple} utterances: set dataset.required_batch_size_multiple=1"
            )
        return shuffled(batches, np.random.RandomState(self._seed + epoch)) if self._shuffle else batches

    def epoch(self, epoch: int, start: int = 0) -> Iterator[B]:
        """Read an epoch; one at a time.

        Args:
            epoch: From 1.
            start: Batches of it that are done already.

        Raises:
            UserError: No utterance of a whole epoch could be read.
        """
        numbers = range(start, len(self.batches(epoch)))
        usable, set_aside = 0, list[SetAside]()
        for number, batch in zip(numbers, self.read(epoch, numbers), strict=True):
            usable += len(batch)
            set_aside += batch.set_aside if usable == 0 else ()
            # before the last batch and not after it, as nobody asks for more than there are
            if usable == start == 0 and number == numbers[-1]:
                raise UserError(self.nothing_left(set_aside))
            yield batch

    def read(self, epoch: int, numbers: Sequence[int]) -> Iterator[B]:
        """Read some batches of an epoch (from 1), by their numbers; one at a time."""
        batches = self.batches(epoch)
        keys = [(epoch, batches[number]) for number in numbers]
        return self._by_processes(keys) if self._num_workers > 0 else self._by_thread(keys)

    def nothing_left(self, set_aside: Sequence[SetAside]) -> str:
        """What to say where no utterance could be read, for those that are named."""
        return _nothing_left(self.dataset, (*self.set_aside, *set_aside))

    def _by_thread(self, keys: Sequence[_Key]) -> Iterator[B]:
        pool = ThreadPoolExecutor(1, thread_name_prefix="auricle-reader")
        pending: deque[Future[B]] = deque()
        try:
            for key in keys:
                pending.append(pool.submit(self._reader.__getitem__, key))
                if len(pending) > _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _by_processes(self, keys: Sequence[_Key]) -> Iterator[B]:
        """Read with processes that live as long as this object: an epoch may be shorter than their start."""
        self._keys[:] = keys
        if self._workers is None:
            self._workers = DataLoader(
                self._reader,
                sampler=self._keys,
                batch_size=None,
                num_workers=self._num_workers,
                persistent_workers=True,
                prefetch_factor=_AHEAD,
                collate_fn=_unchanged,
                worker_init_fn=_start_worker,
                # its own generator: the loader would otherwise draw from torch's global one
                generator=torch.Generator(),
            )
        return iter(self._workers)


class _BatchReader(Dataset[B]):
    """Makes one batch from its key; what a worker process holds."""

    def __init__(self, dataset: Samples[B], *, pad: bool, seed: int) -> None:
        self._dataset = dataset
        self._pad = pad
        self._seed = seed

    def __getitem__(self, key: _Key) -> B:
        epoch, indices = key

        def crop_start(index: int, surplus: int) -> int:
            return int(np.random.default_rng((self._seed, epoch, index, _CROP)).integers(surplus + 1))

        items = [
            self._dataset.heard(index, np.random.default_rng((self._seed, epoch, index, _SPEED)))
            for index in indices
        ]
        return self._dataset.collate(items, pad=self._pad, crop_start=crop_start)


def _unchanged(batch: Any) -> Any:  # any: torch's types know only collate functions that take lists
    return batch


def _start_worker(worker: int) -> None:
    """Leave signals to the main process, and notices to one worker.

    Ctrl-C and a scheduler's SIGTERM reach every process of a run. The main one then saves and leaves, for
    which it needs its workers to live on; they end when it says so, or when it is gone (as torch sees to).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":  # elsewhere the sender of a signal cannot be known
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_leave_when_told, daemon=True).start()
    if worker > 0:
        logging.getLogger("auricle").setLevel(logging.ERROR)


def _leave_when_told() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _available_cpus() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _too_long(
    dataset: Samples[AnyBatch], sizes: NDArray[np.int64], fits: NDArray[np.bool_], max_tokens: int | None
) -> Iterator[SetAside]:
    for i in np.flatnonzero(~fits):
        reason = f"too long: {sizes[i]} {dataset.unit}, max_tokens is {max_tokens}"
        yield SetAside(dataset.name(int(i)), reason)


def _nothing_left(dataset: Samples[AnyBatch], set_aside: Sequence[SetAside]) -> str:
    if not set_aside:
        return f"{dataset.source} lists no utterance: check what it was made from"
    first, more = set_aside[0], len(set_aside) - 1
    return (
        f"no utterance of {dataset.source} can be used: {first.name}: {first.reason}; and {more} more: "
        "mend the files, or change the limit"
    )
