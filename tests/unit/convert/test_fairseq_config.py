import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import forged
from auricle.convert.fairseq_config import (
    config_from_fairseq,
    ctc_config_from_fairseq,
    finetuned_encoder_config,
)
from auricle.errors import UserError
from auricle.models.config import CTCConfig, SpanMaskConfig, Wav2Vec2Config

OPTIONS = Path(__file__).resolve().parents[4] / "shared" / "facts" / "options.json"


def test_without_options_fairseqs_defaults_hold() -> None:
    assert config_from_fairseq({}) == replace(Wav2Vec2Config(), quantizer=None)
    assert config_from_fairseq({"quantize_targets": True}) == Wav2Vec2Config()


def test_fairseqs_own_defaults_spelled_out_change_nothing() -> None:
    if not OPTIONS.is_file():
        pytest.skip(f"no table of fairseq's options at {OPTIONS}")
    options = json.loads(OPTIONS.read_text())
    spelled = {word: option["default"] for word, option in options["wav2vec2"].items()}
    assert config_from_fairseq(spelled) == config_from_fairseq({})
    groups = {**options["wav2vec_ctc_base"], **options["wav2vec_ctc"]}
    ctc = {word: option["default"] for word, option in groups.items()}
    ctc["normalize"] = None  # fairseq links it to the task's
    base = Wav2Vec2Config()
    assert ctc_config_from_fairseq(ctc, base, 32) == ctc_config_from_fairseq({}, base, 32)


def test_words_become_fields() -> None:
    assert config_from_fairseq({**forged.MODEL_WORDS, **forged.TASK_WORDS}) == forged.ENCODER


@pytest.mark.parametrize(
    ("word", "value", "path"),
    [
        ("extractor_mode", "layer_norm", "conv_norm=layer"),
        ("extractor_mode", "default", "conv_norm=group"),
        ("layer_norm_first", True, "encoder.pre_norm=True"),
        ("encoder_layerdrop", 0.05, "encoder.layerdrop=0.05"),
        ("mask_other", 1, "time_mask.other=1.0"),
        ("no_mask_channel_overlap", True, "channel_mask.no_overlap=True"),
        ("require_same_masks", False, "time_mask.require_same=False"),
        ("latent_temp", [1.5, 0.25, 0.5], "quantizer.temperature=(1.5, 0.25, 0.5)"),
        ("latent_temp", "(2,0.5,0.9)", "quantizer.temperature=(2.0, 0.5, 0.9)"),
        ("latent_vars", 40.0, "quantizer.num_entries=40"),
        ("conv_feature_layers", [[8, 3, 2]], "conv_layers=((8, 3, 2),)"),
        ("num_negatives", 7, "negatives.num_negatives=7"),
        ("reference_padding", True, "reference_padding=True"),
        ("attn_type", "espnet", "encoder.attention=espnet"),
        ("pos_enc_type", "rel_pos", "encoder.positions=rel_pos"),
        ("depthwise_conv_kernel_size", 7, "encoder.conv_kernel=7"),
        ("mask_channel_before", True, "channel_mask_first=True"),
        ("crop_seq_to_multiple", 2, "crop_seq_to_multiple=2"),
        ("target_glu", True, "target_glu=True"),
        ("adp_num", -1, "encoder.num_adapters=0"),
        ("mask_min_space", None, "time_mask.min_space=1"),
        ("an_option_of_tomorrow", object(), "final_dim=0"),
    ],
)
def test_one_word_at_a_time(word: str, value: object, path: str) -> None:
    field, _, expected = path.partition("=")
    config: Any = config_from_fairseq({"quantize_targets": True, word: value})
    for name in field.split("."):
        config = getattr(config, name)
    assert str(config) == expected


