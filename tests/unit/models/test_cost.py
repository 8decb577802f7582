"""Costs counted without data are those of the arithmetic."""

import pytest

from auricle.models.build import build_model
from auricle.models.config import CTCConfig, RobertaConfig
from auricle.models.cost import cost_of
from tiny_runs import CONFIG
from wav2vec_models import PLAIN


def test_flops_are_those_of_the_products_of_the_network() -> None:
    """By hand: convolutions, projection, positions, then attention and feed-forward blocks of each layer."""
    samples, channels, expected = 80_000, 1, 0
    for width, kernel, stride in CONFIG.conv_layers:
        samples = (samples - kernel) // stride + 1
        expected += 2 * samples * channels * width * kernel
        channels = width
    encoder, frames = CONFIG.encoder, samples
    dim = encoder.dim
    expected += 2 * frames * channels * dim
    expected += 2 * (frames + 1) * dim * (dim // encoder.pos_conv_groups) * encoder.pos_conv_kernel
    attention = 2 * frames * dim * dim * 4 + 2 * 2 * frames**2 * dim
    expected += encoder.num_layers * (attention + 2 * 2 * frames * dim * encoder.ffn_dim)
    cost = cost_of(CONFIG)
    assert cost is not None
    assert cost.forward_flops(80_000) == pytest.approx(expected, rel=0.01)
    assert cost.training_flops(4, 80_000) == pytest.approx(12 * cost.forward_flops(80_000))


def test_parameters_and_growth() -> None:
    cost = cost_of(CTCConfig(encoder=CONFIG, num_labels=9))
    assert cost is not None
    assert cost.num_parameters == sum(p.numel() for p in build_model(CTCConfig(CONFIG, 9)).parameters())
    assert cost.activation_bytes(64_000) > 2 * cost.activation_bytes(32_000) > 0


def test_memory_is_that_of_convolutions_and_attention_and_little_more() -> None:
    cost = cost_of(CONFIG)
    assert cost is not None
    samples, least = 80_000, 0
    for channels, kernel, stride in CONFIG.conv_layers:
        samples = (samples - kernel) // stride + 1
        least += 4 * channels * samples
    attention = 4 * CONFIG.encoder.num_layers * CONFIG.encoder.num_heads * samples**2
    assert least + attention < cost.activation_bytes(80_000) < 40 * least + 2 * attention


def test_wav2vec_1_is_counted_and_text_models_are_not() -> None:
    cost = cost_of(PLAIN)
    assert cost is not None and cost.forward_flops(32_000) > 0
    assert cost_of(RobertaConfig(num_symbols=9, num_layers=1, dim=8, ffn_dim=8, num_heads=2)) is None
