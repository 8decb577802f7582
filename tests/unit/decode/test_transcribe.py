import logging

import pytest
import soundfile

from auricle.audio import AudioError
from auricle.decode import pipeline
from auricle.decode.hypothesis import Hypothesis, WordSpan
from auricle.decode.pipeline import HearOptions
from auricle.decode.transcribe import (
    TranscribeOptions,
    Transcript,
    Unreadable,
    Word,
    suggested_post_process,
    transcribe,
    transcribe_each,
    transcript,
)
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.config import Wav2Vec2Config
from recognisers import HOP, tiny_config, tiny_recogniser, write_speech


@pytest.fixture
def clips(tmp_path):
    seconds = (0.6, 1.3, 0.2, 0.9, 1.1)
    return [write_speech(tmp_path / f"{n}.wav", length, seed=n) for n, length in enumerate(seconds)]


def test_times_count_strides_of_the_published_convolutions():
    spans = (WordSpan(0, 3, 0.5), WordSpan(10, 11, 0.25))
    hypothesis = Hypothesis((), ("HE", "IT"), 0.0, (), spans)
    assert transcript(hypothesis, Wav2Vec2Config()) == Transcript(
        "HE IT",
        [
            Word("HE", 0.0, pytest.approx(0.06), 0.5),
            Word("IT", pytest.approx(0.2), pytest.approx(0.22), 0.25),
        ],
    )


def test_words_stand_in_order_within_the_clip(clips):
    recogniser = tiny_recogniser()
    for path, result in zip(clips, transcribe(clips, recogniser), strict=True):
        seconds = soundfile.info(path).duration
        assert result.text == " ".join(word.text for word in result.words)
        assert result.words
        times = [time for word in result.words for time in (word.start_seconds, word.end_seconds)]
        assert times == sorted(times) and times[0] >= 0 and times[-1] <= seconds
        assert all(0 < word.score <= 1 for word in result.words)
        frames = [word.start_seconds * 16000 / HOP for word in result.words]
        assert frames == pytest.approx([round(frame) for frame in frames], abs=1e-6)


def test_batches_and_order_change_nothing(clips):
    recogniser = tiny_recogniser()
    alone = [transcribe([clip], recogniser)[0].text for clip in clips]
    for batch_seconds in (0.5, 2.0, 60.0):
        options = TranscribeOptions(HearOptions(batch_seconds))
        assert [t.text for t in transcribe(clips, recogniser, options)] == alone
    assert [t.text for t in transcribe(clips[::-1], recogniser)] == alone[::-1]


def test_windows_bound_what_is_held(clips, monkeypatch):
    monkeypatch.setattr(pipeline, "WINDOW_BATCHES", 1)
    read = []
    recorded = (read.append(clip) or clip for clip in clips)
    results = transcribe_each(recorded, tiny_recogniser(), TranscribeOptions(HearOptions(1.5)))
    next(results)
    assert read == clips[:2]


def test_loudness_matters_only_where_the_model_does_not_normalise(tmp_path):
    samples, rate = soundfile.read(write_speech(tmp_path / "plain.wav", 1.0))
    for name, gain in (("quiet", 5), ("loud", 40)):
        soundfile.write(tmp_path / f"{name}.wav", samples * gain, rate, "FLOAT")
    for normalize in (True, False):
        recogniser = tiny_recogniser(normalize=normalize, conv_norm="layer", seed=4)
        one, other = transcribe([tmp_path / "quiet.wav", tmp_path / "loud.wav"], recogniser)
        assert (one.text == other.text) == normalize


def test_streams_are_read(clips):
    recogniser = tiny_recogniser()
    with open(clips[0], "rb") as stream:
        assert transcribe([stream], recogniser) == transcribe([clips[0]], recogniser)


def test_clips_too_short_for_a_frame_are_empty_with_a_warning(tmp_path, caplog):
    short = write_speech(tmp_path / "short.wav", 0.002)
    with caplog.at_level(logging.WARNING, "auricle"):
        assert transcribe([short], tiny_recogniser()) == [Transcript("", [])]
    assert "short.wav: 32 samples are too short" in caplog.text


def test_an_unreadable_clip_is_named_and_stops_nothing(tmp_path, clips):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF, says the file, and ends")
    results = list(transcribe_each([clips[0], broken, clips[1]], tiny_recogniser()))
    assert [type(result) for result in results] == [Transcript, Unreadable, Transcript]
    with pytest.raises(AudioError, match=r"broken\.wav"):
        transcribe([broken], tiny_recogniser())


def test_no_clips_give_no_transcripts():
    assert transcribe([], tiny_recogniser()) == []


def test_a_model_that_cannot_write_is_refused_before_audio_is_read(tmp_path):
    recogniser = tiny_recogniser()
    wrong = type(recogniser)(recogniser.model, Dictionary("AB"), tiny_config(), 0, tmp_path)
    with pytest.raises(UserError, match="symbols"):
        transcribe([tmp_path / "missing.wav"], wrong)


def test_phoneme_dictionaries_keep_units_apart():
    assert suggested_post_process(Dictionary(["|", "A"])) == "letter"
    assert suggested_post_process(Dictionary(["ah", "b"])) == "none"
