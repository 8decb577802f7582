"""What a wav2vec 1.0 or vq-wav2vec model is made of; the other models' configurations are in `config.py`."""

from dataclasses import dataclass, field
from typing import Literal

ConvLayers = tuple[tuple[int, int, int], ...]
"""One (channels, kernel, stride) a layer; kernel and stride in samples of that layer's input."""

WAV2VEC_CONV_LAYERS: ConvLayers = ((512, 10, 5), (512, 8, 4), *((512, 4, 2),) * 3, *((512, 1, 1),) * 3)

AGGREGATOR_LAYERS: ConvLayers = tuple((512, kernel, 1) for kernel in range(2, 14))


@dataclass(frozen=True, slots=True)
class AggregatorConfig:
    """The network over the latent features (wav2vec 1.0, section 2.1).

    Attributes:
        kind: Causal convolutions, or a recurrent network over time.
        conv_layers: Of the convolutions; their strides are 1.
        conv_bias: Whether they have biases.
        zero_pad: Put zeros before the first frame rather than copies of it.
        skip_connections: Add its input to each convolution's output.
        gru_dim: Width of the recurrent network.
    """

    kind: Literal["cnn", "gru"] = "cnn"
    conv_layers: ConvLayers = AGGREGATOR_LAYERS
    conv_bias: bool = True
    zero_pad: bool = False
    skip_connections: bool = True
    gru_dim: int = 512


@dataclass(frozen=True, slots=True)
class CodebooksConfig:
    """The quantizer of vq-wav2vec (section 3).

    Attributes:
        kind: "gumbel" chooses by a Gumbel softmax (3.1), "kmeans" the nearest entry (3.2); "none" is
            wav2vec 1.0.
        num_codebooks: Groups of channels that are quantized apart (3.3).
        num_entries: Of each codebook.
        dim: Width of a quantized vector: that of the features, for which 0 stands.
        depth: Layers of the network that scores a Gumbel softmax's entries.
        combine_groups: Let all groups share one codebook.
        temperature: Of the Gumbel softmax: (start, end, decay an update).
        gamma: Weight of the commitment of features to their k-means centroid.
    """

    kind: Literal["none", "gumbel", "kmeans"] = "none"
    num_codebooks: int = 2
    num_entries: int = 320
    dim: int = 0
    depth: int = 1
    combine_groups: bool = False
    temperature: tuple[float, float, float] = (2.0, 0.5, 0.999995)
    gamma: float = 0.25


@dataclass(frozen=True, slots=True)
class Wav2VecConfig:
    """A wav2vec 1.0 or vq-wav2vec model.

    Attributes:
        skip_connections: Add its input, thinned out, to each convolution's output.
        residual_scale: A sum of such two is multiplied by the root of this.
        log_compression: Features are log(|x| + 1).
        norm_affine: Norms have a learnt scale and shift.
        dropout: Inside the aggregator, and on predictions.
        dropout_features: On the aggregator's input.
        dropout_agg: On its output.
        project_features: What is predicted: the features themselves, what the aggregator makes of them
            ("same"), or what another one does ("new").
        prediction_steps: Frames that are predicted from each context.
        offset: Frames from a context to the first of them; 0: as many as the receptive field spans.
        num_negatives: Distractors from the same utterance.
        cross_sample_negatives: Distractors from anywhere in the batch.
        sample_distance: The former come from this many first frames of the utterance; 0: from all.
        infonce: Choose among the candidates, rather than decide on each by itself.
        balanced_classes: Where each is decided on, a frame's distractors weigh as much as the frame.
        normalize: See `Wav2Vec2Config`.
        reference_padding: Reproduce fairseq's arithmetic on batches (see docs/padding.md).
    """

    conv_layers: ConvLayers = WAV2VEC_CONV_LAYERS
    skip_connections: bool = False
    residual_scale: float = 0.5
    log_compression: bool = True
    norm_affine: bool = True
    activation: Literal["relu", "gelu"] = "relu"
    quantizer: CodebooksConfig = field(default_factory=CodebooksConfig)
    aggregator: AggregatorConfig = field(default_factory=AggregatorConfig)
    dropout: float = 0.0
    dropout_features: float = 0.0
    dropout_agg: float = 0.0
    project_features: Literal["none", "same", "new"] = "none"
    prediction_steps: int = 12
    offset: int = 0
    num_negatives: int = 10
    cross_sample_negatives: int = 0
    sample_distance: int = 0
    infonce: bool = False
    balanced_classes: bool = False
    normalize: bool = False
    sample_rate: int = 16000
    reference_padding: bool = False
