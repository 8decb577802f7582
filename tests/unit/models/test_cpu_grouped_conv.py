"""The grouped convolution of positions against torch's."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from auricle.models.cpu_grouped_conv import grouped_conv1d


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
