"""What no configuration of wav2vec 1.0 or vq-wav2vec can be."""

from collections.abc import Iterator

from auricle.convert.wav2vec2_checks import sight_problem
from auricle.models.wav2vec_config import AggregatorConfig, CodebooksConfig, ConvLayers, Wav2VecConfig


def wav2vec_problems(config: Wav2VecConfig) -> Iterator[str]:
    """The parts of a configuration that are impossible, or do not fit together."""
    yield from _layer_problems(config.conv_layers, "convolution")
    if not config.conv_layers:
        return
    if problem := sight_problem(config.conv_layers):
        yield problem
    width = config.conv_layers[-1][0]
    yield from _aggregator_problems(config.aggregator, width, projected=config.project_features != "none")
    if config.quantizer.kind != "none":
        yield from _codebook_problems(config.quantizer, width)
    if not all(0.0 <= rate <= 1.0 for rate in (config.dropout, config.dropout_features, config.dropout_agg)):
        yield "a dropout outside 0 to 1"
    if config.residual_scale < 0:
        yield f"a residual_scale of {config.residual_scale}"
    if config.prediction_steps < 1:
        yield "no prediction_steps"
    if config.num_negatives + config.cross_sample_negatives < 1:
        yield "no negatives"
    if config.balanced_classes and not config.infonce and config.num_negatives < 1:
        yield "balanced_classes without num_negatives"
    if config.sample_rate < 1:
        yield "a sample rate of 0"


def _layer_problems(layers: ConvLayers, what: str) -> Iterator[str]:
    if not layers:
        yield f"no {what}"
    if any(min(layer) < 1 for layer in layers):
        yield f"a {what} whose channels, kernel or stride are 0"


def _aggregator_problems(config: AggregatorConfig, width: int, *, projected: bool) -> Iterator[str]:
    if config.kind == "gru":
        out = config.gru_dim
        if out < 1:
            yield "a gru_dim of 0"
    else:
        yield from _layer_problems(config.conv_layers, "convolution of the aggregator")
        out = config.conv_layers[-1][0] if config.conv_layers else width
        if any(stride != 1 for _, _, stride in config.conv_layers):
            yield "an aggregator with a stride: it gives a frame for each of the features"
    if projected and out != width:
        yield f"project_features with an aggregator {out} wide, where the features are {width} wide"


def _codebook_problems(config: CodebooksConfig, width: int) -> Iterator[str]:
    if min(config.num_codebooks, config.num_entries, config.depth) < 1:
        yield "a quantizer without codebooks, entries or depth"
    elif width % config.num_codebooks:
        yield f"a quantized width of {width} is not a multiple of {config.num_codebooks} codebooks"
    if config.dim not in (0, width):
        yield f"vq_dim {config.dim}, where the features it stands for are {width} wide"