def test_finetuning_replaces_dropouts_masks_layerdrop_and_gradient_scale() -> None:
    pretrained = config_from_fairseq(
        {
            "dropout": 0.3,
            "attention_dropout": 0.3,
            "activation_dropout": 0.3,
            "dropout_input": 0.3,
            "dropout_features": 0.3,
            "encoder_layerdrop": 0.3,
            "feature_grad_mult": 0.1,
            "mask_prob": 0.9,
            "mask_channel_prob": 0.9,
            "encoder_layers": 2,
        }
    )
    config = finetuned_encoder_config(pretrained, {"apply_mask": True, "layerdrop": 0.1})
    encoder = replace(
        pretrained.encoder, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, layerdrop=0.1
    )
    assert config == replace(
        pretrained,
        encoder=encoder,
        dropout_input=0.0,
        feature_grad_mult=0.0,
        time_mask=SpanMaskConfig(prob=0.5),
        channel_mask=SpanMaskConfig(),
    )


def test_without_apply_mask_nothing_is_masked() -> None:
    config = finetuned_encoder_config(Wav2Vec2Config(), {"mask_prob": 0.4, "mask_channel_prob": 0.4})
    assert (config.time_mask.prob, config.channel_mask.prob) == (0.0, 0.0)


def test_ctc_words_become_fields() -> None:
    assert ctc_config_from_fairseq(forged.CTC_WORDS, forged.ENCODER, 8) == forged.FINETUNED


def test_finetuning_agrees_with_itself_when_silent_on_normalize() -> None:
    for normalize in (True, False):
        pretrained = replace(Wav2Vec2Config(), normalize=normalize)
        assert finetuned_encoder_config(pretrained, {}).normalize is normalize
        assert finetuned_encoder_config(pretrained, {"normalize": normalize}).normalize is normalize


