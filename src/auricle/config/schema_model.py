"""The keys of the group `model`, one dataclass a family, in fairseq's words and with its defaults."""

from dataclasses import dataclass
from typing import Literal

from auricle.config.fields import inert, inert_link, key, linked, required

Distribution = Literal["static", "uniform", "normal", "poisson"]
LayerType = Literal["transformer", "conformer", "trf_adp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanMasking:
    """Masking of spans over time and over channels; the same keys in pre-training and fine-tuning."""

    mask_length: int = key(10, "Frames a masked span covers (the mean, where the length is drawn).")
    mask_prob: float = key(
        0.65, "Share of frames masked if no spans overlapped; about 0.65 masks half of them."
    )
    mask_selection: Distribution = key("static", "How the length of a masked span is drawn.")
    mask_other: float = key(0.0, "Second parameter of that distribution.")
    no_mask_overlap: bool = key(False, "Keep masked spans apart.")
    mask_min_space: int = key(1, "Frames left free between spans, with no_mask_overlap.")
    require_same_masks: bool = key(True, "Mask equally many frames in every utterance of a batch.")
    mask_dropout: float = key(0.0, "Share of masked frames that are shown after all.")
    mask_channel_length: int = key(10, "Channels a masked span covers.")
    mask_channel_prob: float = key(0.0, "Share of channels masked if no spans overlapped.")
    mask_channel_before: bool = key(False, "Mask channels before frames, not after.")
    mask_channel_selection: Distribution = key("static", "How the length of a span of channels is drawn.")
    mask_channel_other: float = key(0.0, "Second parameter of that distribution.")
    no_mask_channel_overlap: bool = key(False, "Keep spans of channels apart.")
    mask_channel_min_space: int = key(1, "Channels left free between spans, with no_mask_channel_overlap.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wav2Vec2Keys(SpanMasking):
    """`wav2vec2`: pre-training by contrast over quantised targets (Transformer or Conformer encoder)."""

    _name: Literal["wav2vec2"] = "wav2vec2"
    extractor_mode: Literal["default", "layer_norm"] = key(
        "default", "Norm of the convolutions: one group norm after the first, or a layer norm after each."
    )
    encoder_layers: int = key(12, "Layers of the encoder.")
    encoder_embed_dim: int = key(768, "Width of the encoder.")
    encoder_ffn_embed_dim: int = key(3072, "Width of the feed-forward blocks.")
    encoder_attention_heads: int = key(12, "Attention heads a layer.")
    activation_fn: str = key("gelu", "Activation of the feed-forward blocks.")
    layer_type: LayerType = key(
        "transformer", "Kind of encoder layer; trf_adp is a Transformer with adapters."
    )
    dropout: float = key(0.1, "Dropout after attention, feed-forward blocks and positions.")
    attention_dropout: float = key(0.1, "Dropout on attention weights.")
    activation_dropout: float = key(0.0, "Dropout inside the feed-forward blocks.")
    encoder_layerdrop: float = key(0.0, "Chance of leaving out a layer in an update.")
    dropout_input: float = key(0.0, "Dropout on the encoder's input.")
    dropout_features: float = key(0.0, "Dropout on the features that are quantised.")
    final_dim: int = key(0, "Width in which predictions and targets are compared; 0: the encoder's.")
    layer_norm_first: bool = key(False, "Normalise before each block (Large) rather than after (Base).")
    conv_feature_layers: str = key(
        "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]",
        "Convolutions as (channels, kernel, stride), a Python literal with + and *.",
    )
    conv_bias: bool = key(False, "Give the convolutions a bias.")
    logit_temp: float = key(0.1, "Temperature that divides the similarities.")
    quantize_targets: bool = key(False, "Predict quantised features rather than the features themselves.")
    quantize_input: bool = key(False, "Give the encoder quantised features.")
    same_quantizer: bool = key(False, "One quantiser for input and targets.")
    target_glu: bool = key(False, "A gated linear unit on the targets.")
    feature_grad_mult: float = key(
        1.0, "Factor on the gradient that reaches the convolutions; 0 freezes them."
    )
    quantizer_depth: int = key(1, "Layers of the network that chooses codebook entries.")
    quantizer_factor: int = key(3, "Width of its hidden layers, in multiples of the feature width.")
    latent_vars: int = key(320, "Entries a codebook.")
    latent_groups: int = key(2, "Codebooks.")
    latent_dim: int = key(0, "Width of a quantised vector; 0: final_dim.")
    num_negatives: int = key(100, "Distractors a frame, from the same utterance.")
    negatives_from_everywhere: bool = key(
        False, "Draw distractors from all frames, not only from masked ones."
    )
    cross_sample_negatives: int = key(0, "Distractors a frame from any utterance of the batch.")
    codebook_negatives: int = key(0, "Distractors a frame from the codebooks.")
    conv_pos: int = key(128, "Kernel of the convolution that gives positions, in frames.")
    conv_pos_groups: int = key(16, "Groups of that convolution.")
    pos_conv_depth: int = key(1, "Convolutions in a row that give positions.")
    latent_temp: tuple[float, float, float] = key(
        (2.0, 0.5, 0.999995), "Gumbel temperature: start, end, factor an update."
    )
    max_positions: int = inert(100000, "Longest input of an encoder with a table of positions.")
    checkpoint_activations: bool = key(False, "Recompute activations in the backward pass to save memory.")
    required_seq_len_multiple: int = key(2, "Frames are padded to a multiple of this inside the encoder.")
    crop_seq_to_multiple: int = key(1, "Frames are cropped to a multiple of this.")
    depthwise_conv_kernel_size: int = key(31, "Kernel of a Conformer's depth-wise convolution, in frames.")
    attn_type: Literal["", "espnet"] = key("", "Attention of a Conformer.")
    pos_enc_type: Literal["abs", "rope", "rel_pos"] = key("abs", "Positions of a Conformer.")
    fp16: bool = inert(False, "Half precision inside Conformer attention; common.fp16 decides for all.")
    adp_num: int = key(-1, "Adapters a layer, with trf_adp.")
    adp_dim: int = key(64, "Width of an adapter.")
    adp_act_fn: str = key("relu", "Activation of an adapter.")
    adp_trf_idx: str = key("all", "Layers that get adapters: all, or start:stop.")
    reference_padding: bool = key(
        False, "Do as fairseq does with padding, where a batch changes an utterance's result (ours)."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderArguments:
    """An encoder described inside a fine-tuning recipe, for training without a checkpoint."""

    model: Wav2Vec2Keys = required("Its architecture: keys of the model wav2vec2.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuningKeys(SpanMasking):
    """Keys of every model that fine-tunes a wav2vec 2.0 encoder."""

    w2v_path: str | None = required(
        "Pre-trained checkpoint of any kind; null, with w2v_args.model, trains from random weights."
    )
    no_pretrained_weights: bool = key(False, "Take w2v_path's architecture and leave its weights.")
    dropout_input: float = key(0.0, "Dropout on the encoder's input.")
    final_dropout: float = key(0.0, "Dropout on the encoder's output.")
    dropout: float = key(0.0, "Dropout inside the encoder.")
    attention_dropout: float = key(0.0, "Dropout on attention weights.")
    activation_dropout: float = key(0.0, "Dropout inside the feed-forward blocks.")
    apply_mask: bool = key(False, "Mask spans while fine-tuning.")
    mask_prob: float = key(0.5, "Share of frames masked if no spans overlapped.")
    freeze_finetune_updates: int = key(0, "Updates in which only the new head learns.")
    feature_grad_mult: float = key(
        0.0, "Factor on the gradient that reaches the convolutions; 0 freezes them."
    )
    layerdrop: float = key(0.0, "Chance of leaving out a layer in an update.")
    drop_path: float = inert(0.0, "Stochastic depth of other encoders.")
    normalize: bool = linked("task.normalize", "Audio is normalised; must agree with the checkpoint.")
    update_alibi: bool = inert(True, "Positions of other encoders.")
    data: str = linked("task.data", "Folder of manifests and labels.")
    w2v_args: EncoderArguments | None = key(
        None, "Architecture to train from random weights, in place of w2v_path."
    )
    offload_activations: bool = inert(False, "Keep activations in host memory.")
    min_params_to_wrap: int = inert(100_000_000, "Smallest layer that sharded training wraps.")
    checkpoint_activations: bool = key(False, "Recompute activations in the backward pass to save memory.")
    ddp_backend: str = inert_link("distributed_training.ddp_backend", "How workers exchange gradients.")
    zero_mask: bool = inert(False, "Mask with zeros, in other encoders.")
    load_ema: bool = inert(False, "Load averaged weights of other encoders.")
    layer_decay: float = inert(1.0, "Learning rate by depth, in other encoders.")
    layer_type: LayerType = key("transformer", "Kind of layer; trf_adp adds adapters to the checkpoint's.")
    adp_num: int = key(-1, "Adapters a layer, with trf_adp.")
    adp_dim: int = key(64, "Width of an adapter.")
    adp_act_fn: str = key("relu", "Activation of an adapter.")
    adp_trf_idx: str = key("all", "Layers that get adapters: all, or start:stop.")
    freeze_regex: str | None = key(None, "Parameters whose name matches are not trained.")
    reference_padding: bool = key(
        False, "Do as fairseq does with padding, where a batch changes an utterance's result (ours)."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CTCKeys(FineTuningKeys):
    """`wav2vec_ctc`: a wav2vec 2.0 encoder with a linear layer, trained with CTC."""

    _name: Literal["wav2vec_ctc"] = "wav2vec_ctc"
    blank_weight: float = key(0.0, "Put on the blank's logit by the loss and the decoder.")
    blank_mode: Literal["add", "set"] = key("add", "Whether it is added to that logit or takes its place.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seq2SeqKeys(FineTuningKeys):
    """`wav2vec_seq2seq`: a wav2vec 2.0 encoder with a Transformer decoder that writes labels one by one."""

    _name: Literal["wav2vec_seq2seq"] = "wav2vec_seq2seq"
    decoder_embed_dim: int = key(768, "Width of the decoder.")
    decoder_ffn_embed_dim: int = key(3072, "Width of its feed-forward blocks.")
    decoder_layers: int = key(6, "Its layers.")
    decoder_layerdrop: float = key(0.0, "Chance of leaving out one of them in an update.")
    decoder_attention_heads: int = key(4, "Its attention heads a layer.")
    decoder_learned_pos: bool = key(False, "Learn its positions rather than compute them from sines.")
    decoder_normalize_before: bool = key(False, "Normalise before each of its blocks rather than after.")
    no_token_positional_embeddings: bool = key(False, "Give it no positions.")
    decoder_dropout: float = key(0.0, "Dropout after its attention, feed-forward blocks and positions.")
    decoder_attention_dropout: float = key(0.0, "Dropout on its attention weights.")
    decoder_activation_dropout: float = key(0.0, "Dropout inside its feed-forward blocks.")
    max_target_positions: int = key(2048, "Most labels of an utterance.")
    share_decoder_input_output_embed: bool = key(False, "Let its output layer be its table of embeddings.")
    autoregressive: bool = linked("task.autoregressive", "Labels are predicted from those before; set it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wav2VecKeys:
    """`wav2vec`: wav2vec 1.0, and vq-wav2vec where `vq_type` is set."""

    _name: Literal["wav2vec"] = "wav2vec"
    prediction_steps: int = key(12, "Frames ahead that are predicted.")
    sample_distance: int | None = key(None, "Furthest frame a distractor comes from.")
    cross_sample_negatives: int = key(0, "Distractors a frame from any utterance of the batch.")
    num_negatives: int = key(10, "Distractors a frame, from the same utterance.")
    conv_feature_layers: str = key(
        "[(512, 10, 5), (512, 8, 4), (512, 4, 2), (512, 4, 2), (512, 4, 2), "
        "(512, 1, 1), (512, 1, 1), (512, 1, 1)]",
        "Convolutions of the feature extractor as (channels, kernel, stride), a Python literal.",
    )
    conv_aggregator_layers: str = key(
        "[(512, 2, 1), (512, 3, 1), (512, 4, 1), (512, 5, 1), (512, 6, 1), (512, 7, 1), (512, 8, 1), "
        "(512, 9, 1), (512, 10, 1), (512, 11, 1), (512, 12, 1), (512, 13, 1)]",
        "Convolutions of the aggregator, likewise.",
    )
    dropout: float = key(0.0, "Dropout inside convolutions.")
    dropout_features: float = key(0.0, "Dropout on the features.")
    dropout_agg: float = key(0.0, "Dropout on the aggregator's output.")
    aggregator: Literal["cnn", "gru"] = key("cnn", "Network over the features.")
    gru_dim: int = key(512, "Width of a recurrent aggregator.")
    no_conv_bias: bool = key(False, "No bias in the aggregator's convolutions.")
    agg_zero_pad: bool = key(False, "Pad the aggregator with zeros rather than with the first frame.")
    skip_connections_feat: bool = key(False, "Residual connections in the feature extractor.")
    skip_connections_agg: bool = key(True, "Residual connections in the aggregator.")
    residual_scale: float = key(0.5, "A residual sum is multiplied by the root of this.")
    log_compression: bool = key(True, "Take log(|x| + 1) of the features.")
    balanced_classes: bool = key(False, "Weigh the distractors of a frame as one example.")
    project_features: Literal["none", "same", "new"] = key(
        "none", "Projection of the features that are predicted."
    )
    non_affine_group_norm: bool = key(False, "Norms without learnt scale and shift.")
    offset: str = key(
        "auto", "Frames between context and first prediction; auto: what the receptive field asks for."
    )
    activation: Literal["relu", "gelu"] = key("relu", "Activation of the convolutions.")
    vq_type: Literal["none", "gumbel", "kmeans"] = key("none", "Quantiser of the features.")
    vq_vars: int = key(320, "Entries a codebook.")
    vq_groups: int = key(2, "Codebooks.")
    vq_dim: int = key(0, "Width of a quantised vector; 0: that of the features.")
    vq_depth: int = key(1, "Layers of the network that chooses entries.")
    combine_groups: bool = key(False, "Let all groups share one codebook.")
    vq_temp: tuple[float, float, float] = key(
        (2.0, 0.5, 0.999995), "Gumbel temperature: start, end, factor an update."
    )
    vq_gamma: float = key(0.25, "Weight of the commitment term of k-means.")
    infonce: bool = linked("criterion.infonce", "Predict by classification rather than by binary decisions.")
    reference_padding: bool = key(
        False, "Do as fairseq does, where a batch changes an utterance's result (ours)."
    )


ModelKeys = Wav2Vec2Keys | CTCKeys | Seq2SeqKeys | Wav2VecKeys
"""The families `model._name` chooses among."""
