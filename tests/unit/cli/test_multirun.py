"""``auricle train --multirun``: each run in its folder, whatever becomes of the others."""

from pathlib import Path

import pytest
import typer

from auricle.cli.main import main
from auricle.cli.multirun import run_all
from auricle.config.schema import Recipe
from auricle.errors import UserError
from corpora import TINY_PRETRAINING, write_corpus

PRETRAIN = ["train", "corpus", "--config-name", "small_pretrain", *TINY_PRETRAINING, "--multirun"]


@pytest.fixture(autouse=True)
def in_a_folder_with_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_corpus(Path("corpus"))


def test_runs_stand_in_numbered_folders(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PRETRAIN, "optimization.lr=1e-4,1e-3", "--log-interval", "1"]) == 0
    lines = capsys.readouterr().err.splitlines()
    for number, lr in enumerate(["0.0001", "0.001"]):
        folder = Path("runs/small_pretrain") / str(number)
        assert float(lr) == pytest.approx(
            float((folder / "recipe.yaml").read_text().split("lr:\n  - ")[1].split()[0])
        )
        assert (folder / "checkpoints" / "last").is_dir()
        said = f"auricle: run {number} of 2 (optimization.lr={lr}): done: 2 updates; {folder}"
        assert said in lines[-2:]


def test_a_run_that_fails_does_not_stop_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PRETRAIN, "model.encoder_attention_heads=3,2"]) == 2
    *_, first, second, last = capsys.readouterr().err.splitlines()
    assert first.startswith("auricle: run 0 of 2 (model.encoder_attention_heads=3): failed: ")
    assert "done: 2 updates" in second
    assert last == "auricle: 1 of 2 runs failed: the lines above say why"


def test_a_dry_run_shows_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PRETRAIN, "--dry-run", "--lr", "0.1,0.2"]) == 0
    shown = capsys.readouterr().out.split("---\n")
    assert [text.count("save_dir: runs/small_pretrain/") for text in shown] == [0, 1, 1]


def test_without_multirun_several_values_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PRETRAIN[:-1], "optimization.lr=1e-4,1e-3"]) == 2
    assert "a sweep over them is --multirun" in capsys.readouterr().err


def test_who_is_asked_to_stop_begins_no_other_run(capsys: pytest.CaptureFixture[str]) -> None:
    begun = []

    def run(recipe: Recipe) -> str:
        begun.append(recipe.checkpoint.save_dir)
        raise typer.Exit(130)

    overrides = ["task.data=corpus", "common.seed=1,2,3"]
    with pytest.raises(typer.Exit) as left:
        run_all("small_pretrain", None, overrides, [], run)
    assert left.value.exit_code == 130
    assert begun == ["runs/small_pretrain/0"]
    assert "run 0 of 3 (common.seed=1): stopped with exit code 130" in capsys.readouterr().err


def test_a_fault_of_ours_is_shown_and_the_others_run(capsys: pytest.CaptureFixture[str]) -> None:
    def run(recipe: Recipe) -> str:
        if recipe.common.seed == 1:
            raise ZeroDivisionError("oh")
        return "done"

    with pytest.raises(UserError, match="1 of 2 runs failed"):
        run_all("small_pretrain", None, ["task.data=corpus", "common.seed=1,2"], [], run)
    err = capsys.readouterr().err
    assert "Traceback" in err and "failed: ZeroDivisionError: oh" in err and "(common.seed=2): done" in err
