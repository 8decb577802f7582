"""Parts of a recording that the user names: read, and checked before anything is heard."""

import os
from collections.abc import Sequence

from auricle.errors import UserError
from auricle.textfile import read_lines

Segment = tuple[float, float]
"""Where a part of a recording starts and ends, in seconds."""


def read_segments(path: str | os.PathLike[str]) -> list[Segment]:
    """Reads `start end` a line, in seconds, separated by white space; what follows is a remark.

    Raises:
        UserError: The file is missing, a line has another form, or see `check_segments`.
    """
    segments, lines = [], []
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            start, end = float(fields[0]), float(fields[1])
        except (ValueError, IndexError):
            raise UserError(f"{path}:{number}: expected 'start end' in seconds, got {line[:60]!r}") from None
        segments.append((start, end))
        lines.append(number)
    if not segments:
        raise UserError(f"{path}: holds no segments: a line each, 'start end' in seconds")
    check_segments(segments, str(path), lines)
    return segments


def check_segments(
    segments: Sequence[Segment], name: str = "segments", lines: Sequence[int] | None = None
) -> None:
    """Make sure that segments can be cut out in one reading.

    Args:
        segments: In seconds.
        name: Of the list.
        lines: Where each stands in it; None: they are counted from 1.

    Raises:
        UserError: One has no length, or does not start after the one before it.
    """
    previous = 0.0
    for number, (start, end) in zip(lines or range(1, len(segments) + 1), segments, strict=True):
        if not 0 <= start < end < float("inf"):
            raise UserError(
                f"{name}:{number}: a segment has to end after its start, not {start:g} to {end:g}"
            )
        if start < previous:
            raise UserError(
                f"{name}:{number}: starts at {start:g} s, before the one before it ends ({previous:g} s): "
                "put them in order, without overlap"
            )
        previous = end
