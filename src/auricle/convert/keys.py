"""Which of fairseq's words is which of ours: tables only, one for each thing that is named.

Each table is one to one, so that it can be read in either direction. What a table cannot say is said by
the functions that apply it: `fairseq_config.py` for configurations, `fairseq.py` for weights.
"""

from auricle.models.config import SpanMaskConfig

_TIME_MASK_WORDS = {
    "mask_prob": "time_mask.prob",
    "mask_length": "time_mask.length",
    "mask_selection": "time_mask.selection",
    "mask_other": "time_mask.other",
    "no_mask_overlap": "time_mask.no_overlap",
    "mask_min_space": "time_mask.min_space",
    "require_same_masks": "time_mask.require_same",
    "mask_dropout": "time_mask.dropout",
}

_CHANNEL_MASK_WORDS = {
    "mask_channel_prob": "channel_mask.prob",
    "mask_channel_length": "channel_mask.length",
    "mask_channel_selection": "channel_mask.selection",
    "mask_channel_other": "channel_mask.other",
    "no_mask_channel_overlap": "channel_mask.no_overlap",
    "mask_channel_min_space": "channel_mask.min_space",
}

_AUDIO_WORDS = {
    "normalize": "normalize",
    "sample_rate": "sample_rate",
    # Ours: fairseq knows no other padding than its own.
    "reference_padding": "reference_padding",
}

PRETRAINING_WORDS = {
    "conv_feature_layers": "conv_layers",
    "extractor_mode": "conv_norm",
    "conv_bias": "conv_bias",
    "feature_grad_mult": "feature_grad_mult",
    "encoder_layers": "encoder.num_layers",
    "encoder_embed_dim": "encoder.dim",
    "encoder_ffn_embed_dim": "encoder.ffn_dim",
    "encoder_attention_heads": "encoder.num_heads",
    "activation_fn": "encoder.activation",
    "layer_type": "encoder.layer_type",
    "layer_norm_first": "encoder.pre_norm",
    "dropout": "encoder.dropout",
    "attention_dropout": "encoder.attention_dropout",
    "activation_dropout": "encoder.activation_dropout",
    "encoder_layerdrop": "encoder.layerdrop",
    "conv_pos": "encoder.pos_conv_kernel",
    "conv_pos_groups": "encoder.pos_conv_groups",
    "pos_conv_depth": "encoder.pos_conv_depth",
    "required_seq_len_multiple": "encoder.required_seq_len_multiple",
    "dropout_input": "dropout_input",
    "dropout_features": "dropout_features",
    "final_dim": "final_dim",
    "logit_temp": "logit_temp",
    "latent_groups": "quantizer.num_codebooks",
    "latent_vars": "quantizer.num_entries",
    "latent_dim": "quantizer.dim",
    "quantizer_depth": "quantizer.depth",
    "quantizer_factor": "quantizer.factor",
    "latent_temp": "quantizer.temperature",
    "num_negatives": "negatives.num_negatives",
    "cross_sample_negatives": "negatives.cross_sample",
    "codebook_negatives": "negatives.codebook",
    "negatives_from_everywhere": "negatives.from_everywhere",
    **_TIME_MASK_WORDS,
    **_CHANNEL_MASK_WORDS,
    **_AUDIO_WORDS,
}
"""fairseq's words for a wav2vec 2.0 model -> paths in `Wav2Vec2Config`."""

WAV2VEC_WORDS = {
    "conv_feature_layers": "conv_layers",
    "skip_connections_feat": "skip_connections",
    "residual_scale": "residual_scale",
    "log_compression": "log_compression",
    "non_affine_group_norm": "norm_affine",
    "activation": "activation",
    "vq_type": "quantizer.kind",
    "vq_groups": "quantizer.num_codebooks",
    "vq_vars": "quantizer.num_entries",
    "vq_dim": "quantizer.dim",
    "vq_depth": "quantizer.depth",
    "combine_groups": "quantizer.combine_groups",
    "vq_temp": "quantizer.temperature",
    "vq_gamma": "quantizer.gamma",
    "aggregator": "aggregator.kind",
    "conv_aggregator_layers": "aggregator.conv_layers",
    "no_conv_bias": "aggregator.conv_bias",
    "agg_zero_pad": "aggregator.zero_pad",
    "skip_connections_agg": "aggregator.skip_connections",
    "gru_dim": "aggregator.gru_dim",
    "dropout": "dropout",
    "dropout_features": "dropout_features",
    "dropout_agg": "dropout_agg",
    "project_features": "project_features",
    "prediction_steps": "prediction_steps",
    "offset": "offset",
    "num_negatives": "num_negatives",
    "cross_sample_negatives": "cross_sample_negatives",
    "sample_distance": "sample_distance",
    "infonce": "infonce",
    "balanced_classes": "balanced_classes",
    **_AUDIO_WORDS,
}
"""fairseq's words for wav2vec 1.0 and vq-wav2vec -> paths in `Wav2VecConfig`."""

NEGATIONS = ("non_affine_group_norm", "no_conv_bias")
"""The words that say the opposite of ours."""

OLD_FAMILIES = {"audio_cpc": "wav2vec"}
"""What fairseq called a family in 2019 -> its name since."""

FINETUNING_WORDS = {
    "dropout": "encoder.dropout",
    "attention_dropout": "encoder.attention_dropout",
    "activation_dropout": "encoder.activation_dropout",
    "layerdrop": "encoder.layerdrop",
    "dropout_input": "dropout_input",
    "feature_grad_mult": "feature_grad_mult",
    **_TIME_MASK_WORDS,
    **_CHANNEL_MASK_WORDS,
    "reference_padding": "reference_padding",
}
"""fairseq's words for a fine-tuned model -> the paths in the encoder's `Wav2Vec2Config` that they replace."""

FINETUNING_DEFAULTS: dict[str, object] = {
    "encoder.dropout": 0.0,
    "encoder.attention_dropout": 0.0,
    "encoder.activation_dropout": 0.0,
    "encoder.layerdrop": 0.0,
    "dropout_input": 0.0,
    "feature_grad_mult": 0.0,
    "time_mask": SpanMaskConfig(prob=0.5),
    "channel_mask": SpanMaskConfig(),
}
"""What those are where a fine-tuning configuration is silent: not what pre-training had."""

CTC_WORDS = {
    "final_dropout": "final_dropout",
    "blank_weight": "blank_weight",
    "blank_mode": "blank_mode",
}
"""fairseq's words for a CTC model -> paths in `CTCConfig`, besides those of `FINETUNING_WORDS`."""

VALUES = {"extractor_mode": {"default": "group", "layer_norm": "layer"}}
"""fairseq's values -> ours, of the options whose values are words that differ."""

ONLY_VALUES: dict[str, object] = {
    "layer_type": "transformer",
    "quantize_input": False,
    "target_glu": False,
    "crop_seq_to_multiple": 1,
    "mask_channel_before": False,
}
"""Options of fairseq that this version knows with one value only."""

CTC_STATE_PREFIXES = {"w2v_encoder.w2v_model.": "encoder.", "w2v_encoder.proj.": "proj."}
"""How fairseq's parameter names of a CTC model begin -> ours. A pre-training model's are the same in both."""

PRETRAINING_HEADS = (
    "quantizer.",
    "project_q.",
    "final_proj.",
    "target_glu.",
    "input_quantizer.",
    "project_inp.",
)
"""How the names of parameters begin that only pre-training uses."""
