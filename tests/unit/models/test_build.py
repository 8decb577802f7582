"""The builder, and the two published layouts: their parameters by name and by number."""

import pytest
import torch
from torch import nn

from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, QuantizerConfig, Wav2Vec2Config
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.wav2vec2 import Wav2Vec2Pretraining

BASE = Wav2Vec2Config(final_dim=256)
LARGE = Wav2Vec2Config(
    conv_norm="layer",
    conv_bias=True,
    encoder=EncoderConfig(num_layers=24, dim=1024, ffn_dim=4096, num_heads=16, pre_norm=True),
    final_dim=768,
    quantizer=QuantizerConfig(),
)
LAYER = (
    *(f"self_attn.{name}_proj.{kind}" for name in ("k", "v", "q", "out") for kind in ("weight", "bias")),
    *(
        f"{name}.{kind}"
        for name in ("self_attn_layer_norm", "final_layer_norm")
        for kind in ("weight", "bias")
    ),
    *(f"{name}.{kind}" for name in ("fc1", "fc2") for kind in ("weight", "bias")),
)


def without_storage(config: Wav2Vec2Config | CTCConfig) -> nn.Module:
    with torch.device("meta"):
        return build_model(config)


@pytest.mark.parametrize(("config", "millions"), [(BASE, 95.0), (LARGE, 317.4)])
def test_published_layouts_have_their_published_size(config: Wav2Vec2Config, millions: float) -> None:
    count = sum(parameter.numel() for parameter in without_storage(config).parameters())
    assert round(count / 1e6, 1) == millions


def test_parameters_have_the_names_of_published_checkpoints() -> None:
    names = without_storage(BASE).state_dict().keys()
    expected = {"mask_emb", "encoder.pos_conv.0.weight_g", "encoder.pos_conv.0.weight_v", "quantizer.vars"}
    expected |= {"encoder.pos_conv.0.bias"}
    expected |= {f"feature_extractor.conv_layers.{i}.0.weight" for i in range(7)}
    expected |= {f"feature_extractor.conv_layers.0.2.{kind}" for kind in ("weight", "bias")}
    linear = ("layer_norm", "post_extract_proj", "encoder.layer_norm", "quantizer.weight_proj")
    expected |= {
        f"{name}.{kind}" for name in (*linear, "project_q", "final_proj") for kind in ("weight", "bias")
    }
    expected |= {f"encoder.layers.{i}.{name}" for i in range(12) for name in LAYER}
    assert names == expected


def test_layer_norms_of_the_large_extractor_have_names_of_their_own() -> None:
    names = without_storage(LARGE).state_dict().keys()
    assert {f"feature_extractor.conv_layers.{i}.2.1.weight" for i in range(7)} <= names
    assert {f"feature_extractor.conv_layers.{i}.0.bias" for i in range(7)} <= names


def test_deep_quantizers_and_positions_have_the_names_of_published_checkpoints() -> None:
    config = Wav2Vec2Config(
        encoder=EncoderConfig(num_layers=1, pos_conv_depth=2), quantizer=QuantizerConfig(depth=3)
    )
    names = without_storage(config).state_dict().keys()
    assert {"encoder.pos_conv.0.0.weight", "encoder.pos_conv.1.0.bias"} <= names
    assert {f"quantizer.weight_proj.{layer}.weight" for layer in ("0.0", "1.0", "2")} <= names


def test_a_configuration_decides_the_class() -> None:
    assert type(without_storage(BASE)) is Wav2Vec2Pretraining
    recogniser = without_storage(CTCConfig(encoder=BASE, num_labels=32))
    assert type(recogniser) is Wav2Vec2CTC
    heads = ("encoder.quantizer", "encoder.project_q", "encoder.final_proj")
    assert not any(name.startswith(heads) for name in recogniser.state_dict())


def test_widths_that_agree_need_no_projection() -> None:
    model = build_model(
        Wav2Vec2Config(
            conv_layers=((16, 10, 5),),
            encoder=EncoderConfig(
                num_layers=1, dim=16, ffn_dim=16, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2
            ),
        )
    )
    assert model.post_extract_proj is None
    assert model.final_proj.out_features == 16
    assert model.extract_features(torch.randn(1, 100)).context.shape == (1, 19, 16)
