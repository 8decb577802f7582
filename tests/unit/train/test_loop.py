"""The loop: epochs, logging, validation, checkpoints, reasons to end, resuming."""

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import auricle
from auricle.data import Batch
from auricle.data.collate import SetAside
from auricle.errors import UserError
from auricle.models.config import Wav2Vec2Config
from auricle.models.wav2vec2 import PretrainingDraws
from auricle.train.checkpoint import load_training_state
from auricle.train.draws import Position, SeededDraws
from auricle.train.loop import MAX_SKIPPED, Trainer
from auricle.train.schedule import PolynomialDecay
from auricle.train.step import UpdateResult
from auricle.train.validation import validate
from tiny_runs import (
    assert_same_weights,
    ctc_model,
    objective_of,
    pretraining_model,
    step_of,
    trainer_of,
    weights,
)

BATCHES = 4
"""An epoch of the tiny corpus."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def log_of(trainer: Trainer, split: str = "train") -> list[dict[str, Any]]:
    lines = map(json.loads, (trainer.folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["split"] == split]


def checkpoints_of(trainer: Trainer) -> set[str]:
    return {path.name for path in (trainer.folder / "checkpoints").iterdir()}


def positions(trainer: Trainer) -> list[Position]:
    """Where each forward pass of the run stands, validation included; filled while it runs."""
    seen: list[Position] = []

    class Watched(SeededDraws):
        def pretraining(
            self, config: Wav2Vec2Config, ids: Sequence[int], frames: Sequence[int], position: Position
        ) -> PretrainingDraws:
            seen.append(position)
            return super().pretraining(config, ids, frames, position)

    trainer.step.objective = objective_of(trainer.model, Watched(1))
    return seen


def test_updates_go_on_over_epochs_until_their_number_is_reached(folder: Path) -> None:
    trainer = trainer_of(folder, max_update=6, update_freq=(1,), disable_validation=True)
    seen = positions(trainer)
    assert trainer.run() == "done: 6 updates"
    assert seen == [Position(1 + n // BATCHES, n, 0) for n in range(6)]
    lines = log_of(trainer)
    assert [line["update"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["epoch"] for line in lines] == [1, 1, 1, 1, 2, 2]
    wanted = {"loss", "loss_0", "loss_1", "loss_2", "accuracy", "prob_perplexity", "code_perplexity", "temp"}
    assert wanted | {"grad_norm", "lr", "audio_seconds_per_second"} <= lines[0].keys()


def test_micro_batches_make_an_update_and_the_last_one_takes_what_is_left(folder: Path) -> None:
    trainer = trainer_of(folder, max_epoch=3, update_freq=(3, 2), disable_validation=True)
    seen = positions(trainer)
    assert trainer.run() == "done: 3 epochs"
    # Epoch 1: 3 + 1 batches; 2 and 3: 2 + 2.
    expected = [(1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 1, 0)]
    expected += [(epoch, 2 * (epoch - 1) + n // 2, n % 2) for epoch in (2, 3) for n in range(4)]
    assert seen == [Position(*place) for place in expected]


def test_the_rate_of_each_update_is_the_schedules(folder: Path) -> None:
    trainer = trainer_of(folder, max_update=4, disable_validation=True)
    trainer.schedule = PolynomialDecay(0.01, 4, 2)
    trainer.run()
    assert [line["lr"] for line in log_of(trainer)] == pytest.approx([0.0, 0.005, 0.01, 0.005])


@pytest.mark.parametrize(
    ("options", "reason", "updates"),
    [
        ({"max_update": 3}, "done: 3 updates", 3),
        ({"max_epoch": 1, "max_update": 90}, "done: 1 epochs", BATCHES),
        ({"stop_min_lr": 0.5, "max_update": 90}, "done: the learning rate fell to 0.5", 3),
        ({"stop_time_hours": 1e-9}, "done: 1e-09 hours are over, after 1 updates", 1),
    ],
)
def test_reasons_to_end(folder: Path, options: dict[str, Any], reason: str, updates: int) -> None:
    trainer = trainer_of(folder, disable_validation=True, **options)
    trainer.schedule = lambda n: 1.0 if n < 3 else 0.5
    assert trainer.run() == reason
    assert trainer.progress.num_updates == updates
    assert auricle.load(folder).num_updates == updates


def test_what_is_saved_when(folder: Path) -> None:
    options = {"save_interval_updates": 2, "keep_interval_updates": 2, "disable_validation": True}
    trainer = trainer_of(folder, max_update=7, save_interval=0, **options)
    trainer.run()
    assert checkpoints_of(trainer) == {"last", "update_4", "update_6"}
    assert auricle.load(folder / "checkpoints" / "update_4").num_updates == 4
    assert auricle.load(folder).num_updates == 7
    assert_same_weights(weights(auricle.load(folder).model), weights(trainer.model))


def test_nothing_is_saved_where_that_is_asked_for(folder: Path) -> None:
    trainer = trainer_of(folder, max_update=2, no_save=True)
    trainer.run()
    assert not (folder / "checkpoints").exists()


def fake_validation(monkeypatch: pytest.MonkeyPatch, losses: Sequence[float]) -> None:
    """Validation that measures these losses, one after the other."""
    remaining = iter(losses)
    monkeypatch.setattr("auricle.train.loop.validate", lambda *_: {"loss": next(remaining)})


def test_the_best_is_kept_and_updates_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_validation(monkeypatch, [3.0, 1.0, float("nan"), 2.0])
    trainer = trainer_of(folder, max_update=8, validate_interval_updates=2)
    trainer.run()
    assert [line["update"] for line in log_of(trainer, "valid")] == [2, 4, 6, 8]
    assert auricle.load(folder).source.name == "best"
    assert auricle.load(folder).num_updates == 4
    assert auricle.load(folder / "checkpoints" / "last").num_updates == 8
    assert trainer.progress.best == 1.0


def test_larger_may_be_better(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_validation(monkeypatch, [3.0, 5.0, 4.0])
    trainer = trainer_of(folder, max_update=3, validate_interval_updates=1, maximize_best=True)
    trainer.run()
    assert (trainer.progress.best, auricle.load(folder).num_updates) == (5.0, 2)


def test_validation_comes_after_epochs_and_not_too_early(folder: Path) -> None:
    trainer = trainer_of(folder, max_epoch=5, validate_interval=2, validate_after_updates=9)
    trainer.run()
    # After epochs 2 (too early) and 4, and at the end.
    assert [line["update"] for line in log_of(trainer, "valid")] == [4 * BATCHES, 5 * BATCHES]


def test_patience_counts_validations_without_a_better_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_validation(monkeypatch, [3.0, 2.0, 2.0, 2.5])
    trainer = trainer_of(folder, max_update=90, validate_interval_updates=1, patience=2, save_interval=0)
    assert trainer.run() == "done: no better loss in 2 validations"
    assert trainer.progress.num_updates == 4
    assert auricle.load(folder / "checkpoints" / "last").num_updates == 4


def test_a_metric_that_nothing_measures_is_answered(folder: Path) -> None:
    trainer = trainer_of(folder, max_update=1, best_metric="wer")
    with pytest.raises(UserError, match=r"best_checkpoint_metric=wer is not among .*accuracy.*loss"):
        trainer.run()


def test_validation_repeats_itself_and_changes_nothing(folder: Path) -> None:
    trainer = trainer_of(folder, model=ctc_model(), max_update=1)
    before = weights(trainer.model)
    first, second = (validate(trainer.step, trainer.model, trainer.valid["valid"], n) for n in (0, 7))
    assert first == second
    assert {"loss", "wer", "uer", "cer"} <= first.keys()
    assert_same_weights(before, weights(trainer.model))


def test_every_subset_is_validated_and_the_first_decides(folder: Path) -> None:
    trainer = trainer_of(folder, max_update=1)
    trainer.valid = {"dev": trainer.valid["valid"], "other": trainer.train}
    trainer.run()
    assert trainer.progress.best == pytest.approx(log_of(trainer, "dev")[0]["loss"])
    assert len(log_of(trainer, "other")) == 1


# --- leaving and coming back


def run_in_pieces(folder: Path, stops: Sequence[int], make: Callable[[], Any], **options: Any) -> Trainer:
    """A run that a signal stops after these numbers of updates, taken up again by a new trainer each time."""
    for stop in stops:
        trainer = trainer_of(folder, make(), **options)
        stop_after(trainer, stop)
        assert trainer.run().startswith("stopped by SIGTERM")
        assert trainer.progress.num_updates == stop
    trainer = trainer_of(folder, make(), **options)
    trainer.run()
    return trainer


def stop_after(trainer: Trainer, updates: int) -> None:
    """Have somebody send SIGTERM during that update."""
    update = trainer.step.update

    def watched(batches: Sequence[Batch], epoch: int, num_updates: int, lr: float) -> UpdateResult:
        if num_updates + 1 == updates:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(batches, epoch, num_updates, lr)

    trainer.step.update = watched


SAME = ("update", "split", "epoch", "loss", "lr", "grad_norm", "accuracy", "temp", "wer")


def story(trainer: Trainer) -> list[Mapping[str, Any]]:
    """All that the log says, but for speed and time."""
    lines = map(json.loads, (trainer.folder / "log.jsonl").read_text().splitlines())
    return [{name: line.get(name) for name in SAME} for line in lines]


def state_of(trainer: Trainer) -> dict[str, Tensor]:
    return dict(load_training_state(trainer.folder / "checkpoints" / "last").tensors)


@pytest.mark.parametrize(("make", "update_freq"), [(pretraining_model, (3,)), (ctc_model, (1,))])
def test_a_run_in_pieces_is_the_run_in_one(
    tmp_path: Path, make: Callable[[], Any], update_freq: tuple[int, ...]
) -> None:
    options = {"max_update": 9, "update_freq": update_freq, "log_interval": 2, "validate_interval_updates": 4}
    whole = trainer_of(tmp_path / "whole", make(), **options)
    whole.run()
    pieces = run_in_pieces(tmp_path / "pieces", [1, 5, 6], make, **options)
    assert_same_weights(weights(whole.model), weights(pieces.model))
    assert_same_weights(*(state_of(run) for run in (whole, pieces)))
    # A run that stops also logs what has happened since the last line.
    expected = story(whole)
    assert [line for line in story(pieces) if line in expected] == expected
    assert replace(pieces.progress, seconds=0.0) == replace(whole.progress, seconds=0.0)


def test_a_run_that_is_done_stays_done(folder: Path) -> None:
    trainer_of(folder, max_update=2).run()
    again = trainer_of(folder, pretraining_model(seed=9), max_update=2)
    assert again.run() == "done: 2 updates"
    assert_same_weights(weights(again.model), weights(auricle.load(folder).model))


def test_the_loss_scale_is_taken_up_again(folder: Path) -> None:
    trainer = trainer_of(folder, max_update=1)
    trainer.step = step_of(trainer.model, precision="fp16")
    trainer.step.precision = "float32"  # of a device that has no float16
    assert trainer.step.loss_scale is not None
    trainer.step.loss_scale.value, trainer.step.loss_scale.good_updates = 64.0, 5
    trainer.run()
    again = trainer_of(folder, max_update=1)
    again.step = step_of(again.model, precision="fp16")
    again.run()
    assert again.step.loss_scale is not None
    assert (again.step.loss_scale.value, again.step.loss_scale.good_updates) == (64.0, 6)


# --- what cannot be used


class Holes:
    """Batches of which some utterances could not be read, and one not at all."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def read(self, epoch: int, numbers: Sequence[int]):
        for number, batch in zip(numbers, self._loader.read(epoch, numbers), strict=True):
            if number == 1:
                batch = replace(batch, ids=batch.ids[:0], waveforms=batch.waveforms[:0],
                                lengths=batch.lengths[:0])  # fmt: skip
            yield replace(batch, set_aside=(SetAside(f"{number}.wav", "it is empty"),))


