"""`auricle transcribe` with the decoders of `auricle evaluate`."""

import io
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from auricle.cli import evaluation
from auricle.cli.beam_options import OPTIONS
from auricle.cli.main import main
from auricle.decode.transcribe import transcribe
from auricle.dictionary import Dictionary, words_to_letters
from auricle.models.build import build_model
from language_models import write_lexicon
from recognisers import LETTERS, tiny_config, tiny_recogniser, write_speech
from text_models import SEQ2SEQ

RECOGNISER = tiny_recogniser(normalize=True, conv_norm="layer", seed=1)


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    monkeypatch.setattr("auricle.convert.load.load", lambda path, **options: RECOGNISER)


@pytest.fixture
def clips(tmp_path):
    return [write_speech(tmp_path / f"{n}.wav", seconds, seed=n) for n, seconds in enumerate((0.3, 0.2))]


@pytest.fixture
def search(tmp_path, clips, capsys):
    """Options of a search among some of the words that the model hears, and of one that it does not."""
    texts = [transcript.text for transcript in transcribe(clips, RECOGNISER)]
    words = sorted({word for text in texts for word in text.split()})[::2]
    write_lexicon(tmp_path / "lexicon.txt", [*words, "TEN", "EAT"])
    (tmp_path / "text.txt").write_text("\n".join([*texts, "TEN EAT"]))
    assert main(["lm", str(tmp_path / "text.txt"), "-o", str(tmp_path / "lm.arpa"), "--order", "2"]) == 0
    capsys.readouterr()
    files = ("--lm-model", tmp_path / "lm.arpa", "--lexicon", tmp_path / "lexicon.txt")
    return ("--w2l-decoder", "kenlm", *files, "--beam", 20, "--lm-weight", 0.7, "--word-score", 12)


def run(*words):
    return main(["transcribe", *map(str, words), "--model", "m", "--device", "cpu"])


def test_the_text_is_that_of_evaluate(tmp_path, clips, search, capsys, monkeypatch):
    monkeypatch.setattr(evaluation, "open_model", lambda *options: RECOGNISER)
    sizes = [soundfile.info(clip).frames for clip in clips]
    lines = [str(tmp_path), *(f"{clip.name}\t{size}" for clip, size in zip(clips, sizes, strict=True))]
    (tmp_path / "test.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "test.ltr").write_text(f"{words_to_letters('TEN')}\n" * 2)
    results = ("--results-path", str(tmp_path / "r"), "--device", "cpu", *map(str, search))
    assert main(["evaluate", str(tmp_path), "--model", "m", *results]) == 0
    records = [json.loads(line) for line in (tmp_path / "r" / "utterances.jsonl").read_text().splitlines()]
    capsys.readouterr()
    assert run(*clips, *search, "--format", "json", "--letters") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["text"] for one in found] == [one["hypothesis"] for one in records]
    known = {line.split("\t")[0] for line in (tmp_path / "lexicon.txt").read_text().splitlines()}
    assert [one["text"] for one in found] != [one.text for one in transcribe(clips, RECOGNISER)]
    for one in found:
        assert one["text"] and set(one["text"].split()) <= known
        assert "".join(letter["text"] for letter in one["words"][0]["letters"]) == one["words"][0]["text"]
        times = [time for word in one["words"] for time in (word["start_seconds"], word["end_seconds"])]
        assert times == sorted(times)


def test_segments_of_a_long_recording_are_searched_one_by_one(tmp_path, clips, search, capsys):
    parts = [soundfile.read(clip)[0] for clip in clips]
    soundfile.write(tmp_path / "long.wav", np.concatenate(parts), 16000)
    (tmp_path / "segments.txt").write_text("0 0.3\n0.3 0.5\n")
    assert run(*clips, *search) == 0
    alone = [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()]
    assert run(tmp_path / "long.wav", *search, "--segments", tmp_path / "segments.txt") == 0
    assert capsys.readouterr().out.split() == " ".join(alone).split()


def test_what_is_said_live_is_searched_too(tmp_path, search, capsys, monkeypatch):
    samples = soundfile.read(write_speech(tmp_path / "l.wav", 1.0))[0]
    data = (np.concatenate([samples, np.zeros(12000)]) * 32767).astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert run("-", "--live", *search) == 0
    words = capsys.readouterr().out.split()
    known = {line.split("\t")[0] for line in (tmp_path / "lexicon.txt").read_text().splitlines()}
    assert words and set(words) <= known


def test_every_option_of_evaluate_but_nbest_is_there(capsys):
    assert main(["transcribe", "--help"]) == 0
    shown = capsys.readouterr().out
    for name in OPTIONS.keys() - {"decoder", "nbest", "beam_size_token", "rescore_word_score"}:
        assert f"--{name.replace('_', '-')}" in shown
    assert "--nbest" not in shown


def test_help_tells_the_defaults_of_each_command(capsys):
    shown = {}
    for command in ("tune", "evaluate"):
        assert main([command, "--help"]) == 0
        text = " ".join(capsys.readouterr().out.replace("\u2502", " ").split())
        shown[command] = text[text.index("--nbest") :][:120]
    assert "[default: 50]" in shown["tune"] and "[default: (1)]" in shown["evaluate"]


def test_mistakes_are_one_line(tmp_path, clips, search, capsys):
    mistakes = {
        ("--lm-model", "nowhere.arpa"): "nowhere.arpa: cannot be read",
        ("--engine", "quick"): "there is no engine 'quick'",
        ("--beam", 0): "beam is 0",
        ("--w2l-decoder", "best"): "there is no decoder 'best'",
    }
    for words, message in mistakes.items():
        assert run(clips[0], *search, *words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_a_model_for_no_search_is_said_to_be_unused(clips, search, capsys):
    assert run(clips[0], *search, "--w2l-decoder", "viterbi") == 0
    captured = capsys.readouterr()
    assert captured.out == transcribe([clips[0]], RECOGNISER)[0].text + "\n"
    assert "viterbi uses no language model" in captured.err


def test_writers_of_letters_are_not_searched(clips, search, capsys, monkeypatch):
    config = replace(SEQ2SEQ, encoder=tiny_config().encoder, num_labels=4 + len(LETTERS))
    writer = replace(RECOGNISER, model=build_model(config).eval(), dictionary=Dictionary(LETTERS))
    monkeypatch.setattr("auricle.convert.load.load", lambda path, **options: writer)
    assert run(clips[0], *search) == 2
    assert "--w2l-decoder kenlm cannot follow it" in capsys.readouterr().err
