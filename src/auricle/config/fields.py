"""How a configuration key is declared, and how a value that someone wrote becomes a value of its type."""

import dataclasses
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeGuard, Union, get_args, get_origin, get_type_hints

from auricle.convert.literals import LiteralError, read_literal
from auricle.errors import UserError

MISSING = "???"
"""Stands for a value that a recipe leaves open (OmegaConf's word)."""

_SWITCH_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def key(default: Any, about: str) -> Any:
    """Declares a key with its default and its meaning."""
    return dataclasses.field(default=default, metadata={"about": about})


def measured(factory: Callable[[], Any], about: str, *, inert: bool = False) -> Any:
    """Declares a key whose default depends on the machine."""
    return dataclasses.field(default_factory=factory, metadata={"about": about, "inert": inert})


def linked(source: str, about: str) -> Any:
    """Declares a key that takes another key's value unless it is given one."""
    return dataclasses.field(metadata={"about": about, "default": f"${{{source}}}", "source": source})


def required(about: str) -> Any:
    """Declares a key that a recipe or the command line must give."""
    return dataclasses.field(metadata={"about": about, "default": MISSING})


def inert(default: Any, about: str) -> Any:
    """Declares a key that is accepted for the sake of existing recipes and changes nothing here."""
    return dataclasses.field(default=default, metadata={"about": about, "inert": True})


def inert_mapping(about: str) -> Any:
    """Declares an empty mapping that changes nothing here."""
    return dataclasses.field(default_factory=dict, metadata={"about": about, "inert": True})


def inert_link(source: str, about: str) -> Any:
    """Declares a linked key that changes nothing here."""
    return dataclasses.field(
        metadata={"about": about, "default": f"${{{source}}}", "source": source, "inert": True}
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One key of a group, as `describe` and the flags see it."""

    name: str
    annotation: Any
    default: Any
    about: str
    source: str | None
    inert: bool


def keys_of(group: type) -> dict[str, Key]:
    """The keys of a group's dataclass in order of declaration; defaults may be "???" or "${other.key}"."""
    hints = get_type_hints(group)
    return {f.name: _key(f, hints[f.name]) for f in dataclasses.fields(group)}


def _key(field: "dataclasses.Field[Any]", annotation: Any) -> Key:
    meta = field.metadata
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    elif field.default is not dataclasses.MISSING:
        default = field.default
    else:
        default = meta.get("default", MISSING)
    return Key(
        field.name,
        annotation,
        default,
        meta.get("about", "Which variant of the group this is."),
        meta.get("source"),
        meta.get("inert", False),
    )


def options(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; of any other annotation, itself."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def variants(annotation: Any) -> dict[str, type]:
    """The dataclasses an annotation allows, by `_name`; one without `_name` stands under ""."""
    found = {}
    for option in options(annotation):
        if is_group(option):
            tag = get_type_hints(option).get("_name")
            found[get_args(tag)[0] if tag else ""] = option
    return found


def is_group(annotation: Any) -> TypeGuard[type]:
    """Whether an annotation is a dataclass."""
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def type_name(annotation: Any) -> str:
    """An annotation in words: "int", "list of float or null", "static | uniform"."""
    if annotation is NoneType:
        return "null"
    if annotation is Any:
        return "any"
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(type_name(a) for a in args)
    if origin is Literal:
        return " | ".join(repr(a) if a == "" else str(a) for a in args)
    if origin is tuple:
        if args[-1] is Ellipsis:
            return f"list of {type_name(args[0])}"
        return "(" + ", ".join(type_name(a) for a in args) + ")"
    if is_group(annotation) or origin is dict:
        return "mapping"
    return {str: "text", bool: "true or false"}.get(annotation) or str(annotation.__name__)


def coerce(value: object, annotation: Any, where: str) -> Any:
    """Turns a value from YAML or the command line into one of the key's type.

    Numbers may come as text ("1e-06"), lists as text that holds a literal ("(0.9,0.98)") or as a
    single element, as fairseq's recipes and flags have them. Nothing is evaluated.

    Raises:
        UserError: the value is of another type; the line starts with `where`.
    """
    for option in sorted(options(annotation), key=_strictness):
        try:
            return _as(value, option)
        except (TypeError, ValueError, OverflowError):
            continue
    raise UserError(f"{where}: expected {type_name(annotation)}, got {value!r}")


def _strictness(annotation: Any) -> int:
    """Text accepts almost anything, so it is tried last; null only accepts null, so it is first."""
    return {NoneType: 0, str: 2}.get(annotation, 1)


def _as(value: object, annotation: Any) -> Any:
    """`value` as the type, or TypeError or ValueError."""
    origin = get_origin(annotation)
    if annotation is Any or (origin is dict and isinstance(value, Mapping)):
        return value
    if origin is Literal:
        text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else value
        return _one_of(text, get_args(annotation))
    if origin is tuple:
        return _as_tuple(value, get_args(annotation))
    converter = _SCALARS.get(annotation)
    if converter is None:
        raise TypeError
    return converter(value)


def _one_of(value: object, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        raise ValueError
    return value


def _as_tuple(value: object, members: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str) and (members[0] is not str or value.lstrip().startswith(("[", "("))):
        try:
            value = read_literal(value)
        except LiteralError as error:
            raise ValueError from error
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if members[-1] is Ellipsis:
        return tuple(_as(item, members[0]) for item in items)
    return tuple(_as(item, member) for item, member in zip(items, members, strict=True))


def _as_none(value: object) -> None:
    if value is not None and value not in ("null", "None"):
        raise TypeError


def _as_bool(value: object) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in _SWITCH_WORDS:
        return _SWITCH_WORDS[value.lower()]
    raise TypeError


def _as_int(value: object) -> int:
    number = _as_float(value)
    if number != int(number):
        raise ValueError
    return int(value) if isinstance(value, (int, str)) and str(value).lstrip("+-").isdigit() else int(number)


def _as_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    return float(value)


def _as_str(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float, list, tuple)) and not isinstance(value, bool):
        return str(value)  # a literal written bare, such as conv_feature_layers=[[32,10,5]]
    raise TypeError


_SCALARS: dict[Any, Callable[[object], Any]] = {
    NoneType: _as_none,
    bool: _as_bool,
    int: _as_int,
    float: _as_float,
    str: _as_str,
}
