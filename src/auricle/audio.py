"""From a file to a waveform: read, average channels, resample, normalise.

The only importer of soundfile and soxr; `media` stands in for libsndfile on what that does not read.
"""

import io
import logging
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from auricle import media
from auricle.errors import UserError

SAMPLE_RATE = 16000
"""What every published model hears, in Hz."""

OPUS_SAMPLE_RATES = (8000, 12000, 16000, 24000, 48000)

Source = str | os.PathLike[str] | BinaryIO

_logger = logging.getLogger(__name__)
_noticed: set[str] = set()
_SLICE = re.compile(r"(?P<archive>.+):(?P<offset>[0-9]{1,18}):(?P<length>[0-9]{1,18})")
_LONGEST_HEADER = 1 << 40
"""Above this a header does not know its length (libsndfile then gives 2**63 - 1)."""

_UNREADABLE = (soundfile.SoundFileError, media.MediaError, OSError, MemoryError)
_LOUDEST = 1e12
"""Whole numbers of 32 bits taken for floats are below; what a model makes of more is no number."""

_CUT_OFF = re.compile(
    r"^ *(data|riff|SSND|Data Size) *: (?P<told>\d+) \(should be (?P<there>\d+)\)", re.MULTILINE
)
"""What libsndfile says of WAV, W64, AIFF and AU."""

_OPEN_END = (1 << 31) - (1 << 16)
"""From here on the length in a WAV's header is that of a program which wrote to a pipe and knew of no end."""


class AudioError(UserError):
    """One file that gives no usable samples: the text names it and says why."""


@dataclass(frozen=True, slots=True)
class Waveform:
    """One channel of sound.

    Attributes:
        samples: [T] float32, in [-1, 1] unless normalised.
        sample_rate: In Hz.
    """

    samples: Tensor
    sample_rate: int


