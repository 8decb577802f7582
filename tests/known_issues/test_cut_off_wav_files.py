"""A WAV that was cut off was taken for a whole one, and the last piece before a break was left out."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle import audio
from auricle.decode.pipeline import HearOptions
from auricle.decode.transcribe import TranscribeOptions, Unreadable, transcribe, transcribe_each
from recognisers import tiny_recogniser, write_speech


def cut_off(path: Path, subtype: str, keep: float, **how: str) -> Path:
    soundfile.write(path, np.sin(np.arange(8000)).astype(np.float32) / 2, 16000, subtype, **how)
    content = path.read_bytes()
    path.write_bytes(content[: round(keep * len(content))])
    return path


def heard(path: Path) -> int:
    """Samples, by both ways to read."""
    (block,) = audio.stream(path)
    assert len(audio.read(path).samples) == len(block)
    return len(block)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_half_a_file_is_named(tmp_path: Path, subtype: str) -> None:
    path = cut_off(tmp_path / "a.wav", subtype, 0.5)
    for read in (audio.read, lambda source: list(audio.stream(source))):
        with pytest.raises(audio.AudioError, match=r"a\.wav: truncated, \d+ of \d+ bytes are there"):
            read(path)


def test_other_containers(tmp_path: Path) -> None:
    for name, kind in (("a.w64", "W64"), ("a.wav", "WAVEX"), ("a.aiff", "AIFF"), ("a.au", "AU")):
        with pytest.raises(audio.AudioError, match="truncated"):
            audio.read(cut_off(tmp_path / name, "PCM_16", 0.5, format=kind))


def test_a_little_less_is_no_matter(tmp_path: Path) -> None:
    assert heard(cut_off(tmp_path / "a.wav", "PCM_16", 0.995)) in range(7900, 8000)
    for name, kind in (("a.w64", "W64"), ("b.wav", "WAV"), ("a.aiff", "AIFF"), ("a.au", "AU")):
        assert heard(cut_off(tmp_path / name, "PCM_16", 1.0, format=kind)) == 8000


@pytest.mark.parametrize("told", [0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFFFFF - 36])
def test_who_writes_to_a_pipe_knows_no_length(tmp_path: Path, told: int) -> None:
    path = cut_off(tmp_path / "a.wav", "PCM_16", 1.0)
    content = path.read_bytes()
    at = content.index(b"data") + 4
    path.write_bytes(content[:at] + struct.pack("<I", told) + content[at + 4 :])
    assert heard(path) == 8000


def test_what_is_said_before_a_break_is_transcribed(tmp_path: Path) -> None:
    recogniser = tiny_recogniser()
    whole = write_speech(tmp_path / "whole.wav", 0.5)
    (tmp_path / "cut.wav").write_bytes(whole.read_bytes()[:8044])  # 4000 samples
    soundfile.write(tmp_path / "half.wav", soundfile.read(whole, dtype="int16")[0][:4000], 16000)
    (broken,) = transcribe_each([tmp_path / "cut.wav"], recogniser)
    (expected,) = transcribe([tmp_path / "half.wav"], recogniser)
    assert isinstance(broken, Unreadable) and "truncated" in str(broken.error)
    assert broken.heard.text == expected.text != ""


@pytest.mark.parametrize("seconds", [2.5, 0.5])
def test_what_is_said_before_a_sample_that_is_no_number_is_transcribed(
    tmp_path: Path, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of a block of 30 s, and the block before it, used to be lost with the second it is in."""
    monkeypatch.setattr("auricle.decode.pipeline.BLOCK_SECONDS", seconds)
    recogniser = tiny_recogniser()
    samples, _ = soundfile.read(write_speech(tmp_path / "whole.wav", 2.5), dtype="float32")
    soundfile.write(tmp_path / "two.wav", samples[:32000], 16000, subtype="FLOAT")
    samples[32000] = np.nan
    soundfile.write(tmp_path / "broken.wav", samples, 16000, subtype="FLOAT")
    (expected,) = transcribe([tmp_path / "two.wav"], recogniser)
    for segments in (None, [(0.0, 2.3)]):
        (broken,) = transcribe_each(
            [tmp_path / "broken.wav"], recogniser, TranscribeOptions(HearOptions(segments=segments))
        )
        assert isinstance(broken, Unreadable) and "not finite" in str(broken.error)
        assert broken.heard.text == expected.text != ""
