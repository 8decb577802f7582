"""The whole demo: interrupted, taken up again, refused with other options; and, slowly, that it learns."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from auricle.cli import demo_run
from auricle.cli.main import main
from auricle.report.run import read_run
from auricle.train.step import Step

FOLDER = Path("auricle-demo")
RUNS = ("pretrained", "fine-tuned", "from-scratch")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Ctrl-C while update `number` of all trainings together is made."""
    original, done = Step.update, 0

    def update(self: Step, *arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == number:
            signal.raise_signal(signal.SIGINT)
        return original(self, *arguments)

    monkeypatch.setattr(Step, "update", update)


def test_few_updates_interrupted_and_taken_up_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["demo", "--updates", "2", "3"]
    with monkeypatch.context() as patched:
        interrupt_at(patched, 2 + 1)  # in fine-tuning
        assert main(command) == 130
    first = capsys.readouterr()
    assert first.err.splitlines()[-1] == "stopped by SIGINT: saved; the same command goes on from here"
    assert "4/7" not in first.out
    pretraining = (FOLDER / "runs" / "pretrained" / "log.jsonl").read_text()

    assert main(command) == 0
    said = capsys.readouterr()
    assert "goes on, and what is done is not done again" in said.out
    assert "going on from update 1" in said.err
    assert (FOLDER / "runs" / "pretrained" / "log.jsonl").read_text() == pretraining
    for word in ("CTC loss", "CER %", "WER %", "PLEASE ENTER YOUR PHONE NUMBER", "All of it took"):
        assert word in said.out
    for run, updates in zip(RUNS, (2, 3, 3), strict=True):
        records = read_run(FOLDER / "runs" / run).records
        assert max(record.update for record in records) == updates
    for run in RUNS[1:]:
        summary = json.loads((FOLDER / "runs" / run / "evaluations" / "test" / "summary.json").read_text())
        assert (summary["num_utterances"], summary["set_aside"]) == (61, [])
    page = (FOLDER / "report.html").read_text(encoding="utf-8")
    assert demo_run.ABOUT.split(",")[0] in page
    assert all(f">{run}<" in page or run in page for run in RUNS)

    assert main(["demo", "--quick"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "auricle-demo holds a demo that was begun with --seed 1 --updates 2 3: say the same" in error


def test_ctrl_c_outside_of_training_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_run.steps, "write_data", interrupted)
    assert main(["demo", "--updates", "1", "1"]) == 130
    assert capsys.readouterr().err == "stopped: the same command goes on from here\n"


@pytest.mark.parametrize("words", [["--updates", "0", "5"], ["--updates", "5"], ["--folder", "file"]])
def test_mistakes_are_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    assert main(["demo", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("auricle: ") and error.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_quick_goes_all_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--quick"]) == 0
    assert "updates fit in 35.0 s" in capsys.readouterr().out
    measured = json.loads((FOLDER / "demo.json").read_text())["measured"]
    assert set(measured) == {"demo_pretrain", "demo_ctc"}
    assert (FOLDER / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_curves_go_the_right_way() -> None:
    """With counts of updates that a slow machine reaches in the time that the demo takes."""
    assert main(["demo", "--updates", "400", "300"]) == 0
    pretraining, *recognisers = (read_run(FOLDER / "runs" / run) for run in RUNS)
    losses, accuracies = pretraining.curve("loss", "valid")[1], pretraining.curve("accuracy", "valid")[1]
    assert losses[-1] < 0.9 * losses[0]
    assert accuracies[-1] > 0.2  # chance: 1 in 21
    assert pretraining.curve("code_perplexity", "valid")[1][-1] > 8
    for run in recognisers:
        assert run.curve("loss", "valid")[1][-1] < run.curve("loss", "valid")[1][0]
        assert run.curve("cer", "valid")[1][-1] < 80
