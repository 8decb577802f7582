from dataclasses import replace
from typing import Any

import pytest
import torch

import forged
from auricle.convert.weights import model_with_weights, with_reference_padding
from auricle.errors import UserError
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, ModelConfig, QuantizerConfig


class Held:
    """A weight that is in memory already."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    def load(self) -> torch.Tensor:
        return self.tensor.clone()


def held(config: ModelConfig) -> dict[str, Any]:
    return {name: Held(tensor) for name, tensor in build_model(config).state_dict().items()}


DEEP = replace(
    forged.ENCODER,
    quantizer=QuantizerConfig(num_entries=3, depth=2),
    encoder=replace(forged.ENCODER.encoder, pos_conv_depth=2, num_layers=3),
)


CONFORMER = replace(
    forged.ENCODER,
    encoder=replace(forged.ENCODER.encoder, layer_type="conformer", attention="espnet", positions="rel_pos"),
)
ROTARY = replace(
    CONFORMER, encoder=replace(CONFORMER.encoder, positions="rope"), input_quantizer=forged.ENCODER.quantizer
)
ADAPTERS = replace(
    forged.ENCODER, encoder=replace(forged.ENCODER.encoder, layer_type="trf_adp", num_adapters=3)
)
LAYER_NORM = replace(DEEP, conv_norm="layer")
CONFIGS = [forged.ENCODER, DEEP, LAYER_NORM, forged.FINETUNED, CONFORMER, ROTARY, ADAPTERS]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_network_gets_every_weight_and_draws_none(config: ModelConfig) -> None:
    weights = held(config)
    state = torch.get_rng_state()
    model = model_with_weights(config, weights)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, weights[name].tensor) for name, tensor in model.state_dict().items())
    assert not model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert type(model) is type(build_model(config))


def test_a_network_larger_than_its_weights_is_not_built() -> None:
    large = replace(forged.ENCODER, encoder=replace(forged.ENCODER.encoder, ffn_dim=10**6))
    with pytest.raises(UserError, match="more weights than it has"):
        model_with_weights(large, held(forged.ENCODER))
    endless = replace(forged.ENCODER, conv_layers=((10**7, 10**7, 1),) * 3)
    with pytest.raises(UserError, match=r"more weights than it has|no network can be built"):
        model_with_weights(endless, held(forged.ENCODER))


def test_weights_of_another_kind_are_a_mistake() -> None:
    weights = held(forged.ENCODER)
    with pytest.raises(UserError, match="'mask_emb'"):
        model_with_weights(forged.ENCODER, {k: v for k, v in weights.items() if k != "mask_emb"})
    with pytest.raises(UserError, match="'another'"):
        model_with_weights(forged.ENCODER, {**weights, "another": Held(torch.zeros(1))})
    with pytest.raises(
        UserError, match=r"mask_emb is of shape \(9,\), where its configuration makes it \(8,\)"
    ):
        model_with_weights(forged.ENCODER, {**weights, "mask_emb": Held(torch.zeros(9))})
    with pytest.raises(UserError, match="real numbers"):
        model_with_weights(forged.ENCODER, {**weights, "mask_emb": Held(torch.zeros(8, dtype=torch.bool))})
    counter = "encoder.layers.0.conv_module.batch_norm.num_batches_tracked"
    with pytest.raises(UserError, match="whole numbers"):
        model_with_weights(CONFORMER, {**held(CONFORMER), counter: Held(torch.tensor(0.5))})


def test_reference_padding_is_the_encoders() -> None:
    assert with_reference_padding(forged.ENCODER) == replace(forged.ENCODER, reference_padding=True)
    padded = with_reference_padding(CTCConfig(encoder=forged.ENCODER))
    assert padded == CTCConfig(encoder=replace(forged.ENCODER, reference_padding=True))
