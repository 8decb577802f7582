"""Which of the names in a Hugging Face folder is which of ours: tables only, each one to one.

The folder's models are transformers' `Wav2Vec2` and `Wav2Vec2Conformer`. In names of weights, `#` stands for
a number and a final `*` for whatever follows, the same on both sides. What a table cannot say is said by the
functions that apply it: `huggingface_config.py` for configurations, `huggingface_names.py` for weights.
"""

MODEL_TYPES = {"wav2vec2": "transformer", "wav2vec2-conformer": "conformer"}
"""transformers' `model_type` -> our `layer_type`."""

PREFIXES = {"transformer": "wav2vec2.", "conformer": "wav2vec2_conformer."}
"""How the names of an encoder's weights begin where it has a head."""

CLASSES = {"transformer": "Wav2Vec2", "conformer": "Wav2Vec2Conformer"}
"""How the names of transformers' classes begin."""

HEADS = {"pretraining": "ForPreTraining", "ctc": "ForCTC", "encoder": "Model"}
"""How they end, by what stands on the encoder."""

ENCODER_NAMES = {
    "masked_spec_embed": "mask_emb",
    "feature_projection.layer_norm.*": "layer_norm.*",
    "feature_projection.projection.*": "post_extract_proj.*",
    "feature_extractor.conv_layers.#.conv.*": "feature_extractor.conv_layers.#.0.*",
    "encoder.pos_conv_embed.conv.bias": "encoder.pos_conv.0.bias",
    "encoder.pos_conv_embed.conv.parametrizations.weight.original0": "encoder.pos_conv.0.weight_g",
    "encoder.pos_conv_embed.conv.parametrizations.weight.original1": "encoder.pos_conv.0.weight_v",
    "encoder.layer_norm.*": "encoder.layer_norm.*",
    "encoder.layers.#.final_layer_norm.*": "encoder.layers.#.final_layer_norm.*",
}

CONV_NORM_NAMES = {
    "group": {"feature_extractor.conv_layers.#.layer_norm.*": "feature_extractor.conv_layers.#.2.*"},
    "layer": {"feature_extractor.conv_layers.#.layer_norm.*": "feature_extractor.conv_layers.#.2.1.*"},
}
"""By our `conv_norm`."""

LAYER_NAMES = {
    "transformer": {
        "encoder.layers.#.attention.*": "encoder.layers.#.self_attn.*",
        "encoder.layers.#.layer_norm.*": "encoder.layers.#.self_attn_layer_norm.*",
        "encoder.layers.#.feed_forward.intermediate_dense.*": "encoder.layers.#.fc1.*",
        "encoder.layers.#.feed_forward.output_dense.*": "encoder.layers.#.fc2.*",
    },
    "conformer": {
        "encoder.layers.#.ffn#_layer_norm.*": "encoder.layers.#.ffn#.layer_norm.*",
        "encoder.layers.#.ffn#.intermediate_dense.*": "encoder.layers.#.ffn#.w_1.*",
        "encoder.layers.#.ffn#.output_dense.*": "encoder.layers.#.ffn#.w_2.*",
        "encoder.layers.#.self_attn.*": "encoder.layers.#.self_attn.*",
        "encoder.layers.#.self_attn_layer_norm.*": "encoder.layers.#.self_attn_layer_norm.*",
        "encoder.layers.#.conv_module.*": "encoder.layers.#.conv_module.*",
    },
}
"""By our `layer_type`."""

PRETRAINING_NAMES = {
    "quantizer.codevectors": "quantizer.vars",
    "quantizer.weight_proj.*": "quantizer.weight_proj.*",
    "project_q.*": "project_q.*",
    "project_hid.*": "final_proj.*",
}

CTC_NAMES = {"lm_head.*": "proj.*"}

OLD_NAMES = {
    ".conv.weight_g": ".conv.parametrizations.weight.original0",
    ".conv.weight_v": ".conv.parametrizations.weight.original1",
}
"""How names end in files from before torch 2.0 -> how they end since; only ever read."""

ROTATION_SPEEDS = "encoder.embed_positions.inv_freq"
"""transformers keeps the speeds of a rotation once; fairseq and we keep them with each layer."""

LAYER_ROTATION_SPEEDS = "encoder.layers.{}.self_attn.rotary_emb.inv_freq"

