"""Layer -1 once gave the encoder's input, and one past the last the last without its final norm."""

import pytest
import torch

from auricle.models.config import EncoderConfig
from auricle.models.encoder import Encoder


@pytest.mark.parametrize("layer", [-1, 1])
def test_are_refused(layer: int) -> None:
    config = EncoderConfig(num_layers=1, dim=8, ffn_dim=8, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2)
    with pytest.raises(IndexError, match="there are 0 to 0"):
        Encoder(config)(torch.zeros(1, 3, 8), None, layer)
