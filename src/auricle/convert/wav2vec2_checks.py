"""What makes it impossible to build a wav2vec 2.0 model: see `values.check_config`."""

import re
from collections.abc import Iterator

from auricle.models.adapters import ADAPTER_ACTIVATIONS
from auricle.models.config import ConvLayers, EncoderConfig, QuantizerConfig, Wav2Vec2Config
from auricle.models.conv import hop, receptive_field
from auricle.models.transformer import ACTIVATIONS

MAX_MULTIPLE = 1_000
"""Of frames, to which a clip is padded or cropped; those in use are below ten."""

MAX_SIGHT_SAMPLES = 2**16
"""That one frame may see, or be apart from the next: four seconds; those in use see 25 ms."""

MAX_FRAME_NUMBERS = 2**21
"""Within a convolution, for each frame in the end; those in use take 41,000."""

_ADAPTER_LAYERS = re.compile(r"all|\d{1,4}(:\d{1,4}(:[1-9]\d{0,3})?)?")


def wav2vec2_problems(config: Wav2Vec2Config) -> Iterator[str]:
    """What does not fit together, a text for each."""
    yield from _convolution_problems(config)
    yield from _encoder_problems(config.encoder)
    for mask in (config.time_mask, config.channel_mask):
        if mask.prob > 0 and mask.length < 1:
            yield "masks of length 0 (mask_length, mask_channel_length)"
        elif mask.prob > 0 and mask.selection == "uniform" and not 0 <= mask.other <= 2 * mask.length:
            yield (
                f"uniform mask lengths from {mask.other:g} to {2 * mask.length}"
                " (mask_other, mask_channel_other, up to twice the length)"
            )
    final_dim = config.final_dim or config.encoder.dim
    if config.quantizer is not None:
        yield from _quantizer_problems(config.quantizer, config.quantizer.dim or final_dim)
    elif config.negatives.codebook > 0:
        yield "codebook_negatives without a codebook of targets (quantize_targets)"
    if config.input_quantizer is not None and not config.shares_quantizer:
        width = config.input_quantizer.dim or config.encoder.dim
        yield from _quantizer_problems(config.input_quantizer, width)


def _convolution_problems(config: Wav2Vec2Config) -> Iterator[str]:
    if not config.conv_layers:
        yield "no convolution"
    if any(min(layer) < 1 for layer in config.conv_layers):
        yield "a convolution whose channels, kernel or stride are 0"
    elif problem := sight_problem(config.conv_layers):
        yield problem
    if not all(0.0 <= rate <= 1.0 for rate in (config.dropout_input, config.dropout_features)):
        yield "an input or feature dropout outside 0 to 1"
    multiples = (config.crop_seq_to_multiple, config.encoder.required_seq_len_multiple)
    if not 1 <= min(multiples) <= max(multiples) <= MAX_MULTIPLE:
        named = "crop_seq_to_multiple, required_seq_len_multiple"
        yield f"frames in multiples of 0 or of more than {MAX_MULTIPLE} ({named})"
    if config.logit_temp <= 0:
        yield f"a temperature of {config.logit_temp} (logit_temp)"
    if config.sample_rate < 1:
        yield "a sample rate of 0"


def sight_problem(layers: ConvLayers) -> str | None:
    """Whether strides, which cost a file nothing, would make a second of sound larger than any memory."""
    widths = (1, *(channels for channels, _, _ in layers))
    rests = (layers[index:] for index in range(len(layers) + 1))
    spans = [max(receptive_field(rest), hop(rest)) for rest in rests]
    if spans[0] > MAX_SIGHT_SAMPLES:
        return f"a frame that sees more than {MAX_SIGHT_SAMPLES} samples (strides of the convolutions)"
    if any(width * span > MAX_FRAME_NUMBERS for width, span in zip(widths, spans, strict=True)):
        return f"a frame that takes more than {MAX_FRAME_NUMBERS} numbers (strides of the convolutions)"
    return None


def _encoder_problems(config: EncoderConfig) -> Iterator[str]:
    if min(config.dim, config.ffn_dim, config.num_heads, config.pos_conv_kernel, config.pos_conv_depth) < 1:
        yield "an encoder width, head count or positional kernel of 0"
    elif config.dim % config.num_heads:
        yield f"width {config.dim} is not a multiple of {config.num_heads} attention heads"
    elif config.pos_conv_groups < 1 or config.dim % config.pos_conv_groups:
        yield f"width {config.dim} is not a multiple of {config.pos_conv_groups} conv_pos_groups"
    if config.activation not in ACTIVATIONS:
        yield f"activation {config.activation[:60]!r} (known: {', '.join(ACTIVATIONS)})"
    rates = (config.dropout, config.attention_dropout, config.activation_dropout, config.layerdrop)
    if not all(0.0 <= rate <= 1.0 for rate in rates):
        yield "a dropout outside 0 to 1"
    yield from _layer_problems(config)


def _layer_problems(config: EncoderConfig) -> Iterator[str]:
    if config.layer_type == "conformer":
        width = config.dim // max(config.num_heads, 1)
        if config.conv_kernel % 2 == 0:
            yield f"a depth-wise convolution of even kernel {config.conv_kernel}"
        paired = {"rope": width, "rel_pos": config.dim}.get(config.positions, 2)
        if config.attention == "espnet" and paired % 2:
            yield f"{paired} channels, an odd number, cannot be paired for pos_enc_type {config.positions}"
        if config.conformer_activation not in ACTIVATIONS:
            yield f"activation {config.conformer_activation[:60]!r} (known: {', '.join(ACTIVATIONS)})"
    if config.layer_type == "trf_adp":
        if min(config.num_adapters, config.adapter_dim) < 1:
            yield "adapters of which there are none, or of width 0 (adp_num, adp_dim)"
        if config.adapter_activation not in ADAPTER_ACTIVATIONS:
            yield f"adp_act_fn {config.adapter_activation[:60]!r} (known: {', '.join(ADAPTER_ACTIVATIONS)})"
        if not _ADAPTER_LAYERS.fullmatch(config.adapter_layers):
            yield f"adp_trf_idx {config.adapter_layers[:60]!r}, which is neither 'all' nor start:stop"


def _quantizer_problems(config: QuantizerConfig, width: int) -> Iterator[str]:
    if min(config.num_codebooks, config.num_entries, config.depth, config.factor) < 1:
        yield "a quantizer without codebooks, entries or depth"
    elif width % config.num_codebooks:
        yield f"a quantized width of {width} is not a multiple of {config.num_codebooks} codebooks"
