"""``auricle labels`` and ``auricle libri-labels`` from the command line."""

import json
from pathlib import Path

import pytest

from auricle.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.tsv").write_text("/speech\na.wav\t10\nb.wav\t10\n")
    (tmp_path / "valid.tsv").write_text("/speech\nc.wav\t10\n")
    (tmp_path / "table.tsv").write_text("path\ttext\nc.wav\tHi\na.wav\tHe it\nb.wav\tIt\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def labels(*arguments: str) -> int:
    return main(["labels", "table.tsv", "--output-dir", "out", *arguments])


def test_labels_and_dictionary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert labels("--manifest", "train.tsv", "--case", "upper") == 0
    assert (folder / "out/train.ltr").read_text() == "H E | I T |\nI T |\n"
    assert (folder / "out/train.wrd").read_text() == "HE IT\nIT\n"
    assert (folder / "out/dict.ltr.txt").read_text() == "| 3\nI 2\nT 2\nE 1\nH 1\n"
    assert "2 utterances" in capsys.readouterr().out


def test_another_name(folder: Path) -> None:
    assert labels("--manifest", "train.tsv", "--output-name", "dev_other") == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "dev_other.ltr",
        "dev_other.wrd",
        "dict.ltr.txt",
    ]


def test_the_first_dictionary_stays(folder: Path) -> None:
    assert labels("--manifest", "train.tsv", "--case", "lower") == 0
    first = (folder / "out/dict.ltr.txt").read_text()
    assert labels("--manifest", "valid.tsv", "--case", "lower") == 0
    assert (folder / "out/dict.ltr.txt").read_text() == first


def test_symbols_outside_it_are_refused_before_anything_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert labels("--manifest", "valid.tsv", "--case", "lower") == 0
    assert labels("--manifest", "train.tsv", "--case", "lower") == 2
    assert "out/dict.ltr.txt lacks e t: mend the transcripts" in capsys.readouterr().err
    assert not (folder / "out/train.ltr").exists()
    assert labels("--manifest", "train.tsv", "--case", "lower", "--new-dictionary") == 0


def test_empty_transcripts_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "table.tsv").write_text("path\ttext\na.wav\t\nb.wav\tIt\n")
    assert labels("--manifest", "train.tsv") == 0
    assert capsys.readouterr().err == "1 transcripts are empty\n"


def test_missing_transcripts_are_a_mistake(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "table.tsv").write_text("path\ttext\na.wav\tHe\n")
    assert labels("--manifest", "train.tsv") == 2
    assert "table.tsv has no transcript for 1 of 2 utterances, such as b.wav" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out").write_text("a file, not a folder")
    assert labels("--manifest", "train.tsv") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_librispeech(folder: Path) -> None:
    (folder / "19/198").mkdir(parents=True)
    (folder / "19/198/19-198.trans.txt").write_text("19-198-0000 HE IT\n")
    (folder / "libri.tsv").write_text(f"{folder}\n19/198/19-198-0000.flac\t10\n")
    assert main(["libri-labels", "libri.tsv", "--output-dir", "labels", "--output-name", "dev"]) == 0
    assert (folder / "labels/dev.ltr").read_text() == "H E | I T |\n"
    assert (folder / "labels/dev.wrd").read_text() == "HE IT\n"
    assert sorted(path.name for path in (folder / "labels").iterdir()) == ["dev.ltr", "dev.wrd"]


def test_labels_that_a_model_made_are_believed_above_a_confidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "unlabelled.tsv"
    manifest.write_text(f"{tmp_path}\na.wav\t16000\nb.wav\t16000\nc.wav\t32000\n")
    rows = [("a.wav", "YES", 0.95), ("b.wav", "NO", 0.4), ("c.wav", "GO", 0.99)]
    (tmp_path / "heard.jsonl").write_text(
        "".join(
            json.dumps({"path": str(tmp_path / name), "text": text, "words": [{"score": score}]}) + "\n"
            for name, text, score in rows
        )
    )
    words = ["labels", str(tmp_path / "heard.jsonl"), "--manifest", str(manifest), "--min-confidence", "0.9"]
    assert main([*words, "--output-dir", str(tmp_path / "out"), "--output-name", "pseudo"]) == 0
    assert (tmp_path / "out" / "pseudo.ltr").read_text() == "Y E S |\nG O |\n"
    assert (tmp_path / "out" / "pseudo.tsv").read_text() == f"{tmp_path}\na.wav\t16000\nc.wav\t32000\n"
    assert "2 of 3 utterances are believed, 75.0% of the audio" in capsys.readouterr().out
    assert main([*words, "--output-dir", str(tmp_path)]) == 2
    assert "would be written over" in capsys.readouterr().err
