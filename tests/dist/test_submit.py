"""Runs that are handed to a cluster; here, to submitit's stand-in for one, on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import auricle
from auricle.cli import submit
from auricle.cli.main import main
from auricle.config.load import load_recipe
from auricle.config.schema import Recipe
from corpora import TINY_PRETRAINING, write_corpus

submitit = pytest.importorskip("submitit", reason="needs the extra slurm")


def words(folder: Path) -> list[str]:
    corpus = write_corpus(folder / "data")
    small = [*TINY_PRETRAINING, "common.cpu=true", f"checkpoint.save_dir={folder / 'run'}"]
    return ["train", str(corpus), "--config-name", "small_pretrain", *small]


@pytest.mark.slow
def test_tasks_of_a_job_are_the_workers_of_a_run(tmp_path: Path) -> None:
    changes = [*TINY_PRETRAINING, "common.cpu=true", f"checkpoint.save_dir={tmp_path / 'run'}"]
    corpus = write_corpus(tmp_path / "data")
    recipe = load_recipe("small_pretrain", overrides=[f"task.data={corpus}", *changes])
    job = submit.submit(recipe, "local", ["tasks_per_node=2", "timeout_min=30"])
    assert job.results() == [0, 0], job.stderr()
    said = [Path(str(job.paths.stderr).replace("_0_log", f"_{task}_log")).read_text() for task in (0, 1)]
    assert "done: 2 updates" in said[0] and "done" not in said[1]
    assert "simulating" not in said[0]
    assert auricle.load(tmp_path / "run" / "checkpoints" / "last").num_updates == 2


@pytest.mark.slow
def test_a_sweep_is_a_job_for_each_of_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs, real = [], submit.submit

    def noted(recipe: Recipe, cluster: str, options: Sequence[str]) -> Any:
        jobs.append(real(recipe, cluster, options))
        return jobs[-1]

    monkeypatch.setattr(submit, "submit", noted)
    varied = ["--multirun", "optimization.lr=[0.001],[0.002]"]
    assert main([*words(tmp_path), "--submit", "local", "--submit-option", "timeout_min=30", *varied]) == 0
    said = capsys.readouterr().err
    assert len(jobs) == 2 and all(f"job {job.job_id}: it says what it does in" in said for job in jobs)
    for number, job in enumerate(jobs):
        assert job.results() == [0], job.stderr()
        assert auricle.load(tmp_path / "run" / str(number) / "checkpoints" / "last").num_updates == 2
    recipes = [(tmp_path / "run" / name / "recipe.yaml").read_text() for name in ("0", "1")]
    assert "0.001" in recipes[0] and "0.002" in recipes[1]


def test_the_cluster_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words(tmp_path), "--submit", "slurm"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "--submit slurm does not work here" in err and "srun" in err.lower()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--submit", "moon"], "--submit moon: give one of slurm, local"),
        (["--submit", "local", "--submit-option", "nodes"], "--submit-option nodes: write KEY=VALUE"),
        (["--submit", "local", "--submit-option", "planets=9"], "planets"),
    ],
)
def test_mistakes(more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words(tmp_path), *more]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and said in err


def test_a_job_that_comes_back_goes_on(tmp_path: Path) -> None:
    training = submit.Training(("train", "x"))
    assert training.checkpoint().function == training
