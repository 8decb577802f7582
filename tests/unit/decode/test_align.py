"""Texts found in recordings: made-up emissions whose times are known, and tiny models."""

import numpy as np
import pytest
import soundfile

from auricle.decode import pipeline
from auricle.decode.align import AlignOptions, Track, Unaligned, align, align_each, aligned
from auricle.decode.cut import CutOptions
from auricle.decode.pipeline import HearOptions
from auricle.decode.spelling import spell
from auricle.decode.transcribe import transcribe
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from recognisers import HOP, tiny_recogniser, write_speech

LETTERS = Dictionary("|ABCD")


def heard(path, certain=0.9):
    """A track in which these symbols are likely, a frame each; `-` is the blank."""
    numbers = [0 if symbol == "-" else LETTERS.index(symbol) for symbol in path]
    probabilities = np.full((len(path), len(LETTERS)), (1 - certain) / (len(LETTERS) - 1), dtype=np.float32)
    probabilities[np.arange(len(path)), numbers] = certain
    log_probs = np.log(probabilities)
    best = log_probs.max(axis=1, keepdims=True)
    starts = 320 * np.arange(len(path))
    return Track(np.concatenate([log_probs, best], axis=1), starts, 320, 16000, len(path) / 50)


def found(path, text, **options):
    how = AlignOptions(**options)
    spelling = spell(text.split("\n"), LETTERS, unknown=how.unknown, skip_unknown=how.skip_unknown)
    return aligned(heard(path), range(len(LETTERS)), spelling, LETTERS, how)


def frames(words):
    return [(word.text, round(word.start_seconds * 50), round(word.end_seconds * 50)) for word in words]


def test_words_and_letters_are_where_they_are_said():
    result = found("--A-BB-||--C--|-", "AB C")
    assert frames(result.transcript.words) == [("AB", 2, 6), ("C", 11, 12)]
    assert frames(result.transcript.words[0].letters) == [("A", 2, 3), ("B", 4, 6)]
    assert result.transcript.words[0].letters[1].score == pytest.approx(0.9)
    # Of the ways to write AB in four frames, the one taken has 0.9 ** 4; the others add a little.
    assert 0.9**4 < result.transcript.words[0].score < 0.75
    assert result.score == pytest.approx(np.log(0.9))
    assert (result.transcript.text, result.transcript.seconds, result.unknown) == ("AB C", 0.32, ())


def test_what_is_said_otherwise_scores_low():
    right, wrong = found("A-B-|-", "AB"), found("A-C-|-", "AB")
    assert [letter.score for letter in wrong.transcript.words[0].letters] == pytest.approx(
        [0.9, 0.0125], abs=0.01
    )
    assert wrong.score < right.score


def test_unknown_stretches_take_what_the_text_lacks():
    path = "A|" + "-D-C-B-D-B" * 3 + "--B|-"
    marked = found(path, "A <unk> B")
    assert frames(marked.transcript.words) == [("A", 0, 1), ("<unk>", 3, 32), ("B", 34, 35)]
    assert marked.transcript.words[1].score == 0
    ((start, end),) = marked.unknown
    assert (round(start * 50), round(end * 50)) == (3, 32)
    for unknown in ("lines", "words"):
        assert frames(found(path, "A\nB", unknown=unknown).transcript.words) == [("A", 0, 1), ("B", 34, 35)]
    strict = found(path, "A\nB")
    assert strict.unknown == () and strict.score < marked.score


def test_silence_is_not_unknown():
    result = found("A|" + "-" * 30 + "B|", "A <unk> B")
    assert result.unknown == ()
    assert frames(result.transcript.words) == [("A", 0, 1), ("<unk>", 1, 1), ("B", 32, 33)]


