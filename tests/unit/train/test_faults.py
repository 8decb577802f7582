"""Saves that fail, at one call after the other: the last good checkpoint loads, and the run goes on."""

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

import auricle
from auricle.errors import UserError
from auricle.train.checkpoint import load_training_state
from tiny_runs import assert_same_weights, trainer_of, weights

OPTIONS = {"max_update": 4, "save_interval_updates": 1, "disable_validation": True}


def faulty(original: Callable[..., Any], number: int, fail: Callable[..., Any]) -> Callable[..., Any]:
    """Lets the n-th call from now on fail, once."""
    calls = itertools.count(1)

    def call(*args: Any, **options: Any) -> Any:
        return (fail if next(calls) == number else original)(*args, **options)

    return call


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def half_a_file(tensors: Any, path: Any, metadata: Any = None) -> None:
    """A short write: part of it is on the disk when the disk is full."""
    whole = safetensors.torch.save(tensors, metadata)
    Path(path).write_bytes(whole[: len(whole) // 2])
    raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")


def half_a_text(self: Path, text: str, **options: Any) -> int:
    with open(self, "w", encoding="utf-8") as stream:
        stream.write(text[: len(text) // 2])
    return full()


FAULTS = {
    "disk full while tensors are written": ("safetensors.torch.save_file", half_a_file, 2),
    "disk full while text is written": ("pathlib.Path.write_text", half_a_text, 2),
    "a write that cannot be flushed": ("os.fsync", failing, 3),
    "a rename that fails": ("os.rename", failing, 4),
    "a link that fails": ("os.link", failing, 2),
}
"""What fails, how, and how often it is called in a save or so."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    trainer = trainer_of(tmp_path_factory.mktemp("whole") / "run", **OPTIONS)
    trainer.run()
    return weights(trainer.model)


@pytest.mark.parametrize(
    ("fault", "number"),
    [(name, number) for name, (*_, calls) in FAULTS.items() for number in range(1, calls + 1)],
)
def test_the_last_good_checkpoint_loads(
    fault: str, number: int, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, fail, _ = FAULTS[fault]
    folder = tmp_path / "run"
    trainer_of(folder, **{**OPTIONS, "max_update": 2}).run()
    trainer = trainer_of(folder, **OPTIONS)
    update, module, name = trainer.step.update, *target.rpartition(".")[::2]
    owner = {"os": os, "pathlib.Path": Path, "safetensors.torch": safetensors.torch}[module]

    def watched(*where: Any) -> Any:
        monkeypatch.setattr(owner, name, faulty(getattr(owner, name), number, fail))
        trainer.step.update = update
        return update(*where)

    trainer.step.update = watched
    harmless = fault == "a link that fails" or (fault == "a rename that fails" and number > 3)
    if harmless:  # files are copied then; what an old checkpoint leaves is removed by the next save
        trainer.run()
    else:
        with pytest.raises(UserError, match=r"cannot save .*is kept in|nothing was saved there before"):
            trainer.run()
    monkeypatch.undo()
    assert load_training_state(folder / "checkpoints" / "last").num_updates >= 2
    assert auricle.load(folder / "checkpoints" / "last").num_updates >= 2
    again = trainer_of(folder, **OPTIONS)
    again.run()
    assert_same_weights(weights(again.model), whole)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {
        "last",
        *(f"update_{n}" for n in (1, 2, 3, 4)),
    }