@pytest.mark.parametrize("pretrained", [True, False])
def test_normalize_must_be_that_of_pretraining(pretrained: bool) -> None:
    config = replace(Wav2Vec2Config(), normalize=pretrained)
    with pytest.raises(UserError, match=f"set task.normalize={str(pretrained).lower()}$"):
        finetuned_encoder_config(config, {"normalize": not pretrained})


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        ("layer_type", "lstm", "layer_type: expected one of transformer, conformer, trf_adp, got 'lstm'"),
        ("attn_type", "flash", "attn_type: expected one of , espnet, got 'flash'"),
        ("pos_enc_type", "alibi", "pos_enc_type: expected one of abs, rope, rel_pos"),
        ("quantize_input", 1, "quantize_input: expected true or false"),
        ("crop_seq_to_multiple", 0, "multiples of 0"),
        ("required_seq_len_multiple", 0, "multiples of 0"),
        ("encoder_layers", "many", "encoder_layers: expected a whole number, got 'many'"),
        ("encoder_layers", -1, "encoder_layers: expected a whole number from 0"),
        ("encoder_layers", 10**12, "encoder_layers: expected a whole number from 0"),
        ("encoder_layers", 5_000, "more than 1000 layers"),
        ("encoder_layers", True, "encoder_layers: expected a whole number, got True"),
        ("encoder_layers", float("inf"), "encoder_layers: expected a whole number"),
        ("dropout", float("nan"), "dropout: expected a finite number"),
        ("dropout", 1.5, "dropout outside 0 to 1"),
        ("dropout_input", -0.1, "dropout outside 0 to 1"),
        ("extractor_mode", "group", "extractor_mode: 'group'|expected one of"),
        ("conv_bias", 1, "conv_bias: expected true or false"),
        ("conv_feature_layers", "open('x')", "conv_feature_layers: only numbers"),
        ("conv_feature_layers", "[(1, 2)]", "conv_feature_layers: expected 3 values, got 2"),
        ("conv_feature_layers", "[]", "no convolution"),
        ("conv_feature_layers", "[(0, 1, 1)]", "convolution whose channels"),
        ("conv_feature_layers", [[1, 1, 1]] * 1001, "too long"),
        ("conv_feature_layers", {}, "conv_feature_layers: expected a list"),
        ("latent_temp", "(1, 2)", "latent_temp: expected 3 values"),
        ("encoder_embed_dim", 0, "width"),
        ("encoder_attention_heads", 5, "768 is not a multiple of 5"),
        ("conv_pos_groups", 5, "768 is not a multiple of 5"),
        ("latent_groups", 5, "768 is not a multiple of 5"),
        ("latent_groups", 0, "without codebooks"),
        ("quantizer_depth", 10_000, "more than 1000 layers"),
        ("activation_fn", "nonesuch", "nonesuch.*known: gelu"),
        ("logit_temp", 0.0, "temperature of 0"),
        ("sample_rate", 0, "sample rate"),
        ("quantize_targets", "yes", "quantize_targets: expected true or false"),
    ],
)
def test_impossible_values_are_named(word: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config_from_fairseq({"quantize_targets": True, word: value})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_a_recogniser_needs_labels() -> None:
    with pytest.raises(UserError, match="no labels"):
        ctc_config_from_fairseq({}, Wav2Vec2Config(), 0)


def test_ctc_config_knows_its_blank_modes() -> None:
    with pytest.raises(UserError, match="blank_mode: expected one of add, set"):
        ctc_config_from_fairseq({"blank_mode": "multiply"}, Wav2Vec2Config(), 5)
    assert isinstance(ctc_config_from_fairseq({"blank_mode": "set"}, Wav2Vec2Config(), 5), CTCConfig)


CONFORMER = {"layer_type": "conformer", "attn_type": "espnet"}
ADAPTERS = {"layer_type": "trf_adp", "adp_num": 3}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({**CONFORMER, "depthwise_conv_kernel_size": 30}, "even kernel 30"),
        ({**CONFORMER, "pos_enc_type": "rope", "encoder_embed_dim": 720, "encoder_attention_heads": 48},
         "15 channels, an odd number"),
        ({**ADAPTERS, "adp_num": -1}, "adapters of which there are none"),
        ({**ADAPTERS, "adp_dim": 0}, "of width 0"),
        ({**ADAPTERS, "adp_act_fn": "swish"}, "adp_act_fn 'swish'.*known: relu, gelu, selu"),
        ({**ADAPTERS, "adp_trf_idx": "1-3"}, "adp_trf_idx '1-3'"),
        ({**ADAPTERS, "adp_trf_idx": "1:3:0"}, "adp_trf_idx '1:3:0'"),
        ({"codebook_negatives": 3}, "codebook_negatives without a codebook"),
        ({"quantize_input": True, "encoder_embed_dim": 48, "latent_groups": 5}, "48 is not a multiple of 5"),
    ],
)  # fmt: skip
def test_impossible_combinations_are_named(words: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config_from_fairseq(words)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_one_set_of_words_describes_both_quantizers() -> None:
    words = {"latent_groups": 4, "latent_vars": 9}
    for targets in (False, True):
        for inputs in (False, True):
            config = config_from_fairseq(
                {**words, "quantize_targets": targets, "quantize_input": inputs, "same_quantizer": True}
            )
            found = (config.quantizer, config.input_quantizer)
            assert [quantizer is not None for quantizer in found] == [targets, inputs]
            assert all(q.num_codebooks == 4 and q.num_entries == 9 for q in found if q is not None)
            assert config.shares_quantizer is (targets and inputs)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [("all", {0, 1, 2, 3}), ("1:3", {1, 2}), ("2", {0, 1}), ("0:4:2", {0, 2}), ("3:1", set())],
)
def test_which_layers_have_adapters(layers: str, expected: set[int]) -> None:
    encoder = config_from_fairseq({**ADAPTERS, "adp_trf_idx": layers}).encoder
    assert {layer for layer in range(4) if encoder.has_adapters(layer)} == expected


def test_finetuning_leaves_the_kind_of_layer_but_for_adapters() -> None:
    conformer = config_from_fairseq({**CONFORMER, "checkpoint_activations": True})
    config = finetuned_encoder_config(conformer, {"layer_type": "transformer"})
    assert config.encoder.layer_type == "conformer" and not config.encoder.checkpoint_activations
    plain = config_from_fairseq({})
    assert plain.encoder.num_adapters == 0
    adapted = finetuned_encoder_config(plain, {**ADAPTERS, "adp_dim": 7, "checkpoint_activations": True})
    assert (adapted.encoder.layer_type, adapted.encoder.num_adapters) == ("trf_adp", 3)
    assert adapted.encoder.adapter_dim == 7 and adapted.encoder.checkpoint_activations
    assert finetuned_encoder_config(adapted, {}).encoder.num_adapters == 3
    with pytest.raises(UserError, match="a Conformer takes no adapters"):
        finetuned_encoder_config(conformer, ADAPTERS)
