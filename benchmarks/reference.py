"""The same models in transformers: the same layout, dropouts and weights, and masks in its format."""

import re

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config as ReferenceConfig
from transformers import Wav2Vec2ForCTC, Wav2Vec2ForPreTraining

from auricle.models.config import CTCConfig, Wav2Vec2Config
from auricle.models.wav2vec2 import PretrainingDraws

RENAMED = (
    (r"^wav2vec2\.", ""),
    (r"^masked_spec_embed", "mask_emb"),
    (r"(conv_layers\.\d+)\.conv\.", r"\1.0."),
    (r"(conv_layers\.\d+)\.layer_norm\.", r"\1.2."),
    (r"^feature_projection\.layer_norm", "layer_norm"),
    (r"^feature_projection\.projection", "post_extract_proj"),
    (r"pos_conv_embed\.conv\.parametrizations\.weight\.original0", "pos_conv.0.weight_g"),
    (r"pos_conv_embed\.conv\.parametrizations\.weight\.original1", "pos_conv.0.weight_v"),
    (r"pos_conv_embed\.conv\.bias", "pos_conv.0.bias"),
    (r"(layers\.\d+)\.attention\.", r"\1.self_attn."),
    (r"(layers\.\d+)\.layer_norm", r"\1.self_attn_layer_norm"),
    (r"feed_forward\.intermediate_dense", "fc1"),
    (r"feed_forward\.output_dense", "fc2"),
    (r"^quantizer\.codevectors", "quantizer.vars"),
    (r"^project_hid", "final_proj"),
)


def our_name(name: str) -> str:
    """What auricle calls the parameter `name` of a pre-training model (group-norm layout)."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def our_ctc_name(name: str) -> str:
    """What auricle calls the parameter `name` of a CTC model."""
    head = name.replace("lm_head", "proj")
    return head if head != name else f"encoder.{our_name(name)}"


def pretraining_model(config: Wav2Vec2Config) -> Wav2Vec2ForPreTraining:
    """A fresh model of the layout of `config`."""
    assert config.quantizer is not None
    width = config.final_dim or config.encoder.dim
    return Wav2Vec2ForPreTraining(
        _layout(
            config,
            num_codevector_groups=config.quantizer.num_codebooks,
            num_codevectors_per_group=config.quantizer.num_entries,
            codevector_dim=config.quantizer.dim or width,
            proj_codevector_dim=width,
            contrastive_logits_temperature=config.logit_temp,
            num_negatives=config.negatives.num_negatives,
            feat_quantizer_dropout=config.dropout_features,
        )
    )


def ctc_model(config: CTCConfig) -> Wav2Vec2ForCTC:
    """A fresh model of the layout of `config`."""
    return Wav2Vec2ForCTC(
        _layout(config.encoder, vocab_size=config.num_labels, final_dropout=config.final_dropout)
    )


def _layout(config: Wav2Vec2Config, **heads: float) -> ReferenceConfig:
    encoder = config.encoder
    assert (config.conv_norm == "layer") == encoder.pre_norm
    channels, kernels, strides = zip(*config.conv_layers, strict=True)
    return ReferenceConfig(
        conv_dim=channels,
        conv_kernel=kernels,
        conv_stride=strides,
        conv_bias=config.conv_bias,
        feat_extract_norm=config.conv_norm,
        do_stable_layer_norm=encoder.pre_norm,
        hidden_size=encoder.dim,
        num_hidden_layers=encoder.num_layers,
        num_attention_heads=encoder.num_heads,
        intermediate_size=encoder.ffn_dim,
        num_conv_pos_embeddings=encoder.pos_conv_kernel,
        num_conv_pos_embedding_groups=encoder.pos_conv_groups,
        hidden_dropout=encoder.dropout,
        attention_dropout=encoder.attention_dropout,
        activation_dropout=encoder.activation_dropout,
        feat_proj_dropout=config.dropout_input,
        layerdrop=encoder.layerdrop,
        apply_spec_augment=False,
        **heads,
    )


def share_weights(reference: nn.Module, ours: nn.Module) -> None:
    """Give `ours` the weights of `reference`."""
    rename = our_ctc_name if isinstance(reference, Wav2Vec2ForCTC) else our_name
    state = {rename(key): value.clone() for key, value in reference.state_dict().items()}
    if reference.config.feat_extract_norm == "layer":
        # There the norm stands within a sequence.
        state = {re.sub(r"(conv_layers\.\d+\.2)\.", r"\1.1.", key): value for key, value in state.items()}
    ours.load_state_dict(state)


def masks(draws: PretrainingDraws) -> dict[str, Tensor]:
    """The masks and distractors of `draws`, as `Wav2Vec2ForPreTraining.forward` takes them.

    There a distractor is a frame of the flattened batch, and every frame has some, masked or not.
    """
    batch, frames = draws.span_mask.shape
    negatives = torch.zeros(batch, frames, draws.negatives.shape[-1], dtype=torch.int64)
    for row in range(batch):
        masked = draws.masked_frames[row][draws.valid[row]]
        negatives[row, masked] = masked[draws.negatives[row][draws.valid[row]]]
        negatives[row] += row * frames
    return {"mask_time_indices": draws.span_mask, "sampled_negative_indices": negatives}
