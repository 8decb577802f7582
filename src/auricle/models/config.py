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
    """The context network: positions, then a stack of layers (wav2vec 2.0, section 2)."""

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
    required_seq_len_multiple: int = 2


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
    """Where the distractors of the contrastive task come from (wav2vec 2.0, section 3.2)."""

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
        normalize: Whether the weights were trained on audio of zero mean and unit variance. The model
            takes samples as given; whoever reads audio for it looks here.
        reference_padding: Reproduce fairseq's arithmetic on padded batches (see docs/padding.md).
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
    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    time_mask: SpanMaskConfig = field(default_factory=lambda: SpanMaskConfig(prob=0.65))
    channel_mask: SpanMaskConfig = field(default_factory=SpanMaskConfig)
    normalize: bool = False
    sample_rate: int = 16000
    reference_padding: bool = False


@dataclass(frozen=True, slots=True)
class CTCConfig:
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

    @property
    def normalize(self) -> bool:
        """Whether audio read for this model is normalised."""
        return self.encoder.normalize

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.encoder.sample_rate


SpeechConfig = Wav2Vec2Config | Wav2VecConfig | CTCConfig
"""Of the models that hear: they have `normalize` and `sample_rate`."""

ModelConfig = SpeechConfig