_ENCODER_WORDS = {
    "hidden_size": "encoder.dim",
    "num_hidden_layers": "encoder.num_layers",
    "num_attention_heads": "encoder.num_heads",
    "intermediate_size": "encoder.ffn_dim",
    "hidden_dropout": "encoder.dropout",
    "activation_dropout": "encoder.activation_dropout",
    "attention_dropout": "encoder.attention_dropout",
    "layerdrop": "encoder.layerdrop",
    "feat_proj_dropout": "dropout_input",
    "feat_quantizer_dropout": "dropout_features",
    "feat_extract_norm": "conv_norm",
    "conv_bias": "conv_bias",
    "num_conv_pos_embeddings": "encoder.pos_conv_kernel",
    "num_conv_pos_embedding_groups": "encoder.pos_conv_groups",
    "mask_time_prob": "time_mask.prob",
    "mask_time_length": "time_mask.length",
    "mask_feature_prob": "channel_mask.prob",
    "mask_feature_length": "channel_mask.length",
    "proj_codevector_dim": "final_dim",
    "contrastive_logits_temperature": "logit_temp",
    "num_negatives": "negatives.num_negatives",
}

WORDS = {
    "transformer": {
        **_ENCODER_WORDS,
        "hidden_act": "encoder.activation",
        "do_stable_layer_norm": "encoder.pre_norm",
    },
    "conformer": {
        **_ENCODER_WORDS,
        "hidden_act": "encoder.conformer_activation",
        "conv_depthwise_kernel_size": "encoder.conv_kernel",
        "position_embeddings_type": "encoder.positions",
    },
}
"""transformers' words for an encoder -> paths in `Wav2Vec2Config`, by our `layer_type`."""

QUANTIZER_WORDS = {
    "num_codevectors_per_group": "quantizer.num_entries",
    "num_codevector_groups": "quantizer.num_codebooks",
    "codevector_dim": "quantizer.dim",
}
"""Likewise of the targets' quantizer."""

CTC_WORDS = {"final_dropout": "final_dropout"}
"""Likewise of a recogniser -> paths in `CTCConfig`."""

VALUES: dict[str, dict[str | None, str]] = {
    "hidden_act": {"gelu": "gelu", "relu": "relu", "swish": "swish", "tanh": "tanh"},
    "position_embeddings_type": {"relative": "rel_pos", "rotary": "rope", None: "none"},
}
"""transformers' values -> ours, of the words whose values are names."""

SAME_VALUES = {"silu": "swish"}
"""Two names of transformers for one value; the first is only ever read."""

CONVOLUTIONS = ("conv_dim", "conv_kernel", "conv_stride")
"""Our triples of channels, kernel and stride are a list each."""

ONLY_VALUES: dict[str, object] = {
    "layer_norm_eps": 1e-5,
    "feat_extract_activation": "gelu",
    "add_adapter": False,
    "adapter_attn_dim": None,
}
"""What transformers can vary and this version knows with one value alone."""

DEFAULTS: dict[str, object] = {
    "vocab_size": 32,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout": 0.1,
    "activation_dropout": 0.1,
    "attention_dropout": 0.1,
    "feat_proj_dropout": 0.0,
    "feat_quantizer_dropout": 0.0,
    "final_dropout": 0.1,
    "layerdrop": 0.1,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-5,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "conv_dim": [512] * 7,
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_bias": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "apply_spec_augment": True,
    "mask_time_prob": 0.05,
    "mask_time_length": 10,
    "mask_time_min_masks": 2,
    "mask_feature_prob": 0.0,
    "mask_feature_length": 10,
    "mask_feature_min_masks": 0,
    "num_codevectors_per_group": 320,
    "num_codevector_groups": 2,
    "contrastive_logits_temperature": 0.1,
    "num_negatives": 100,
    "codevector_dim": 256,
    "proj_codevector_dim": 256,
    "diversity_loss_weight": 0.1,
    "ctc_loss_reduction": "sum",
    "ctc_zero_infinity": False,
    "use_weighted_layer_sum": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "add_adapter": False,
}
"""transformers' values of the words that a configuration leaves out."""

LAYER_DEFAULTS: dict[str, dict[str, object]] = {
    "transformer": {"do_stable_layer_norm": False, "adapter_attn_dim": None},
    "conformer": {
        "position_embeddings_type": "relative",
        "rotary_embedding_base": 10000,
        "max_source_positions": 5000,
        "conv_depthwise_kernel_size": 31,
        "conformer_conv_dropout": 0.1,
    },
}
"""Likewise, by our `layer_type`."""

SPECIALS = ("pad_token", "bos_token", "eos_token", "unk_token")
"""A tokenizer's words for the symbols that are our first four: its padding is the blank."""

SPECIAL_SYMBOLS = ("<pad>", "<s>", "</s>", "<unk>")
"""What they are called there. (Ours are `<s>`, `<pad>`, `</s>`, `<unk>`: fairseq's blank is `<s>`.)"""
