"""The training loop: epochs of updates, validation, checkpoints, and leaving in good order.

Everything it does after a restart follows from the checkpoint and the recipe: batches and draws are
functions of (seed, epoch, position), so a run that was killed gives the parameters of one that was not.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from auricle.convert.loaded import Loaded
from auricle.convert.own import read_model
from auricle.data.loader import AnyBatch, BatchLoader
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.files import atomic_write_text, resolve_folder
from auricle.models.build import Model
from auricle.models.config import SpeechConfig
from auricle.train.checkpoint import (
    BEST,
    LAST,
    TrainingState,
    copy_checkpoint,
    load_training_state,
    remove_old_updates,
    save_checkpoint,
    update_name,
)
from auricle.train.metrics import RunLog
from auricle.train.schedule import Schedule
from auricle.train.signals import StopRequest
from auricle.train.step import LossScale, Step, UpdateResult
from auricle.train.validation import add_loss, validate
from auricle.train.watch import Watcher, names_of, why_not_finite

MAX_SKIPPED = 50
"""Updates in a row whose gradient is not finite, before the run gives up."""


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """When to stop, log, validate and save; fairseq's words and meanings.

    `update_freq` holds the batches an update is made of, by epoch (the last one goes on); intervals count
    epochs, and updates where their name says so; 0 is never.
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
        batches_done: Of this epoch, micro-batches.
        num_updates: Done.
        seconds: Of training, earlier sittings included.
        best: Best value of the metric so far.
        validations_since_best: For `patience`.
        skipped: Updates left out because their gradient was not finite.
        set_aside: Names of the utterances left out while reading, each once.
    """

    epoch: int = 1
    batches_done: int = 0
    num_updates: int = 0
    seconds: float = 0.0
    best: float | None = None
    validations_since_best: int = 0
    skipped: int = 0
    set_aside: list[str] = field(default_factory=list)


@dataclass
class Trainer:
    """One run.

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
    _skipped_in_a_row: int = 0

    def run(self) -> str:
        """Train until a limit is reached or somebody asks to stop.

        Returns:
            Why it ended, for the last line.

        Raises:
            UserError: The loss stays infinite, or a checkpoint cannot be written.
        """
        restored = self._restore()
        if self.recipe:  # only now is it sure that the folder is of this recipe's model
            atomic_write_text(self.folder / "recipe.yaml", self.recipe)
        started = time.monotonic() - self.progress.seconds
        with self._open_log() as log, StopRequest() as stop:
            log.train.restore(restored)
            if self.progress.num_updates:
                log.say(f"going on from update {self.progress.num_updates}")
            reason = self._reason_to_end()
            while reason is None:
                reason = self._epoch(log, stop, started)
            log.say(reason)
        return reason

    def _open_log(self) -> RunLog:
        self.folder.mkdir(parents=True, exist_ok=True)
        return RunLog(
            self.folder,
            num_updates=self.progress.num_updates,
            total_updates=self.options.max_update or None,
            log_interval=self.options.log_interval,
            tensorboard=self.options.tensorboard,
            measured="audio_seconds" if isinstance(self.model.config, SpeechConfig) else "tokens",
        )

    def _epoch(self, log: RunLog, stop: StopRequest, started: float) -> str | None:
        """The rest of the current epoch; gives the reason to end the run, or None."""
        progress, reason = self.progress, None
        num_batches = len(self.train.batches(progress.epoch))
        for batches in self._updates_of_epoch():
            made = self._update(batches, log)
            progress.seconds = time.monotonic() - started
            reason = stop.reason or self._reason_to_end()
            if reason or progress.batches_done >= num_batches:
                break
            if made and self._due_by_updates():
                reason = self._validate_and_save(log, end_of_epoch=False)
                if reason:
                    return reason
        if stop.reason:
            # Also at an epoch's end: the run that goes on from here finds nothing left of it, and ends it.
            self._save(log)
            return stop.reason
        ended = progress.batches_done >= num_batches
        if ended:
            progress.epoch, progress.batches_done = progress.epoch + 1, 0
            reason = reason or self._reason_to_end()
        if ended or reason:
            reason = self._validate_and_save(log, end_of_epoch=ended, stopping=reason)
        return reason

    def _updates_of_epoch(self) -> Iterator[list[AnyBatch]]:
        """The micro-batches of each update that is left of this epoch."""
        frequencies = self.options.update_freq
        count = frequencies[min(self.progress.epoch, len(frequencies)) - 1]
        batches = self.watcher.waits.timed(self.train.epoch(self.progress.epoch, self.progress.batches_done))
        while group := list(islice(batches, count)):
            yield group

    def _update(self, batches: list[AnyBatch], log: RunLog) -> bool:
        """Whether there was an update to make, and it was made."""
        progress = self.progress
        self.model.train()
        for item in (item for batch in batches for item in batch.set_aside):
            if item.name not in progress.set_aside:
                progress.set_aside.append(item.name)
                log.say(f"set aside {item.name}: {item.reason} ({len(progress.set_aside)} so far)")
        progress.batches_done += len(batches)
        batches = [batch for batch in batches if len(batch)]
        if not batches:
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
        amount = sum(batch.amount for batch in batches)
        use, done = self.watcher.use(batches), progress.num_updates
        line = log.update(done, epoch=progress.epoch, lr=lr, amount=amount, use=use)
        self.watcher.update(done, result, lr, names_of(batches, self.train.dataset), line, log)
        return True

    def _note_skipped(self, batches: list[AnyBatch], result: UpdateResult, lr: float, log: RunLog) -> None:
        self.progress.skipped += 1
        self._skipped_in_a_row += 1
        scale = self.step.loss_scale
        names = names_of(batches, self.train.dataset)
        why = why_not_finite(self.model, batches, names, result.losses, lr, scale)
        log.say(
            f"warning: update skipped, its gradient is not finite ({self.progress.skipped} so far): {why}"
        )
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
        if self.options.no_save:
            return
        checkpoints = self.folder / "checkpoints"
        kept = [update_name(self.progress.num_updates)] if keep else []
        # `last` comes last: a run killed in between goes on from the one before, and does all of it again.
        first, *others = (*kept, *([BEST] if best else []), LAST)
        save_checkpoint(checkpoints / first, self.model, self.model.config, self.dictionary, self._state(log))
        for name in others:
            copy_checkpoint(checkpoints / first, checkpoints / name)
        if keep:
            remove_old_updates(checkpoints, self.options.keep_interval_updates)

    def _state(self, log: RunLog) -> TrainingState:
        values: dict[str, Any] = {"progress": asdict(self.progress), "means": log.train.state()}
        if self.step.loss_scale:
            values["loss_scale"] = asdict(self.step.loss_scale)
        tensors = self.step.optimizer.named_state(self.model.named_parameters())
        return TrainingState(self.progress.num_updates, tensors, values)

    def _restore(self) -> Mapping[str, tuple[float, float]]:
        """Go on from `checkpoints/last`, where there is one; gives the log's running means."""
        folder = resolve_folder(self.folder / "checkpoints" / LAST)
        if not folder.exists():
            return {}
        try:
            loaded, state = read_model(folder), load_training_state(folder)
        except UserError as error:
            raise UserError(
                f"{error}, which you copy to {folder}, or choose another run folder (checkpoint.save_dir)"
            ) from None
        self._take_over(loaded)
        self.step.optimizer.load_named_state(self.model.named_parameters(), state.tensors)
        self.progress = Progress(**state.values["progress"])
        if self.step.loss_scale and "loss_scale" in state.values:
            self.step.loss_scale = LossScale(**state.values["loss_scale"])
        return {name: (total, weight) for name, (total, weight) in state.values["means"].items()}

    def _take_over(self, loaded: Loaded) -> None:
        """Give the model the weights of a checkpoint of this run.

        Raises:
            UserError: The recipe has become another since.
        """
        advice = (
            "go on with the recipe and the data it was begun with, or choose another run folder "
            "(checkpoint.save_dir)"
        )
        if self.dictionary is not None and loaded.dictionary is not None:
            self.dictionary.check_same(loaded.dictionary, "the dictionary of the labels", advice)
        now, old = self.model.config, loaded.config
        if isinstance(now, SpeechConfig) and isinstance(old, SpeechConfig) and now.normalize != old.normalize:
            trained = str(old.normalize).lower()
            raise UserError(f"{loaded.source} was trained with task.normalize={trained}: {advice}")
        try:
            self.model.load_state_dict(loaded.model.state_dict())
        except RuntimeError:
            raise UserError(
                f"{loaded.source} holds another model than the recipe describes: {advice}"
            ) from None


def _due(count: int, interval: int) -> bool:
    return interval > 0 and count > 0 and count % interval == 0
