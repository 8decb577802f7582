"""Sound while it is made: from a pipe, as raw samples or WAV, and from the microphone."""

import queue
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.audio import Resampler
from auricle.errors import UserError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SAMPLES = {(_PCM, 16): "<i2", (_PCM, 32): "<i4", (_FLOAT, 32): "<f4"}
_PACKED = {
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3": "MP3",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"RF64": "RF64",
    b"riff": "W64",
    b"\x1aE\xdf\xa3": "Matroska or WebM",
}
"""First bytes of files that would pass for raw samples, as noise in which nobody speaks."""
_LONGEST_CHUNK = 1 << 20
"""Of a WAV before its samples: more is no WAV."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How samples stand in a stream: their type, channels and rate in Hz."""

    dtype: str
    channels: int
    rate: int


def blocks(
    stream: BinaryIO, sample_rate: int, block_seconds: float, raw_rate: int = 16000
) -> Iterator[Tensor]:
    """What comes through a pipe, as it comes.

    Args:
        stream: A WAV (its lengths are not believed: who writes it does not know them yet), or 16-bit
            little-endian samples of one channel.
        sample_rate: To give, in Hz.
        block_seconds: How much to wait for.
        raw_rate: Of samples without a header, in Hz.

    Yields:
        [T] float32 in [-1, 1].

    Raises:
        UserError: The WAV has a form that cannot be read this way, or holds samples that are not finite.
    """
    head = stream.read(4)
    form = _Form("<i2", 1, raw_rate)
    if head == b"RIFF":
        form, head = _wav_form(stream), b""
    width = np.dtype(form.dtype).itemsize * form.channels
    size = max(round(block_seconds * form.rate), 1) * width
    resampler = Resampler(form.rate, sample_rate, whole=False)
    data = head + stream.read(size - len(head))
    if head:
        _check_raw(data)
    while True:
        # Nothing is read ahead to learn whether this is the last of it: that would come a block late.
        samples = resampler(_samples(data[: len(data) // width * width], form), last=not data)
        if samples.size:
            yield torch.from_numpy(samples)
        if not data:
            return
        data = stream.read(size)


def _check_raw(data: bytes) -> None:
    packed = next((name for magic, name in _PACKED.items() if data.startswith(magic)), None)
    if packed is not None or data[4:8] == b"ftyp":
        raise UserError(
            f"standard input: is {packed or 'MP4'}: send WAV or raw 16-bit samples (ffmpeg -i - -f wav -)"
        )


def microphone(sample_rate: int, block_seconds: float) -> Iterator[Tensor]:
    """What the default microphone hears, [T] float32, until the reader has enough.

    Raises:
        UserError: sounddevice is not installed, or there is no microphone.
    """
    sounddevice = _sounddevice()
    heard: queue.SimpleQueue[NDArray[np.float32]] = queue.SimpleQueue()

    def keep(data: NDArray[np.float32], *_: object) -> None:
        heard.put(data[:, 0].copy())

    size = max(round(block_seconds * sample_rate), 1)
    try:
        with sounddevice.InputStream(
            samplerate=sample_rate, channels=1, dtype="float32", blocksize=size, callback=keep
        ):
            while True:
                yield torch.from_numpy(heard.get())
    except sounddevice.PortAudioError as error:
        raise UserError(f"the microphone cannot be opened ({error}): check that there is one") from None


def ahead(source: Iterator[Tensor], limit: int = 64) -> Iterator[tuple[Tensor, bool]]:
    """Reads on while the samples before are worked on.

    Args:
        source: Blocks [T].
        limit: So many blocks ahead at most.

    Yields:
        All that came by now, put together, and whether it was several: then whoever works on it is late.
    """
    waiting: queue.Queue[Tensor | BaseException | None] = queue.Queue(limit)
    Thread(target=_read_on, args=(source, waiting), daemon=True).start()
    while True:
        parts = [waiting.get()]
        while not waiting.empty() and len(parts) < limit:
            parts.append(waiting.get())
        samples = [part for part in parts if isinstance(part, Tensor)]
        if samples:
            yield torch.cat(samples), len(samples) > 1
        end = parts[-1]  # nothing comes after it
        if isinstance(end, BaseException):
            raise end
        if end is None:
            return


def _read_on(source: Iterator[Tensor], waiting: "queue.Queue[Tensor | BaseException | None]") -> None:
    try:
        for block in source:
            waiting.put(block)
        waiting.put(None)
    except BaseException as error:  # raised where it is awaited
        waiting.put(error)


def _samples(data: bytes, form: _Form) -> NDArray[np.float32]:
    raw = np.frombuffer(data, form.dtype).reshape(-1, form.channels)
    scale = float(np.iinfo(raw.dtype).max) + 1 if raw.dtype.kind == "i" else 1.0
    mono: NDArray[np.float32] = (raw.astype(np.float32) / np.float32(scale)).mean(axis=1)
    if not np.isfinite(mono).all():
        raise UserError("standard input: holds samples that are not finite (NaN or infinity)")
    return mono


def _wav_form(stream: BinaryIO) -> _Form:
    """Reads the header up to the samples; `RIFF` is read already."""
    if stream.read(8)[4:] != b"WAVE":
        raise UserError("standard input: begins like a WAV and is none: send WAV or raw 16-bit samples")
    form: _Form | None = None
    while len(header := stream.read(8)) == 8:
        kind, size = struct.unpack("<4sI", header)
        if kind == b"data" and form is not None:
            return form
        content = stream.read(size + size % 2) if size < _LONGEST_CHUNK else b""
        if kind == b"fmt " and len(content) >= 16:
            form = _form(content)
    raise UserError("standard input: a WAV without samples: it is corrupt, or ended too early")


def _form(content: bytes) -> _Form:
    code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
    if code == _EXTENSIBLE and len(content) >= 26:
        code = struct.unpack("<H", content[24:26])[0]
    if (code, bits) not in _SAMPLES or not channels or not rate:
        raise UserError(
            f"standard input: a WAV of {bits}-bit samples (coding {code}), {channels} channels: "
            "send 16-bit or 32-bit PCM, or 32-bit float"
        )
    return _Form(_SAMPLES[code, bits], channels, rate)


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise UserError("the microphone needs sounddevice: pip install 'auricle[microphone]'") from None
    except OSError:
        raise UserError(
            "the microphone needs the PortAudio library: install it with your system's package manager "
            "(libportaudio2, portaudio)"
        ) from None
    return sounddevice
