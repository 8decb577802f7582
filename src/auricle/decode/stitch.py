"""Puts the emissions of pieces of a recording together into runs that are decoded one by one.

Legend: N frames, V units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from auricle.decode.cut import Piece
from auricle.decode.viterbi import BLANK
from auricle.dictionary import WORD_END, Dictionary

LONGEST_RUN_FRAMES = 30_000
"""Ten minutes without a pause: then a run is cut between words, for memory that does not grow."""


@dataclass(frozen=True, slots=True)
class Run:
    """Frames that are decoded in one.

    Attributes:
        log_probs: [N, V] float32, natural log.
        start: Sample of the recording where frame 0 starts.
    """

    log_probs: Tensor
    start: int


class Stitcher:
    """Takes the pieces of one recording in order, with their emissions."""

    def __init__(self, dictionary: Dictionary, hop: int, longest_run: int = LONGEST_RUN_FRAMES) -> None:
        """Begin.

        Args:
            dictionary: Of the units.
            hop: Samples from one frame to the next.
            longest_run: Frames after which a run is cut between words.
        """
        self._hop, self._longest = hop, longest_run
        self._between = dictionary.index(WORD_END) if WORD_END in dictionary else BLANK
        self._parts: list[Tensor] = []
        self._start = 0

    def add(self, piece: Piece, log_probs: Tensor) -> list[Run]:
        """The next piece.

        Args:
            piece: As it was cut.
            log_probs: [N, V], what the model made of all its samples.

        Returns:
            The runs that it completes.
        """
        first = piece.context // self._hop
        last = None if piece.kept is None else first + piece.kept // self._hop
        if not self._parts:
            self._start = piece.start + first * self._hop
        self._parts.append(log_probs[first:last])
        # A piece with no context after it has a frame less than hops: what follows cannot be joined to it.
        if not piece.goes_on or (last is not None and len(log_probs) < last):
            return self.finish()
        if sum(map(len, self._parts)) <= self._longest:
            return []
        return self._cut_between_words()

    def tentative(self, piece: Piece, log_probs: Tensor) -> Run:
        """The run so far with a piece that is not complete yet; nothing of that is kept."""
        first = piece.context // self._hop
        start = self._start if self._parts else piece.start + first * self._hop
        return Run(torch.cat([*self._parts, log_probs[first:]]), start)

    def finish(self) -> list[Run]:
        """What is left."""
        parts, self._parts = self._parts, []
        return [Run(torch.cat(parts), self._start)] if parts else []

    def _cut_between_words(self) -> list[Run]:
        """The greedy text of both sides is that of the whole: nothing collapses across a word's end."""
        frames = torch.cat(self._parts)
        ends = (frames.argmax(dim=-1) == self._between).nonzero().flatten()
        if not len(ends):
            return []
        cut = int(ends[-1]) + 1
        run = Run(frames[:cut], self._start)
        self._parts, self._start = [frames[cut:].clone()], self._start + cut * self._hop
        return [run]
