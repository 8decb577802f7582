import csv
import io
import json

import pytest

from auricle.cli.main import main
from auricle.decode.transcribe import transcribe
from auricle.dictionary import words_to_letters
from recognisers import tiny_recogniser, write_speech

RECOGNISER = tiny_recogniser()


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    monkeypatch.setattr("auricle.convert.load.load", lambda path, **options: RECOGNISER)


@pytest.fixture
def corpus(tmp_path):
    clips = [write_speech(tmp_path / f"{n}.wav", 0.5 + 0.2 * n, seed=n) for n in range(3)]
    rows = "".join(f"{clip.name}\t8000\n" for clip in clips)
    (tmp_path / "valid.tsv").write_text(f"{tmp_path}\n{rows}")
    texts = [one.text for one in transcribe(clips, RECOGNISER)]
    (tmp_path / "valid.wrd").write_text("".join(f"{text}\n" for text in texts))
    (tmp_path / "valid.ltr").write_text("".join(f"{words_to_letters(text)}\n" for text in texts))
    return tmp_path, texts


def run(*words):
    return main(["align", *map(str, words), "--model", "m", "--device", "cpu"])


def table(text):
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


def test_a_recording_and_its_text(corpus, capsys):
    folder, texts = corpus
    (folder / "talk.txt").write_text(texts[1].replace(" ", "\n"))
    assert run(folder / "1.wav", folder / "talk.txt") == 0
    rows = table(capsys.readouterr().out)
    assert [row["word"] for row in rows] == texts[1].split()
    times = [float(row["start_seconds"]) for row in rows]
    assert times == sorted(times) and all(0 <= float(row["score"]) <= 1 for row in rows)


@pytest.mark.parametrize("labels", ["valid.wrd", "valid.ltr"])
def test_a_manifest_and_its_labels(corpus, capsys, labels):
    folder, texts = corpus
    assert run(folder / "valid.tsv", folder / labels, "--format", "json", "--letters") == 0
    values = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [value["path"] for value in values] == ["0.wav", "1.wav", "2.wav"]
    assert [value["text"] for value in values] == texts
    assert all(value["score"] < 0 and value["unknown"] == [] for value in values)
    letters = [letter["text"] for word in values[0]["words"] for letter in word["letters"]]
    assert "".join(letters) == texts[0].replace(" ", "")


def test_a_file_a_recording(corpus):
    folder, _ = corpus
    out = folder / "out"
    assert run(folder / "valid.tsv", folder / "valid.wrd", "--format", "TextGrid", "--output-dir", out) == 0
    assert sorted(file.name for file in out.iterdir()) == ["0.TextGrid", "1.TextGrid", "2.TextGrid"]
    assert '"letters"' in (out / "0.TextGrid").read_text()


def test_what_cannot_be_aligned_is_named_and_the_others_are_written(corpus, capsys):
    folder, _ = corpus
    (folder / "1.wav").write_bytes(b"")
    write_speech(folder / "2.wav", 0.02)
    assert run(folder / "valid.tsv", folder / "valid.wrd") == 2
    captured = capsys.readouterr()
    assert {row["path"] for row in table(captured.out)} == {"0.wav"}
    lines = captured.err.splitlines()
    assert "1.wav" in lines[0] and "empty file" in lines[0]
    assert "2.wav" in lines[1] and "fewer than" in lines[1]
    assert lines[2] == "auricle: 2 of 3 recordings could not be aligned: their names stand above"


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("", [], "holds no text"),
        ("TEA\nTEA 4 TWO", [], "talk.txt:2: the model's dictionary lacks '4'"),
        (None, [], "talk.txt: cannot be read"),
        ("TEA", ["--format", "doc"], "doc"),
        ("TEA", ["--unknown", "everywhere"], "everywhere"),
        ("TEA", ["--output", "a", "--output-dir", "b"], "choose one"),
    ],
)
def test_mistakes_take_one_line(corpus, capsys, text, words, said):
    folder, _ = corpus
    if text is not None:
        (folder / "talk.txt").write_text(text)
    assert run(folder / "0.wav", folder / "talk.txt", *words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and said in captured.err


def test_labels_of_another_manifest_are_a_mistake(corpus, capsys):
    folder, _ = corpus
    (folder / "valid.wrd").write_text("TEA\n")
    assert run(folder / "valid.tsv", folder / "valid.wrd") == 2
    assert "1 labels" in capsys.readouterr().err
