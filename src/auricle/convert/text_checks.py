"""Whether the parts of a text model's configuration fit together (see `values.check_config`)."""

from collections.abc import Iterator
from itertools import pairwise

from auricle.dictionary import SPECIALS
from auricle.models.adaptive import band_width
from auricle.models.config import DecoderConfig, LanguageModelConfig, RobertaConfig
from auricle.models.transformer import ACTIVATIONS


def decoder_problems(config: DecoderConfig) -> Iterator[str]:
    """Of a stack of decoder layers."""
    yield from _stack_problems(config)
    if config.positions == "sinusoidal" and config.dim < 2:
        yield "a width of 1 with positions made of a sine and a cosine"


def roberta_problems(config: RobertaConfig) -> Iterator[str]:
    """Of a masked language model."""
    yield from _stack_problems(config)
    if config.num_symbols <= len(SPECIALS):
        yield "a dictionary of nothing but special symbols"


def language_model_problems(config: LanguageModelConfig) -> Iterator[str]:
    """Of a language model."""
    yield from decoder_problems(config.decoder)
    if config.num_symbols <= len(SPECIALS):
        yield "a dictionary of nothing but special symbols"
    if min(config.input_dim, config.output_dim) < 1:
        yield "an embedding or output width of 0"
    if not 0.0 <= config.softmax_dropout <= 1.0:
        yield "a dropout outside 0 to 1"
    for where, dim, factor, cutoffs in (
        ("input", config.input_dim, config.input_factor, config.input_cutoffs),
        ("softmax", config.output_dim, config.softmax_factor, config.softmax_cutoffs),
    ):
        yield from _band_problems(where, dim, factor, cutoffs, config.num_symbols)
    yield from _tie_problems(config)


def _stack_problems(config: DecoderConfig | RobertaConfig) -> Iterator[str]:
    if min(config.dim, config.ffn_dim, config.num_heads, config.max_positions) < 1:
        yield "a width, head count or number of positions of 0"
    elif config.dim % config.num_heads:
        yield f"width {config.dim} is not a multiple of {config.num_heads} attention heads"
    if config.activation not in ACTIVATIONS:
        yield f"activation {config.activation[:60]!r} (known: {', '.join(ACTIVATIONS)})"
    rates = (config.dropout, config.attention_dropout, config.activation_dropout, config.layerdrop)
    if not all(0.0 <= rate <= 1.0 for rate in rates):
        yield "a dropout outside 0 to 1"


def _band_problems(
    where: str, dim: int, factor: float, cutoffs: tuple[int, ...], num_symbols: int
) -> Iterator[str]:
    if not all(first < end for first, end in pairwise((0, *cutoffs, num_symbols))):
        yield f"adaptive {where} cutoffs {cutoffs} that do not rise from 0 to {num_symbols} symbols"
    elif cutoffs and (factor < 1.0 or band_width(dim, factor, len(cutoffs)) < 1):
        yield f"adaptive {where} bands of width 0 (width {dim}, factor {factor})"


def _tie_problems(config: LanguageModelConfig) -> Iterator[str]:
    if config.tie_adaptive_proj and not config.tie_adaptive_weights:
        yield "tie_adaptive_proj without tie_adaptive_weights"
    if config.tie_adaptive_weights:
        ours = (config.input_cutoffs, config.input_factor, config.input_dim, config.decoder.dim)
        if ours != (config.softmax_cutoffs, config.softmax_factor, *(config.output_dim,) * 2):
            yield "tied adaptive weights of an input and a softmax that are cut differently"
        elif not config.input_cutoffs:
            yield "tied adaptive weights where nothing is adaptive"
    if config.tie_embeddings and (config.input_cutoffs or config.input_dim != config.output_dim):
        yield "an output layer tied to embeddings of another shape"
