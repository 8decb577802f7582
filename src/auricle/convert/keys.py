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
    "mask_channel_before": "channel_mask_first",
}

_ADAPTER_WORDS = {
    "adp_num": "encoder.num_adapters",
    "adp_dim": "encoder.adapter_dim",
    "adp_act_fn": "encoder.adapter_activation",
    "adp_trf_idx": "encoder.adapter_layers",
}

_AUDIO_WORDS = {
    "normalize": "normalize",
    "sample_rate": "sample_rate",
    # Ours: fairseq knows no other padding than its own.
    "reference_padding": "reference_padding",
}

TASK_WORDS = ("normalize", "sample_rate")
"""Those of them that stand in the group of the task, not of the model."""

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
    "attn_type": "encoder.attention",
    "pos_enc_type": "encoder.positions",
    "depthwise_conv_kernel_size": "encoder.conv_kernel",
    "required_seq_len_multiple": "encoder.required_seq_len_multiple",
    "checkpoint_activations": "encoder.checkpoint_activations",
    "crop_seq_to_multiple": "crop_seq_to_multiple",
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
    "same_quantizer": "same_quantizer",
    "target_glu": "target_glu",
    "num_negatives": "negatives.num_negatives",
    "cross_sample_negatives": "negatives.cross_sample",
    "codebook_negatives": "negatives.codebook",
    "negatives_from_everywhere": "negatives.from_everywhere",
    **_TIME_MASK_WORDS,
    **_CHANNEL_MASK_WORDS,
    **_ADAPTER_WORDS,
    **_AUDIO_WORDS,
}
"""fairseq's words for a wav2vec 2.0 model -> paths in `Wav2Vec2Config`.

Those for a quantizer describe both that of the targets and that of the input: fairseq has one set of words.
"""

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
    "checkpoint_activations": "encoder.checkpoint_activations",
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
    "encoder.checkpoint_activations": False,
    "time_mask": SpanMaskConfig(prob=0.5),
    "channel_mask": SpanMaskConfig(),
    "channel_mask_first": False,
}
"""What those are where a fine-tuning configuration is silent: not what pre-training had."""

CTC_WORDS = {
    "final_dropout": "final_dropout",
    "blank_weight": "blank_weight",
    "blank_mode": "blank_mode",
}
"""fairseq's words for a CTC model -> paths in `CTCConfig`, besides those of `FINETUNING_WORDS`."""

SEQ2SEQ_WORDS = {
    "final_dropout": "final_dropout",
    "share_decoder_input_output_embed": "tie_embeddings",
    "decoder_embed_dim": "decoder.dim",
    "decoder_ffn_embed_dim": "decoder.ffn_dim",
    "decoder_layers": "decoder.num_layers",
    "decoder_layerdrop": "decoder.layerdrop",
    "decoder_attention_heads": "decoder.num_heads",
    "decoder_normalize_before": "decoder.pre_norm",
    "decoder_dropout": "decoder.dropout",
    "decoder_attention_dropout": "decoder.attention_dropout",
    "decoder_activation_dropout": "decoder.activation_dropout",
    "max_target_positions": "decoder.max_positions",
}
"""fairseq's words for a model that writes labels one by one -> paths in `Seq2SeqConfig`, besides those of
`FINETUNING_WORDS`; `text_config.py` says what becomes of the words for positions."""

LANGUAGE_MODEL_WORDS = {
    "decoder_embed_dim": "decoder.dim",
    "decoder_ffn_embed_dim": "decoder.ffn_dim",
    "decoder_layers": "decoder.num_layers",
    "decoder_layerdrop": "decoder.layerdrop",
    "decoder_attention_heads": "decoder.num_heads",
    "decoder_normalize_before": "decoder.pre_norm",
    "activation_fn": "decoder.activation",
    "layernorm_embedding": "decoder.norm_embedding",
    "dropout": "decoder.dropout",
    "attention_dropout": "decoder.attention_dropout",
    "activation_dropout": "decoder.activation_dropout",
    "max_target_positions": "decoder.max_positions",
    "decoder_input_dim": "input_dim",
    "decoder_output_dim": "output_dim",
    "share_decoder_input_output_embed": "tie_embeddings",
    "adaptive_input_factor": "input_factor",
    "adaptive_softmax_factor": "softmax_factor",
    "adaptive_softmax_dropout": "softmax_dropout",
    "tie_adaptive_weights": "tie_adaptive_weights",
    "tie_adaptive_proj": "tie_adaptive_proj",
    "add_bos_token": "add_bos_token",
}
"""fairseq's words for a language model -> paths in `LanguageModelConfig`."""

ROBERTA_WORDS = {
    "encoder_layers": "num_layers",
    "encoder_embed_dim": "dim",
    "encoder_ffn_embed_dim": "ffn_dim",
    "encoder_attention_heads": "num_heads",
    "encoder_layerdrop": "layerdrop",
    "encoder_normalize_before": "pre_norm",
    "activation_fn": "activation",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "untie_weights_roberta": "untie_weights",
}
"""fairseq's words for RoBERTa -> paths in `RobertaConfig`."""

ONLY_TEXT_VALUES: dict[str, object] = {
    "character_embeddings": False,
    "base_layers": 0,
    "scale_fc": False,
    "scale_attn": False,
    "scale_heads": False,
    "scale_resids": False,
}
"""Options of fairseq's text models that this version knows with one value only."""

VALUES = {"extractor_mode": {"default": "group", "layer_norm": "layer"}}
"""fairseq's values -> ours, of the options whose values are words that differ."""

ADDED_ADAPTER_WORDS = {"layer_type": "encoder.layer_type", **_ADAPTER_WORDS}
"""Likewise, of the adapters that fine-tuning adds to an encoder, where its `layer_type` is "trf_adp"."""

UNSET: dict[str, object] = {"adp_num": -1}
"""Values by which fairseq says that an option has none."""

CTC_STATE_PREFIXES = {"w2v_encoder.w2v_model.": "encoder.", "w2v_encoder.proj.": "proj."}
"""How fairseq's parameter names of a CTC model begin -> ours. A pre-training model's are the same in both."""

SEQ2SEQ_STATE_PREFIXES = {
    "encoder.w2v_model.": "encoder.",
    "encoder.proj.": "proj.",
    "decoder.embed_out": "embed_out",
    "decoder.": "decoder.",
}
"""Likewise of a model that writes labels one by one."""

LANGUAGE_MODEL_STATE_PREFIXES = {
    "decoder.output_projection.": "output_projection.",
    "decoder.project_out_dim.": "project_out_dim.",
    "decoder.adaptive_softmax.": "adaptive_softmax.",
    "decoder.": "decoder.",
}
"""Likewise of a language model."""

OLD_LANGUAGE_MODEL_STATE_PREFIXES = {"decoder.embed_out": "output_projection.weight"}
"""What was named otherwise in 2019; only ever read."""

ROBERTA_STATE_PREFIXES = {"encoder.sentence_encoder.": "", "encoder.lm_head.": "lm_head."}
"""Likewise of RoBERTa."""

OLD_ROBERTA_STATE_PREFIXES = {
    "encoder.sentence_encoder.emb_layer_norm.": "layernorm_embedding.",
    "decoder.sentence_encoder.emb_layer_norm.": "layernorm_embedding.",
    "decoder.sentence_encoder.": "",
    "decoder.lm_head.": "lm_head.",
}
"""Of 2019, when it called its encoder a decoder; only ever read."""

PRETRAINING_HEADS = (
    "quantizer.",
    "project_q.",
    "final_proj.",
    "target_glu.",
)
"""How the names of parameters begin that only pre-training uses."""
