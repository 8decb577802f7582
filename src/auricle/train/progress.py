"""The progress of a run on the console: a bar on a terminal, and a line for each entry of the log."""

import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

_NAMES = {
    "audio_seconds_per_second": "audio-s/s",
    "tokens_per_second": "tokens/s",
    "updates_per_second": "updates/s",
    "padding_share": "padding",
    "data_wait_share": "waiting",
    "device_share": "of peak",
}


class Display:
    """Shows where a run is, how fast it goes and when it will be done.

    Args:
        num_updates: Updates done before.
        total_updates: Where it ends, if that is known.
        stream: Where to show it; standard error unless told.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        num_updates: int = 0,
        total_updates: int | None = None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._first = num_updates
        self._total = total_updates
        self._started = clock()
        self._bar = _open_bar(self._stream, num_updates, total_updates) if self._stream.isatty() else None

    def advance(self, num_updates: int, rates: Mapping[str, float]) -> None:
        """Move the bar of a terminal to `num_updates`."""
        if self._bar:
            words = [*_words(rates), *self._time_left(num_updates)]
            self._bar.update(self._bar.task_ids[0], completed=num_updates, description="  ".join(words))

    def line(self, split: str, num_updates: int, values: Mapping[str, float]) -> None:
        """Write one line of values, above the bar where there is one."""
        of_total = f"/{self._total}" if self._total else ""
        words = [f"{split}: update {num_updates}{of_total}", *_words(values), *self._time_left(num_updates)]
        self.say("  ".join(words))

    def say(self, text: str) -> None:
        """Write one line, above the bar where there is one."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Leave the terminal in order."""
        if self._bar:
            self._bar.stop()

    def _time_left(self, num_updates: int) -> list[str]:
        """Time to finish at the pace so far, validation and saving included."""
        done = num_updates - self._first
        if self._total is None or done <= 0:
            return []
        seconds = (self._clock() - self._started) / done * max(self._total - num_updates, 0)
        return [f"{timedelta(seconds=round(seconds))} left"]


def _open_bar(stream: TextIO, num_updates: int, total_updates: int | None) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    bar = Progress(*columns, console=Console(file=stream))
    bar.add_task("", total=total_updates, completed=num_updates)
    bar.start()
    return bar


def _words(values: Mapping[str, float]) -> list[str]:
    return [f"{_NAMES.get(name, name)} {value:.4g}" for name, value in values.items()]
