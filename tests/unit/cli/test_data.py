"""``auricle data check`` as it is typed."""

import json
from pathlib import Path

import pytest

from auricle.cli.main import main
from corpora import write_corpus


@pytest.fixture(autouse=True)
def in_a_folder_with_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_corpus(Path("corpus"))


def test_a_corpus_is_summed_up_and_reported(capsys: pytest.CaptureFixture[str]) -> None:
    Path("corpus/train0.wav").unlink()
    assert main(["data", "check", "corpus"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("train: 6 utterances, ") and lines[1].startswith("valid: 6 utterances, ")
    assert any(
        line.startswith("error: 1 x unreadable (") and "train0.wav: no such file" in line for line in lines
    )
    assert lines[-1] == "written: data_check/data_check.json, data_check/data_check.html"
    content = json.loads(Path("data_check/data_check.json").read_text())
    assert content["subsets"]["train"]["read"] == 5
    assert content["counts"]["unreadable"] == 1
    page = Path("data_check/data_check.html").read_text()
    assert (
        "train0.wav" in page
        and "<svg" in page
        and "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    )


def test_strict_makes_errors_count(capsys: pytest.CaptureFixture[str]) -> None:
    Path("corpus/train.ltr").write_text("X\n")
    assert (
        main(
            ["data", "check", "corpus", "--strict", "--subset", "train", "-o", "there", "--speakers", "none"]
        )
        == 2
    )
    assert capsys.readouterr().err == "auricle: 1 errors were found: see there/data_check.html\n"


def test_one_manifest_and_no_labels(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "corpus/valid.tsv", "--labels", "none", "--speakers", "none"]) == 0
    assert "valid: 6 utterances" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["data", "check", "nowhere"], "no such folder or manifest"),
        (["data", "check", "."], "holds no manifest"),
        (["data", "check", "corpus", "--subset", "dev"], "dev.tsv"),
        (["data", "repair", "corpus"], "repair"),
        (["data", "check", "corpus", "--speakers", "("], "not a regular expression"),
    ],
)
def test_mistakes(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert complaint in err and err.count("\n") == 1


def test_names_in_the_page_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    manifest = Path("corpus/train.tsv")
    manifest.write_text(manifest.read_text().replace("train0.wav", "<script>0.wav"))
    assert main(["data", "check", "corpus"]) == 0
    assert "<script>" not in Path("data_check/data_check.html").read_text()
