"""The likeliest way of a known sequence through the frames of a CTC model, in little memory.

States alternate: a gap (the blank) before each unit and after the last one, the units between. A frame stays
in its state, goes to the next one, or leaves a gap out between two units that differ (Graves et al. 2006,
section 4.1).

A whole trellis of two hours has 10^11 cells. Only a window of states around the best one is computed, frame
by frame, and of that only every so-many-th column is kept; the way back computes the columns between again,
block by block. If the path comes near the window's edge, a better one may lie outside: all is done again with
a window twice as wide, until it holds every state. So a path found in a window has room on both sides; where
the window holds every state, it is the best one for certain.

Legend: N frames, U columns of emissions, S states, W window.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MOVE_EVERY = 8
"""Frames between two looks at where the window should be."""

WIDTH = 8192
"""States at first: some four minutes of speech."""

NARROWEST = 64
"""No window is narrower: in a few states, a path of chance looks as good as any."""


class DoesNotFitError(ValueError):
    """There are fewer frames than the units need."""


@dataclass(frozen=True, slots=True)
class Trellis:
    """A sequence to find.

    Attributes:
        emissions: [N, U] float32, natural-log probabilities or other scores of a frame.
        columns: int64 [S], the column of each state; S is odd, gaps have even places.
        may_skip: bool [S], whether the state can follow the one before the last.
    """

    emissions: npt.NDArray[np.float32]
    columns: npt.NDArray[np.int64]
    may_skip: npt.NDArray[np.bool_]

    @property
    def frames_needed(self) -> int:
        """The shortest path: a frame a unit, and one between units that are alike."""
        return len(self.columns) // 2 + int((~self.may_skip[3::2]).sum())


def best_path(trellis: Trellis, width: int = WIDTH) -> npt.NDArray[np.int64]:
    """The state of each frame.

    Args:
        trellis: What to find, and where.
        width: States of the window at first.

    Returns:
        int64 [N], never falling, by at most 2 at a time.

    Raises:
        DoesNotFitError: There are too few frames.
    """
    frames, states = len(trellis.emissions), len(trellis.columns)
    if frames < max(trellis.frames_needed, 1):
        if frames == 0 and states == 1:
            return np.zeros(0, dtype=np.int64)
        raise DoesNotFitError
    while True:
        width = min(max(width, NARROWEST), states)
        found = _Window(trellis, width).run()
        if found is not None:
            return found
        width *= 2


class _Window:
    """One attempt: forward, then back."""

    def __init__(self, trellis: Trellis, width: int) -> None:
        self._emissions, self._columns = trellis.emissions, trellis.columns
        self._frames, self._states, self._width = len(trellis.emissions), len(trellis.columns), width
        self._skip = np.where(trellis.may_skip, 0.0, -np.inf)
        # Of all states, two more before them; what is outside of the window is -inf.
        self._alpha = np.full(self._states + 2, -np.inf)
        self._low = np.zeros(self._frames, dtype=np.int64)
        self._every = max(int(self._frames**0.5), 1)

    def run(self) -> npt.NDArray[np.int64] | None:
        """The path; None if it has no room in the window."""
        kept = self._forward()
        state = self._last_state()
        if state is None:
            return None
        path = np.empty(self._frames, dtype=np.int64)
        for start in reversed(range(0, self._frames, self._every)):
            stop = min(start + self._every, self._frames)
            choices = self._again(start, stop, kept[start // self._every])
            for frame in range(stop - 1, start - 1, -1):
                path[frame] = state
                state -= int(choices[frame - start, state - self._low[frame]])
        return path if self._has_room(path) else None

    def _forward(self) -> list[Floats]:
        """Scores of the best paths to each state of the window, before each block of frames."""
        kept = []
        alpha, low = self._alpha, 0
        for frame in range(self._frames):
            if frame % MOVE_EVERY == 0:
                low = self._moved(frame, low)
            self._low[frame] = low
            if frame % self._every == 0:
                kept.append(alpha[low : low + self._width + 2].copy())
            alpha[low + 2 : low + 2 + self._width] = self._step(frame, low)[0]
        return kept

    def _step(self, frame: int, low: int) -> tuple[Floats, Floats, Floats, Floats]:
        """The new scores [W], and those of the three ways to get there: staying, next and over a gap."""
        high = low + self._width
        emitted = self._emissions[frame].take(self._columns[low:high])
        if frame == 0:
            start = np.full(self._width, -np.inf)
            start[:2] = emitted[:2]
            return start, start, start - np.inf, start - np.inf
        stay, step = self._alpha[low + 2 : high + 2], self._alpha[low + 1 : high + 1]
        skip = self._alpha[low:high] + self._skip[low:high]
        best = np.maximum(stay, step)
        np.maximum(best, skip, out=best)
        best += emitted
        return best, stay, step, skip

    def _moved(self, frame: int, low: int) -> int:
        """Where the window starts from this frame on: the best state in its middle, the end within reach."""
        if self._width == self._states:
            return 0
        best = int(self._alpha[low + 2 : low + 2 + self._width].argmax()) if frame else 0
        wanted = low + best - self._width // 2
        needed = self._states - self._width - 2 * (self._frames - 1 - frame)
        moved = min(max(low, wanted, needed), self._states - self._width)
        self._alpha[low + 2 : moved + 2] = -np.inf
        return moved

    def _last_state(self) -> int | None:
        """The better one of the two in which a path may end; None where none got there."""
        last = max(self._states - 2, 0)
        ends = self._alpha[2:][last:]
        best = int(ends.argmax())
        return last + best if np.isfinite(ends[best]) else None

    def _again(self, start: int, stop: int, kept: Floats) -> npt.NDArray[np.uint8]:
        """By how many states each best path of a block of frames advances: [stop - start, W]."""
        choices = np.empty((stop - start, self._width), dtype=np.uint8)
        low = int(self._low[start])
        self._alpha[:] = -np.inf
        self._alpha[low : low + self._width + 2] = kept
        for frame in range(start, stop):
            moved = int(self._low[frame])
            if moved > low:
                self._alpha[low + 2 : moved + 2] = -np.inf
                low = moved
            best, stay, step, skip = self._step(frame, low)
            choice = (step > stay).view(np.uint8)
            choice[skip > np.maximum(stay, step)] = 2
            choices[frame - start] = choice
            self._alpha[low + 2 : low + 2 + self._width] = best
        return choices

    def _has_room(self, path: npt.NDArray[np.int64]) -> bool:
        """Whether the path keeps away from the edges where there are states beyond them."""
        margin = self._width // 8
        below = (self._low > 0) & (path - self._low < margin)
        above = (self._low + self._width < self._states) & (self._low + self._width - path <= margin)
        return not bool((below | above).any())
