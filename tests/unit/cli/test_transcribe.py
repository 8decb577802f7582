import io
import json
import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from auricle.cli.main import main
from auricle.cli.transcribe import find_audio
from auricle.decode.transcribe import transcribe
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from recognisers import tiny_recogniser, write_speech

RECOGNISER = tiny_recogniser()


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    monkeypatch.setattr("auricle.convert.load.load", lambda path, **options: RECOGNISER)


def run(*words):
    return main(["transcribe", *map(str, words), "--model", "m", "--device", "cpu"])


def test_one_file_gives_its_text(tmp_path, capsys):
    clip = write_speech(tmp_path / "a.wav", 0.7)
    assert run(clip) == 0
    assert capsys.readouterr().out == transcribe([clip], RECOGNISER)[0].text + "\n"


def test_several_files_are_named(tmp_path, capsys):
    clips = [write_speech(tmp_path / f"{name}.wav", 0.5, seed=n) for n, name in enumerate("ab")]
    assert run(*clips) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(clip) for clip in clips]


def test_json_holds_times_and_scores(tmp_path, capsys):
    clip = write_speech(tmp_path / "a.wav", 0.7)
    assert run(clip, "--format", "json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    value = json.loads(line)
    assert value["path"] == str(clip)
    assert " ".join(word["text"] for word in value["words"]) == value["text"]
    assert set(value["words"][0]) == {"text", "start_seconds", "end_seconds", "score"}


def test_folders_are_searched_in_depth_and_in_order(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("b/c/2.FLAC", "b/1.wav", "a.ogg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert find_audio([str(tmp_path)]) == [
        str(tmp_path / name) for name in ("a.ogg", "b/1.wav", "b/c/2.FLAC")
    ]


@pytest.mark.parametrize("output_format", ["txt", "json"])
def test_names_need_not_be_utf8(tmp_path, capsys, output_format):
    clip = write_speech(tmp_path / "a.wav", 0.5)
    latin = clip.rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    write_speech(clip, 0.5)
    assert run(latin, clip, "--format", output_format) == 0
    assert "caf\ufffd.wav" in capsys.readouterr().out


def test_a_folder_without_audio_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match="no audio found"):
        find_audio([str(tmp_path)])


def test_standard_input_is_read_as_bytes(tmp_path, capsys, monkeypatch):
    clip = write_speech(tmp_path / "a.wav", 0.7)
    stdin = SimpleNamespace(buffer=io.BytesIO(clip.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run("-") == 0
    assert capsys.readouterr().out == transcribe([clip], RECOGNISER)[0].text + "\n"


def test_output_goes_to_a_file(tmp_path, capsys):
    clip = write_speech(tmp_path / "a.wav", 0.7)
    assert run(clip, "--output", tmp_path / "new" / "out.txt") == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "new" / "out.txt").read_text() == transcribe([clip], RECOGNISER)[0].text + "\n"


def test_an_output_that_cannot_be_made_is_said_before_the_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "missing.wav", "--output", tmp_path / "file" / "out.txt") == 2
    assert "file" in capsys.readouterr().err


def test_an_unreadable_file_is_one_line_and_code_2(tmp_path, capsys):
    assert run(tmp_path / "missing.wav") == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "missing.wav" in captured.err


def test_unreadable_files_among_others_are_named_and_counted(tmp_path, capsys):
    good, bad = write_speech(tmp_path / "a.wav", 0.5), tmp_path / "b.wav"
    bad.write_bytes(b"nothing of the kind")
    assert run(good, bad) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{good}\t") and captured.out.count("\n") == 1
    assert "b.wav" in captured.err and "1 of 2 files" in captured.err


def test_a_device_that_is_not_there_is_a_mistake(tmp_path, capsys):
    assert main(["transcribe", str(tmp_path), "--model", "m", "--device", "cuda:99"]) == 2
    write_speech(tmp_path / "a.wav", 0.5)
    assert main(["transcribe", str(tmp_path), "--model", "m", "--device", "abacus"]) == 2
    assert "--device abacus cannot be used here" in capsys.readouterr().err


def test_units_become_words_as_asked_for(tmp_path, capsys, monkeypatch):
    pieces = replace(RECOGNISER, dictionary=Dictionary(["▁E", "T", "▁A", "O", "N", "I", "S"]))
    monkeypatch.setattr("auricle.convert.load.load", lambda path, **options: pieces)
    clip = write_speech(tmp_path / "a.wav", 0.7)
    search = ("--w2l-decoder", "kenlm", "--beam", 3)
    for options in ((), search):
        assert run(clip, *options) == 0
        apart = capsys.readouterr().out.split()
        assert run(clip, *options, "--post-process", "sentencepiece", "--format", "json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["text"].split() == "".join(apart).replace("▁", " ").split()
        assert [word["text"] for word in told["words"]] == told["text"].split() != apart
    assert run(clip, "--post-process", "bpe") == 2
    assert "letter, wordpiece, sentencepiece, none" in capsys.readouterr().err
