"""What is measured of one recording."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.data.measure import measure, measure_file, measure_files
from sounds import noise, write

RATE = 16000


def voice(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Something like syllables: tones of changing pitch that come and go."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    parts = int(seconds * 8)
    pitch = np.repeat(rng.uniform(150, 3000, parts), -(-len(time) // parts))[: len(time)]
    loud = np.repeat(rng.uniform(0.01, 0.5, parts), -(-len(time) // parts))[: len(time)]
    return (loud * np.sin(2 * np.pi * np.cumsum(pitch) / RATE) + 0.03 * noise(len(time), seed)).astype(
        np.float32
    )


def test_loudness_and_silence() -> None:
    samples = np.concatenate([np.zeros(3 * RATE), 0.5 * np.ones(RATE)]).astype(np.float32)
    found = measure(samples, RATE)
    assert (found.peak, found.silent_share, found.seconds) == (0.5, 0.75, 4.0)
    assert found.rms == pytest.approx(0.25)


def test_a_wave_that_is_cut_off_is_clipped_and_single_peaks_are_not() -> None:
    wave = np.sin(np.arange(RATE) / 50).astype(np.float32)
    assert measure(wave * 0.9, RATE).clipped_share == 0.0
    assert measure(np.clip(wave * 2, -1, 1), RATE).clipped_share == pytest.approx(2 / 3, rel=0.01)
    spikes = np.zeros(RATE, dtype=np.float32)
    spikes[::100] = 1.0
    spikes[1::100] = -1.0
    assert measure(spikes, RATE).clipped_share == 0.0


def test_equal_samples_have_one_digest_in_any_lossless_format(tmp_path: Path) -> None:
    for name in ("a.wav", "b.flac", "c.wav"):
        in_16_bits = (noise(8000, seed=2 if name == "c.wav" else 1) * 32768).astype(np.int16)
        soundfile.write(tmp_path / name, in_16_bits, RATE)
    a, b, c = (measure_file(str(tmp_path / name)) for name in ("a.wav", "b.flac", "c.wav"))
    assert not isinstance(a, str) and not isinstance(b, str) and not isinstance(c, str)
    assert a.digest == b.digest != c.digest


def test_copies_of_another_level_or_format_have_near_prints_and_others_do_not() -> None:
    first, other = voice(seed=1), voice(seed=2)
    stream = io.BytesIO()
    soundfile.write(stream, first, RATE, format="OGG", subtype="VORBIS")
    stream.seek(0)
    coded, _ = soundfile.read(stream, dtype="float32")
    print_of = measure(first, RATE).print
    assert print_of @ measure(first * 0.2, RATE).print > 0.99
    assert print_of @ measure(coded, RATE).print > 0.99
    assert print_of @ measure(other, RATE).print < 0.9


@pytest.mark.parametrize("samples", [np.zeros(5), np.ones(1), np.zeros(RATE)])
def test_there_is_a_measure_of_next_to_nothing(samples: np.ndarray) -> None:
    found = measure(samples.astype(np.float32), RATE)
    assert np.isfinite(found.print).all()


def test_files_come_in_order_and_a_broken_one_is_text(tmp_path: Path) -> None:
    paths = [str(write(tmp_path / f"{number}.wav", 100 + number)) for number in range(20)]
    Path(paths[7]).write_bytes(b"no audio")
    done = []
    results = list(measure_files(paths, 3, lambda: done.append(1)))
    assert len(done) == 20
    assert isinstance(results[7], str) and "not audio" in results[7]
    assert [one.num_samples for one in results if not isinstance(one, str)] == [
        100 + number for number in range(20) if number != 7
    ]
