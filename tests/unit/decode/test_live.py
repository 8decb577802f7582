"""Speech while it is said: what is final equals what a recording gives, and comes soon."""

import numpy as np
import pytest
import soundfile
import torch

from auricle.convert.loaded import Loaded
from auricle.decode.cut import CutOptions
from auricle.decode.live import LIVE_CUTTING, LiveTranscriber
from auricle.decode.pipeline import HearOptions
from auricle.decode.transcribe import TranscribeOptions, transcribe
from recognisers import tiny_recogniser, write_speech

RATE = 16000


def talk(tmp_path, *seconds, pause=0.9):
    """Utterances with pauses between, and the files of the utterances."""
    files = [write_speech(tmp_path / f"{n}.wav", length, seed=n) for n, length in enumerate(seconds)]
    silence = np.random.default_rng(0).standard_normal(round(pause * RATE)) * 1e-4
    parts = [part for file in files for part in (soundfile.read(file)[0], silence)]
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))


def listened(live: LiveTranscriber, samples, step=0.25, **options):
    size = round(step * RATE)
    for start in range(0, len(samples), size):
        yield from live.feed(samples[start : start + size], **options)
    yield from live.finish()


@pytest.fixture(scope="module")
def recogniser() -> Loaded:
    return tiny_recogniser(conv_norm="layer")


def test_final_results_come_at_pauses(tmp_path, recogniser):
    samples = talk(tmp_path, 2.0, 3.0, 1.5)
    updates = list(listened(LiveTranscriber(recogniser), samples))
    final = [update for update in updates if update.final]
    assert len(final) >= 3
    ends = [2.0, 5.9, 8.3]
    for end in ends:  # a pause of 0.4 s and a step after each utterance, its words are final
        assert any(0 < update.heard_seconds - end <= 0.4 + 2 * 0.25 for update in final)
    words = [word for update in final for word in update.transcript.words]
    times = [word.start_seconds for word in words]
    assert times == sorted(times) and times[-1] > 7.0


def test_partial_results_grow_into_final_ones(tmp_path, recogniser):
    samples = talk(tmp_path, 4.0)
    updates = list(listened(LiveTranscriber(recogniser), samples))
    partial = [update for update in updates if not update.final]
    assert len(partial) > 5
    assert partial[0].heard_seconds <= 0.5
    lengths = [len(update.transcript.text) for update in partial]
    assert lengths[-1] > lengths[0]
    silent = list(listened(LiveTranscriber(recogniser), samples, partial=False))
    assert [u.transcript for u in silent] == [u.transcript for u in updates if u.final]


@pytest.mark.parametrize("step", [0.1, 0.7, 100.0])
def test_the_size_of_steps_changes_no_final_result_without_pauses(tmp_path, recogniser, step):
    """No pause to look for, so that only full pieces end: cut alike however the samples came."""
    samples = talk(tmp_path, 9.0, pause=0.01)
    cutting = CutOptions(2.0, 0.8, silence_seconds=100.0, eager=True)
    live = LiveTranscriber(recogniser, cutting)
    texts = [u.transcript.text for u in listened(live, samples, step, partial=False)]
    assert len(texts) > 1  # who never pauses gets final words all the same
    soundfile.write(tmp_path / "all.wav", samples.numpy(), RATE, "FLOAT")
    offline = CutOptions(2.0, 0.8, silence_seconds=100.0)
    (whole,) = transcribe([tmp_path / "all.wav"], recogniser, TranscribeOptions(HearOptions(cutting=offline)))
    assert " ".join(texts) == whole.text


def test_what_is_held_does_not_grow(tmp_path, recogniser):
    samples = talk(tmp_path, 5.0, pause=0.01)
    live = LiveTranscriber(recogniser)
    for _ in range(12):
        live.feed(samples, partial=False)
        assert len(live._cutter.pending.samples) <= (LIVE_CUTTING.chunk_seconds + 5.1) * RATE
        assert sum(map(len, live._recording._stitcher._parts)) <= 3 * LIVE_CUTTING.chunk_seconds * RATE / 40


def test_nothing_said_gives_nothing(recogniser):
    live = LiveTranscriber(recogniser)
    assert live.feed(torch.zeros(10)) == [] and live.finish() == []
    assert LiveTranscriber(recogniser).finish() == []
