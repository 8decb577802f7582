"""A channel of interleaved stereo went through models with layer norms as if samples were neighbours."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from auricle.models.conv import ConvFeatureExtractor


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("apart", [torch.randn(2, 400, 2)[..., 1], torch.randn(400, 2).t()])
def test_answers_do_not_depend_on_how_samples_lie_in_memory(norm: str, apart: Tensor) -> None:
    network = ConvFeatureExtractor(((6, 10, 5), (5, 3, 2)), "group" if norm == "group" else "layer")
    with torch.no_grad():
        assert_close(network(apart), network(apart.contiguous()))
