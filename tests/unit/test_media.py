"""Video and packed audio: read where PyAV is, one line that says what to do where it is not."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from auricle import audio, media


def tone(seconds: float, rate: int) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write(
    path: Path,
    seconds: float = 2.0,
    *,
    rate: int = 48000,
    codec: str = "aac",
    video: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """A container with a tone, and a few black pictures."""
    av = pytest.importorskip("av", reason="no PyAV: pip install 'auricle[video]'")
    with av.open(path, "w", options=options or {}) as container:
        pictures = container.add_stream("mpeg4", rate=10) if video else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        if codec:
            sound = container.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(tone(seconds, rate)[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            for packet in [*sound.encode(frame), *sound.encode(None)]:
                container.mux(packet)
        for number in range(round(seconds * 10) if pictures else 0):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8), format="rgb24")
            picture.pts = number
            container.mux(pictures.encode(picture))
        if pictures is not None:
            container.mux(pictures.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [("a.m4a", "aac", False), ("a.mp4", "aac", True), ("a.mkv", "aac", True), ("a.webm", "libopus", False)],
)
def test_the_sound_of_a_container_is_read(tmp_path: Path, name: str, codec: str, video: bool) -> None:
    path = write(tmp_path / name, codec=codec, video=video)
    samples = audio.read(path).samples
    assert abs(len(samples) - 32000) < 2000
    spectrum = torch.fft.rfft(samples[8000:24000]).abs()
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert torch.equal(samples, audio.read(io.BytesIO(path.read_bytes())).samples)
    blocks = list(audio.stream(path, block_seconds=0.5))
    assert len(blocks) > 2
    torch.testing.assert_close(torch.cat(blocks), samples, atol=2e-5, rtol=0)
    header = audio.info(path)
    assert (header.sample_rate, header.channels) == (48000, 1)
    assert abs(header.num_samples - 96000) < 6000


def test_a_film_without_sound_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "silent.mp4", codec="", video=True)
    with pytest.raises(audio.AudioError, match=r"silent\.mp4: holds no sound track"):
        audio.read(path)


def test_a_damaged_container_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", video=True)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(audio.AudioError, match=r"a\.mp4: .*corrupt"):
        audio.read(path)


def test_a_container_that_ends_early_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.m4a", options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(audio.AudioError, match=r"a\.m4a: (truncated|.*corrupt)"):
        list(audio.stream(path, block_seconds=0.5))


def test_without_pyav_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(100))
    with pytest.raises(audio.AudioError, match=r"a\.mp4: .*auricle\[video\].*ffmpeg") as caught:
        audio.read(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_container_is_left_to_libsndfile(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"nothing of the kind")
    with pytest.raises(audio.AudioError, match="not audio"):
        audio.read(tmp_path / "x.mp4")
    soundfile.write(tmp_path / "a.wav", tone(0.1, 16000), 16000)
    assert not media.is_media(str(tmp_path / "a.wav"))
    assert not media.is_media(str(tmp_path / "missing"))
