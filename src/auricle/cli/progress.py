"""How far a command is: a bar on a terminal, a plain line now and then elsewhere; both on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SECONDS_BETWEEN_LINES = 10.0


class Advance(Protocol):
    """Says that more of the work is done."""

    def __call__(self, steps: int = 1, /) -> None:
        """Counts `steps` more."""


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Advance]:
    """Shows progress while its block runs.

    Args:
        what: What is counted, in the plural ("utterances").
        total: How many there will be, where that is known.
    """
    if sys.stderr.isatty():
        with _bar(what, total) as advance:
            yield advance
    else:
        with _lines(what, total) as advance:
            yield advance


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # rich would send what a command prints to standard error: right only where both are the same terminal
    same = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=same) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps=1, /: bar.advance(task, steps)


@contextmanager
def _lines(what: str, total: int | None) -> Iterator[Advance]:
    """Short work stays silent: the first line comes after some seconds."""
    done, said = 0, time.monotonic()

    def advance(steps: int = 1, /) -> None:
        nonlocal done, said
        done += steps
        if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            print(f"{done}{f' of {total}' if total else ''} {what}", file=sys.stderr, flush=True)

    yield advance
