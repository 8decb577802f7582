"""Convolutions by matrix products against torch's, in blocks of any size."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from auricle.models import cpu_conv, cpu_matmul
from auricle.models.conv import ChannelGroupNorm, ConvBlock, normalised_product


@pytest.fixture(params=[1, 5, 1024])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_conv, "_BLOCK", request.param)


def as_torch_does(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, gelu: bool) -> Tensor:
    y = F.conv1d(x.transpose(1, 2), weight, bias, stride).transpose(1, 2)
    return F.gelu(y) if gelu else y


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "positions"),
    [
        (3, 2, 24),
        (3, 2, 25),
        (3, 2, 3),
        (2, 2, 20),
        (8, 4, 41),
        (10, 5, 60),
        (1, 3, 20),
        (5, 1, 33),
        (7, 3, 40),
    ],
)
def test_values_and_gradients_are_those_of_torch(
    kernel: int, stride: int, positions: int, with_bias: bool, gelu: bool
) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, positions, 4, requires_grad=True)
    weight = torch.randn(5, 4, kernel, requires_grad=True)
    bias = torch.randn(5, requires_grad=True) if with_bias else None
    leaves = [x, weight, *([bias] if bias is not None else [])]
    y = cpu_conv.conv1d(x, weight, bias, stride, gelu=gelu)
    expected = as_torch_does(x, weight, bias, stride, gelu)
    assert_close(y, expected, rtol=1e-4, atol=1e-5)
    g = torch.randn_like(y)
    found = torch.autograd.grad(y, leaves, g)
    for ours, theirs in zip(found, torch.autograd.grad(expected, leaves, g), strict=True):
        assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_input_may_have_any_layout_and_need_no_gradient() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, 15).transpose(1, 2), torch.randn(5, 4, 3, requires_grad=True)
    y = cpu_conv.conv1d(x, weight, None, 2, gelu=True)
    expected = as_torch_does(x, weight, None, 2, gelu=True)
    assert_close(y, expected, rtol=1e-4, atol=1e-5)
    found = torch.autograd.grad(y.sum(), weight)
    assert_close(found, torch.autograd.grad(expected.sum(), weight), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        assert_close(cpu_conv.conv1d(x, weight, None, 2, gelu=True), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("block")
def test_a_linear_layer_and_its_gelu() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 12, 3), torch.randn(2, 3, 5, requires_grad=True)
    y, expected = cpu_conv.linear_gelu(x, weight), F.gelu(x @ weight)
    assert_close(y, expected, rtol=1e-5, atol=1e-6)
    g = torch.randn_like(y)
    assert_close(
        torch.autograd.grad(y, weight, g), torch.autograd.grad(expected, weight, g), rtol=1e-5, atol=1e-6
    )


def a_block(kernel: int = 10) -> tuple[nn.Conv1d, ChannelGroupNorm]:
    torch.manual_seed(0)
    conv, norm = nn.Conv1d(1, 6, kernel, 5, bias=False), ChannelGroupNorm(6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return conv, norm


@pytest.mark.parametrize("lengths", [None, (39, 20, 1)])
def test_convolution_and_group_norm_are_one_product(lengths: tuple[int, ...] | None) -> None:
    conv, norm = a_block()
    waveforms = torch.randn(3, 200)
    frames = None if lengths is None else torch.tensor(lengths)
    x, weight = normalised_product(waveforms, conv, norm, frames)
    expected = norm(conv(waveforms[:, None]), frames).transpose(1, 2)
    leaves = [conv.weight, norm.weight, norm.bias]
    g = torch.randn_like(expected)
    if frames is not None:
        g *= (torch.arange(39) < frames[:, None])[..., None]
    y = x @ weight
    assert_close(y * (g != 0), expected * (g != 0), rtol=1e-4, atol=1e-5)
    found = torch.autograd.grad(y, leaves, g)
    for ours, theirs in zip(found, torch.autograd.grad(expected, leaves, g), strict=True):
        assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_nearly_cancelling_filters_lose_no_more_than_they_do_one_after_the_other() -> None:
    # A low hum under filters that hear next to nothing of it: variances a million times below its own.
    conv, norm = a_block()
    conv.weight.data[:] = torch.tensor([1.0, -4, 6, -4, 1, 0, 0, 0, 0, 0])
    waveforms = (0.02 * torch.arange(16000)).sin()[None] + 0.05
    x, weight = normalised_product(waveforms, conv, norm, None)
    usual = norm(conv(waveforms[:, None])).transpose(1, 2)
    wide = conv.double()(waveforms[:, None].double())
    assert wide.var() < 1e-6 * waveforms.var()
    exact = F.group_norm(wide, 6, norm.weight.double(), norm.bias.double(), norm.eps).transpose(1, 2)
    assert (x @ weight - exact).abs().max() < 10 * (usual - exact).abs().max()


def test_a_row_without_frames_is_finite() -> None:
    conv, norm = a_block()
    x, weight = normalised_product(torch.randn(1, 30), conv, norm, torch.tensor([0]))
    y = x @ weight
    y.sum().backward()
    assert torch.isfinite(y).all() and torch.isfinite(conv.weight.grad).all()


@pytest.mark.parametrize("norm", ["group", "layer", "none"])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_a_block_gives_the_same_both_ways(
    norm: str, in_channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    block = ConvBlock(in_channels, (6, 3, 2), norm, bias=norm == "layer")
    x = torch.randn(2, in_channels, 31, requires_grad=True)
    leaves = [x, *block.parameters()]
    results = []
    for applies in (True, False):
        monkeypatch.setattr(cpu_matmul, "applies_to", lambda _, applies=applies: applies)
        y = block(x)
        results.append((y, torch.autograd.grad(y.square().sum(), leaves)))
    assert_close(*results, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", ["group", "layer", "none"])
@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("autocast", [True, False])
def test_bfloat16_loses_no_more_than_its_own_precision(norm: str, in_channels: int, autocast: bool) -> None:
    torch.manual_seed(0)
    block = ConvBlock(in_channels, (6, 3, 2), norm, bias=norm == "layer")
    x = torch.randn(2, in_channels, 31)
    expected = block(x)
    expected_gradients = torch.autograd.grad(expected.square().sum(), list(block.parameters()))
    if not autocast:
        block, x = block.bfloat16(), x.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = block(x)
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), expected, rtol=0.05, atol=0.05)
    gradients = torch.autograd.grad(y.float().square().sum(), list(block.parameters()))
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        assert_close(ours.float(), theirs, rtol=0.05, atol=0.1 * theirs.abs().max().item())
