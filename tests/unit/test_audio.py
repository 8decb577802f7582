"""From a file to a waveform: formats, channels, rates, and what is wrong with a file."""

import io
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import sounds
from auricle import audio


@pytest.fixture(autouse=True)
def no_notice_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "_noticed", set())


@pytest.mark.parametrize("extension", ["wav", "flac", "aiff", "au", "w64"])
def test_lossless_formats_give_the_same_samples(tmp_path: Path, extension: str) -> None:
    path = sounds.write(tmp_path / f"x.{extension}", 5000)
    waveform = audio.read(path)
    assert waveform.sample_rate == 16000
    assert waveform.samples.dtype == torch.float32 and waveform.samples.is_contiguous()
    torch.testing.assert_close(waveform.samples, torch.from_numpy(sounds.noise(5000)), atol=1e-4, rtol=0)
    assert audio.info(path) == audio.AudioInfo(5000, 16000, 1)


@pytest.mark.parametrize("extension", ["ogg", "mp3", "opus"])
def test_lossy_formats_give_about_the_same_length(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"x.{extension}"
    kind = {"format": "OGG", "subtype": "OPUS"} if extension == "opus" else {}
    soundfile.write(path, sounds.noise(16000), 16000, **kind)
    assert abs(len(audio.read(path).samples) - 16000) < 200


def test_stereo_is_averaged_with_one_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = sounds.write(tmp_path / "x.wav", 100, channels=2)
    with caplog.at_level(logging.WARNING, "auricle.audio"):
        first, _ = audio.read(path), audio.read(path)
    both, _ = soundfile.read(path, dtype="float32")
    assert torch.equal(first.samples, torch.from_numpy(both.mean(1)))
    assert [record.message for record in caplog.records] == [
        f"{path} has 2 channels: averaged, as are those of other files"
    ]


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_other_rates_are_resampled_with_one_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rate: int
) -> None:
    seconds = np.arange(rate) / rate
    path = tmp_path / "x.wav"
    soundfile.write(path, np.sin(2 * np.pi * 440 * seconds), rate, subtype="FLOAT")
    with caplog.at_level(logging.WARNING, "auricle.audio"):
        first, _ = audio.read(path), audio.read(path)
    assert first.sample_rate == 16000 and abs(len(first.samples) - 16000) <= 1
    wanted = torch.sin(2 * torch.pi * 440 * torch.arange(16000, dtype=torch.float64) / 16000).float()
    torch.testing.assert_close(first.samples[500:15500], wanted[500:15500], atol=1e-3, rtol=0)
    assert len(caplog.records) == 1 and f"{rate} Hz: resampled to 16000 Hz" in caplog.text


def test_any_rate_can_be_asked_for(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "x.wav", 8000, rate=8000)
    assert len(audio.read(path, sample_rate=8000).samples) == 8000


def test_open_files_and_pipes(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "x.flac", 1000)
    expected = audio.read(path).samples
    with path.open("rb") as file:
        assert torch.equal(audio.read(file).samples, expected)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    assert torch.equal(audio.read(Pipe(path.read_bytes())).samples, expected)
    with pytest.raises(audio.AudioError, match=r"audio stream: .*not audio"):
        audio.read(io.BytesIO(b"nothing of the kind"))


def stored(archive: Path, member: Path, compression: int = zipfile.ZIP_STORED) -> str:
    """Puts a file in an archive; gives the path of its bytes."""
    with zipfile.ZipFile(archive, "w", compression) as writer:
        writer.write(member, "y.flac")
        info = writer.getinfo("y.flac")
    data = archive.read_bytes()
    offset = info.header_offset + 30 + len("y.flac") + int.from_bytes(data[28:30], "little")
    return f"{archive}:{offset}:{info.compress_size}"


def test_members_of_stored_archives(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "x.flac", 1000)
    member = stored(tmp_path / "a.zip", path)
    assert torch.equal(audio.read(member).samples, audio.read(path).samples)
    assert audio.info(member).num_samples == 1000


def test_members_that_are_compressed_or_elsewhere(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "x.wav", 1000)
    member = stored(tmp_path / "a.zip", path, zipfile.ZIP_DEFLATED)
    with pytest.raises(audio.AudioError, match="members have to be stored, not compressed"):
        audio.read(member)
    for place in ("999999:10", "0:999999", f"{10**17}:{10**17}"):
        with pytest.raises(audio.AudioError, match="the archive ends at byte"):
            audio.read(f"{tmp_path}/a.zip:{place}")
    with pytest.raises(audio.AudioError, match="no such file"):
        audio.read(f"{tmp_path}/a.zip:0:{'9' * 5000}")
    with pytest.raises(audio.AudioError, match=r"b.zip:0:10: no such file"):
        audio.read(f"{tmp_path}/b.zip:0:10")


