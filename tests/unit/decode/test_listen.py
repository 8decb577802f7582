"""Recognisers that write letter by letter, behind the interface of the others."""

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch

from auricle.convert.loaded import Loaded
from auricle.decode.cut import CutOptions
from auricle.decode.listen import WRITING, Decoding, listener
from auricle.decode.live import LiveTranscriber
from auricle.decode.pipeline import HearOptions
from auricle.decode.seq2seq import SearchOptions, search
from auricle.decode.transcribe import TranscribeOptions, transcribe
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.config import DecoderConfig, Seq2SeqConfig
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from recognisers import LETTERS, tiny_config, tiny_recogniser, write_speech


def writer(**options) -> Loaded:
    """Writes nonsense of a length that its random weights choose."""
    torch.manual_seed(3)
    decoder = DecoderConfig(num_layers=1, dim=16, ffn_dim=24, num_heads=2, max_positions=64)
    encoder = tiny_config(**options).encoder
    config = Seq2SeqConfig(encoder=encoder, decoder=decoder, num_labels=4 + len(LETTERS))
    return Loaded(Wav2Vec2Seq2Seq(config).eval(), Dictionary(LETTERS), config, 0, Path("tiny"))


@pytest.fixture(scope="module")
def recogniser() -> Loaded:
    return writer(conv_norm="layer")


def test_clips_are_transcribed_without_times(tmp_path, recogniser):
    clips = [write_speech(tmp_path / f"{n}.wav", 0.4 + 0.3 * n, seed=n) for n in range(3)]
    results = transcribe(clips, recogniser)
    for clip, result in zip(clips, results, strict=True):
        samples = torch.from_numpy(soundfile.read(clip, dtype="float32")[0])
        found = search(recogniser.model, samples[None], None, WRITING)[0][0]
        assert result.text == found.text(recogniser.dictionary)
        assert result.words == []
        assert result.seconds == pytest.approx(len(samples) / 16000)
    assert any(result.text for result in results)


def test_alternatives_come_with_the_times_of_each_piece(tmp_path, recogniser):
    clip = write_speech(tmp_path / "a.wav", 2.5)
    cutting = HearOptions(cutting=CutOptions(1.0, 0.4, silence_seconds=100.0))
    decoding = Decoding(writing=SearchOptions(beam=4, max_len_b=5), nbest=3)
    (result,) = transcribe([clip], recogniser, TranscribeOptions(cutting, decoding=decoding))
    ends = [(part.start_seconds, part.end_seconds) for part in result.parts]
    assert ends == [(0, 1), (1, 2), (2, 2.5)]
    best = [part.nbest[0].text for part in result.parts]
    assert " ".join(text for text in best if text) == result.text
    for part in result.parts:
        scores = [one.score for one in part.nbest]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True)
        assert all(one.acoustic_score <= one.score < 0 == one.lm_score for one in part.nbest)
    (alone,) = transcribe([clip], recogniser, TranscribeOptions(cutting, decoding=replace(decoding, nbest=1)))
    assert alone.text == result.text and alone.parts == ()


def test_nothing_to_hear_has_no_alternatives(tmp_path, recogniser):
    clip = write_speech(tmp_path / "a.wav", 0.002)
    decoding = TranscribeOptions(decoding=Decoding(nbest=3))
    for model in (recogniser, tiny_recogniser()):
        assert transcribe([clip], model, decoding)[0].parts == ()


def test_batches_change_nothing(tmp_path, recogniser):
    clips = [write_speech(tmp_path / f"{n}.wav", 0.4 + 0.3 * n, seed=n) for n in range(3)]
    together = [one.text for one in transcribe(clips, recogniser)]
    assert together == [transcribe([clip], recogniser)[0].text for clip in clips]


def test_long_recordings_are_cut_without_overlap(tmp_path, recogniser):
    clip = write_speech(tmp_path / "a.wav", 2.5)
    options = TranscribeOptions(HearOptions(cutting=CutOptions(1.0, 0.4, silence_seconds=100.0)))
    samples = soundfile.read(clip, dtype="float32")[0]
    for number in range(3):
        soundfile.write(
            tmp_path / f"p{number}.wav", samples[16000 * number : 16000 * (number + 1)], 16000, "FLOAT"
        )
    parts = transcribe([tmp_path / f"p{number}.wav" for number in range(3)], recogniser)
    (whole,) = transcribe([clip], recogniser, options)
    assert whole.text == " ".join(part.text for part in parts if part.text)


def test_too_short_is_empty(tmp_path, recogniser):
    (result,) = transcribe([write_speech(tmp_path / "a.wav", 0.002)], recogniser)
    assert result.text == ""


def test_it_is_heard_live_too(tmp_path, recogniser):
    live = LiveTranscriber(recogniser)
    samples = torch.from_numpy(soundfile.read(write_speech(tmp_path / "a.wav", 0.8), dtype="float32")[0])
    updates = live.feed(samples) + live.finish()
    assert updates[-1].final and updates[-1].transcript.text == updates[0].transcript.text != ""


def test_its_dictionary_has_to_be_its_own(recogniser):
    for dictionary, said in ((None, "no dictionary"), (Dictionary("AB"), "6 symbols")):
        wrong = Loaded(recogniser.model, dictionary, recogniser.config, 0, Path("tiny"))
        with pytest.raises(UserError, match=said):
            listener(wrong)
