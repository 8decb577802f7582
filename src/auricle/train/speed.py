"""How fast a run is, and how well it uses the machine."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Use:
    """How well an update used the machine: as far as a worker knows, or all of them together.

    Attributes:
        audio_seconds: Of its batches.
        padded_seconds: Likewise, padding included.
        waited_seconds: Until they were read.
        device_seconds: What its arithmetic would take if the device did nothing but large matrix products;
            None where that is not known.
    """

    audio_seconds: float
    padded_seconds: float
    waited_seconds: float
    device_seconds: float | None = None

    @staticmethod
    def of_all(uses: Sequence["Use"]) -> "Use":
        """What workers did side by side: the sum of their audio, and the mean of their times."""
        busy = [use.device_seconds for use in uses if use.device_seconds is not None]
        return Use(
            sum(use.audio_seconds for use in uses),
            sum(use.padded_seconds for use in uses),
            sum(use.waited_seconds for use in uses) / len(uses),
            sum(busy) / len(uses) if busy else None,
        )


class Speed:
    """Updates, and seconds of audio or tokens, a second of training, and shares of it; since the last reset.

    Args:
        clock: Gives the time in seconds.
        measured: What amounts count, "audio_seconds" or "tokens".
    """

    def __init__(self, clock: Callable[[], float], measured: str = "audio_seconds") -> None:
        self._clock = clock
        self._measured = measured
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self._since = self._clock()
        self._updates = 0
        self._amount = 0.0
        self._uses: list[Use] = []

    def add(self, amount: float) -> None:
        """Count one update."""
        self._updates += 1
        self._amount += amount

    def used(self, use: Use) -> None:
        """Count how the machine was used for an update, whether anything came of it or not."""
        self._uses.append(use)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block out."""
        before = self._clock()
        try:
            yield
        finally:
            self._since += self._clock() - before

    def rates(self) -> dict[str, float]:
        """The two rates, and the shares where `Use` was told, under their names in the log."""
        seconds = max(self._clock() - self._since, 1e-9)
        rates = {
            f"{self._measured}_per_second": self._amount / seconds,
            "updates_per_second": self._updates / seconds,
        }
        if padded := sum(use.padded_seconds for use in self._uses):
            rates["padding_share"] = 1 - sum(use.audio_seconds for use in self._uses) / padded
            rates["data_wait_share"] = min(1.0, sum(use.waited_seconds for use in self._uses) / seconds)
        busy = [use.device_seconds for use in self._uses if use.device_seconds is not None]
        if busy:
            rates["device_share"] = sum(busy) / seconds
        return rates


class Waits:
    """Counts the seconds that somebody waits for items.

    Args:
        clock: Gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds = 0.0

    def timed(self, items: Iterable[T]) -> Iterator[T]:
        """The same items."""
        iterator = iter(items)
        while True:
            started = self._clock()
            item = next(iterator, self)
            self._seconds += self._clock() - started
            if item is self:
                return
            yield item  # type: ignore[misc]  # not the mark of the end

    def take(self) -> float:
        """The seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds
