"""Asking a run to stop in good order: Ctrl-C, and the SIGTERM of a scheduler."""

import contextlib
import signal
import time
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """While active, notes SIGINT and SIGTERM instead of dying; a second one is not waited for.

    Args:
        grace_seconds: Signals so soon after the first are taken as one with it. A worker may get it from the
            terminal, from the scheduler and from who started it.

    Attributes:
        reason: Why to stop, once asked; None before.
        signal_number: Which signal asked, once asked.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, grace_seconds: float = 0.0) -> None:
        self._grace_seconds = grace_seconds
        self._asked = 0.0
        self.reason: str | None = None
        self.signal_number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        # Not in the main thread (a notebook's worker, a test) there is nothing to catch.
        with contextlib.suppress(ValueError):
            self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number, self.reason = number, reason_of(number)
            self._asked = time.monotonic()
            if self._grace_seconds == 0.0:
                self._restore()
        elif time.monotonic() - self._asked >= self._grace_seconds:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def reason_of(number: int) -> str:
    """What to say of a run that this signal ended."""
    return f"stopped by {signal.Signals(number).name}: saved; the same command goes on from here"
