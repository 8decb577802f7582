"""What a run has to say of itself: running means, the log file, TensorBoard events, the console."""

import contextlib
import functools
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from torch import Tensor

from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.train.progress import Display
from auricle.train.speed import Speed, Use

Number = float | Tensor
"""A Python number or a tensor of one element."""

_SIGNIFICANT_DIGITS = 8

_PERPLEXITY, _MOST_BITS = "ppl", 1000.0
"""Name of the perplexity, and the bits from which on it is no number any more."""

_logger = logging.getLogger(__name__)


class RunningMeans:
    """Means of several quantities since the last reset, each a sum divided by a sum of weights.

    Values follow fairseq's units: losses are bits (natural logarithm over log 2) a unit of the denominator,
    error rates percent. Tensors are read only when the means are asked for: adding one does not wait for the
    device.
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}
        self._pending: list[tuple[str, Number, Number]] = []

    def add(self, name: str, total: Number, weight: Number = 1.0) -> None:
        """Add to the sum and to the weight of `name`; a weight of 1 makes the mean one over updates."""
        self._pending.append((name, _detached(total), _detached(weight)))

    def add_loss(self, total: Number, denominator: Number, parts: Mapping[str, Number] | None = None) -> None:
        """Add a summed loss in nats, with its parts (``loss_0`` and so on), over its denominator."""
        for name, value in {"loss": total, **(parts or {})}.items():
            self.add(name, value / math.log(2), denominator)

    def add_perplexity(self, total: Number, symbols: Number) -> None:
        """Add a summed negative log-likelihood in nats, for a perplexity (``ppl``) a symbol."""
        self.add(_PERPLEXITY, total / math.log(2), symbols)

    def add_errors(self, name: str, errors: Number, length: Number) -> None:
        """Add an error count over the length of the references, for a rate in percent (``wer``, ``uer``)."""
        self.add(name, 100 * errors, length)

    def means(self) -> dict[str, float]:
        """The mean of each quantity, in the order they were first added, except those without weight."""
        means = {name: total / weight for name, (total, weight) in self.state().items() if weight}
        if _PERPLEXITY in means:  # the mean is that of the bits; as fairseq's, which is 2 to their power
            means[_PERPLEXITY] = 2.0 ** min(means[_PERPLEXITY], _MOST_BITS)
        return means

    def reset(self) -> None:
        """Forget everything."""
        self._sums.clear()
        self._pending.clear()

    def state(self) -> dict[str, tuple[float, float]]:
        """The (sum, weight) of each quantity, for a checkpoint."""
        for name, total, weight in self._pending:
            sums = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = (sums[0] + float(total), sums[1] + float(weight))
        self._pending.clear()
        return dict(self._sums)

    def restore(self, state: Mapping[str, tuple[float, float]]) -> None:
        """Go on from what `state` gave."""
        self.reset()
        self._sums.update((name, (total, weight)) for name, (total, weight) in state.items())


class RunLog:
    """Takes note of a run: ``log.jsonl``, TensorBoard events below ``tensorboard/`` and the console.

    Args:
        folder: Run folder; it exists.
        num_updates: Updates done before, in the run that goes on here: what the log says of later ones is
            dropped, as they will be done again.
        total_updates: Where the run ends, if that is known.
        log_interval: Updates between two lines of the split "train".
        tensorboard: Whether to write events, where the package is installed.
        measured: What the speed of training counts: "audio_seconds" or "tokens".
        stream: Where the progress is shown; standard error unless told.
        clock: Gives the time in seconds.

    Raises:
        UserError: The log cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        num_updates: int = 0,
        total_updates: int | None = None,
        log_interval: int = 100,
        tensorboard: bool = True,
        measured: str = "audio_seconds",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.train = RunningMeans()
        self._total_updates = total_updates
        self._log_interval = log_interval
        self._lines = JsonLines(folder / "log.jsonl", num_updates)
        self._events = _open_events(folder / "tensorboard", num_updates) if tensorboard else None
        self._display = Display(num_updates, total_updates, stream=stream, clock=clock)
        self._clock = clock
        # The seconds of a run that goes on are counted on from those of its last line.
        self._started = clock() - self._lines.last.get("wall_seconds", 0.0)
        self._speed = Speed(clock, measured)
        self._unwritten: tuple[int, int, float] | None = None  # update, epoch and rate of the last one

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:  # updates since the last full interval
                self._write_train()
        finally:
            self.close()

    def used(self, use: Use) -> None:
        """Note how the machine was used for an update, before what came of it."""
        self._speed.used(use)

    def update(self, num_updates: int, *, epoch: int, lr: float, amount: float) -> Mapping[str, float] | None:
        """Note the end of an update, after `train` has been told of it.

        Args:
            num_updates: Updates done, this one included.
            epoch: From 1.
            lr: The learning rate that it used.
            amount: Of what it was trained on: seconds of audio, or tokens.

        Returns:
            What was logged, where a line was due.
        """
        self._speed.add(amount)
        rates = self._speed.rates()
        self._unwritten = (num_updates, epoch, lr)
        values = None
        if num_updates % self._log_interval == 0 or num_updates == self._total_updates:
            values = self._write_train()
            self.train.reset()
            self._speed.reset()
        self._display.advance(num_updates, rates)
        return values

    def _write_train(self) -> Mapping[str, float] | None:
        if not self._unwritten:
            return None
        num_updates, epoch, lr = self._unwritten
        values = {"epoch": epoch, **self.train.means(), "lr": lr, **self._speed.rates()}
        self.record("train", num_updates, values)
        self._unwritten = None
        return values

    def record(self, split: str, num_updates: int, values: Mapping[str, float]) -> None:
        """Write one line of `values` (such as ``RunningMeans.means()``) for a split or subset."""
        wall_seconds = self._clock() - self._started
        self._lines.write({"update": num_updates, "split": split, **values, "wall_seconds": wall_seconds})
        if self._events:
            self._events.write(split, num_updates, values)
        self._display.line(split, num_updates, values)

    def say(self, text: str) -> None:
        """Show a line on the console that the log has no place for."""
        self._display.say(text)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block, a validation or a save, out of the speed of training."""
        with self._speed.paused():
            yield

    def close(self) -> None:
        """Close the files and leave the console in order."""
        self._display.close()
        self._lines.close()
        if self._events:
            self._events.close()


class QuietLog(RunLog):
    """The log of a worker that leaves writing and speaking to another."""

    def __init__(self) -> None:
        self.train = RunningMeans()

    def used(self, use: Use) -> None:
        """Nothing."""

    def update(self, num_updates: int, *, epoch: int, lr: float, amount: float) -> None:
        """Forget what was noted."""
        self.train.reset()

    def record(self, split: str, num_updates: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing."""
        yield

    def close(self) -> None:
        """Nothing."""

    def _write_train(self) -> None:
        """Nothing."""


