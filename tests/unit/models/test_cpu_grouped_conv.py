"""The grouped convolution of positions against torch's."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from auricle.models.cpu_grouped_conv import grouped_conv1d
from auricle.models.transformer import WeightNormConv


@pytest.mark.parametrize("kernel", [1, 4, 8, 9, 16, 25])
@pytest.mark.parametrize("groups", [1, 3])
def test_grouped_convolutions_are_those_of_torch(kernel: int, groups: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 13, 6, requires_grad=True)
    weight = torch.randn(6, 6 // groups, kernel, requires_grad=True)
    bias = torch.randn(6, requires_grad=True)
    y = grouped_conv1d(x, weight, bias, groups)
    expected = F.conv1d(x.transpose(1, 2), weight, bias, padding=kernel // 2, groups=groups)
    expected = expected[..., :13].transpose(1, 2)
    assert_close(y, expected, rtol=1e-4, atol=1e-5)
    g = torch.randn_like(y)
    found = torch.autograd.grad(y, [x, weight, bias], g)
    for ours, theirs in zip(found, torch.autograd.grad(expected, [x, weight, bias], g), strict=True):
        assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_sums_are_rounded_once() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(1, 40, 8), torch.randn(8, 4, 64), torch.randn(8)
    x, weight, bias = (value.bfloat16() for value in (x, weight, bias))
    with torch.inference_mode():
        y = grouped_conv1d(x, weight, bias, 2)
    exact = F.conv1d(x.double().transpose(1, 2), weight.double(), bias.double(), padding=32, groups=2)
    assert y.dtype == torch.bfloat16
    # The sum, and it with the bias: each to 8 bits.
    assert_close(y.double(), exact[..., :40].transpose(1, 2), rtol=2**-7, atol=0.15)


def test_products_in_bfloat16_give_a_float32_weight_its_gradient_in_float32() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 60, 8, requires_grad=True)
    weight, bias = torch.randn(8, 4, 16, requires_grad=True), torch.randn(8, requires_grad=True)
    leaves, g = [x, weight, bias], torch.randn(4, 60, 8)
    exact = torch.autograd.grad(grouped_conv1d(x, weight, bias, 2), leaves, g)
    y = grouped_conv1d(x.bfloat16(), weight, bias, 2)
    assert y.dtype == torch.bfloat16
    found = torch.autograd.grad(y, leaves, g.bfloat16())
    assert [value.dtype for value in found] == [torch.float32] * 3
    for ours, theirs in zip(found, exact, strict=True):
        assert_close(ours, theirs, rtol=0, atol=0.01 * theirs.abs().max().item())


def test_the_layer_takes_it_under_autocast() -> None:
    torch.manual_seed(0)
    conv, x = WeightNormConv(8, 16, 2, std=0.1), torch.randn(2, 8, 30)
    expected = conv(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), expected, rtol=0.02, atol=0.02)
    y.sum().backward()
    assert conv.weight_v.grad is not None and conv.weight_v.grad.dtype == torch.float32
