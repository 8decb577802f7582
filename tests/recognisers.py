"""Tiny recognisers with random weights, and audio for them: enough to follow a clip all the way."""

from pathlib import Path

import numpy as np
import soundfile
import torch

from auricle.convert.loaded import Loaded
from auricle.dictionary import Dictionary
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config
from auricle.models.ctc import Wav2Vec2CTC

LETTERS = ("|", "E", "T", "A", "O", "N", "I")
HOP, RECEPTIVE_FIELD = 40, 60
"""Of the tiny models' convolutions, in samples."""


def tiny_config(*, normalize: bool = False, conv_norm: str = "group", **options: object) -> CTCConfig:
    encoder = Wav2Vec2Config(
        conv_layers=((8, 10, 5), (8, 3, 2), (8, 3, 2), (8, 2, 2)),
        conv_norm=conv_norm,
        encoder=EncoderConfig(
            num_layers=1, dim=16, ffn_dim=24, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2
        ),
        normalize=normalize,
    )
    return CTCConfig(encoder=encoder, num_labels=4 + len(LETTERS), **options)


def tiny_recogniser(seed: int = 0, **options: object) -> Loaded:
    """A recogniser that writes many letters a second, all of them nonsense, and no special symbols."""
    torch.manual_seed(seed)
    config = tiny_config(**options)
    model = Wav2Vec2CTC(config)
    torch.nn.init.normal_(model.proj.weight, std=1.0)
    torch.nn.init.constant_(model.proj.bias[1:4], -100.0)
    return Loaded(model, Dictionary(LETTERS), config, 0, Path("tiny"))


def write_speech(path: Path, seconds: float, *, seed: int = 0, sample_rate: int = 16000) -> Path:
    """Coloured noise that swells and fades, a few times a second."""
    count = round(seconds * sample_rate)
    noise = np.random.default_rng(seed).standard_normal(count).cumsum()
    swell = 1 + np.sin(np.arange(count) * (8.0 / sample_rate * np.pi))
    speech = (noise - noise.mean()) / (np.abs(noise).max() + 1e-9) * swell * 0.2
    soundfile.write(path, speech.astype(np.float32), sample_rate)
    return path
