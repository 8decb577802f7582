"""What the command line changes in a recipe: hydra's override grammar, and flags named like keys."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from auricle.config.fields import keys_of, options
from auricle.config.schema import RENAMED, all_keys, nearest
from auricle.errors import UserError

_OVERRIDE = re.compile(
    r"(?P<sign>\+\+|\+|~|)(?P<key>[A-Za-z_][\w.]*)(?P<assigned>=(?P<value>.*))?\Z", re.DOTALL
)
_SELECTORS = {
    "arch": "model",
    "task": "task",
    "criterion": "criterion",
    "optimizer": "optimizer",
    "lr_scheduler": "lr_scheduler",
}
"""Flags of fairseq's flat command lines that choose a group's variant."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key set to a value, or given back its default (`deleted`)."""

    key: str
    value: Any
    origin: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """`--some-key value`; a switch has no value of its own."""

    name: str
    value: str | None

    def __str__(self) -> str:
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Words:
    """What follows `auricle train`, told apart."""

    data: str | None
    overrides: tuple[str, ...]
    flags: tuple[Flag, ...]


def sort_words(words: Sequence[str]) -> Words:
    """Tells overrides (`a.b=v`), flags (`--some-key v`) and the data folder apart.

    Raises:
        UserError: a second folder, or a flag without its value.
    """
    folders, overrides, flags = [], [], []
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            flags.append(_flag(word, rest))
        elif is_override(word):
            overrides.append(word)
        else:
            folders.append(word)
    if len(folders) > 1:
        raise UserError(
            f"one data folder is taken, not {' and '.join(folders)}: "
            "write options as key=value or --key value, and quote values that hold spaces"
        )
    return Words(folders[0] if folders else None, tuple(overrides), tuple(flags))


def is_override(word: str) -> bool:
    """Whether a word of the command line is `a.b=v`, `+a.b=v`, `++a.b=v`, `~a.b` or `~a.b=v`."""
    match = _OVERRIDE.match(word)
    return match is not None and (match["assigned"] is not None or match["sign"] == "~")


def _flag(word: str, rest: Iterator[str]) -> Flag:
    name, assigned, value = word[2:].partition("=")
    name = name.replace("-", "_")
    if assigned:
        return Flag(name, value)
    if _is_switch(name):
        return Flag(name, None)
    following = next(rest, None)
    if following is None or following.startswith("--"):
        raise UserError(f"{word} needs a value: {word} VALUE")
    return Flag(name, following)


def _is_switch(name: str) -> bool:
    """Whether a flag stands alone: every key of its name is true or false."""
    named = [key for _, _, key in all_keys() if key.name == name]
    return bool(named) and all(set(options(key.annotation)) <= {bool, type(None)} for key in named)


def read_override(text: str) -> Change:
    """Reads one override in hydra's grammar.

    A value that this grammar has no place for, such as a path with a parenthesis or a Python literal,
    is taken as text, as it stands.

    Raises:
        UserError: it is no override, or a sweep over several values.
    """
    match = _OVERRIDE.match(text)
    if match is None or not is_override(text):
        raise UserError(f"'{text}' is no override: write key=value, for instance dataset.max_tokens=640000")
    origin = f"override '{text}'"
    if match["sign"] == "~":
        return Change(match["key"], None, origin, deleted=True)
    return Change(match["key"], _override_value(text, match["value"]), origin)


def _override_value(text: str, raw: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        return raw
    if override.is_sweep_override():
        raise UserError(
            f"'{text}' gives several values: a run takes one; "
            f"a list is written [{raw}], a sweep over them is --multirun"
        )
    return override.value()


def flag_change(flag: Flag, chosen: dict[str, type]) -> Change:
    """The key that a flag sets, given the variants of this recipe.

    The model's key comes first; else there must be only one. A key that merely follows another of the
    same name, and a key without effect beside one with effect, do not count.

    Raises:
        UserError: no key has this name, or several groups have it.
    """
    value = "true" if flag.value is None else flag.value
    if flag.name in _SELECTORS:
        return Change(f"{_SELECTORS[flag.name]}._name", value, f"flag {flag}")
    found = _candidates(flag.name, chosen) or [
        new for old, new in RENAMED.items() if old.rpartition(".")[2] == flag.name
    ]
    if f"model.{flag.name}" in found:
        found = [f"model.{flag.name}"]
    if not found:
        raise UserError(f"unknown flag {flag}{_hint(flag.name, chosen)}")
    if len(found) > 1:
        raise UserError(f"{flag} may stand for {' or '.join(found)}: write {found[0]}={value}")
    return Change(found[0], value, f"flag {flag}")


def is_selector(flag: Flag) -> bool:
    """Whether a flag chooses a variant (`--arch`, `--lr-scheduler`, ...)."""
    return flag.name in _SELECTORS


def _candidates(name: str, chosen: dict[str, type]) -> list[str]:
    named = {group: keys_of(kind)[name] for group, kind in chosen.items() if name in keys_of(kind)}
    own = {g: k for g, k in named.items() if k.source is None or k.source.rpartition(".")[2] != name}
    effective = {g: k for g, k in own.items() if not k.inert}
    return [f"{group}.{name}" for group in effective or own]


def _hint(name: str, chosen: dict[str, type]) -> str:
    elsewhere = [f"{group} {variant}" for group, variant, key in all_keys() if key.name == name and variant]
    if elsewhere:
        return f": only {' and '.join(sorted(set(elsewhere)))} has such a key"
    flags = {f"--{key.replace('_', '-')}" for kind in chosen.values() for key in keys_of(kind)}
    return nearest(f"--{name.replace('_', '-')}", sorted(flags | {f"--{word}" for word in _SELECTORS}))
