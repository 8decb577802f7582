"""Recordings that stop other systems: here each is named, set aside and counted, and training goes on.

fairseq ends in a traceback for a missing, empty, truncated or 8 kHz file and for a clip shorter than the
receptive field; NaN samples make its loss NaN; stereo is averaged without a word.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import sounds
from auricle import audio
from auricle.cli.main import main
from auricle.data import BatchLoader, SpeechDataset
from auricle.manifest import Entry, read_manifest, write_manifest

GOOD = [900, 1000, 1100, 1200]


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def header_only(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def of_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def not_a_number(path: Path) -> None:
    samples = sounds.noise(1000)
    samples[500] = np.nan
    soundfile.write(path, samples, 16000, subtype="FLOAT", format="WAV")


def shorter_than_the_receptive_field(path: Path) -> None:
    soundfile.write(path, sounds.noise(399), 16000)


def of_unknown_length(path: Path) -> None:
    """As an encoder leaves a FLAC that it wrote to a pipe: the number of samples in the header is 0."""
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)


def of_absurd_length(path: Path) -> None:
    """2**36 - 1 samples, 256 GiB as float32, promised by a header of a kilobyte."""
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)


FAULTS: dict[Callable[[Path], None], str] = {
    missing: "no such file",
    empty: "empty file",
    truncated: "corrupt|truncated",
    header_only: "corrupt|truncated|samples",
    of_zeros: "not audio",
    not_a_number: "not finite",
    shorter_than_the_receptive_field: "too short: 399 samples, one frame needs 400",
    of_unknown_length: "does not say how long it is",
    of_absurd_length: "corrupt|truncated|memory",
}


def num_frames(num_samples: int) -> int:
    return max(0, (num_samples - 400) // 320 + 1)


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_it_is_named_and_the_others_are_used(
    tmp_path: Path, fault: Callable[[Path], None], num_workers: int
) -> None:
    manifest = sounds.corpus(tmp_path, [*GOOD, 1000], extension="flac")
    fault(tmp_path / "4.flac")
    dataset = SpeechDataset(manifest, num_frames=num_frames)
    batches = list(BatchLoader(dataset, max_tokens=3000, pad=False, num_workers=num_workers).epoch(1))
    assert sorted(i for batch in batches for i in batch.ids.tolist()) == [0, 1, 2, 3]
    (lost,) = (item for batch in batches for item in batch.set_aside)
    assert lost.name == "4.flac"
    assert any(reason in lost.reason for reason in FAULTS[fault].split("|")), lost.reason
    assert all(bool(torch.isfinite(batch.waveforms).all()) for batch in batches)


@pytest.mark.parametrize("fault", [empty, of_zeros, of_unknown_length], ids=lambda fault: fault.__name__)
def test_the_manifest_command_names_what_a_header_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: Callable[[Path], None]
) -> None:
    sounds.corpus(tmp_path, [*GOOD, 1000], extension="flac")
    fault(tmp_path / "4.flac")
    assert main(["manifest", str(tmp_path), "--dest", str(tmp_path), "--valid-percent", "0"]) == 0
    assert len(read_manifest(tmp_path / "train.tsv")) == 4
    assert f"left out {tmp_path / '4.flac'}: " in capsys.readouterr().err


def test_stereo_and_telephone_speech_come_through(tmp_path: Path) -> None:
    sounds.write(tmp_path / "0.wav", 4000, channels=2)
    sounds.write(tmp_path / "1.wav", 2000, rate=8000)
    dataset = SpeechDataset(sounds.listed(tmp_path, [4000, 2000]))
    (batch,) = BatchLoader(dataset, max_tokens=10**6, pad=False).epoch(1)
    assert batch.waveforms.shape == (2, 4000) and batch.set_aside == ()


def test_members_of_a_stored_zip_train(tmp_path: Path) -> None:
    """fairseq's speech-to-text data: `archive.zip:offset:length` in the manifest."""
    sounds.corpus(tmp_path, GOOD)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number in range(len(GOOD)):
            archive.write(tmp_path / f"{number}.wav", f"{number}.wav")
        members = archive.infolist()
    paths = [f"all.zip:{item.header_offset + 30 + len(item.filename)}:{item.file_size}" for item in members]
    entries = [Entry(path, size, 0) for path, size in zip(paths, GOOD, strict=True)]
    write_manifest(tmp_path / "zip.tsv", tmp_path, entries)
    dataset = SpeechDataset(read_manifest(tmp_path / "zip.tsv"))
    for number in range(len(GOOD)):
        item = dataset[number]
        assert torch.equal(item.samples, audio.read(tmp_path / f"{number}.wav").samples)  # type: ignore[union-attr]


def test_constant_silence_is_no_division_by_zero() -> None:
    assert bool(torch.isfinite(audio.normalize(torch.zeros(1000))).all())
