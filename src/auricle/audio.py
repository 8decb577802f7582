"""From a file to a waveform: read, average channels, resample, normalise.

The only importer of soundfile and soxr.
"""

import io
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

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


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file's header says: samples in one channel, at the file's own rate in Hz."""

    num_samples: int
    sample_rate: int
    channels: int


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
        samples = _decoded(sound, name)
        file_rate = int(sound.samplerate)
    if samples.shape[1] > 1:
        _notice("channels", f"{name} has {samples.shape[1]} channels: averaged, as are those of other files")
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if not np.isfinite(mono).all():
        raise AudioError(f"{name}: holds samples that are not finite (NaN or infinity)")
    if file_rate != sample_rate:
        _notice("rate", f"{name} has {file_rate} Hz: resampled to {sample_rate} Hz, as are other files")
        mono = _resampled(mono, file_rate, sample_rate)
    if mono.size == 0:
        raise AudioError(f"{name}: holds no samples")
    return Waveform(torch.from_numpy(np.ascontiguousarray(mono)), sample_rate)


def info(source: Source) -> AudioInfo:
    """Read a header only.

    Raises:
        AudioError: The file is missing, empty, of no known format, or does not say how long it is.
    """
    with _opened(source) as sound:
        _check_length(sound, _name(source))
        return AudioInfo(int(sound.frames), int(sound.samplerate), int(sound.channels))


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
def _opened(source: Source) -> Iterator[soundfile.SoundFile]:
    """Open any source; what goes wrong, here or while the caller reads, becomes an `AudioError`."""
    try:
        with soundfile.SoundFile(_readable(source)) as sound:
            yield sound
    except (soundfile.SoundFileError, OSError, MemoryError) as error:
        raise AudioError(f"{_name(source)}: {_reason(source, error)}") from None


def _readable(source: Source) -> str | bytes | BinaryIO:
    """What `SoundFile` can open: a path, or bytes that can be sought in."""
    if not isinstance(source, str | os.PathLike):
        return source if source.seekable() else io.BytesIO(source.read())
    path = os.fspath(source)
    if path.lower().endswith(".raw"):
        raise AudioError(f"{path}: raw samples have no header that gives the rate: convert it to WAV or FLAC")
    member = _SLICE.fullmatch(path)
    if member is None or os.path.exists(path):
        # as bytes, a name that is not UTF-8 can be opened too
        return path if sys.platform == "win32" else os.fsencode(path)
    with open(member["archive"], "rb") as archive:
        size = os.fstat(archive.fileno()).st_size
        offset, length = int(member["offset"]), int(member["length"])
        if offset + length > size:
            raise AudioError(f"{path}: the archive ends at byte {size}: make the manifest anew")
        archive.seek(offset)
        return io.BytesIO(archive.read(length))


def _decoded(sound: soundfile.SoundFile, name: str) -> NDArray[np.float32]:
    """All samples, [T, channels], or an `AudioError` where the file ends before its header says."""
    _check_length(sound, name)
    samples: NDArray[np.float32] = sound.read(dtype="float32", always_2d=True)
    # 1 %: the header of an MP3 without a Xing frame is an estimate
    if len(samples) < 0.99 * sound.frames:
        raise AudioError(f"{name}: truncated, {len(samples)} of {sound.frames} samples are there")
    return samples


def _check_length(sound: soundfile.SoundFile, name: str) -> None:
    if sound.frames > _LONGEST_HEADER:
        raise AudioError(f"{name}: its header does not say how long it is: encode it again")


def _resampled(samples: NDArray[np.float32], file_rate: int, sample_rate: int) -> NDArray[np.float32]:
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(samples, file_rate, sample_rate, quality="HQ")
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
        reason = f"{error.error_string.rstrip('.')} (corrupt, or not audio)"
    else:
        reason = getattr(error, "strerror", None) or str(error)
    if not isinstance(source, str | os.PathLike):
        return reason
    path = os.fspath(source)
    member = _SLICE.fullmatch(path)
    if member is not None and os.path.exists(member["archive"]):
        return f"no audio at these bytes: {reason}; members have to be stored, not compressed"
    if not os.path.exists(path):
        return "no such file"
    if os.path.isdir(path):
        return "is a folder"
    return "empty file" if os.path.getsize(path) == 0 else reason


def _notice(kind: str, text: str) -> None:
    """Say something once a process: thousands of files usually have the same trait."""
    if kind not in _noticed:
        _noticed.add(kind)
        _logger.warning(text)
