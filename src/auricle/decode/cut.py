"""Cuts a recording of any length into pieces that a model can hear, in memory that does not grow with it.

A piece ends in a pause where there is one: nothing is said there, and the pieces are decoded one by one.
Where nobody pauses for the length of a piece, neighbouring pieces overlap: each hears the other's side as
context, the frames of the overlap's halves are dropped, and what is left is decoded in one.

Legend: T samples, L windows of levels.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auricle.decode.segments import Segment
from auricle.errors import UserError

WINDOW_SECONDS = 0.02
"""What a level is measured over."""

HISTORY_SECONDS = 60.0
"""How much of what went before says what counts as silence."""

QUIETEST_DB = -100.0
"""What digital silence counts as."""


@dataclass(frozen=True, slots=True)
class CutOptions:
    """How to cut.

    Attributes:
        chunk_seconds: The longest piece, context included; a recording up to that length stays whole.
        overlap_seconds: What two pieces share where there is no pause to cut in.
        silence_seconds: The shortest pause to cut in.
        eager: Cut at the first pause after something was said, rather than at the longest one in the second
            half of a piece; leave out stretches where nothing is said.
    """

    chunk_seconds: float = 30.0
    overlap_seconds: float = 4.0
    silence_seconds: float = 0.3
    eager: bool = False

    def __post_init__(self) -> None:
        if not self.chunk_seconds < math.inf:
            raise UserError(
                f"pieces of {self.chunk_seconds:g} s: give a number, such as the length of the recording"
            )
        if not 0 <= self.overlap_seconds <= self.chunk_seconds / 2:
            raise UserError(
                f"pieces of {self.chunk_seconds:g} s cannot overlap by {self.overlap_seconds:g} s: "
                "choose an overlap of at most half a piece"
            )
        if self.chunk_seconds < 1:
            raise UserError(
                f"pieces of {self.chunk_seconds:g} s are too short to be understood: 1 s at least"
            )


@dataclass(frozen=True, slots=True)
class Piece:
    """What the model hears at a time.

    Attributes:
        samples: [T] float32.
        start: Which sample of the recording comes first.
        context: Samples at the start, a multiple of the hop, that belong to the piece before.
        kept: Samples after those, a multiple of the hop, whose frames count; None: all there are.
        goes_on: Whether the next piece starts where these frames end, with no pause between.
    """

    samples: Tensor
    start: int
    context: int = 0
    kept: int | None = None
    goes_on: bool = False


def levels(samples: Tensor, window: int) -> Tensor:
    """How loud each whole window is: [T] -> [L] float32, dB below full scale; a constant offset is silent."""
    count = len(samples) // window
    if count == 0:
        return torch.zeros(0)
    variances = samples[: count * window].view(count, window).var(dim=1, correction=0)
    return (10 * variances.log10()).clamp(min=QUIETEST_DB)


def silence_threshold(heard: Tensor) -> float:
    """Below which level there is silence, in dB, going by the levels [L] that were heard.

    Between the background (the 2nd percentile: pauses may be rare) and speech (the 95th), nearer to the
    background; in any case what is 35 dB below speech; that alone where the two are not apart.
    """
    floor, peak = torch.quantile(heard, torch.tensor([0.02, 0.95])).tolist()
    if peak - floor < 10:
        return float(peak - 35)
    return float(max(floor + 0.3 * (peak - floor), peak - 35))


def silences(silent: Tensor, shortest: int) -> list[tuple[int, int]]:
    """Runs [start, end) of at least `shortest` windows where bool [L] is True."""
    edges = torch.nn.functional.pad(silent.to(torch.int8), (1, 1)).diff()
    starts, ends = (edges == 1).nonzero().flatten().tolist(), (edges == -1).nonzero().flatten().tolist()
    return [(start, end) for start, end in zip(starts, ends, strict=True) if end - start >= shortest]


class Cutter:
    """Takes the samples of one recording as they come, and gives its pieces."""

    def __init__(self, options: CutOptions, sample_rate: int, hop: int, start: int = 0) -> None:
        """Begin.

        Args:
            options: How to cut.
            sample_rate: In Hz.
            hop: Samples from one frame of the model to the next: pieces that overlap start on whole frames.
            start: Where in the recording the first sample stands.
        """
        self._options = options
        self._rate, self._hop = sample_rate, hop
        self._chunk = max(self._whole_frames(options.chunk_seconds), 2 * hop)
        self._half_overlap = self._whole_frames(options.overlap_seconds / 2)
        self._window = round(WINDOW_SECONDS * sample_rate)
        self._history = torch.zeros(0)
        self._buffer = torch.zeros(0)
        self._start, self._context = start, 0

    @property
    def pending(self) -> Piece:
        """What no piece was made of yet, as one."""
        return Piece(self._buffer, self._start, self._context)

    def feed(self, samples: Tensor) -> list[Piece]:
        """More samples [T] float32; gives the pieces that are complete."""
        self._buffer = torch.cat([self._buffer, samples])
        pieces = []
        while (piece := self._next()) is not None:
            pieces.append(piece)
        return pieces

    def finish(self) -> list[Piece]:
        """The rest."""
        piece = self.pending
        said = not self._options.eager or self._context > 0 or not bool(self._silent(self._buffer).all())
        self._advance(len(self._buffer), context=0)
        return [piece] if said and len(piece.samples) else []

    def _next(self) -> Piece | None:
        if self._options.eager:
            self._drop_leading_silence()
        cut = self._pause()
        if cut is not None:
            piece = Piece(self._buffer[:cut], self._start, self._context)
            self._advance(cut, context=0)
            return piece
        if len(self._buffer) <= self._chunk:
            return None
        kept = self._chunk - self._half_overlap - self._context
        piece = Piece(self._buffer[: self._chunk], self._start, self._context, kept, goes_on=True)
        self._advance(self._chunk - 2 * self._half_overlap, context=self._half_overlap)
        return piece

    def _pause(self) -> int | None:
        """Where in the buffer to cut, in the middle of a pause; None if it is not time or there is none."""
        eager = self._options.eager
        if not eager and len(self._buffer) <= self._chunk:
            return None
        silent = self._silent(self._buffer[: self._chunk])
        earliest = self._context if eager else max(self._context, self._chunk // 2)
        shortest = max(round(self._options.silence_seconds / WINDOW_SECONDS), 1)
        pauses = [
            (start, end)
            for start, end in silences(silent, shortest)
            if (start + end) * self._window // 2 > earliest and start > 0
        ]
        if not pauses:
            return None
        start, end = pauses[0] if eager else max(pauses, key=lambda pause: pause[1] - pause[0])
        middle = (start + (start + shortest if eager else end)) * self._window // 2
        return middle // self._hop * self._hop or None

    def _silent(self, samples: Tensor) -> Tensor:
        """Which windows of the samples are silent: [T] -> bool [L]."""
        own = levels(samples, self._window)
        heard = torch.cat([self._history, own])
        if len(heard) * WINDOW_SECONDS < 1:  # too little to tell speech from background
            return torch.zeros(len(own), dtype=torch.bool)
        return own < silence_threshold(heard)

    def _drop_leading_silence(self) -> None:
        """Keep a little of a pause that goes on: nothing is said, and the model need not hear it.

        Nor does it count as heard: after a minute of it, nobody could tell any more what speech is.
        """
        silent = self._silent(self._buffer)
        lead = int(silent.logical_not().int().argmax()) if not bool(silent.all()) else len(silent)
        surplus = lead * self._window - self._whole_frames(self._options.silence_seconds)
        if self._context == 0 and surplus >= self._hop:
            self._drop(surplus // self._hop * self._hop)

    def _advance(self, count: int, *, context: int) -> None:
        """Leave `count` samples behind; the first `context` of the others are then context."""
        past = levels(self._buffer[self._context : count + context], self._window)
        self._history = torch.cat([self._history, past])[-round(HISTORY_SECONDS / WINDOW_SECONDS) :]
        self._drop(count)
        self._context = context

    def _drop(self, count: int) -> None:
        self._buffer = self._buffer[count:].clone()  # a view would hold on to everything
        self._start += count

    def _whole_frames(self, seconds: float) -> int:
        return round(seconds * self._rate / self._hop) * self._hop


def cut(blocks: Iterable[Tensor], options: CutOptions, sample_rate: int, hop: int) -> Iterator[Piece]:
    """The pieces of a recording that comes in blocks [T]; see `Cutter`.

    Raises:
        UserError: The recording breaks off, once all pieces are there of what came before.
    """
    cutter = Cutter(options, sample_rate, hop)
    try:
        for block in blocks:
            yield from cutter.feed(block)
    except UserError:
        yield from cutter.finish()
        raise
    yield from cutter.finish()


def cut_segments(
    blocks: Iterable[Tensor], segments: Sequence[Segment], options: CutOptions, sample_rate: int, hop: int
) -> Iterator[Piece]:
    """The pieces of parts of a recording, each cut as if it were a file of its own.

    Args:
        blocks: Of the recording, [T] float32 each.
        segments: In order, none overlapping another (see `auricle.decode.segments`).
        options: How to cut segments that are longer than a piece.
        sample_rate: In Hz.
        hop: Of the model.

    Raises:
        UserError: The recording ends before a segment does, or breaks off; see `cut`.
    """
    bounds = [(round(start * sample_rate), round(end * sample_rate)) for start, end in segments]
    at, number = 0, 0
    cutter: Cutter | None = None
    try:
        for block in blocks:
            end = at + len(block)
            while number < len(bounds) and bounds[number][0] < end:
                start, stop = bounds[number]
                cutter = cutter or Cutter(options, sample_rate, hop, start)
                yield from cutter.feed(block[max(start - at, 0) : stop - at])
                if stop > end:
                    break
                yield from cutter.finish()
                number, cutter = number + 1, None
            if number == len(bounds):  # what comes after the last segment is nobody's business
                return
            at = end
    except UserError:
        if cutter is not None:
            yield from cutter.finish()
        raise
    if cutter is not None and bounds[number][1] - at <= sample_rate * WINDOW_SECONDS:  # rounded, not missing
        yield from cutter.finish()
        number += 1
    if number < len(bounds):
        raise UserError(
            f"segment {number + 1} ends at {segments[number][1]:g} s, but the recording at "
            f"{at / sample_rate:g} s: correct the segments"
        )
