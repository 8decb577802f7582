"""Values from files made into configurations: typed, bounded, and put where a dotted path says.

Whoever wrote the file is not trusted: a number may be a text, a hundred million layers, or NaN.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass, replace
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from auricle.convert.literals import LiteralError, read_literal
from auricle.convert.text_checks import decoder_problems, language_model_problems, roberta_problems
from auricle.convert.wav2vec2_checks import wav2vec2_problems
from auricle.convert.wav2vec_checks import wav2vec_problems
from auricle.errors import UserError
from auricle.models.config import (
    CTCConfig,
    LanguageModelConfig,
    ModelConfig,
    RobertaConfig,
    Seq2SeqConfig,
    Wav2Vec2Config,
    Wav2VecConfig,
)

MAX_COUNT = 10_000_000
"""Of any whole number in a model's configuration; the largest in use are dictionaries of 300,000 symbols."""

MAX_LAYERS = 1_000
"""Of convolutions or of encoder layers; the deepest published models have 48."""

Config = TypeVar("Config")


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """`config`, a frozen dataclass, with the fields at some dotted paths replaced."""
    direct: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        head, _, rest = path.partition(".")
        if rest:
            nested.setdefault(head, {})[rest] = value
        else:
            direct[head] = value
    for head, inner in nested.items():
        current = getattr(config, head)
        part = dataclass_in(path_type(type(config), head))() if current is None else current
        direct[head] = with_values(part, inner)
    return replace(config, **direct)  # type: ignore[type-var]


def path_type(config: type, path: str) -> Any:
    """The annotation of the field at a dotted path of a dataclass."""
    head, _, rest = path.partition(".")
    annotation = _hints(config)[head]
    return path_type(dataclass_in(annotation), rest) if rest else annotation


def value_at(config: Any, path: str) -> Any:
    """The value at a dotted path of a dataclass, whose parts on the way are all there."""
    head, _, rest = path.partition(".")
    value = getattr(config, head)
    return value_at(value, rest) if rest else value


def dataclass_in(annotation: Any) -> Any:
    """The dataclass that an annotation names, None aside; None where it names none."""
    options = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return next((option for option in options if is_dataclass(option)), None)


def as_type(value: object, annotation: Any, where: str) -> Any:
    """`value` as a value of a configuration field's type.

    Args:
        value: Plain data; text that spells a list or a tuple is read as one.
        annotation: The field's type.
        where: What the message of an error begins with.

    Raises:
        UserError: It is of another type, or out of every reasonable bound.
    """
    try:
        return _as_type(value, annotation)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{where}: {error}") from None


def _as_type(value: object, annotation: Any) -> Any:
    if annotation is bool:
        return _as_bool(value)
    if annotation is int:
        return _as_int(value)
    if annotation is float:
        return _as_float(value)
    if annotation is str or get_origin(annotation) is Literal:
        return _as_word(value, get_args(annotation))
    return _as_tuple(value, get_args(annotation))


def _as_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, got {_kind(value)}")
    return value


def _as_int(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {_kind(value)}")
    if not 0 <= value <= MAX_COUNT:
        raise ValueError(f"expected a whole number from 0 to {MAX_COUNT}")
    return value


def _as_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {_kind(value)}")
    if not math.isfinite(value):
        raise ValueError("expected a finite number")
    return float(value)


def _as_word(value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a word, got {_kind(value)}")
    if choices and value not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}, got {value[:60]!r}")
    return value


def _as_tuple(value: object, members: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str):
        try:
            value = read_literal(value)
        except LiteralError as error:
            raise ValueError(str(error)) from None
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list, got {_kind(value)}")
    if members[-1] is Ellipsis:
        if len(value) > MAX_LAYERS:
            raise ValueError(f"a list of {len(value)} items is too long (at most {MAX_LAYERS})")
        return tuple(_as_type(item, members[0]) for item in value)
    if len(value) != len(members):
        raise ValueError(f"expected {len(members)} values, got {len(value)}")
    return tuple(_as_type(item, member) for item, member in zip(value, members, strict=True))


def _kind(value: object) -> str:
    """A value in a message: short ones as they are, others by what they are, as they may be endless."""
    if value is None or isinstance(value, bool | float):
        return str(value)
    if isinstance(value, str):
        return repr(value[:60])
    return f"a value of type {type(value).__name__}"


def check_config(config: ModelConfig) -> None:
    """Check that the parts of a configuration fit together, before a network is built from it.

    Raises:
        UserError: They do not; the message names the two that disagree.
    """
    for problem in _problems(config):
        raise UserError(f"no model can have this configuration: {problem}")


def _problems(config: ModelConfig) -> Iterator[str]:
    match config:
        case LanguageModelConfig():
            yield from _depth_problems(config.decoder.num_layers)
            yield from language_model_problems(config)
        case RobertaConfig():
            yield from _depth_problems(config.num_layers)
            yield from roberta_problems(config)
        case Seq2SeqConfig():
            yield from _depth_problems(config.decoder.num_layers)
            yield from decoder_problems(config.decoder)
            yield from _recogniser_problems(config)
        case CTCConfig():
            yield from _recogniser_problems(config)
        case Wav2VecConfig():
            yield from _depth_problems(config.quantizer.depth)
            yield from wav2vec_problems(config)
        case Wav2Vec2Config():
            yield from _pretrained_problems(config)


def _depth_problems(num_layers: int) -> Iterator[str]:
    if num_layers > MAX_LAYERS:
        yield f"more than {MAX_LAYERS} layers"


def _recogniser_problems(config: CTCConfig | Seq2SeqConfig) -> Iterator[str]:
    if config.num_labels < 1:
        yield "a recogniser with no labels"
    if not 0.0 <= config.final_dropout <= 1.0:
        yield "a final dropout outside 0 to 1"
    yield from _pretrained_problems(config.encoder)


def _pretrained_problems(config: Wav2Vec2Config) -> Iterator[str]:
    quantizers = [part for part in (config.quantizer, config.input_quantizer) if part is not None]
    depths = (config.encoder.num_layers, config.encoder.pos_conv_depth, *(part.depth for part in quantizers))
    yield from _depth_problems(max(depths))
    yield from wav2vec2_problems(config)


@cache
def _hints(config: type) -> dict[str, Any]:
    return get_type_hints(config)
