"""The convolutional front end: how many frames, which norms, which gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from auricle.models.config import BASE_CONV_LAYERS, ConvLayers
from auricle.models.conv import (
    ChannelGroupNorm,
    ChannelLayerNorm,
    ConvFeatureExtractor,
    GradientScale,
    conv_length,
    hop,
    num_frames,
    receptive_field,
)

LAYERS: ConvLayers = ((4, 10, 5), (6, 3, 2), (5, 2, 2))


def test_the_published_layout_hears_25_milliseconds_every_20() -> None:
    assert (receptive_field(BASE_CONV_LAYERS), hop(BASE_CONV_LAYERS)) == (400, 320)
    assert [num_frames(samples, BASE_CONV_LAYERS) for samples in (0, 399, 400, 719, 720, 16000)] == [
        0, 0, 1, 1, 2, 49,
    ]  # fmt: skip


@given(
    layers=st.lists(st.tuples(st.just(1), st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=4),
    length=st.integers(0, 300),
)
def test_frames_are_those_that_the_convolutions_give(layers: list[tuple[int, int, int]], length: int) -> None:
    given_layers = tuple(layers)
    x = torch.zeros(1, 1, length)
    for _, kernel, stride in given_layers:
        x = F.conv1d(x, torch.zeros(1, 1, kernel), stride=stride) if x.shape[-1] >= kernel else x[..., :0]
    assert num_frames(length, given_layers) == x.shape[-1]
    assert num_frames(torch.tensor([length, 0]), given_layers).tolist() == [x.shape[-1], 0]
    first = receptive_field(given_layers)
    assert num_frames(first, given_layers) == 1
    assert num_frames(first - 1, given_layers) == 0
    assert num_frames(first + hop(given_layers), given_layers) == 2


def test_length_of_one_convolution_is_never_negative() -> None:
    assert [conv_length(length, 3, 2) for length in (0, 1, 2, 3, 4, 5)] == [0, 0, 0, 1, 1, 2]
    assert conv_length(torch.tensor([0, 3]), 10, 1).tolist() == [0, 0]


def test_gradient_scale_is_the_identity_with_another_gradient() -> None:
    x = torch.randn(3, requires_grad=True)
    y = GradientScale.apply(x, 0.1)
    assert torch.equal(y, x)
    y.sum().backward()
    assert_close(x.grad, torch.full((3,), 0.1))


def test_group_norm_takes_its_statistics_from_the_valid_frames() -> None:
    torch.manual_seed(0)
    norm = ChannelGroupNorm(4)
    norm.weight.data.normal_()
    norm.bias.data.normal_()
    x, lengths = torch.randn(3, 4, 9) + 2, torch.tensor([9, 5, 2])
    y = norm(x, lengths)
    for row, out, length in zip(x, y, lengths.tolist(), strict=True):
        alone = F.group_norm(row[None, :, :length], 4, norm.weight, norm.bias)[0]
        assert_close(out[:, :length], alone, rtol=1e-5, atol=1e-6)
    assert_close(norm(x), F.group_norm(x, 4, norm.weight, norm.bias))


def test_group_norm_of_a_row_without_frames_is_finite() -> None:
    x = torch.randn(1, 4, 3, requires_grad=True)
    y = ChannelGroupNorm(4)(x, torch.tensor([0]))
    y.sum().backward()
    assert torch.isfinite(y).all() and torch.isfinite(x.grad).all()


def test_layer_norm_is_over_channels() -> None:
    norm = ChannelLayerNorm(4)
    y = norm(torch.randn(2, 4, 9) * 3 + 1)
    assert_close(y.mean(1), torch.zeros(2, 9), rtol=0, atol=1e-6)
    assert_close(y.var(1, correction=0), torch.ones(2, 9), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_norms_compute_in_float32_and_give_back_what_they_got(norm: str) -> None:
    module = ChannelGroupNorm(4) if norm == "group" else ChannelLayerNorm(4)
    # Of a mean that bfloat16 cannot subtract without losing what is beside it.
    x = (torch.randn(1, 4, 50, generator=torch.Generator().manual_seed(1)) + 100).bfloat16()
    y = module(x)
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), module(x.float()), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("norm", "bias"), [("group", False), ("layer", True)])
def test_shapes_and_norms_of_the_stack(norm: str, bias: bool) -> None:
    extractor = ConvFeatureExtractor(LAYERS, norm, bias)
    assert extractor.out_channels == 5
    assert extractor(torch.randn(2, 200)).shape == (2, 5, num_frames(200, LAYERS))
    names = [name for name, _ in extractor.named_parameters()]
    norms = [name for name in names if ".2." in name.removeprefix("conv_layers.2")]
    assert len(norms) == (2 if norm == "group" else 6)
    assert any(name.endswith(".0.bias") for name in names) == bias


def test_reference_padding_lets_the_group_norm_see_padding() -> None:
    torch.manual_seed(0)
    ours = ConvFeatureExtractor(LAYERS)
    fairseq = ConvFeatureExtractor(LAYERS, reference_padding=True)
    fairseq.load_state_dict(ours.state_dict())
    waveforms, lengths = torch.randn(1, 300), torch.tensor([120])
    waveforms[:, 120:] = 0
    frames = num_frames(120, LAYERS)
    alone = ours(waveforms[:, :120])
    assert_close(ours(waveforms, lengths)[..., :frames], alone, rtol=1e-5, atol=1e-5)
    assert_close(fairseq(waveforms, lengths), ours(waveforms))
    assert not torch.allclose(fairseq(waveforms, lengths)[..., :frames], alone, atol=1e-2)