def test_a_file_may_be_named_like_a_member(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "x.wav", 50).rename(tmp_path / "x.wav:1:2")
    assert audio.info(path).num_samples == 50


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.wav", None, "no such file"),
        ("empty.flac", b"", "empty file"),
        ("text.wav", b"these are words, not sound", "not audio"),
        ("headerless.raw", b"\0" * 100, "no header that gives the rate"),
    ],
)
def test_unusable_files_are_named_with_the_reason(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for use in (audio.read, audio.info):
        with pytest.raises(audio.AudioError, match=f"{name}: .*{reason}"):
            use(path)


def test_a_folder_is_not_audio(tmp_path: Path) -> None:
    with pytest.raises(audio.AudioError, match="is a folder"):
        audio.read(tmp_path)


def test_no_samples_and_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(0), 16000)
    with pytest.raises(audio.AudioError, match="holds no samples"):
        audio.read(path)
    for value in (np.nan, np.inf):
        soundfile.write(path, np.array([0.0, value, 0.0]), 16000, subtype="FLOAT")
        with pytest.raises(audio.AudioError, match="not finite"):
            audio.read(path)


def test_normalized_speech_has_mean_0_and_variance_1() -> None:
    samples = audio.normalize(torch.from_numpy(sounds.noise(4000)) * 3 + 1)
    assert abs(float(samples.mean())) < 1e-5
    assert abs(float(samples.var(correction=0)) - 1) < 1e-3
    assert torch.equal(audio.normalize(torch.full((10,), 0.5)), torch.zeros(10))


def test_encoded_audio_reads_back() -> None:
    samples = torch.from_numpy(sounds.noise(16000))
    for rate, media_type in ((16000, "audio/ogg"), (11025, "audio/flac")):
        data, kind = audio.encode(audio.Waveform(samples, rate))
        assert kind == media_type or "OPUS" not in soundfile.available_subtypes("OGG")
        assert abs(audio.info(io.BytesIO(data)).num_samples - 16000) < 400


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (96000, 8), (8000, 1)])
def test_blocks_give_the_samples_of_the_whole(tmp_path: Path, rate: int, channels: int) -> None:
    path = sounds.write(tmp_path / "x.wav", rate * 3, rate=rate, channels=channels)
    whole = audio.read(path).samples
    blocks = list(audio.stream(path, block_seconds=0.7))
    assert len(blocks) > 3 and all(len(block) for block in blocks)
    torch.testing.assert_close(torch.cat(blocks), whole, atol=2e-5, rtol=0)
    (single,) = audio.stream(path, block_seconds=10)
    assert torch.equal(single, whole)


def test_blocks_before_what_is_wrong_are_given(tmp_path: Path) -> None:
    samples = sounds.noise(48000)
    samples[40000] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16000, subtype="FLOAT")
    flac = sounds.write(tmp_path / "cut.flac", 160_000)
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    for path, least, said in ((tmp_path / "nan.wav", 24_000, "not finite"), (flac, 60_000, r"cut\.flac")):
        for block_seconds in (1, 1.7, 30):
            given = 0
            with pytest.raises(audio.AudioError, match=said):
                for block in audio.stream(path, block_seconds=block_seconds):
                    given += len(block)
            assert least <= given < 90_000, (path, block_seconds)


def test_a_stream_of_nothing_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0, dtype=np.float32), 16000)
    (tmp_path / "empty.wav").write_bytes(b"")
    for name, reason in (("none", "holds no samples"), ("empty", "empty file"), ("gone", "no such file")):
        with pytest.raises(audio.AudioError, match=rf"{name}\.wav: {reason}"):
            list(audio.stream(tmp_path / f"{name}.wav"))


def test_blocks_are_read_one_at_a_time(tmp_path: Path) -> None:
    """A file of which only a tenth was asked for is not read to its end."""

    class Counted(io.BytesIO):
        furthest = 0

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            count = super().readinto(buffer)
            self.furthest = max(self.furthest, self.tell())
            return count

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.furthest = max(self.furthest, self.tell())
            return data

    data = sounds.write(tmp_path / "x.wav", 1_600_000).read_bytes()
    source = Counted(data)
    next(audio.stream(source, block_seconds=5))
    assert 0 < source.furthest < len(data) / 5
