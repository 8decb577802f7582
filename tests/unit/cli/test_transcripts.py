"""Where transcripts go, and what of `auricle transcribe` is about long recordings."""

import json
import re

import pytest
import soundfile

from auricle.cli.main import main
from auricle.cli.transcripts import file_names
from auricle.decode.transcribe import transcribe
from auricle.errors import UserError
from recognisers import tiny_recogniser, write_speech

RECOGNISER = tiny_recogniser()


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    monkeypatch.setattr("auricle.convert.load.load", lambda path, **options: RECOGNISER)


def run(*words):
    return main(["transcribe", *map(str, words), "--model", "m", "--device", "cpu"])


def test_names_of_files():
    assert [str(file) for file in file_names(["a/x.wav", "a/b/x.wav"], "srt")] == ["x.srt", "b/x.srt"]
    assert [str(file) for file in file_names(["x.wav", "x.flac", "y.wav"], "vtt")] == [
        "x.wav.vtt",
        "x.flac.vtt",
        "y.vtt",
    ]
    assert [str(file) for file in file_names(["-"], "json")] == ["stdin.json"]
    assert file_names([], "json") == []
    with pytest.raises(UserError, match=r"x\.wav is named twice"):
        file_names(["x.wav", "./x.wav"], "srt")


def test_a_file_a_recording(tmp_path, capsys):
    (tmp_path / "in" / "b").mkdir(parents=True)
    for name in ("a.wav", "b/a.wav"):
        write_speech(tmp_path / "in" / name, 0.6, seed=1)
    (tmp_path / "in" / "c.wav").write_bytes(b"nothing of the kind")
    assert run(tmp_path / "in", "--format", "srt", "--output-dir", tmp_path / "out") == 2
    assert capsys.readouterr().out == ""
    files = sorted(file.relative_to(tmp_path / "out") for file in (tmp_path / "out").rglob("*.srt"))
    assert [str(file) for file in files] == ["a.srt", "b/a.srt"]
    assert re.match(r"1\n00:00:00,\d{3} --> 00:00:0", (tmp_path / "out" / "a.srt").read_text())


def test_one_subtitle_file_is_about_one_recording(tmp_path, capsys):
    clips = [write_speech(tmp_path / f"{n}.wav", 0.5) for n in range(2)]
    assert run(*clips, "--format", "vtt") == 2
    assert "give --output-dir" in capsys.readouterr().err


def test_tables_have_one_header(tmp_path, capsys):
    clips = [write_speech(tmp_path / f"{n}.wav", 0.5, seed=n) for n in range(2)]
    assert run(*clips, "--format", "tsv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("path\t") for line in lines) == 1
    assert {line.split("\t")[0] for line in lines[1:]} == {str(clip) for clip in clips}


def test_segments_give_the_text_of_separate_files(tmp_path, capsys):
    samples, rate = soundfile.read(write_speech(tmp_path / "a.wav", 3.0))
    (tmp_path / "s.txt").write_text("0 0.7\n1.0\t1.9\n2.00625 3\n")
    assert run(tmp_path / "a.wav", "--segments", tmp_path / "s.txt", "--format", "json") == 0
    value = json.loads(capsys.readouterr().out)
    bounds = [(0, 11200), (16000, 30400), (32100, 48000)]
    for number, (start, end) in enumerate(bounds):
        soundfile.write(tmp_path / f"part{number}.wav", samples[start:end], rate)
    parts = transcribe([tmp_path / f"part{number}.wav" for number in range(3)], RECOGNISER)
    assert value["text"] == " ".join(part.text for part in parts)
    wanted = [
        start / 16000 + word.start_seconds
        for (start, _), part in zip(bounds, parts, strict=True)
        for word in part.words
    ]
    assert [word["start_seconds"] for word in value["words"]] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["CLIP", "--segments", "s.txt"], "the recording at 0.5 s"),
        (["CLIP", "CLIP", "--segments", "s.txt"], "parts of one recording"),
        (["CLIP", "--segments", "none.txt"], "none.txt"),
        (["CLIP", "--chunk-seconds", "4", "--overlap-seconds", "3"], "at most half a piece"),
        (["CLIP", "--live"], "--live listens to a pipe"),
        (["-", "--live", "--format", "srt"], "txt or json"),
        (["-", "--live", "--output", "x"], "standard output"),
        ([], "no audio"),
    ],
)
def test_mistakes_take_one_line(tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    write_speech(tmp_path / "a.wav", 0.5)
    (tmp_path / "s.txt").write_text("0 9\n")
    assert run(*["a.wav" if word == "CLIP" else word for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and said in captured.err


def test_what_was_heard_before_a_recording_broke_is_kept(tmp_path, capsys, monkeypatch):
    from auricle.decode import pipeline

    monkeypatch.setattr(pipeline, "BLOCK_SECONDS", 1.0)
    samples, rate = soundfile.read(write_speech(tmp_path / "a.wav", 5.0))
    samples[75_000] = float("nan")
    soundfile.write(tmp_path / "a.wav", samples, rate, "FLOAT")
    words = ("--chunk-seconds", "1", "--overlap-seconds", "0")
    assert run(tmp_path / "a.wav", *words) == 2
    captured = capsys.readouterr()
    assert len(captured.out.split()) > 3
    assert "a.wav: holds samples that are not finite" in captured.err and captured.err.count("\n") == 1
