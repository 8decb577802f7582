"""A run stopped exactly at an update that asks for a validation or a checkpoint to keep skipped it for good.

And one whose patience had run out went on after a restart, until its next validation.
"""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import auricle
from auricle.train.loop import Trainer
from tiny_runs import assert_same_weights, trainer_of, weights


def stopped_at(folder: Path, update: int, **options: Any) -> Trainer:
    trainer = trainer_of(folder, **options)
    make = trainer.step.update

    def watched(batches, epoch, num_updates, lr):
        if num_updates + 1 == update:
            os.kill(os.getpid(), signal.SIGTERM)
        return make(batches, epoch, num_updates, lr)

    trainer.step.update = watched
    assert trainer.run().startswith("stopped by SIGTERM")
    assert trainer.stopped_by == signal.SIGTERM
    return trainer


def validated(folder: Path) -> list[int]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["update"] for line in lines if line["split"] == "valid"]


@pytest.mark.parametrize("update", [2, 4, 5, 6])
def test_it_is_done_when_the_run_goes_on(update: int, tmp_path: Path) -> None:
    options = {"max_update": 6, "validate_interval_updates": 2, "save_interval_updates": 2}
    whole = trainer_of(tmp_path / "whole", **options)
    whole.run()
    stopped_at(tmp_path / "run", update, **options)
    again = trainer_of(tmp_path / "run", **options)
    assert again.run() == "done: 6 updates"
    assert validated(tmp_path / "run") == validated(tmp_path / "whole") == [2, 4, 6]
    for name in ("update_2", "update_4", "update_6", "best", "last"):
        first, second = (
            auricle.load(tmp_path / run / "checkpoints" / name).model for run in ("run", "whole")
        )
        assert_same_weights(weights(first), weights(second))
    assert again.progress.best == whole.progress.best


def test_the_last_update_of_an_epoch_ends_it_once(tmp_path: Path) -> None:
    options = {"max_epoch": 1, "max_update": 4}
    stopped_at(tmp_path / "run", 4, **options)
    again = trainer_of(tmp_path / "run", **options)
    assert again.run().startswith("done")
    assert (validated(tmp_path / "run"), again.progress.epoch, again.progress.batches_done) == ([4], 2, 0)
    once_more = trainer_of(tmp_path / "run", **options)
    once_more.run()
    assert validated(tmp_path / "run") == [4]


def test_patience_that_has_run_out_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr("auricle.train.loop.validate", lambda *_: {"loss": next(losses)})
    options = {"max_update": 90, "validate_interval_updates": 1, "patience": 2}
    assert trainer_of(tmp_path / "run", **options).run() == "done: no better loss in 2 validations"
    again = trainer_of(tmp_path / "run", **options)
    assert again.run() == "done: no better loss in 2 validations"
    assert again.progress.num_updates == 3
    patient = trainer_of(tmp_path / "run", **{**options, "patience": 3})
    assert patient.run() == "done: no better loss in 3 validations"
    assert patient.progress.num_updates == 4
