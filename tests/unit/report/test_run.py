from collections.abc import Callable
from pathlib import Path

import pytest

from auricle.errors import UserError
from auricle.report.curves import key_figures
from auricle.report.run import read_run

from .conftest import finetuning_log, pretraining_log

MakeRun = Callable[..., Path]


def test_reads_curves_over_updates_and_over_time(make_run: MakeRun) -> None:
    run = read_run(make_run("a", finetuning_log()))
    assert run.curve("lr", "train") == (list(range(10, 110, 10)), [1e-3] * 10)
    assert run.curve("wer", "valid", "wall_seconds")[0] == [50.0 * step for step in range(1, 11)]
    assert run.curve("wer", "train") == ([], [])
    assert run.notices == ()


def test_knows_what_was_trained_and_its_best(make_run: MakeRun) -> None:
    run = read_run(make_run("a", finetuning_log(best_wer=20.0)))
    assert run.stage == "Fine-tuning"
    assert run.best("wer", min) == (20.0, 100)
    assert run.best("accuracy", max) is None
    assert run.last("wall_seconds") == 500.0
    assert run.last("temp") is None
    assert read_run(make_run("b", pretraining_log())).stage == "Pre-training"


def test_training_is_the_first_split(make_run: MakeRun) -> None:
    lines = [{"update": 1, "split": split, "loss": 1.0} for split in ("valid", "dev_other", "train")]
    assert read_run(make_run("a", lines)).splits == ("train", "dev_other", "valid")


DAMAGED: list[dict[str, object]] = [
    {"split": "train"},
    {"update": 1},
    {"update": -1, "split": "train"},
    {"update": True, "split": "train"},
    {"update": 2.5, "split": "train"},
    {"update": 1, "split": 3},
    {"update": 1, "split": "train", "loss": 10**400},
]


@pytest.mark.parametrize("line", DAMAGED)
def test_a_line_without_update_or_split_is_damaged(make_run: MakeRun, line: dict[str, object]) -> None:
    run = read_run(make_run("a", [*finetuning_log(), line]))
    assert len(run.records) == 20
    assert "line 21 is damaged" in run.notices[0]


def test_says_what_is_not_finite(make_run: MakeRun) -> None:
    lines = [
        '{"update": 1, "split": "train", "loss": NaN, "lr": 1.0}',
        {"update": 2, "split": "train", "loss": None},
    ]
    run = read_run(make_run("a", lines))
    assert run.curve("loss", "train") == ([], [])
    assert run.curve("lr", "train") == ([1], [1.0])
    assert run.notices == ("log.jsonl: 2 values are NaN or infinite and are not drawn (loss).",)


def test_a_run_without_a_log_or_without_a_recipe_is_still_one(make_run: MakeRun) -> None:
    folder = make_run("a", [])
    assert "holds no measurements yet" in read_run(folder).notices[0]
    (folder / "log.jsonl").unlink()
    assert "log.jsonl is missing" in read_run(folder).notices[0]
    assert read_run(make_run("b", finetuning_log(), recipe=None)).recipe is None


def test_a_folder_that_is_no_run_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds neither log\.jsonl nor recipe\.yaml"):
        read_run(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not a folder"):
        read_run(tmp_path / "file")


def test_a_log_that_cannot_be_opened_is_a_mistake(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run("a", finetuning_log())

    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match=r"cannot read .*log\.jsonl: Permission denied"):
        read_run(folder)


def test_a_run_on_text(make_run: MakeRun) -> None:
    lines = [{"update": 1, "split": "valid", "loss": 3.0, "ppl": 8.0, "accuracy": 0.2}]
    run = read_run(make_run("a", lines))
    assert run.stage == "Model of text"
    assert ("Best perplexity", "8") in key_figures(run)
