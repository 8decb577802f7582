"""What a model is made of: frozen values, enough to rebuild the network, nothing of how it is trained.

Field names are ours; `convert/keys.py` holds the one table that maps fairseq's words to them.
"""

from dataclasses import dataclass, field
from typing import Literal

from auricle.models.wav2vec_config import ConvLayers as ConvLayers
from auricle.models.wav2vec_config import Wav2VecConfig as Wav2VecConfig

BASE_CONV_LAYERS: ConvLayers = ((512, 10, 5), *((512, 3, 2),) * 4, (512, 2, 2), (512, 2, 2))


@dataclass(frozen=True, slots=True)
class SpanMaskConfig:
    """How spans of one axis (time or channels) are masked (wav2vec 2.0, section 3.1 and appendix A).

    Attributes:
        prob: Share of positions that would be masked if no spans overlapped; 0 masks nothing.
        length: Span length, in positions (the mean, where the length is drawn).
        selection: How each span's length is drawn: "static", "uniform", "normal" or "poisson".
        other: Second parameter of that distribution.
        no_overlap: Keep spans apart.
        min_space: Positions kept free between spans when `no_overlap`.
        require_same: Give every row of a batch the same number of masked positions.
        dropout: Share of masked positions that are unmasked again.
    """

    prob: float = 0.0
    length: int = 10
    selection: Literal["static", "uniform", "normal", "poisson"] = "static"
    other: float = 0.0
    no_overlap: bool = False
    min_space: int = 1
    require_same: bool = True
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The context network: positions, then a stack of layers (wav2vec 2.0, section 2).

    Attributes:
        layer_type: "trf_adp" is a Transformer with adapters.
        attention: Of Conformer layers: the Transformer's (""), which has no positions of its own, or
            ESPnet's.
        positions: Of Conformer layers: a convolution before the first one ("abs"), rotated queries and keys
            ("rope"), relative distances ("rel_pos") or nothing at all ("none", of transformers only); all but
            the first need ESPnet's attention.
        conv_kernel: Kernel of a Conformer's depth-wise convolution, in frames.
        conformer_activation: Of Conformer layers: fairseq knows swish alone, transformers any.
        required_seq_len_multiple: fairseq pads the frames to a multiple of this.
        num_adapters: Adapters a layer, one for each corpus.
        adapter_layers: Layers that have adapters: "all", or "start:stop" as in Python.
        checkpoint_activations: In training, compute the layers anew in the backward pass.
    """

    num_layers: int = 12
    dim: int = 768
    ffn_dim: int = 3072
    num_heads: int = 12
    activation: str = "gelu"
    layer_type: Literal["transformer", "conformer", "trf_adp"] = "transformer"
    pre_norm: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    layerdrop: float = 0.0
    pos_conv_kernel: int = 128
    pos_conv_groups: int = 16
    pos_conv_depth: int = 1
    attention: Literal["", "espnet"] = ""
    positions: Literal["abs", "rope", "rel_pos", "none"] = "abs"
    conv_kernel: int = 31
    conformer_activation: str = "swish"
    required_seq_len_multiple: int = 2
    num_adapters: int = 0
    adapter_dim: int = 64
    adapter_activation: str = "relu"
    adapter_layers: str = "all"
    checkpoint_activations: bool = False

    @property
    def has_position_conv(self) -> bool:
        """Whether positions come from the convolution; other networks carry it along unused (quirk 16)."""
        return self.layer_type != "conformer" or self.positions == "abs"

    def has_adapters(self, layer: int) -> bool:
        """Whether the layer of this number, from 0, has adapters."""
        if self.layer_type != "trf_adp":
            return False
        bounds = None if self.adapter_layers == "all" else map(int, self.adapter_layers.split(":"))
        return bounds is None or layer in range(*bounds)


@dataclass(frozen=True, slots=True)
class QuantizerConfig:
    """A Gumbel-softmax product quantizer (wav2vec 2.0, section 2, "Quantization module").

    `temperature` is (start, end, decay an update). `dim` 0 stands for the model's `final_dim`.
    """

    num_codebooks: int = 2
    num_entries: int = 320
    dim: int = 0
    depth: int = 1
    factor: int = 3
    temperature: tuple[float, float, float] = (2.0, 0.5, 0.999995)


@dataclass(frozen=True, slots=True)
class NegativesConfig:
    """Where the distractors of the contrastive task come from (wav2vec 2.0, section 3.2).

    Attributes:
        num_negatives: Of each masked frame, from its own utterance.
        cross_sample: Of each masked frame, from all utterances of the batch.
        codebook: Of each masked frame, combinations of codebook entries.
        from_everywhere: Draw from all frames, not only from masked ones.
    """

    num_negatives: int = 100
    cross_sample: int = 0
    codebook: int = 0
    from_everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Wav2Vec2Config:
    """A wav2vec 2.0 model with its pre-training heads.

    Attributes:
        conv_norm: "group" (Base: one norm, after the first convolution) or "layer" (Large: after each).
        feature_grad_mult: Factor on the gradient that reaches the convolutions; 0 freezes them.
        final_dim: Width of the contrastive space; 0 stands for the encoder's width.
        quantizer: None where raw features are the targets.
        input_quantizer: Where the encoder is given quantized features; its `dim` 0 stands for the encoder's
            width.
        same_quantizer: Let `quantizer`, where there is one, quantize the input as well.
        target_glu: Pass targets and distractors through a gated linear unit.
        channel_mask_first: Mask channels before frames, not after.
        always_projects: Project the features even where they are as wide as the encoder: transformers does,
            fairseq does not.
        crop_seq_to_multiple: Leave out the last frames, up to a multiple of this.
        normalize: Whether the weights were trained on audio of zero mean and unit variance. The model
            takes samples as given; whoever reads audio for it looks here.
        reference_padding: Reproduce fairseq's arithmetic on padded batches (see docs/padding.md).
        heads: Whether it has pre-training heads; an encoder alone has none.
    """

    conv_layers: ConvLayers = BASE_CONV_LAYERS
    conv_norm: Literal["group", "layer"] = "group"
    conv_bias: bool = False
    feature_grad_mult: float = 1.0
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    dropout_input: float = 0.0
    dropout_features: float = 0.0
    final_dim: int = 0
    logit_temp: float = 0.1
    quantizer: QuantizerConfig | None = field(default_factory=QuantizerConfig)
    input_quantizer: QuantizerConfig | None = None
    same_quantizer: bool = False
    target_glu: bool = False
    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    time_mask: SpanMaskConfig = field(default_factory=lambda: SpanMaskConfig(prob=0.65))
    channel_mask: SpanMaskConfig = field(default_factory=SpanMaskConfig)
    channel_mask_first: bool = False
    always_projects: bool = False
    crop_seq_to_multiple: int = 1
    normalize: bool = False
    sample_rate: int = 16000
    reference_padding: bool = False
    heads: bool = True

    @property
    def shares_quantizer(self) -> bool:
        """Whether one quantizer serves targets and input."""
        return self.same_quantizer and self.quantizer is not None and self.input_quantizer is not None


class _Recogniser:
    """What a model with an encoder hears is what its encoder does."""

    __slots__ = ()

    encoder: Wav2Vec2Config

    @property
    def normalize(self) -> bool:
        """Whether audio read for this model is normalised."""
        return self.encoder.normalize

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.encoder.sample_rate


@dataclass(frozen=True, slots=True)
class CTCConfig(_Recogniser):
    """A wav2vec 2.0 encoder with a linear CTC head.

    Attributes:
        encoder: The encoder, with the dropouts and masks of fine-tuning; its pre-training heads are
            not built.
        num_labels: Size V of the dictionary, specials included.
        final_dropout: Dropout before the head.
        blank_weight: Added to (`blank_mode` "add") or put in place of ("set") the blank's logit by
            the decoder and the loss, never by the model.
    """

    encoder: Wav2Vec2Config = field(default_factory=Wav2Vec2Config)
    num_labels: int = 32
    final_dropout: float = 0.0
    blank_weight: float = 0.0
    blank_mode: Literal["add", "set"] = "add"


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """A Transformer that reads symbols from left to right (Vaswani et al. 2017, section 3).

    Attributes:
        final_norm: Whether a pre-norm stack ends with a norm; a post-norm one never does.
        positions: Of symbols: a table of sines, a learnt one, or none.
        max_positions: Length of a learnt table, and of what a search writes.
        scale_embedding: Multiply embeddings by the root of `dim`.
        norm_embedding: Normalise what enters the first layer.
    """

    num_layers: int = 6
    dim: int = 512
    ffn_dim: int = 2048
    num_heads: int = 8
    activation: str = "relu"
    pre_norm: bool = False
    final_norm: bool = True
    positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal"
    max_positions: int = 1024
    scale_embedding: bool = True
    norm_embedding: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    layerdrop: float = 0.0


@dataclass(frozen=True, slots=True)
class Seq2SeqConfig(_Recogniser):
    """A wav2vec 2.0 encoder with a Transformer decoder that writes labels one by one.

    Attributes:
        encoder: As in `CTCConfig`.
        decoder: Looks at the encoder's frames, projected to its own width where that differs.
        num_labels: Size V of the dictionary, specials included.
        final_dropout: Dropout on the encoder's output.
        tie_embeddings: The output layer is the table of embeddings.
    """

    encoder: Wav2Vec2Config = field(default_factory=Wav2Vec2Config)
    decoder: DecoderConfig = field(
        default_factory=lambda: DecoderConfig(
            dim=768, ffn_dim=3072, num_heads=4, max_positions=2048, dropout=0.0
        )
    )
    num_labels: int = 32
    final_dropout: float = 0.0
    tie_embeddings: bool = False


@dataclass(frozen=True, slots=True)
class LanguageModelConfig:
    """A language model over words or letters: a decoder that looks at nothing but what it has written.

    Adaptive input and softmax (Baevski and Auli 2019, sections 3.1 and 3.2) cut the dictionary, most frequent
    symbols first, into bands of less and less width.

    Attributes:
        num_symbols: Size V of the dictionary, specials included.
        input_dim: Width of embeddings, of the first band where there are several.
        output_dim: Width of what the output layer sees.
        tie_embeddings: The output layer is the table of embeddings.
        input_cutoffs: Where each band but the first begins; none: one plain table.
        input_factor: How many times narrower each band is than the one before.
        softmax_cutoffs: Likewise for the output.
        softmax_factor: Likewise.
        softmax_dropout: Dropout on the narrowed vectors of the output.
        tie_adaptive_weights: Output bands are the tables of the input bands.
        tie_adaptive_proj: And the output's narrowings are the input's widenings, transposed.
        add_bos_token: Sentences were trained to begin with `<s>`, not with the `</s>` of the one before.
    """

    num_symbols: int = 32
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    input_dim: int = 512
    output_dim: int = 512
    tie_embeddings: bool = False
    input_cutoffs: tuple[int, ...] = ()
    input_factor: float = 4.0
    softmax_cutoffs: tuple[int, ...] = ()
    softmax_factor: float = 4.0
    softmax_dropout: float = 0.0
    tie_adaptive_weights: bool = False
    tie_adaptive_proj: bool = False
    add_bos_token: bool = False


@dataclass(frozen=True, slots=True)
class RobertaConfig:
    """A masked language model over codes (Liu et al. 2019; vq-wav2vec, section 3.2).

    Attributes:
        num_symbols: Size V of the dictionary, specials and `<mask>` included.
        max_positions: Length of the longest sequence.
        norm_embedding: Normalise what enters the first layer.
        scale_embedding: Multiply embeddings by the root of `dim`.
        untie_weights: The output layer has weights of its own.
    """

    num_symbols: int = 32
    max_positions: int = 512
    num_layers: int = 12
    dim: int = 768
    ffn_dim: int = 3072
    num_heads: int = 12
    activation: str = "gelu"
    pre_norm: bool = False
    norm_embedding: bool = True
    scale_embedding: bool = False
    untie_weights: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    layerdrop: float = 0.0


SpeechConfig = Wav2Vec2Config | Wav2VecConfig | CTCConfig | Seq2SeqConfig
"""Of the models that hear: they have `normalize` and `sample_rate`."""

ModelConfig = SpeechConfig | LanguageModelConfig | RobertaConfig
