"""Trouble is named with its cause: by rules on made-up values, and in runs that are driven into it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from auricle.data.collate import Batch
from auricle.train.schedule import Fixed
from auricle.train.step import LossScale
from auricle.train.watch import SETTLING_UPDATES, WINDOW_UPDATES, Watch, why_not_finite
from tiny_runs import CONFIG, batch_of, ctc_model, objective_of, pretraining_model, step_of, trainer_of

NAMES = ["a.wav", "b.wav", "c.wav", "d.wav"]


def lines(watch: Watch, **curves: list[float]) -> list[str]:
    """What is found in a log of one line a window."""
    found = []
    for number, values in enumerate(zip(*curves.values(), strict=True), start=1):
        found += watch.line(number * WINDOW_UPDATES, dict(zip(curves, values, strict=True)), NAMES)
    return found


def updates(watch: Watch, losses: list[float], lr: float = 0.5) -> list[str]:
    """What is found in a run whose loss has these values, each for a window."""
    found = []
    for number, loss in enumerate(np.repeat(losses, WINDOW_UPDATES), start=1):
        found += watch.update(number, loss, 1.0, lr, NAMES)
    return found


# --- rules


def test_a_run_that_learns_is_left_in_peace() -> None:
    watch = Watch(2, 320)
    falling = [6.7, 6.6, 6.0, 5.0, 4.5, 4.4, 4.6, 4.1]
    perplexity = [500.0, 200.0, 60.0, 25.0, 40.0, 90.0, 150.0, 200.0]
    assert lines(watch, loss=falling, code_perplexity=perplexity, accuracy=[0.4] * 8) == []
    assert updates(watch, falling) == []
    assert watch.validated("valid", {"wer": 100.0, "uer": 97.0}) == []


def test_a_loss_that_rises_is_called_divergence_once() -> None:
    (found,) = updates(Watch(), [6.0, 5.0, 4.0, 19.0, 20.0, 30.0])
    assert "the run diverges: the loss is 19 at update 40, after 4 at its best and 6 at the start" in found
    assert "the learning rate (0.5) is probably too high" in found
    assert "a.wav, b.wav, c.wav and 1 more" in found


def test_a_loss_that_comes_back_to_its_start_is_divergence_too() -> None:
    assert "diverges" in updates(Watch(), [6.0, 3.0, 2.0, 5.9])[0]
    assert updates(Watch(), [6.0, 5.0, 4.8, 5.9]) == []


def test_single_batches_are_not_judged() -> None:
    watch = Watch()
    found = [watch.update(n, 80.0 if n % 5 == 0 else 5.0, 1.0, 1e-3, NAMES) for n in range(1, 60)]
    assert found == [[]] * 59


def test_few_codebook_entries_are_called_collapse() -> None:
    (found,) = lines(
        Watch(2, 320), loss=[6.0] * 4, code_perplexity=[400.0, 90.0, 11.0, 2.1], accuracy=[0.1] * 4
    )
    assert "code_perplexity is 11 of 640 possible at update 30 (it was 400)" in found
    assert "criterion.loss_weights" in found


def test_a_task_that_has_become_trivial_is_called_collapse() -> None:
    (found,) = lines(Watch(2, 320), loss=[6.0, 3.0, 0.2], code_perplexity=[300.0, 200.0, 100.0],
                     accuracy=[0.1, 0.6, 0.97])  # fmt: skip
    assert "accuracy 97.0%" in found


def test_a_few_entries_that_are_told_apart_with_ease_are_collapse() -> None:
    """As in a run on AN4 without diversity term, at a temperature of 0.01 and a rate of 0.02."""
    curves = {"code_perplexity": [20.3, 5.5, 4.1, 3.9], "accuracy": [0.23, 0.51, 0.77, 0.77]}
    (found,) = lines(Watch(2, 64), loss=[5.3, 4.1, 2.6, 2.6], **curves)
    assert "code_perplexity is 4.1 of 128 possible at update 30 (it was 20.3), accuracy 77.0%" in found


def test_gradients_after_a_collapse_are_not_judged() -> None:
    watch = Watch(2, 64)
    assert all(not watch.update(n, 1.0, 1e-12, 1e-3, NAMES) for n in range(1, 2 * SETTLING_UPDATES))
    assert len(lines(watch, code_perplexity=[60.0, 2.0], accuracy=[0.1, 0.1])) == 1
    assert watch.update(50, 1.0, 2.0, 1e-3, NAMES) == []


def test_a_gradient_that_explodes_is_named_with_its_batch() -> None:
    watch = Watch()
    assert all(not watch.update(n, 1.0, 2.0 + n % 3, 1e-3, NAMES) for n in range(1, 2 * SETTLING_UPDATES))
    (found,) = watch.update(50, 1.0, 900.0, 1e-3, NAMES)
    assert "the gradient's norm is 900 at update 50" in found and "a.wav" in found
    assert watch.update(51, 1.0, 900.0, 1e-3, NAMES) == []


def test_only_blanks_are_explained() -> None:
    (found,) = Watch().validated("dev", {"wer": 100.0, "uer": 100.0})
    assert "every hypothesis of dev is empty: the model writes only blanks" in found


@pytest.mark.parametrize(
    ("value", "said"), [(3e8, "samples up to 3e+08"), (float("nan"), "samples up to nan")]
)
def test_samples_that_are_no_audio_are_the_cause(value: float, said: str) -> None:
    batch = batch_of([0, 1])
    batch.waveforms[1, 7] = value
    why = why_not_finite(pretraining_model().parameters(), [batch], ["a.wav", "b.wav"], [], 1e-3)
    assert why.startswith(f"not audio: b.wav ({said}):") and "a.wav" not in why


def test_weights_that_have_grown_are_the_cause() -> None:
    model = pretraining_model()
    with torch.no_grad():
        next(model.parameters()).fill_(1e6)
    assert "weights have grown to 1e+06: the run has diverged, the learning rate (0.1) is too high" in (
        why_not_finite(model.parameters(), [batch_of([0])], ["a.wav"], [], 0.1)
    )


def test_the_loss_scale_is_the_cause_in_fp16() -> None:
    why = why_not_finite(
        pretraining_model().parameters(), [batch_of([0])], ["a.wav"], [], 0.1, LossScale(64.0)
    )
    assert "an overflow of float16 at a loss scale that is now 64" in why


# --- runs


class Poisoned:
    """Batches in which the file `0.wav` has become something else than audio."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._loader, name)
        return value if name not in ("epoch", "read") else lambda *words: map(poisoned, value(*words))


