"""Many recordings through a model: read ahead, batched by length, given back one by one and in order.

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


def extract(clips: Iterable[Clip], extractor: Extractor, *, max_tokens: int) -> Iterator[Extracted]:
    """Runs a model over recordings, one result a clip, in order.

    Args:
        clips: Read as they are needed.
        extractor: The model.
        max_tokens: Samples in a batch, padding included; a longer recording stands alone.
    """
    window: list[tuple[Clip, Tensor | str]] = []
    samples = 0
    with closing(_read_ahead(clips, extractor.hearing)) as recordings:
        for clip, recording in recordings:
            window.append((clip, recording))
            samples += len(recording) if isinstance(recording, Tensor) else 0
            if samples >= WINDOW_BATCHES * max_tokens:
                yield from _results(window, extractor, max_tokens)
                window, samples = [], 0
    yield from _results(window, extractor, max_tokens)


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
) -> Iterator[Extracted]:
    usable = [(place, clip) for place, (_, clip) in enumerate(window) if isinstance(clip, Tensor)]
    made: dict[int, Values | str] = {}
    for batch in length_batches([len(samples) for _, samples in usable], max_tokens):
        values = _computed([usable[i][1] for i in batch], extractor)
        made.update((usable[i][0], value) for i, value in zip(batch, values, strict=True))
    for place, (clip, recording) in enumerate(window):
        result = recording if isinstance(recording, str) else made[place]
        if not isinstance(result, str) and not _is_sound(result):
            result = "the model gives values that are not numbers (are all its weights sound?)"
        yield Extracted(clip, None, result) if isinstance(result, str) else Extracted(clip, result)


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
