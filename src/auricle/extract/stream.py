"""Many recordings through a model: read ahead, batched by length, given back one by one.

What is held in memory is some batches, however many recordings there are.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from auricle import audio
from auricle.decode.emissions import length_batches, pad
from auricle.extract.clips import Clip

WINDOW_BATCHES = 4
"""Recordings are sorted by length within so many batches."""

_READERS = 2
_READ_AHEAD = 2 * _READERS
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")

Values = NDArray[Any]
"""What one recording becomes: float32 [N, C] or [L, N, C], or int64 codes [N, G]."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """How a model wants its audio.

    Attributes:
        sample_rate: In Hz.
        normalize: Whether each recording is scaled to mean 0 and variance 1.
        num_frames: Samples to frames.
        receptive_field: Samples of the shortest recording that gives a frame.
    """

    sample_rate: int
    normalize: bool
    num_frames: Callable[[int], int]
    receptive_field: int


class Extractor(Protocol):
    """Makes something of recordings."""

    @property
    def hearing(self) -> Hearing:
        """What it wants to be given."""

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> Sequence[Values]:
        """[B, T] float32 and int64 [B] samples, on the CPU, to one array a row, without padding.

        Codes of what is not a number are negative.
        """


@dataclass(frozen=True, slots=True)
class Extracted:
    """What became of one clip.

    Attributes:
        clip: Which.
        values: What the model makes of it; None where it cannot be used,
        reason: for this reason.
    """

    clip: Clip
    values: Values | None
    reason: str = ""


def extract(
    clips: Iterable[Clip], extractor: Extractor, *, max_tokens: int, in_order: bool = True
) -> Iterator[Extracted]:
    """Runs a model over recordings, one result a clip.

    Args:
        clips: Read as they are needed.
        extractor: The model.
        max_tokens: Samples in a batch, padding included; a longer recording stands alone.
        in_order: Results come in the order of the clips; else a batch at a time, so that no more than one
            batch of them is held.
    """
    window: list[tuple[Clip, Tensor | str]] = []
    samples = 0

    def results() -> Iterator[Extracted]:
        made = _results(window, extractor, max_tokens)
        placed = sorted(made, key=lambda result: result[0]) if in_order else made
        return (result for _, result in placed)

    with closing(_read_ahead(clips, extractor.hearing)) as recordings:
        for clip, recording in recordings:
            window.append((clip, recording))
            samples += len(recording) if isinstance(recording, Tensor) else 0
            if samples >= WINDOW_BATCHES * max_tokens:
                yield from results()
                window, samples = [], 0
    yield from results()


def _read_ahead(clips: Iterable[Clip], hearing: Hearing) -> Generator[tuple[Clip, Tensor | str], None, None]:
    """Samples [T], or why there are none, of each clip; the next ones are decoded meanwhile."""
    with ThreadPoolExecutor(_READERS) as pool:
        waiting: deque[tuple[Clip, Future[Tensor | str]]] = deque()
        for clip in clips:
            waiting.append((clip, pool.submit(_read, clip, hearing)))
            if len(waiting) > _READ_AHEAD:
                clip, recording = waiting.popleft()
                yield clip, recording.result()
        for clip, recording in waiting:
            yield clip, recording.result()


def _read(clip: Clip, hearing: Hearing) -> Tensor | str:
    try:
        samples = audio.read(clip.path, sample_rate=hearing.sample_rate).samples
    except audio.AudioError as error:
        return str(error).removeprefix(f"{clip.path}: ")
    if hearing.num_frames(len(samples)) == 0:
        return f"too short: {len(samples)} samples, one frame needs {hearing.receptive_field}"
    return audio.normalize(samples) if hearing.normalize else samples


def _results(
    window: Sequence[tuple[Clip, Tensor | str]], extractor: Extractor, max_tokens: int
) -> Iterator[tuple[int, Extracted]]:
    """Places in the window, and what became of them; a batch at a time."""
    usable = []
    for place, (clip, recording) in enumerate(window):
        if isinstance(recording, str):
            yield place, Extracted(clip, None, recording)
        else:
            usable.append((place, clip, recording))
    for batch in length_batches([len(samples) for _, _, samples in usable], max_tokens):
        made = _computed([usable[i][2] for i in batch], extractor)
        for i, values in zip(batch, made, strict=True):
            place, clip, _ = usable[i]
            yield place, _judged(clip, values)


def _judged(clip: Clip, values: Values | str) -> Extracted:
    if isinstance(values, str):
        return Extracted(clip, None, values)
    if not _is_sound(values):
        return Extracted(clip, None, "the model gives values that are not numbers (are its weights sound?)")
    return Extracted(clip, values)


def _computed(recordings: Sequence[Tensor], extractor: Extractor) -> list[Values | str]:
    """One result a recording: a batch that does not fit into memory is cut in two, again and again."""
    try:
        return list(extractor(*pad(recordings)))
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in _OUT_OF_MEMORY):
            raise
    if len(recordings) == 1:
        return ["needs more memory than there is: cut it into parts"]
    half = len(recordings) // 2
    return _computed(recordings[:half], extractor) + _computed(recordings[half:], extractor)


def _is_sound(values: Values) -> bool:
    """Whether there is nothing in it that would spoil what is learnt from it."""
    return bool(np.isfinite(values).all()) and not (values.dtype.kind == "i" and bool((values < 0).any()))