def test_words_that_cannot_be_spelled_keep_their_place():
    result = found("-A|-DCDCDC-B|", "A 42 B", skip_unknown=True)
    assert frames(result.transcript.words) == [("A", 1, 2), ("42", 4, 10), ("B", 11, 12)]
    assert result.transcript.text == "A 42 B"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_speech(tmp_path_factory.mktemp("align") / "a.wav", 3.0, seed=5)


def test_what_the_model_wrote_is_found_where_it_wrote_it(clip):
    recogniser = tiny_recogniser()
    (said,) = transcribe([clip], recogniser)
    result = align(clip, said.text, recogniser)
    assert [word.text for word in result.transcript.words] == [word.text for word in said.words]
    apart = [
        abs(a.start_seconds - b.start_seconds)
        for a, b in zip(result.transcript.words, said.words, strict=True)
    ]
    # The text's last `|`, which the model need not have written, may push the last letters forward.
    assert np.mean([x < HOP / 16000 / 2 for x in apart]) > 0.9


def test_long_recordings_are_heard_in_pieces_with_the_same_frames(clip):
    recogniser = tiny_recogniser(conv_norm="layer")
    (said,) = transcribe([clip], recogniser)
    cutting = CutOptions(1.0, 0.4, silence_seconds=100.0)
    whole = align(clip, said.text, recogniser)
    pieces = align(clip, said.text, recogniser, AlignOptions(HearOptions(cutting=cutting)))
    assert pieces.transcript.seconds == whole.transcript.seconds == 3.0
    apart = [
        abs(a.start_seconds - b.start_seconds)
        for a, b in zip(pieces.transcript.words, whole.transcript.words, strict=True)
    ]
    assert np.median(apart) <= HOP / 16000


def test_times_count_from_the_start_of_the_recording_after_every_cut(tmp_path):
    """Two clips in one recording, with silence between: the second's times are its own, shifted."""
    recogniser = tiny_recogniser(normalize=True, conv_norm="layer")
    parts = [write_speech(tmp_path / f"{n}.wav", 0.8, seed=n) for n in range(2)]
    alone = [transcribe([part], recogniser)[0] for part in parts]
    joined = tmp_path / "joined.wav"
    soundfile.write(joined, np.concatenate([soundfile.read(part)[0] for part in parts]), 16000)
    segments = [(0.0, 0.8), (0.8, 1.6)]
    together = align(
        joined,
        " ".join(one.text for one in alone),
        recogniser,
        AlignOptions(HearOptions(segments=segments)),
    )
    second = [word.start_seconds for word in together.transcript.words][len(alone[0].words) :]
    wanted = [
        0.8 + word.start_seconds for word in align(parts[1], alone[1].text, recogniser).transcript.words
    ]
    assert second == pytest.approx(wanted, abs=3 * HOP / 16000)


def test_recordings_that_cannot_be_aligned_stop_nothing(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "WINDOW_BATCHES", 0)
    recogniser = tiny_recogniser()
    items = [
        (clip, ["TEA"], "a"),
        (tmp_path / "gone.wav", ["TEA"], "b"),
        (write_speech(tmp_path / "short.wav", 0.01), ["TEATEATEA"], "c"),
        (clip, ["IT"], "d"),
    ]
    results = list(align_each(items, recogniser))
    assert [isinstance(result, Unaligned) for result in results] == [False, True, True, False]
    assert "gone.wav" in str(results[1].error) and "no such file" in str(results[1].error)
    assert "c: the recording has 3 frames, fewer than the 10 letters" in str(results[2].error)
    with pytest.raises(UserError, match="fewer than"):
        align(tmp_path / "short.wav", "TEATEATEA", recogniser)


def test_a_text_of_other_letters_is_refused_before_the_model_runs(clip):
    with pytest.raises(UserError, match="lacks 'Q'"):
        align(clip, "IT\nQ", tiny_recogniser())


def test_no_frames_and_no_text(tmp_path):
    short = write_speech(tmp_path / "short.wav", 0.002)
    result = align(short, "", tiny_recogniser())
    assert result.transcript.words == [] and result.score == 0
