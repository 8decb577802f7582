"""One recording of absurd samples ended the transcription of all others, as if the model were damaged."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle import audio
from auricle.decode.transcribe import Unreadable, transcribe_each
from recognisers import tiny_recogniser, write_speech


def test_it_is_named_and_stops_nothing(tmp_path: Path) -> None:
    good = write_speech(tmp_path / "good.wav", 0.3)
    samples = soundfile.read(good, dtype="float32")[0]
    soundfile.write(tmp_path / "huge.wav", samples * np.float32(1e30), 16000, "FLOAT")
    first, broken, last = transcribe_each([good, tmp_path / "huge.wav", good], tiny_recogniser())
    assert isinstance(broken, Unreadable) and "where 1 is full scale" in str(broken.error)
    assert first == last and not isinstance(first, Unreadable) and first.text


@pytest.mark.parametrize("scale", [2.0**31, 1e-30])
def test_any_scale_that_somebody_may_use_is_read(tmp_path: Path, scale: float) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(800, scale, np.float32), 16000, "FLOAT")
    assert audio.read(tmp_path / "a.wav").samples.tolist() == [np.float32(scale)] * 800
