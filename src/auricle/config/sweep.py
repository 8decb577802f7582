"""Sweeps: `a.b=1,2 c=x,y` with `--multirun` is a run for each combination, in hydra's order."""

from collections.abc import Iterator, Sequence
from itertools import product

from auricle.config.overrides import Flag, is_override

Choice = tuple[tuple[str, ...], tuple[Flag, ...]]
"""The overrides and the flags of one run."""


def runs_of(overrides: Sequence[str], flags: Sequence[Flag]) -> list[Choice]:
    """The overrides and flags of each run that a sweep consists of; the last one given changes fastest.

    `a.b=1,2`, `a.b=choice(1,2)` and `a.b=range(1,4)` are several values, as in hydra; `a.b=[1,2]` is one, a
    list. A flag sweeps likewise (`--lr 0.1,0.2`), unless its value holds brackets or parentheses.
    """
    choices = [list(_values(text)) for text in overrides]
    flag_choices = [list(_flag_values(flag)) for flag in flags]
    return [
        (tuple(made[: len(choices)]), tuple(made[len(choices) :]))  # type: ignore[arg-type]
        for made in product(*choices, *flag_choices)
    ]


def swept(overrides: Sequence[str], flags: Sequence[Flag]) -> tuple[list[int], list[int]]:
    """Which overrides and which flags, by position, have several values."""
    return (
        [i for i, text in enumerate(overrides) if len(list(_values(text))) > 1],
        [i for i, flag in enumerate(flags) if len(list(_flag_values(flag))) > 1],
    )


def _values(text: str) -> Iterator[str]:
    """One override for each value that `text` gives."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if not is_override(text) or text.startswith("~"):
        yield text
        return
    try:
        override = OverridesParser.create().parse_override(text)
        if not override.is_sweep_override():
            yield text
            return
        values = list(override.sweep_string_iterator())
    except HydraException:
        yield text
        return
    key = text.partition("=")[0]
    yield from (f"{key}={value}" for value in values)


def _flag_values(flag: Flag) -> Iterator[Flag]:
    if flag.value is None or "," not in flag.value or any(sign in flag.value for sign in "[]()"):
        yield flag
        return
    yield from (Flag(flag.name, value.strip()) for value in flag.value.split(","))
