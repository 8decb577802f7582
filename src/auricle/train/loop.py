"""The training loop: epochs of updates, validation, checkpoints, and leaving in good order.

Everything it does after a restart follows from the checkpoint and the recipe: batches and draws are
functions of (seed, epoch, position), so a run that was killed gives the parameters of one that was not.

Several workers run this loop side by side. Whether to stop and what is due they decide from the same numbers;
the first of them writes and speaks.
"""

import math
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

from auricle.data.batching import deal
from auricle.data.collate import SetAside, nothing
from auricle.data.loader import AnyBatch, BatchLoader
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.models.build import Model
from auricle.models.config import SpeechConfig
from auricle.train.engine import Engine, check_same
from auricle.train.metrics import QuietLog, RunLog
from auricle.train.saving import Keeper
from auricle.train.schedule import Schedule
from auricle.train.signals import StopRequest, reason_of
from auricle.train.speed import Use
from auricle.train.step import Step, UpdateResult
from auricle.train.validation import add_loss, validate
from auricle.train.watch import Watcher, most_telling, names_of, why_not_finite

MAX_SKIPPED = 50
"""Updates in a row whose gradient is not finite, before the run gives up."""

_GRACE_SECONDS = 5.0
"""For which workers take all signals as one."""


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """When to stop, log, validate and save; fairseq's words and meanings.

    `update_freq` holds the batches an update is made of, by epoch (the last one goes on), however many
    workers share them; intervals count epochs, and updates where their name says so; 0 is never.
    """

    max_update: int = 0
    max_epoch: int = 0
    stop_time_hours: float = 0.0
    stop_min_lr: float = -1.0
    update_freq: tuple[int, ...] = (1,)
    log_interval: int = 100
    disable_validation: bool = False
    validate_interval: int = 1
    validate_interval_updates: int = 0
    validate_after_updates: int = 0
    save_interval: int = 1
    save_interval_updates: int = 0
    keep_interval_updates: int = -1
    no_save: bool = False
    best_metric: str = "loss"
    maximize_best: bool = False
    patience: int = -1
    tensorboard: bool = True


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint.

    Attributes:
        epoch: From 1.
        batches_done: Of this epoch, micro-batches of all workers.
        num_updates: Done.
        seconds: Of training, earlier sittings included.
        best: Best value of the metric so far.
        validations_since_best: For `patience`.
        skipped: Updates left out because their gradient was not finite.
        set_aside: Names of the utterances left out while reading, each once.
        unfinished: Whether something that its last update asks for, a validation or a checkpoint to keep, was
            put off because somebody asked to stop.
    """

    epoch: int = 1
    batches_done: int = 0
    num_updates: int = 0
    seconds: float = 0.0
    best: float | None = None
    validations_since_best: int = 0
    skipped: int = 0
    set_aside: list[str] = field(default_factory=list)
    unfinished: bool = False


@dataclass
class Trainer:
    """One run, or a worker's part in it.

    Attributes:
        folder: The run folder.
        model: Being trained.
        dictionary: Of its labels, or None.
        step: Makes updates.
        schedule: Learning rate of each.
        train: Batches to learn from.
        valid: Batches to validate on, by subset; the first decides what is best.
        options: When to do what.
        recipe: Text for `recipe.yaml`; "" writes none.
        watcher: Says what goes wrong.
        stopped_by: The signal that ended it; None where it ended by itself.
    """

    folder: Path
    model: Model
    dictionary: Dictionary | None
    step: Step
    schedule: Schedule
    train: BatchLoader[Any]
    valid: Mapping[str, BatchLoader[Any]]
    options: LoopOptions
    recipe: str = ""
    watcher: Watcher = field(default_factory=Watcher)
    progress: Progress = field(default_factory=Progress)
    stopped_by: int | None = None
    _skipped_in_a_row: int = 0
    _usable_batches: int = 0
    _unread: list[SetAside] = field(default_factory=list)

    @property
    def engine(self) -> Engine:
        """The workers."""
        return self.step.engine

    @property
    def _keeper(self) -> Keeper:
        keep = self.options.keep_interval_updates
        return Keeper(self.folder / "checkpoints", self.model, self.dictionary, self.step, keep)

    def run(self) -> str:
        """Train until a limit is reached or somebody asks to stop.

        Returns:
            Why it ended, for the last line.

        Raises:
            UserError: The loss stays infinite, a checkpoint cannot be written, or another worker has ended.
        """
        with self.engine.watched():
            return self._run()

    def _run(self) -> str:
        with self.engine.together():
            restored = self._keeper.restore()
            if restored:
                self.progress = Progress(**restored["progress"])
                self._usable_batches = self.progress.batches_done  # or the epoch would not have come so far
            if self.recipe and self.engine.first:  # only now is it sure that the folder is of this model
                atomic_write_text(self.folder / "recipe.yaml", self.recipe)
        self._check_workers()
        self._started = time.monotonic() - self.progress.seconds
        grace = _GRACE_SECONDS if self.engine.num_workers > 1 else 0.0
        with self._open_log() as log, StopRequest(grace) as stop:
            if self.engine.first:
                log.train.restore({name: tuple(sums) for name, sums in restored.get("means", {}).items()})
            if self.progress.num_updates:
                log.say(f"going on from update {self.progress.num_updates}")
            reason = None
            if not self.progress.unfinished:
                reason = self._reason_to_end() or self._out_of_patience()
            while reason is None:
                reason = self._epoch(log, stop)
            log.say(reason)
        return reason

    def _check_workers(self) -> None:
        """See that all workers begin at one place, with one list of utterances."""
        place = [self.progress.num_updates, self.progress.epoch, self.progress.batches_done]
        data = [len(self.train.dataset), zlib.crc32(self.train.dataset.sizes.tobytes())]
        check_same(self.engine.gather(place), "a checkpoint of update, epoch and batch")
        check_same(self.engine.gather(data), "utterances (number, check sum of lengths)")

    def _open_log(self) -> RunLog:
        if not self.engine.first:
            return QuietLog()
        self.folder.mkdir(parents=True, exist_ok=True)
        return RunLog(
            self.folder,
            num_updates=self.progress.num_updates,
            total_updates=self.options.max_update or None,
            log_interval=self.options.log_interval,
            tensorboard=self.options.tensorboard,
            measured="audio_seconds" if isinstance(self.model.config, SpeechConfig) else "tokens",
        )

    def _epoch(self, log: RunLog, stop: StopRequest) -> str | None:
        """The rest of the current epoch; gives the reason to end the run, or None."""
        progress = self.progress
        if progress.unfinished:
            reason = self._finish(log, self._reason_to_end())
            if reason or progress.batches_done == 0:
                return reason
        num_batches = len(self.train.batches(progress.epoch))
        for count, batches in self._updates_of_epoch(num_batches):
            made = self._update(count, batches, log)
            progress.seconds = time.monotonic() - self._started
            stopped_by, reason = self._agree(stop)
            ended = progress.batches_done >= num_batches
            progress.unfinished = bool(reason) or ended or (made and self._due_by_updates())
            if stopped_by:
                self.stopped_by = stopped_by
                self._save(log)
                return reason_of(stopped_by)
            if progress.unfinished:
                reason = self._finish(log, reason)
                if reason or ended:
                    return reason
        # Nothing was left of it: a run that an earlier version of this program stopped at an epoch's end.
        return self._finish(log, None)

    def _agree(self, stop: StopRequest) -> tuple[int | None, str | None]:
        """The signal that asks any worker to stop, and a reason for all to end."""
        said = self.engine.gather([stop.signal_number, self._reason_to_end()])
        signals, reasons = ([what for what in each if what is not None] for each in zip(*said, strict=True))
        return next(iter(signals), None), next(iter(reasons), None)

    def _finish(self, log: RunLog, reason: str | None) -> str | None:
        """What is due after an update, the end of the epoch included; gives the reason to end, or None."""
        progress = self.progress
        ended = progress.batches_done >= len(self.train.batches(progress.epoch))
        if ended:
            self._check_usable()
            progress.epoch, progress.batches_done = progress.epoch + 1, 0
            reason = reason or self._reason_to_end()
        return self._validate_and_save(log, end_of_epoch=ended, stopping=reason)

    def _check_usable(self) -> None:
        """Do not go on for ever over data of which nothing can be read."""
        if self._unread and not self._usable_batches:
            raise UserError(self.train.nothing_left(self._unread))
        self._usable_batches, self._unread = 0, []

    def _updates_of_epoch(self, num_batches: int) -> Iterator[tuple[int, list[AnyBatch]]]:
        """For each update that is left of this epoch, its micro-batches: how many, and this worker's."""
        progress, engine, frequencies = self.progress, self.engine, self.options.update_freq
        count = frequencies[min(progress.epoch, len(frequencies)) - 1]
        start = progress.batches_done
        shares = deal(start, num_batches, count, engine.num_workers, engine.rank)
        numbers = [number for share in shares for number in share if number is not None]
        batches = self.watcher.waits.timed(self.train.read(progress.epoch, numbers))
        for begin, share in zip(range(start, num_batches, count), shares, strict=True):
            mine = [nothing() if number is None else next(batches) for number in share]
            yield min(count, num_batches - begin), mine

    def _update(self, count: int, batches: list[AnyBatch], log: RunLog) -> bool:
        """Whether there was an update of `count` micro-batches to make, and it was made."""
        progress = self.progress
        self.model.train()
        progress.batches_done += count
        shares = self.engine.gather(_summary(batches, self.watcher.use(batches)))
        log.used(Use.of_all([Use(*share["use"]) for share in shares]))
        self._set_aside([SetAside(*item) for share in shares for item in share["set_aside"]], log)
        usable = sum(share["usable"] for share in shares)
        self._usable_batches += usable
        if not usable:
            return False
        lr = self.schedule(progress.num_updates)
        result = self.step.update(batches, progress.epoch, progress.num_updates, lr)
        if not result.applied:
            self._note_skipped(batches, result, lr, log)
            return False
        self._skipped_in_a_row = 0
        progress.num_updates += 1
        for loss in result.losses:
            add_loss(log.train, loss)
        log.train.add("grad_norm", result.grad_norm)
        names = [self.train.dataset.name(index) for share in shares for index in share["ids"]]
        amount = sum(share["amount"] for share in shares)
        line = log.update(progress.num_updates, epoch=progress.epoch, lr=lr, amount=amount)
        self.watcher.update(progress.num_updates, result, lr, names, line, log)
        return True

    def _set_aside(self, items: list[SetAside], log: RunLog) -> None:
        names = self.progress.set_aside
        for item in items:
            if item.name not in names:
                names.append(item.name)
                log.say(f"set aside {item.name}: {item.reason} ({len(names)} so far)")
        if not self._usable_batches:
            self._unread += items

    def _note_skipped(self, batches: list[AnyBatch], result: UpdateResult, lr: float, log: RunLog) -> None:
        self.progress.skipped += 1
        self._skipped_in_a_row += 1
        scale, names = self.step.loss_scale, names_of(batches, self.train.dataset)
        weights = (self.engine.own_part(parameter) for parameter in self.model.parameters())
        found = self.engine.gather(why_not_finite(weights, batches, names, result.losses, lr, scale))
        why = most_telling(found)
        count = self.progress.skipped
        log.say(f"warning: update skipped, its gradient is not finite ({count} so far): {why}")
        if self._skipped_in_a_row >= MAX_SKIPPED and not scale:
            raise UserError(f"{MAX_SKIPPED} updates in a row had no finite gradient; the last one: {why}")

    def _reason_to_end(self) -> str | None:
        progress, options = self.progress, self.options
        if options.max_update and progress.num_updates >= options.max_update:
            return f"done: {progress.num_updates} updates"
        if options.max_epoch and progress.epoch > options.max_epoch:
            return f"done: {options.max_epoch} epochs"
        if options.stop_time_hours and progress.seconds >= options.stop_time_hours * 3600:
            return f"done: {options.stop_time_hours:g} hours are over, after {progress.num_updates} updates"
        if progress.num_updates and self.schedule(progress.num_updates) <= options.stop_min_lr:
            return f"done: the learning rate fell to {options.stop_min_lr:g}"
        return None

    def _due_by_updates(self) -> bool:
        updates, options = self.progress.num_updates, self.options
        intervals = (options.save_interval_updates, options.validate_interval_updates)
        return any(_due(updates, interval) for interval in intervals)

    def _validate_and_save(
        self, log: RunLog, *, end_of_epoch: bool, stopping: str | None = None
    ) -> str | None:
        """Do what is due after an update or an epoch; gives `stopping`, another reason to end, or None.

        As in fairseq, whatever is saved within an epoch is validated first.
        """
        options, updates = self.options, self.progress.num_updates
        epochs_done = self.progress.epoch - 1
        keep = _due(updates, options.save_interval_updates)
        validate = bool(stopping or self._due_by_updates()) or _due(epochs_done, options.validate_interval)
        save = keep or (end_of_epoch and _due(epochs_done, options.save_interval))
        is_best = False
        with log.paused():
            if validate and not options.disable_validation and updates >= options.validate_after_updates:
                try:
                    is_best = self._validate(log)
                except UserError:
                    self._save(log)  # what was learnt is not lost to a subset that cannot be read
                    raise
            self.progress.unfinished = False
            reason = stopping or self._out_of_patience()
            if reason or save or is_best:
                self._save(log, best=is_best, keep=keep)
        return reason

    def _out_of_patience(self) -> str | None:
        count = self.progress.validations_since_best
        if 0 < self.options.patience <= count:
            return f"done: no better {self.options.best_metric} in {count} validations"
        return None

    def _validate(self, log: RunLog) -> bool:
        """Validate on every subset; whether the first one's metric is the best so far."""
        is_best = False
        for i, (subset, loader) in enumerate(self.valid.items()):
            line = validate(self.step, self.model, loader, self.progress.num_updates)
            log.record(subset, self.progress.num_updates, line)
            self.watcher.validated(subset, line, log)
            if i == 0:
                is_best = self._compare(line)
        return is_best

    def _compare(self, line: Mapping[str, float]) -> bool:
        metric = self.options.best_metric
        if metric not in line:
            raise UserError(
                f"checkpoint.best_checkpoint_metric={metric} is not among what validation measures "
                f"({', '.join(sorted(line))})"
            )
        value, best = line[metric], self.progress.best
        sign = -1 if self.options.maximize_best else 1
        if math.isfinite(value) and (best is None or sign * value < sign * best):
            self.progress.best, self.progress.validations_since_best = value, 0
            return True
        self.progress.validations_since_best += 1
        return False

    def _save(self, log: RunLog, *, best: bool = False, keep: bool = False) -> None:
        if not self.options.no_save:
            values = {"progress": asdict(self.progress), "means": log.train.state()}
            self._keeper.save(self.progress.num_updates, values, best=best, keep=keep)


def _summary(batches: Sequence[AnyBatch], use: Use) -> dict[str, Any]:
    """What the other workers want to know of this one's micro-batches, as JSON has it."""
    return {
        "usable": sum(len(batch) > 0 for batch in batches),
        "ids": [index for batch in batches for index in batch.ids.tolist()],
        "amount": sum(batch.amount for batch in batches),
        "set_aside": [[item.name, item.reason] for batch in batches for item in batch.set_aside],
        "use": astuple(use),
    }


def _due(count: int, interval: int) -> bool:
    return interval > 0 and count > 0 and count % interval == 0
