import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from auricle.audio import AudioError, Waveform, encode, read
from auricle.report import sound


def tone(hertz: float, seconds: float, sample_rate: int = 16000) -> Waveform:
    time = torch.arange(int(seconds * sample_rate)) / sample_rate
    return Waveform(0.3 * torch.sin(2 * torch.pi * hertz * time), sample_rate)


def picture(waveform: Waveform) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sound.spectrogram_png(waveform))))


def test_a_clip_holds_the_sound(clip: Path) -> None:
    made = sound.make_clip(str(clip))
    head, data = made.audio.split(",")
    again = read(io.BytesIO(base64.b64decode(data)))
    assert head in ("data:audio/ogg;base64", "data:audio/flac;base64")
    assert len(again.samples) == pytest.approx(8000, abs=200)
    assert (made.seconds, made.sample_rate, made.is_cut) == (pytest.approx(0.5, abs=0.02), 16000, False)
    assert made.spectrogram.startswith("data:image/png;base64,")


def test_a_long_clip_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "MAX_SECONDS", 0.25)
    path = tmp_path / "long.audio"
    path.write_bytes(encode(tone(440, 1.0))[0])
    made = sound.make_clip(str(path))
    assert made.is_cut
    assert made.seconds == pytest.approx(1.0, abs=0.02)
    assert len(made.audio) < 0.6 * len(base64.b64encode(path.read_bytes()))


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        sound.make_clip(str(tmp_path / "missing.flac"))


def test_a_tone_is_a_dark_line_at_its_frequency() -> None:
    rows, columns = picture(tone(2000, 0.5)).shape
    darkest = picture(tone(2000, 0.5)).mean(1).argmin()
    assert darkest == pytest.approx(rows * (1 - 2000 / 8000), abs=2)  # 0 Hz at the bottom
    assert columns > 80


def test_a_spectrogram_is_never_wide() -> None:
    assert picture(tone(500, 20.0)).shape[1] <= 600


@pytest.mark.parametrize("num_samples", [1, 399, 400, 401])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_short_and_silent_sounds_have_a_spectrogram_too(num_samples: int, level: float) -> None:
    assert picture(Waveform(torch.full((num_samples,), level), 16000)).shape == (201, 1)
