"""The sound of containers that libsndfile does not read: m4a, mp4, webm and their like, through PyAV.

PyAV is FFmpeg's libraries in a wheel; it is optional (`auricle[video]`) and imported when such a file comes.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_SIGNATURES: tuple[tuple[int, bytes], ...] = (
    (4, b"ftyp"),  # MP4, M4A, MOV, 3GP
    (0, b"\x1aE\xdf\xa3"),  # Matroska, WebM
    (0, b"\x30\x26\xb2\x75"),  # WMA, WMV
    (8, b"AVI "),
    (0, b"FLV"),
    (0, b"#!AMR"),
    (0, b"ADIF"),
    (0, b"\x00\x00\x01\xba"),  # MPEG programme stream
    (0, b"\xff\xf1"),  # AAC in ADTS
    (0, b"\xff\xf9"),
)
"""Where in a file what bytes tell its kind."""


class MediaError(Exception):
    """Such a file gives no sound: the text says why, without its name."""


def is_media(readable: str | bytes | BinaryIO) -> bool:
    """Whether the first bytes are those of a container that PyAV may read; a stream is left at its start."""
    if isinstance(readable, str | bytes):
        try:
            with open(readable, "rb") as file:
                head = file.read(16)
        except OSError:
            return False
    else:
        readable.seek(0)
        head = readable.read(16)
        readable.seek(0)
    return any(head[at:].startswith(signature) for at, signature in _SIGNATURES)


class Media:
    """The first sound track of a container, read like a `soundfile.SoundFile`.

    Attributes:
        samplerate: In Hz.
        channels: Of the track.
        frames: Samples of one channel, as far as the container tells its duration; 0 where it does not.
    """

    def __init__(self, readable: str | bytes | BinaryIO) -> None:
        """Open it.

        Args:
            readable: A path, or a binary stream that can seek.

        Raises:
            MediaError: PyAV is not installed, or there is no sound in it.
        """
        av = _av()
        self._errors: type[Exception] = av.FFmpegError
        path = readable.decode(errors="surrogateescape") if isinstance(readable, bytes) else readable
        try:
            self._container = av.open(path, metadata_errors="ignore")
        except av.FFmpegError as error:
            raise MediaError(_why(error)) from None
        if not self._container.streams.audio:
            self._container.close()
            raise MediaError("holds no sound track")
        track = self._container.streams.audio[0]
        self.samplerate = int(track.rate or 0)
        self.channels = int(track.channels or 0)
        if not self.samplerate or not self.channels:
            self._container.close()
            raise MediaError("its sound track does not tell its rate (corrupt?)")
        own = float(track.duration * track.time_base) if track.duration else 0.0
        self._promised = round(own * self.samplerate)
        whole = (self._container.duration or 0) / av.time_base  # of the pictures too
        self.frames = self._promised or round(whole * self.samplerate)
        self._count = 0
        self._blocks = self._decode(av.AudioResampler(format="fltp", layout=track.layout, rate=track.rate))
        self._left = np.zeros((0, self.channels), dtype=np.float32)

    def __enter__(self) -> "Media":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def read(self, frames: int = -1, dtype: str = "float32", always_2d: bool = True) -> NDArray[np.float32]:
        """The next samples, [T, channels] float32; all that are left where `frames` is -1.

        Raises:
            MediaError: They cannot be decoded, or end long before the track says.
        """
        parts, count = [self._left], len(self._left)
        while frames < 0 or count < frames:
            block = next(self._blocks, None)
            if block is None:
                if self._count < 0.95 * self._promised:
                    raise MediaError(f"truncated, {self._count} of {self._promised} samples are there")
                break
            self._count += len(block)
            parts.append(block)
            count += len(block)
        samples = np.concatenate(parts)
        end = len(samples) if frames < 0 else frames
        self._left = samples[end:]
        return samples[:end]

    def _decode(self, resampler: Any) -> Iterator[NDArray[np.float32]]:
        """Samples [T, channels], packet by packet."""
        try:
            for frame in self._container.decode(audio=0):
                yield from (part.to_ndarray().T for part in resampler.resample(frame))
            yield from (part.to_ndarray().T for part in resampler.resample(None))
        except self._errors as error:
            raise MediaError(_why(error)) from None


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise MediaError(
            "video or packed audio, which libsndfile does not read: pip install 'auricle[video]', "
            "or convert it (ffmpeg -i FILE -ac 1 -ar 16000 FILE.flac)"
        ) from None
    return av


def _why(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return f"{reason} (corrupt, or of an unknown coding)"
