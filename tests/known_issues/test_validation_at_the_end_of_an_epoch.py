"""Validation after an epoch's last update once came twice, or never where the run was stopped there.

The second time nothing was better than the first, so that patience ran out.
"""

import json
import os
import signal
from itertools import count
from pathlib import Path

import pytest

from auricle.train.step import UpdateResult
from tiny_runs import trainer_of

EPOCH = 4
"""Updates."""


@pytest.fixture(autouse=True)
def better_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = count(100, -1)
    monkeypatch.setattr("auricle.train.loop.validate", lambda *_: {"loss": float(next(losses))})


def validated(folder: Path) -> list[int]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["update"] for line in lines if line["split"] == "valid"]


def test_it_happens_once_and_patience_lasts(tmp_path: Path) -> None:
    trainer = trainer_of(
        tmp_path / "run",
        max_epoch=3,
        patience=1,
        validate_interval_updates=EPOCH,
        save_interval_updates=EPOCH,
    )
    assert trainer.run() == "done: 3 epochs"
    assert validated(tmp_path / "run") == [EPOCH, 2 * EPOCH, 3 * EPOCH]


def test_an_update_that_is_skipped_does_not_repeat_it(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "run", max_epoch=1, validate_interval_updates=2)
    update, attempts = trainer.step.update, count()

    def third_fails(*where) -> UpdateResult:
        return update(*where) if next(attempts) != 2 else UpdateResult((), float("nan"), False)

    trainer.step.update = third_fails
    trainer.run()
    assert validated(tmp_path / "run") == [2, 3]


def test_a_run_that_stops_there_does_it_when_it_goes_on(tmp_path: Path) -> None:
    first = trainer_of(tmp_path / "run", max_epoch=2)
    update, attempts = first.step.update, count(1)

    def last_is_interrupted(*where) -> UpdateResult:
        if next(attempts) == EPOCH:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(*where)

    first.step.update = last_is_interrupted
    assert first.run().startswith("stopped by SIGTERM")
    trainer_of(tmp_path / "run", max_epoch=2).run()
    assert validated(tmp_path / "run") == [EPOCH, 2 * EPOCH]
