"""Asking a run to stop in good order: Ctrl-C, and the SIGTERM of a scheduler."""

import contextlib
import signal
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """While active, notes SIGINT and SIGTERM instead of dying; a second one is not waited for.

    Attributes:
        reason: Why to stop, once asked; None before.
        signal_number: Which signal asked, once asked.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
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
        self.signal_number = number
        self.reason = f"stopped by {signal.Signals(number).name}: saved; the same command goes on from here"
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
