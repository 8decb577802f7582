"""An utterance to hear and to see: a small clip and a spectrogram, as data URIs."""

import base64
import io
from dataclasses import dataclass

import torch
from torch import Tensor

from auricle.audio import Waveform, encode, read

MAX_SECONDS = 30.0

_FRAME_SECONDS, _LEAST_HOP_SECONDS = 0.025, 0.005
_MAX_COLUMNS = 600
_RANGE_DB = 65.0
_GREYS = 24  # few enough for a small file, too many to see the steps


@dataclass(frozen=True, slots=True)
class Clip:
    """The sound of one utterance.

    Attributes:
        audio: ``data:audio/...``.
        spectrogram: ``data:image/png...``: dark on white, time to the right, 0 Hz at the bottom.
        seconds: length of the whole utterance.
        sample_rate: of the clip, in Hz; the spectrogram reaches half of it.
        is_cut: whether only the first `MAX_SECONDS` are here.
    """

    audio: str
    spectrogram: str
    seconds: float
    sample_rate: int
    is_cut: bool


def make_clip(path: str) -> Clip:
    """Read an utterance and pack it for a page.

    Raises:
        auricle.audio.AudioError: It cannot be read.
    """
    waveform = read(path)
    num_kept = int(MAX_SECONDS * waveform.sample_rate)
    kept = Waveform(waveform.samples[:num_kept], waveform.sample_rate)
    data, media_type = encode(kept)
    return Clip(
        audio=_data_uri(data, media_type),
        spectrogram=_data_uri(spectrogram_png(kept), "image/png"),
        seconds=len(waveform.samples) / waveform.sample_rate,
        sample_rate=waveform.sample_rate,
        is_cut=len(waveform.samples) > num_kept,
    )


def spectrogram_png(waveform: Waveform) -> bytes:
    """Log power over time and frequency as a grey PNG; what lies 65 dB under the loudest point is white."""
    from PIL import Image

    levels = _decibels(waveform)
    darkness = ((levels - levels.max()) / _RANGE_DB + 1).clamp(0, 1)
    grey = (1 - (darkness * _GREYS).round() / _GREYS) * 255
    buffer = io.BytesIO()
    # Low frequencies come first in memory, last in a picture.
    Image.fromarray(grey.flip(0).to(torch.uint8).contiguous().numpy()).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _decibels(waveform: Waveform) -> Tensor:
    """Power in dB, [bins, columns] float32, at most `_MAX_COLUMNS` columns; low frequencies first."""
    frame = int(_FRAME_SECONDS * waveform.sample_rate)
    hop = max(int(_LEAST_HOP_SECONDS * waveform.sample_rate), -(-len(waveform.samples) // _MAX_COLUMNS))
    padded = torch.nn.functional.pad(waveform.samples, (0, max(0, frame - len(waveform.samples))))
    frames = padded.unfold(0, frame, hop) * torch.hann_window(frame)
    power = torch.fft.rfft(frames).abs().square()
    return 10 * torch.log10(power.T + 1e-10)


def _data_uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