def poisoned(batch: Batch) -> Batch:
    loud = (batch.ids == 0)[:, None]
    return replace(batch, waveforms=torch.where(loud, torch.inf, batch.waveforms))


def test_a_poisoned_batch_is_skipped_and_its_file_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = trainer_of(tmp_path / "run", max_epoch=1, disable_validation=True)
    trainer.train = Poisoned(trainer.train)  # type: ignore[assignment]
    trainer.run()
    err = capsys.readouterr().err
    assert trainer.progress.skipped == 1
    assert "update skipped, its gradient is not finite (1 so far): not audio: 0.wav (samples up to" in err
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


@pytest.mark.parametrize("make", [pretraining_model, ctc_model])
def test_too_high_a_learning_rate_is_named(
    make: Callable[[], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = trainer_of(tmp_path / "run", make(), max_update=30, disable_validation=True)
    trainer.schedule = Fixed(30.0)
    trainer.run()
    err = capsys.readouterr().err
    assert "warning: the run diverges: the loss is" in err
    assert "the learning rate (30) is probably too high" in err


def test_a_collapse_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the diversity term and with little masked, all targets become one code."""
    model = pretraining_model(replace(CONFIG, encoder=replace(CONFIG.encoder, dropout=0.0, layerdrop=0.0)))
    trainer = trainer_of(tmp_path / "run", model, max_update=150, disable_validation=True)
    trainer.step = step_of(model, replace(objective_of(model), loss_weights=(-1.0, 0.0)))  # type: ignore[type-var]
    trainer.schedule = Fixed(3e-2)
    trainer.watcher.watch = Watch(2, 4)
    trainer.run()
    assert "warning: the codebooks collapse: code_perplexity is" in capsys.readouterr().err


def test_a_recogniser_at_its_start_is_told_of_blanks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ctc_model()
    with torch.no_grad():
        model.proj.bias[0] = 50.0
    trainer_of(tmp_path / "run", model, max_update=2).run()
    assert capsys.readouterr().err.count("the model writes only blanks") == 1


def test_a_run_that_learns_warns_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = trainer_of(tmp_path / "run", max_update=60, disable_validation=True)
    trainer.watcher.watch = Watch(2, 4)
    trainer.run()
    assert "warning" not in capsys.readouterr().err
