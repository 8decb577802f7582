"""Sound from a pipe and from the microphone."""

import io
import struct
import sys
import threading

import numpy as np
import pytest
import soundfile
import torch

import sounds
from auricle import pipe
from auricle.errors import UserError

SAMPLES = sounds.noise(8000)


class Pipe(io.BytesIO):
    """Cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, *args: int) -> int:
        raise OSError("a pipe")


def wav(subtype: str, *, rate: int = 16000, channels: int = 1, length: int | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([SAMPLES] * channels, 1), rate, subtype, format="WAV")
    data = bytearray(buffer.getvalue())
    if length is not None:  # who writes to a pipe does not know how much there will be
        at = data.index(b"data")
        data[at + 4 : at + 8] = struct.pack("<I", length)
        data[4:8] = struct.pack("<I", 0xFFFFFFFF)
    return bytes(data)


def read(data: bytes, **options: int) -> torch.Tensor:
    return torch.cat(list(pipe.blocks(Pipe(data), 16000, 0.1, **options)))


def test_raw_samples() -> None:
    raw = (SAMPLES * 32768).astype("<i2").tobytes()
    torch.testing.assert_close(read(raw), torch.from_numpy(SAMPLES), atol=1e-4, rtol=0)
    assert [len(block) for block in pipe.blocks(Pipe(raw), 16000, 0.1)] == [1600] * 5
    assert len(read(raw, raw_rate=8000)) == 16000
    assert len(read(raw[:-1])) == 7999  # half a sample is none


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("length", [None, 0, 0xFFFFFFFF])
def test_wav_of_a_length_that_nobody_knows(subtype: str, length: int | None) -> None:
    found = read(wav(subtype, length=length))
    torch.testing.assert_close(found[:8000], torch.from_numpy(SAMPLES), atol=1e-4, rtol=0)


def test_wav_of_other_rates_and_channels() -> None:
    found = read(wav("PCM_16", rate=48000, channels=2))
    assert abs(len(found) - 8000 / 3) < 2


def test_nothing_at_all() -> None:
    assert list(pipe.blocks(Pipe(b""), 16000, 0.1)) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"RIFFxxxxAVI ", "begins like a WAV"),
        (b"RIFF", "begins like a WAV"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", "without samples"),
        (wav("PCM_24"), "24-bit"),
        (wav("ULAW"), "8-bit"),
    ],
)
def test_what_is_no_wav_is_said(data: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(data)


def test_samples_that_are_no_numbers_are_said() -> None:
    data = bytearray(wav("FLOAT"))
    data[-400:-396] = struct.pack("<f", float("nan"))
    with pytest.raises(UserError, match="not finite"):
        read(bytes(data))


def test_who_is_late_gets_all_that_came() -> None:
    ready = threading.Event()

    def source():
        yield torch.zeros(1)
        yield from (torch.full((1,), float(i)) for i in range(1, 6))
        ready.set()

    heard = []
    for samples, late in pipe.ahead(source()):
        ready.wait(5)
        heard.append((samples.tolist(), late))
    assert [value for values, _ in heard for value in values] == [0, 1, 2, 3, 4, 5]
    assert len(heard) <= 3 and heard[-1][1]


def test_what_goes_wrong_while_reading_is_raised() -> None:
    def source():
        yield torch.zeros(1)
        raise UserError("the pipe broke")

    with pytest.raises(UserError, match="the pipe broke"):
        list(pipe.ahead(source()))


class Microphone:
    """Stands for sounddevice: says three blocks and then nothing."""

    PortAudioError = type("PortAudioError", (Exception,), {})

    def __init__(self, broken: bool = False) -> None:
        self.broken, self.open = broken, False

    def InputStream(self, *, samplerate, channels, dtype, blocksize, callback):
        if self.broken:
            raise self.PortAudioError("no device")
        for number in range(3):
            callback(np.full((blocksize, channels), number, dtype), blocksize, None, None)
        return self

    def __enter__(self):
        self.open = True

    def __exit__(self, *_):
        self.open = False


def test_the_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Microphone()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    source = pipe.microphone(16000, 0.1)
    assert [next(source)[0].item() for _ in range(3)] == [0, 1, 2]
    assert device.open
    source.close()
    assert not device.open


def test_a_microphone_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", Microphone(broken=True))
    with pytest.raises(UserError, match=r"cannot be opened \(no device\)"):
        next(pipe.microphone(16000, 0.1))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match=r"auricle\[microphone\]"):
        next(pipe.microphone(16000, 0.1))


def test_sounddevice_without_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(UserError, match="PortAudio library"):
        next(pipe.microphone(16000, 0.1))
