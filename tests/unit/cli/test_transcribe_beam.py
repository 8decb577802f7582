"""`auricle transcribe` with the decoders of `auricle evaluate`."""

import io
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from auricle.cli import evaluation
from auricle.cli.beam_options import OPTIONS
from auricle.cli.main import main
from auricle.decode.seq2seq import SearchOptions
from auricle.decode.seq2seq import search as search_letters
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
    search = (*search, "--nbest", 3, "--beam", 200)
    results = ("--results-path", str(tmp_path / "r"), "--device", "cpu", *map(str, search))
    assert main(["evaluate", str(tmp_path), "--model", "m", *results]) == 0
    records = [json.loads(line) for line in (tmp_path / "r" / "utterances.jsonl").read_text().splitlines()]
    capsys.readouterr()
    assert run(*clips, *search, "--format", "json", "--letters") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["text"] for one in found] == [one["hypothesis"] for one in records]
    for one, record in zip(found, records, strict=True):
        (part,) = one["parts"]
        assert len(record["nbest"]) == 3
        for other, wanted in zip(part["nbest"], record["nbest"], strict=True):
            assert other.pop("text") == wanted.pop("text")
            assert other == pytest.approx(wanted, abs=1e-4)
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


def test_each_part_of_a_long_recording_has_alternatives(tmp_path, clips, search, capsys):
    parts = [soundfile.read(clip)[0] for clip in clips]
    soundfile.write(tmp_path / "long.wav", np.concatenate(parts), 16000)
    (tmp_path / "segments.txt").write_text("0 0.3\n0.3 0.5\n")
    asked = (*search, "--format", "json", "--nbest", 2, "--beam", 200)
    assert run(*clips, *asked) == 0
    alone = [json.loads(line)["parts"][0] for line in capsys.readouterr().out.splitlines()]
    assert run(tmp_path / "long.wav", *asked, "--segments", tmp_path / "segments.txt") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["start_seconds"] for one in found["parts"]] == [0, 0.3]
    for part, other, end in zip(found["parts"], alone, (0.3, 0.5), strict=True):
        assert [one["text"] for one in part["nbest"]] == [one["text"] for one in other["nbest"]]
        assert part["end_seconds"] == pytest.approx(end, abs=0.005)  # a frame is 2.5 ms
        for one in part["nbest"]:
            weighed = 0.7 * one["lm_score"] + 12 * len(one["text"].split())
            assert one["score"] == pytest.approx(one["acoustic_score"] + weighed, abs=1e-4)
    assert found["text"] == " ".join(part["nbest"][0]["text"] for part in found["parts"])


def test_alternatives_want_json_and_a_search(clips, search, capsys):
    wrong = {
        ("--nbest", 3, *search): "--nbest 3: txt has no place for alternatives; add --format json",
        ("--nbest", 3, *search, "--format", "srt"): "--nbest 3: srt has no place for alternatives",
        ("--nbest", 3, *search, "--live"): "--nbest 3: txt has no place for alternatives",
        ("--nbest", 3, "--format", "json"): "--nbest 3: viterbi finds one hypothesis; search with",
        ("--nbest", 0, *search): "nbest is 0: give 1 or more",
    }
    for words, message in wrong.items():
        assert run(clips[0], *words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert run(clips[0], *search, "--nbest", 1, "--format", "json") == 0
    assert "parts" not in json.loads(capsys.readouterr().out)


def test_what_is_said_live_is_searched_too(tmp_path, search, capsys, monkeypatch):
    samples = soundfile.read(write_speech(tmp_path / "l.wav", 1.0))[0]
    data = (np.concatenate([samples, np.zeros(12000)]) * 32767).astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert run("-", "--live", *search) == 0
    words = capsys.readouterr().out.split()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert run("-", "--live", *search, "--nbest", 2, "--format", "json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["parts"][0]["nbest"][0]["text"] for one in told] == [one["text"] for one in told]
    assert any(len(one["parts"][0]["nbest"]) == 2 for one in told if one["final"])
    assert " ".join(one["text"] for one in told if one["final"]).split() == words
    known = {line.split("\t")[0] for line in (tmp_path / "lexicon.txt").read_text().splitlines()}
    assert words and set(words) <= known


def test_every_option_of_evaluate_is_there(capsys):
    assert main(["transcribe", "--help"]) == 0
    shown = capsys.readouterr().out
    for name in OPTIONS.keys() - {"decoder", "beam_size_token", "rescore_word_score"}:
        assert f"--{name.replace('_', '-')}" in shown


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


@pytest.fixture
def writer(monkeypatch):
    """A model that writes letters one by one is what is read."""
    torch.manual_seed(2)
    config = replace(SEQ2SEQ, encoder=tiny_config().encoder, num_labels=4 + len(LETTERS))
    loaded = replace(RECOGNISER, model=build_model(config).eval(), dictionary=Dictionary(LETTERS))
    monkeypatch.setattr("auricle.convert.load.load", lambda path, **options: loaded)
    return loaded


def test_writers_of_letters_search_as_they_are_told(clips, writer, capsys):
    told = ("--beam", 3, "--lenpen", 0.3, "--max-len-a", 0, "--max-len-b", 6, "--unkpen", 2)
    assert run(clips[0], *told, "--nbest", 2, "--format", "json") == 0
    answer = json.loads(capsys.readouterr().out)
    samples = torch.from_numpy(soundfile.read(clips[0], dtype="float32")[0])
    options = SearchOptions(3, max_len_b=6, length_penalty=0.3, unk_penalty=2)
    (written,) = search_letters(writer.model, samples[None], None, options)
    wanted = [one.hypothesis(Dictionary(LETTERS)) for one in written]
    (part,) = answer["parts"]
    assert (part["start_seconds"], part["end_seconds"]) == (0, 0.3) and answer["words"] == []
    assert [one["text"] for one in part["nbest"]] == [one.text for one in wanted[:2]]
    assert part["nbest"][1]["score"] == pytest.approx(wanted[1].score, abs=1e-5)
    assert part["nbest"][1]["acoustic_score"] == pytest.approx(wanted[1].acoustic_score, abs=1e-5)
    assert answer["text"] == wanted[0].text
    assert run(clips[0], "--beam", 1) == 0
    assert capsys.readouterr().out != f"{wanted[0].text}\n"


def test_writers_of_letters_refuse_what_their_search_has_not(clips, writer, search, capsys):
    wrong = {
        search: "--w2l-decoder kenlm cannot follow it",
        search[2:6]: "its search has no use for --lm-model, --lexicon: leave that out",
        ("--lm-weight", 1): "its search has no use for --lm-weight: leave that out",
        ("--beam", 0): "beam is 0: give 1 or more",
        ("--lenpen", "nan"): "lenpen is nan: give a number",
        ("--max-len-b", -1): "max_len_b is -1: give 0 or more",
    }
    for words, message in wrong.items():
        assert run(clips[0], *words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_options_of_writers_are_said_to_be_unused(clips, capsys):
    assert run(clips[0], "--lenpen", 2, "--unkpen", 1) == 0
    captured = capsys.readouterr()
    assert captured.out == transcribe([clips[0]], RECOGNISER)[0].text + "\n"
    assert "only sequence-to-sequence models use --lenpen, --unkpen" in captured.err
