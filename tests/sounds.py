"""Small recordings, made up or cut from recorded speech, and the manifests that list them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

import auricle
from auricle import audio
from auricle.manifest import Entry, Manifest


def noise(num_samples: int, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(num_samples) * 0.1).astype(np.float32)


def write(
    path: Path, num_samples: int = 8000, *, rate: int = 16000, channels: int = 1, seed: int = 0
) -> Path:
    """A file of noise, in the format of its extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = noise(num_samples * channels, seed).reshape(num_samples, channels)
    soundfile.write(path, samples, rate)
    return path


def corpus(folder: Path, sizes: Sequence[int], *, extension: str = "wav") -> Manifest:
    """Files `0.wav`, `1.wav`, ... of these sizes, and their manifest."""
    for number, size in enumerate(sizes):
        write(folder / f"{number}.{extension}", size, seed=number)
    return listed(folder, sizes, extension=extension)


def speech(folder: Path, sizes: Sequence[int]) -> Manifest:
    """Likewise, cut from recorded prompts: of each, where it is loudest."""
    prompts = sorted((Path(auricle.__file__).parent / "demo" / "audio" / "en").glob("*.opus"))
    folder.mkdir(parents=True, exist_ok=True)
    for number, (size, prompt) in enumerate(zip(sizes, prompts, strict=False)):
        samples = audio.read(prompt).samples
        start = min(max(0, int(samples.abs().argmax()) - size // 2), len(samples) - size)
        soundfile.write(folder / f"{number}.wav", samples[start : start + size].numpy(), audio.SAMPLE_RATE)
    return listed(folder, sizes)


def listed(folder: Path, sizes: Sequence[int], *, extension: str = "wav") -> Manifest:
    """A manifest of files that need not exist."""
    entries = tuple(Entry(f"{number}.{extension}", size, number + 2) for number, size in enumerate(sizes))
    return Manifest(folder, entries, folder / "train.tsv")
