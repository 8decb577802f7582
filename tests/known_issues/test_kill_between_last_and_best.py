"""A kill after `last` was saved and before `best` was lost `best`: the run that went on believed it saved."""

from pathlib import Path

import pytest

from auricle.convert.own import read_model
from auricle.train import saving
from tiny_runs import assert_same_weights, trainer_of, weights


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_the_run_that_goes_on_saves_the_best_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(saving, "copy_checkpoint", killed)
        trainer_of(tmp_path / "run", max_update=2).run()
    trainer = trainer_of(tmp_path / "run", max_update=2)
    trainer.run()
    for name in ("best", "last"):
        saved = read_model(tmp_path / "run" / "checkpoints" / name)
        assert saved.num_updates == 2
        assert_same_weights(weights(saved.model), weights(trainer.model))