class JsonLines:
    """A file of one JSON object a line, on the disk as soon as it is written.

    Args:
        path: The file; lines of updates after `num_updates`, and a line cut short, are dropped.
        num_updates: Where the run goes on; 0 begins a new file.

    Attributes:
        last: The last object that was kept; empty where there is none.

    Raises:
        UserError: The file cannot be read or written.
    """

    def __init__(self, path: Path, num_updates: int = 0) -> None:
        self._path = path
        try:
            kept = list(self._kept(num_updates)) if num_updates > 0 and path.exists() else []
            atomic_write_text(path, "".join(f"{line}\n" for line in kept))
            self._stream = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            raise UserError(f"cannot open {path}: {error.strerror or error}") from error
        self.last: dict[str, Any] = json.loads(kept[-1]) if kept else {}

    def _kept(self, num_updates: int) -> Iterator[str]:
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            # A crash can cut a line short.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                if json.loads(line)["update"] <= num_updates:
                    yield line

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one object; numbers that are not finite become null, which JSON has a word for.

        Raises:
            UserError: The disk is full or failing.
        """
        line = json.dumps({name: _plain(value) for name, value in record.items()}, allow_nan=False)
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except OSError as error:
            raise UserError(
                f"cannot write {self._path}: {error.strerror or error}; free some space or check the disk: "
                "the same command then goes on from the last checkpoint"
            ) from error

    def close(self) -> None:
        """Close the file."""
        # Each line was flushed when it was written; one that could not be has been complained of.
        with contextlib.suppress(OSError):
            self._stream.close()


class Events:
    """TensorBoard events, one folder a split as fairseq has them.

    Args:
        folder: Where the splits' folders go.
        num_updates: Events after this update, of a run that goes on here, are hidden.

    Raises:
        ImportError: The extra ``tensorboard`` is not installed.
    """

    def __init__(self, folder: Path, num_updates: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._open = functools.partial(SummaryWriter, purge_step=num_updates + 1 if num_updates else None)
        self._folder = folder
        self._writers: dict[str, Any] = {}

    def write(self, split: str, num_updates: int, values: Mapping[str, float]) -> None:
        """Add a point to the curve of each value."""
        if split not in self._writers:
            self._writers[split] = self._open(str(self._folder / split))
        for name, value in values.items():
            self._writers[split].add_scalar(name, value, num_updates)
        self._writers[split].flush()

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()


def _open_events(folder: Path, num_updates: int) -> Events | None:
    try:
        return Events(folder, num_updates)
    except ImportError:
        _say_once("no TensorBoard events are written: pip install 'auricle[tensorboard]' to have them")
        return None


@functools.cache
def _say_once(notice: str) -> None:
    _logger.warning(notice)


def _detached(value: Number) -> Number:
    return value.detach() if isinstance(value, Tensor) else value


def _plain(value: Any) -> Any:
    """A value as the log has it: floats to eight digits, which tell curves apart and are short."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
