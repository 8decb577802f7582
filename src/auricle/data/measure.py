"""One recording, measured: how loud, how silent, how clipped, and a print that tells copies of it.

Everything is a function of the samples at the file's own rate; a file is read once and not kept.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from auricle import audio

FRAME_SECONDS = 0.02
SILENCE = 1e-3
"""Root mean square of a frame below which nobody hears anything: -60 dB of full scale."""

FULL_SCALE = 0.999
_CLIPPED_RUN = 3
"""A wave that is cut off stands at its limit for so many samples in a row."""

PRINT_PARTS, PRINT_BANDS = 16, 6
_BAND_EDGES = (100.0, 300.0, 600.0, 1000.0, 1600.0, 2400.0, 3600.0)
"""Of the print's bands, in Hz: what telephone and studio copies of a recording share."""

_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one recording.

    Attributes:
        num_samples: Of one channel, at `sample_rate` in Hz.
        channels: Before they were averaged.
        peak: The largest sample, without its sign; 1 is full scale.
        rms: Root mean square of all samples.
        silent_share: Frames below `SILENCE`, of all.
        clipped_share: Samples in flat runs at full scale, of all.
        digest: Of the samples in 16 bits: equal for copies in any lossless format.
        print: [PRINT_PARTS * PRINT_BANDS] float32 of mean 0 and length 1: near for copies in lossy formats,
            at other levels or rates; all 0 where there is nothing to tell apart.
    """

    num_samples: int
    sample_rate: int
    channels: int
    peak: float
    rms: float
    silent_share: float
    clipped_share: float
    digest: bytes
    print: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.num_samples / self.sample_rate


def measure_file(path: str) -> Measured | str:
    """Measures one file; what is wrong with one that cannot be read comes back as text."""
    try:
        info = audio.info(path)
        samples = audio.read(path, sample_rate=info.sample_rate).samples.numpy()
    except audio.AudioError as error:
        return str(error).removeprefix(f"{path}: ")
    return measure(samples, info.sample_rate, info.channels)


def measure_files(
    paths: Sequence[str], num_workers: int, on_progress: Callable[[], object] = lambda: None
) -> Iterator[Measured | str]:
    """Measures files in parallel, in their order, a few ahead of who asks."""
    waiting = iter(paths)
    with ThreadPoolExecutor(num_workers, thread_name_prefix="auricle-check") as pool:
        pending: list[Future[Measured | str]] = [
            pool.submit(measure_file, path) for path in islice(waiting, _AHEAD * num_workers)
        ]
        while pending:
            yield pending.pop(0).result()
            on_progress()
            pending += [pool.submit(measure_file, path) for path in islice(waiting, 1)]


def measure(samples: NDArray[np.float32], sample_rate: int, channels: int = 1) -> Measured:
    """Measures samples [T] float32."""
    size = max(1, round(FRAME_SECONDS * sample_rate))
    whole = len(samples) // size * size
    frames = samples[:whole].reshape(-1, size) if whole else samples[None]
    loudness = np.sqrt(np.square(frames, dtype=np.float64).mean(axis=1))
    in_16_bits = np.clip(np.round(samples * 32768.0), -32768, 32767).astype("<i2")
    return Measured(
        len(samples),
        sample_rate,
        channels,
        peak=float(np.abs(samples).max()),
        rms=float(np.sqrt(np.square(samples, dtype=np.float64).mean())),
        silent_share=float((loudness < SILENCE).mean()),
        clipped_share=_clipped(samples) / len(samples),
        digest=hashlib.blake2b(in_16_bits.tobytes(), digest_size=16).digest(),
        print=_print(samples, sample_rate),
    )


def _clipped(samples: NDArray[np.float32]) -> int:
    """Samples in runs at full scale, of one sign, of `_CLIPPED_RUN` or more."""
    sign = np.sign(samples) * (np.abs(samples) >= FULL_SCALE)
    if not sign.any():
        return 0
    starts = np.flatnonzero(np.diff(sign, prepend=0.0))
    lengths = np.diff(starts, append=len(sign))
    long_enough = (lengths >= _CLIPPED_RUN) & (sign[starts] != 0)
    return int(lengths[long_enough].sum())


def _print(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """How energy is spread over parts of the recording and bands of frequency, in decibels."""
    parts = np.array_split(samples, PRINT_PARTS)
    edges = np.array(_BAND_EDGES)
    rows = []
    for part in parts:
        power = np.square(np.abs(np.fft.rfft(part))) if len(part) else np.zeros(1)
        places = np.searchsorted(np.fft.rfftfreq(max(1, len(part)), 1 / sample_rate), edges)
        sums = np.concatenate([[0.0], np.cumsum(power)])
        rows.append(np.diff(sums[places]) / max(1, len(part)))
    decibels = 10 * np.log10(np.concatenate(rows) + 1e-10)
    centred = decibels - decibels.mean()
    result: NDArray[np.float32] = (centred / max(float(np.linalg.norm(centred)), 1e-6)).astype(np.float32)
    return result
