import json
from pathlib import Path

import pytest

from auricle.cli.main import main


def test_writes_the_page_and_prints_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"update": 1, "split": "train", "loss": 2.0}) + "\n")
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_takes_several_runs_evaluations_and_an_output(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text("model: {}\n")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "summary.json").write_text('{"wer": 12.0}')
    words = [str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "page.html")]
    assert main(["report", *words, "--evaluation", str(tmp_path / "e"), "--worst", "3"]) == 0
    assert ">12.00</td>" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [["nowhere"], ["."], []])
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("auricle: ") and error.count("\n") == 1