def test_what_cannot_be_read_is_named_and_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = trainer_of(folder, max_epoch=1, disable_validation=True)
    trainer.train = Holes(trainer.train)
    trainer.run()
    assert trainer.progress.num_updates == BATCHES - 1
    assert len(trainer.progress.set_aside) == BATCHES
    assert "set aside 2.wav: it is empty" in capsys.readouterr().err


def test_an_epoch_whose_rest_cannot_be_read_is_not_empty_to_a_run_that_goes_on(folder: Path) -> None:
    options = {"max_epoch": 1, "disable_validation": True}
    trainer_of(folder, max_update=BATCHES - 1, **options).run()
    trainer = trainer_of(folder, **options)
    for index in trainer.train.batches(1)[-1]:
        (folder.parent / "audio" / f"{index}.wav").write_bytes(b"damaged")
    assert trainer.run() == "done: 1 epochs"
    assert trainer.progress.num_updates == BATCHES - 1


def test_updates_without_finite_gradient_are_skipped_and_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = trainer_of(folder, max_epoch=1, disable_validation=True)
    update, attempts = trainer.step.update, []

    def failing(batches: Sequence[Batch], epoch: int, num_updates: int, lr: float) -> UpdateResult:
        attempts.append(num_updates)
        if len(attempts) == 2:
            return UpdateResult((), float("nan"), False)
        return update(batches, epoch, num_updates, lr)

    trainer.step.update = failing
    trainer.run()
    assert attempts == [0, 1, 1, 2]
    assert (trainer.progress.num_updates, trainer.progress.skipped) == (3, 1)
    assert "update skipped, its gradient is not finite (1 so far)" in capsys.readouterr().err
    assert [line["update"] for line in log_of(trainer)] == [1, 2, 3]


def test_a_run_without_any_finite_gradient_gives_up(folder: Path) -> None:
    trainer = trainer_of(folder, max_update=1)
    trainer.step.update = lambda *_: UpdateResult((), float("inf"), False)
    with pytest.raises(UserError, match=rf"{MAX_SKIPPED} updates in a row .*lower optimization\.lr"):
        trainer.run()


def test_the_model_trains_in_training_mode_and_validates_in_evaluation_mode(folder: Path) -> None:
    trainer = trainer_of(folder, max_update=2, validate_interval_updates=1)
    modes: list[tuple[bool, bool]] = []
    trainer.model.register_forward_hook(
        lambda module, *_: modes.append((module.training, torch.is_grad_enabled()))
    )
    trainer.run()
    validation = [(False, False)] * BATCHES
    assert modes == [(True, True), *validation, (True, True), *validation]
