"""The demo's folder: taken up again with the options it was begun with, and never by mistake."""

import json
from pathlib import Path

import pytest

from auricle.cli import demo_plan
from auricle.cli.demo_plan import FINE_TUNING, FROM_SCRATCH, PHASES, PRETRAINING, Plan, save, take_up
from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.errors import UserError
from corpora import TINY_PRETRAINING, write_corpus

PLAN = Plan(quick=False, seed=1, updates=())


def test_a_new_folder_is_made_and_remembers_its_plan(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert take_up(folder, PLAN) == (PLAN, False)
    assert take_up(folder, PLAN) == (PLAN, True)


def test_a_second_start_keeps_what_was_measured(tmp_path: Path) -> None:
    measured = Plan(quick=True, seed=3, updates=(), measured={"demo_pretrain": 50})
    save(tmp_path, measured)
    assert take_up(tmp_path, Plan(quick=True, seed=3, updates=())) == (measured, True)


def test_updates_that_were_asked_for_read_back_equal(tmp_path: Path) -> None:
    plan = Plan(quick=False, seed=1, updates=(5, 6))
    save(tmp_path, plan)
    assert take_up(tmp_path, plan) == (plan, True)


@pytest.mark.parametrize(
    "other",
    [
        Plan(quick=True, seed=1, updates=()),
        Plan(quick=False, seed=2, updates=()),
        Plan(quick=False, seed=1, updates=(7, 8)),
    ],
)
def test_other_options_are_refused_with_those_it_was_begun_with(tmp_path: Path, other: Plan) -> None:
    save(tmp_path, other)
    with pytest.raises(UserError, match="to start anew, remove the folder") as caught:
        take_up(tmp_path, PLAN)
    for word in (["--quick"] if other.quick else []) + [f"--seed {other.seed}"]:
        assert word in str(caught.value)
    assert ("--updates 7 8" in str(caught.value)) == bool(other.updates)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no demo"):
        take_up(tmp_path, PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"quick": true}', "\xff", json.dumps({"measured": []})])
def test_a_damaged_plan_is_a_mistake_with_a_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / demo_plan.PLAN).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="is damaged: remove"):
        take_up(tmp_path, PLAN)


def test_updates_asked_for_go_before_time() -> None:
    plan = Plan(quick=False, seed=1, updates=(80, 60))
    assert [plan.num_updates(phase) for phase in PHASES] == [80, 60, 60]
    assert plan.limits(PRETRAINING) == ["--max-update", "80", "--log-interval", "2"]


def test_without_a_measurement_nothing_is_limited_yet() -> None:
    assert [PLAN.num_updates(phase) for phase in PHASES] == [None, None, None]
    assert PLAN.limits(PRETRAINING) == []


def test_the_speed_of_the_first_updates_decides_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_plan, "seconds_per_update", lambda trainer, at_least: 0.1)
    plan = PLAN.measure(FINE_TUNING, None)  # type: ignore[arg-type]
    expected = demo_plan.TRAINING_SHARE * FINE_TUNING.seconds[0] / 0.1
    assert plan.num_updates(FINE_TUNING) == pytest.approx(expected, rel=0.01)
    assert plan.num_updates(FINE_TUNING) == plan.num_updates(FROM_SCRATCH)
    assert plan.num_updates(PRETRAINING) is None
    limits = dict(zip(plan.limits(FINE_TUNING)[::2], plan.limits(FINE_TUNING)[1::2], strict=True))
    assert float(limits["--stop-time-hours"]) * 3600 == pytest.approx(FINE_TUNING.seconds[0] * 1.1, rel=0.01)


def test_however_slow_the_machine_some_updates_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_plan, "seconds_per_update", lambda trainer, at_least: 1e6)
    assert PLAN.measure(PRETRAINING, None).num_updates(PRETRAINING) == demo_plan.FEWEST_UPDATES  # type: ignore[arg-type]


def test_all_trainings_fit_in_what_the_command_promises() -> None:
    for quick, promised in ((False, 600), (True, 120)):
        longest = sum(demo_plan.TOLERANCE * phase.seconds[quick] for phase in PHASES)
        assert longest < 0.9 * promised  # the rest: imports, evaluation, the page


def test_measuring_leaves_the_weights_alone(tmp_path: Path) -> None:
    data = write_corpus(tmp_path / "data")
    overrides = [f"task.data={data}", f"checkpoint.save_dir={tmp_path / 'run'}", *TINY_PRETRAINING]
    trainer = build_run(load_recipe("small_pretrain", overrides=overrides))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    assert demo_plan.seconds_per_update(trainer, at_least=0.0) > 0
    assert all(value.equal(before[name]) for name, value in trainer.model.state_dict().items())
    assert trainer.progress.num_updates == 0
