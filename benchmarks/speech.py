"""Real speech to measure on: the recordings of the demo, one after the other."""

from importlib.resources import files

import torch
from torch import Tensor

from auricle.audio import read


def waveforms(rows: int, seconds: float, sample_rate: int = 16000) -> Tensor:
    """[rows, seconds * sample_rate] float32."""
    wanted, clips = round(seconds * sample_rate), []
    folder = files("auricle") / "demo" / "audio" / "en"
    for path in sorted(folder.iterdir(), key=str):
        if sum(map(len, clips)) >= rows * wanted:
            break
        clips.append(read(str(path), sample_rate=sample_rate).samples)
    return torch.cat(clips)[: rows * wanted].view(rows, wanted).clone()