class Sound(Protocol):
    """What an open file is asked: a `soundfile.SoundFile` or a `media.Media`."""

    @property
    def samplerate(self) -> int:
        """In Hz."""

    @property
    def channels(self) -> int:
        """At least 1."""

    @property
    def frames(self) -> int:
        """Samples of one channel, as the header says."""

    def read(self, frames: int = -1, dtype: str = "float32", always_2d: bool = True) -> NDArray[np.float32]:
        """The next samples, [T, channels]; all that are left where `frames` is -1."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file's header says: samples in one channel, at the file's own rate in Hz."""

    num_samples: int
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A member of an archive that is stored and not compressed: `length` bytes from `offset` on."""

    archive: str
    offset: int
    length: int


def read(source: Source, *, sample_rate: int = SAMPLE_RATE) -> Waveform:
    """Read one file as one channel at one rate.

    Channels are averaged and other rates resampled (soxr, high quality), each with one notice a process:
    fairseq averages silently and refuses other rates.

    Args:
        source: A path of any format libsndfile reads, `archive.zip:offset:length` for a member that is
            stored and not compressed, or an open binary file.
        sample_rate: The rate to give, in Hz.

    Raises:
        AudioError: The file is missing, empty, corrupt or truncated, or holds samples that are not finite.
    """
    name = _name(source)
    # numpy rather than torch, whose threads would take time from those that train
    with _opened(source) as sound:
        _check_length(sound, name)
        samples = sound.read(dtype="float32", always_2d=True)
        _check_whole(len(samples), sound, name)
        _notice_conversions(sound, name, sample_rate)
        file_rate = int(sound.samplerate)
    mono = _mono(samples, name)
    if file_rate != sample_rate:
        mono = _resampled(mono, file_rate, sample_rate)
    if mono.size == 0:
        raise AudioError(f"{name}: holds no samples")
    return Waveform(torch.from_numpy(np.ascontiguousarray(mono)), sample_rate)


def stream(
    source: Source, *, sample_rate: int = SAMPLE_RATE, block_seconds: float = 10.0
) -> Iterator[Tensor]:
    """Read one file block by block, in memory that does not grow with it.

    A file of one block gives the samples of `read` exactly; the blocks of a longer one, put together, give
    them to rounding.

    Args:
        source: As for `read`.
        sample_rate: The rate to give, in Hz.
        block_seconds: How much is read at a time.

    Yields:
        [T] float32, none of them empty.

    Raises:
        AudioError: As `read`, once all before what is wrong was given, but for a second of it at most.
    """
    name = _name(source)
    with _opened(source) as sound:
        _check_length(sound, name)
        _notice_conversions(sound, name, sample_rate)
        resampler = Resampler(int(sound.samplerate), sample_rate)
        size = max(round(block_seconds * sound.samplerate), 1)
        count, (block, wrong) = 0, _block(sound, size, name)
        while block.size:
            count += block.size
            following, wrong = (block[:0], wrong) if wrong else _block(sound, size, name)
            resampled = resampler(block, last=not following.size)
            if resampled.size:
                yield torch.from_numpy(resampled)
            block = following
        if wrong:
            raise wrong
        _check_whole(count, sound, name)
    if count == 0:
        raise AudioError(f"{name}: holds no samples")


def resample(waveform: Waveform, sample_rate: int) -> Waveform:
    """The waveform at another rate; itself where it has that rate."""
    if waveform.sample_rate == sample_rate:
        return waveform
    samples = _resampled(waveform.samples.numpy(), waveform.sample_rate, sample_rate)
    return Waveform(torch.from_numpy(samples), sample_rate)


def at_speed(samples: Tensor, speed: float) -> Tensor:
    """Play a waveform faster or slower, as a tape would: pitch and formants move with it.

    Ko et al. 2015, "Audio Augmentation for Speech Recognition". Resampled by soxr, high quality.

    Args:
        samples: [T] float32.
        speed: 1.1 gives T / 1.1 samples, 10 % higher.

    Returns:
        [T / speed] float32.
    """
    return torch.from_numpy(_resampled(samples.numpy(), speed, 1.0))


def info(source: Source) -> AudioInfo:
    """Read a header only.

    Raises:
        AudioError: The file is missing, empty, of no known format, or does not say how long it is.
    """
    with _opened(source) as sound:
        _check_length(sound, _name(source))
        return AudioInfo(int(sound.frames), int(sound.samplerate), int(sound.channels))


def stored(path: str) -> Stored | None:
    """The place that `archive.zip:offset:length` speaks of; None for the path of a file."""
    member = _SLICE.fullmatch(path)
    if member is None or os.path.exists(path):
        return None
    return Stored(member["archive"], int(member["offset"]), int(member["length"]))


def normalize(samples: Tensor) -> Tensor:
    """Scale a whole utterance to mean 0 and variance 1 (biased, eps 1e-5): fairseq's `task.normalize`.

    Args:
        samples: [T] float32, before any cropping or padding.
    """
    return functional.layer_norm(samples, samples.shape)


def encode(waveform: Waveform) -> tuple[bytes, str]:
    """Pack a waveform into a small file that browsers play.

    Returns:
        The bytes and their media type: Opus in Ogg (some 4 kB a second of speech), or FLAC where this build
        of libsndfile has no Opus or Opus does not know the rate. Ogg streams carry a random number: the same
        waveform gives other bytes each time.
    """
    opus = "OPUS" in soundfile.available_subtypes("OGG") and waveform.sample_rate in OPUS_SAMPLE_RATES
    kind, subtype, media_type = ("OGG", "OPUS", "audio/ogg") if opus else ("FLAC", "PCM_16", "audio/flac")
    buffer = io.BytesIO()
    samples = waveform.samples.clamp(-1, 1).numpy()
    soundfile.write(buffer, samples, waveform.sample_rate, format=kind, subtype=subtype)
    return buffer.getvalue(), media_type


@contextmanager
def _opened(source: Source) -> Iterator[Sound]:
    """Open any source; what goes wrong, here or while the caller reads, becomes an `AudioError`."""
    try:
        with _sound(_readable(source)) as sound:
            yield sound
    except _UNREADABLE as error:
        raise AudioError(f"{_name(source)}: {_reason(source, error)}") from None


def _sound(readable: str | bytes | BinaryIO) -> "soundfile.SoundFile | media.Media":
    try:
        return soundfile.SoundFile(readable)
    except soundfile.LibsndfileError:
        if not media.is_media(readable):
            raise
        return media.Media(readable)


def _readable(source: Source) -> str | bytes | BinaryIO:
    """What `SoundFile` can open: a path, or bytes that can be sought in."""
    if not isinstance(source, str | os.PathLike):
        return source if source.seekable() else io.BytesIO(source.read())
    path = os.fspath(source)
    if path.lower().endswith(".raw"):
        raise AudioError(f"{path}: raw samples have no header that gives the rate: convert it to WAV or FLAC")
    member = stored(path)
    if member is None:
        # as bytes, a name that is not UTF-8 can be opened too
        return path if sys.platform == "win32" else os.fsencode(path)
    with open(member.archive, "rb") as archive:
        size = os.fstat(archive.fileno()).st_size
        if member.offset + member.length > size:
            raise AudioError(f"{path}: the archive ends at byte {size}: make the manifest anew")
        archive.seek(member.offset)
        return io.BytesIO(archive.read(member.length))


def _mono(samples: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """[T, channels] -> [T]."""
    mono: NDArray[np.float32] = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    peak = float(np.abs(mono).max(initial=0.0))  # NaN where there is any
    if not math.isfinite(peak):
        raise AudioError(f"{name}: holds samples that are not finite (NaN or infinity)")
    if peak > _LOUDEST:
        raise AudioError(f"{name}: holds a sample of {peak:.0e}, where 1 is full scale: encode it again")
    return mono


def _block(sound: Sound, size: int, name: str) -> tuple[NDArray[np.float32], Exception | None]:
    """Up to `size` samples [T], read second by second, and what is wrong with those behind them."""
    parts, rest = [np.zeros(0, dtype=np.float32)], size
    try:
        while rest and (part := _mono(sound.read(min(rest, sound.samplerate), "float32", True), name)).size:
            parts.append(part)
            rest -= part.size
    except (AudioError, *_UNREADABLE) as error:
        return np.concatenate(parts), error
    return np.concatenate(parts), None


def _notice_conversions(sound: Sound, name: str, sample_rate: int) -> None:
    if sound.channels > 1:
        _notice("channels", f"{name} has {sound.channels} channels: averaged, as are those of other files")
    if sound.samplerate != sample_rate:
        _notice(
            "rate", f"{name} has {sound.samplerate} Hz: resampled to {sample_rate} Hz, as are other files"
        )


def _check_whole(count: int, sound: Sound, name: str) -> None:
    """A file may not end before its header says."""
    # 1 %: the header of an MP3 without a Xing frame is an estimate. Media looks at its track itself.
    if count < 0.99 * sound.frames and not isinstance(sound, media.Media):
        raise AudioError(f"{name}: truncated, {count} of {sound.frames} samples are there")
    # Of some formats libsndfile counts what is there, whatever the header says, and mentions it only.
    told = _CUT_OFF.search(sound.extra_info) if isinstance(sound, soundfile.SoundFile) else None
    if told and int(told["there"]) < 0.99 * int(told["told"]) and int(told["told"]) < _OPEN_END:
        raise AudioError(f"{name}: truncated, {told['there']} of {told['told']} bytes are there")


def _check_length(sound: Sound, name: str) -> None:
    if sound.frames > _LONGEST_HEADER:
        raise AudioError(f"{name}: its header does not say how long it is: encode it again")


def _resampled(samples: NDArray[np.float32], file_rate: float, sample_rate: float) -> NDArray[np.float32]:
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(samples, file_rate, sample_rate, quality="HQ")
    return resampled


class Resampler:
    """What `read` does to other rates (soxr, high quality), block by block."""

    def __init__(self, file_rate: int, sample_rate: int, *, whole: bool = True) -> None:
        """Begin.

        Args:
            file_rate: Of the blocks, in Hz.
            sample_rate: To give, in Hz.
            whole: Resample what comes in a single block in one go, with exactly the samples of `read`.
        """
        self._rates = (file_rate, sample_rate)
        self._whole = whole
        self._stream: Any = None

    def __call__(self, samples: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        """What can be told by now, which lags a little behind; with the last block, all the rest."""
        if self._rates[0] == self._rates[1]:
            return np.ascontiguousarray(samples)
        if self._stream is None and last and self._whole:
            return _resampled(samples, *self._rates)
        if self._stream is None:
            import soxr

            self._stream = soxr.ResampleStream(*self._rates, num_channels=1, dtype="float32", quality="HQ")
        resampled: NDArray[np.float32] = self._stream.resample_chunk(samples, last=last)
        return resampled


def _name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "audio stream"))


def _reason(source: Source, error: Exception) -> str:
    """Why a source could not be read, in words that say more than libsndfile's "System error"."""
    if isinstance(error, MemoryError):
        return "its header asks for more memory than there is: it is probably corrupt"
    if isinstance(error, soundfile.LibsndfileError):
        said = error.error_string.removeprefix("Error : ").rstrip(".")
        reason = f"{said} (corrupt, or not audio)"
    else:
        reason = getattr(error, "strerror", None) or str(error)
    if not isinstance(source, str | os.PathLike):
        return "empty" if source.seekable() and source.seek(0, os.SEEK_END) == 0 else reason
    path = os.fspath(source)
    member = stored(path)
    if member is not None and os.path.exists(member.archive):
        return f"no audio at these bytes: {reason}; members have to be stored, not compressed"
    if not os.path.exists(path):
        return "no such file"
    if os.path.isdir(path):
        return "is a folder"
    if not os.access(path, os.R_OK):
        return "may not be read: change its permissions"
    return "empty file" if os.path.getsize(path) == 0 else reason


def _notice(kind: str, text: str) -> None:
    """Say something once a process: thousands of files usually have the same trait."""
    if kind not in _noticed:
        _noticed.add(kind)
        _logger.warning(text)
