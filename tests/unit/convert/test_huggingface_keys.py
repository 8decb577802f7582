"""The tables of Hugging Face's names: one to one, and complete."""

import pytest

from auricle.convert import huggingface_keys as keys
from auricle.convert.huggingface_config import huggingface_words
from auricle.convert.huggingface_names import NameTable, encoder_names
from auricle.convert.values import path_type
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config

CONFORMER = {"layer_type": "conformer", "attention": "espnet", "pre_norm": True}
ENCODERS = [
    EncoderConfig(num_layers=2, dim=8, ffn_dim=6, num_heads=2, pos_conv_groups=2),
    EncoderConfig(
        num_layers=2, dim=8, ffn_dim=6, num_heads=2, pos_conv_groups=2, positions="rope", **CONFORMER
    ),
    EncoderConfig(
        num_layers=2, dim=8, ffn_dim=6, num_heads=2, pos_conv_groups=2, positions="rel_pos", **CONFORMER
    ),
]


@pytest.mark.parametrize("table", [*keys.WORDS.values(), keys.QUANTIZER_WORDS])
def test_every_path_is_a_field_and_stands_once(table: dict[str, str]) -> None:
    for path in table.values():
        path_type(Wav2Vec2Config, path)
    assert len(set(table.values())) == len(table)
    for word in table:
        assert any(word in defaults for defaults in (keys.DEFAULTS, *keys.LAYER_DEFAULTS.values())), word


def test_words_of_a_recogniser() -> None:
    for word, path in keys.CTC_WORDS.items():
        path_type(CTCConfig, path)
        assert word in keys.DEFAULTS


@pytest.mark.parametrize("table", [*keys.VALUES.values(), keys.ENCODER_NAMES, *keys.LAYER_NAMES.values()])
def test_tables_read_backwards_too(table: dict[str, str]) -> None:
    assert len(set(table.values())) == len(table)


@pytest.mark.parametrize("conv_norm", ["group", "layer"])
@pytest.mark.parametrize("encoder", ENCODERS, ids=["transformer", "rope", "rel_pos"])
def test_every_weight_has_a_name_there_that_leads_back(conv_norm: str, encoder: EncoderConfig) -> None:
    config = Wav2Vec2Config(((4, 10, 5), (4, 3, 2)), conv_norm=conv_norm, encoder=encoder, final_dim=4)  # type: ignore[arg-type]
    table, heads = encoder_names(config), NameTable(keys.PRETRAINING_NAMES)
    for name in build_model(config).state_dict():
        theirs = heads.theirs(name) or table.theirs(name)
        assert theirs is not None and "#" not in theirs and "*" not in theirs
        assert (heads.ours(theirs) or table.ours(theirs)) == name


def test_names_that_no_table_has() -> None:
    table = encoder_names(Wav2Vec2Config())
    for name in (
        "encoder.layers.x.attention.k_proj.weight",
        "encoder.layers",
        "",
        "adapter.layers.0.conv.bias",
    ):
        assert table.ours(name) is None


def test_words_of_a_configuration_that_masks_nothing() -> None:
    """transformers builds the vector of masked frames only for a positive probability."""
    from dataclasses import replace

    from auricle.models.config import SpanMaskConfig

    words = huggingface_words(replace(Wav2Vec2Config(), time_mask=SpanMaskConfig()))
    assert words["apply_spec_augment"] is False and words["mask_time_prob"] > 0


def test_defaults_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    for layer_type, model_type in (
        ("transformer", "Wav2Vec2Config"),
        ("conformer", "Wav2Vec2ConformerConfig"),
    ):
        config = getattr(transformers, model_type)()
        for word, value in {**keys.DEFAULTS, **keys.LAYER_DEFAULTS[layer_type]}.items():
            theirs = getattr(config, word)
            theirs = list(theirs) if isinstance(theirs, tuple) else theirs
            assert theirs == value or (word, theirs) == ("vocab_size", None), word
