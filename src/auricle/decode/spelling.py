"""A known text in the units of a model: what `auricle align` looks for in a recording."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from auricle.decode.hypothesis import PostProcess
from auricle.dictionary import WORD_END, Dictionary
from auricle.errors import UserError

UNKNOWN = "<unk>"
"""In a text: here something is said that nobody wrote down."""

UnknownPlaces = Literal["marked", "lines", "words"]
"""Where something may be said that is not in the text: where it says so, also between its lines, or anywhere
between words."""

_OTHER_WAYS = {"\u2019": "'", "\u2018": "'", "\u02bc": "'"}
"""Apostrophes as people's word processors write them."""


@dataclass(frozen=True, slots=True)
class SpelledWord:
    """A word of the text and its units [first, end) among all; none where nothing of it can be spelled."""

    text: str
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Spelling:
    """A text.

    Attributes:
        units: Dictionary indices.
        words: In order.
        open_gaps: Gaps in which something unknown may be said: gap i is that before unit i.
    """

    units: list[int] = field(default_factory=list)
    words: list[SpelledWord] = field(default_factory=list)
    open_gaps: set[int] = field(default_factory=set)


def spell(
    lines: Sequence[str],
    dictionary: Dictionary,
    *,
    post_process: PostProcess = "letter",
    unknown: UnknownPlaces = "marked",
    skip_unknown: bool = False,
    name: str = "text",
) -> Spelling:
    """Spells a text; a letter that the dictionary has in the other case only is written in that.

    Args:
        lines: Of the text; `<unk>` among its words stands for anything.
        dictionary: Of the model.
        post_process: "letter": words are spelled letter by letter and end with `|`; "none": each is a unit.
        unknown: Where else anything may be said.
        skip_unknown: Leave out what the dictionary lacks; a word of nothing else counts as unknown.
        name: Of the text.

    Raises:
        UserError: The dictionary lacks a symbol; the message names it and its line.
    """
    spelling = Spelling()
    for number, line in enumerate(lines, start=1):
        if unknown == "lines":
            spelling.open_gaps.add(len(spelling.units))
        for word in line.split():
            first = len(spelling.units)
            units = [] if word == UNKNOWN else _units(word, dictionary, post_process)
            missing = None if word == UNKNOWN else next((s for s, found in units if not found), None)
            if missing is not None and not skip_unknown:
                raise UserError(_lacks(missing, word, f"{name}:{number}"))
            spelling.units.extend(unit for _, found in units for unit in found)
            end = len(spelling.units)
            spelling.words.append(SpelledWord(word, first, end))
            if end > first and post_process == "letter":
                spelling.units.append(dictionary.index(WORD_END))
            if end == first or unknown == "words":
                spelling.open_gaps.update({first, len(spelling.units)})
    if unknown != "marked":
        spelling.open_gaps.update({0, len(spelling.units)})
    return spelling


def _units(word: str, dictionary: Dictionary, post_process: PostProcess) -> list[tuple[str, list[int]]]:
    """The symbols of a word, each with its units; none where the dictionary has no way to write it."""
    return [(symbol, _written(symbol, dictionary)) for symbol in ([word] if post_process == "none" else word)]


def _written(symbol: str, dictionary: Dictionary) -> list[int]:
    own = _OTHER_WAYS.get(symbol, symbol)
    for way in ([symbol], [own], list(own.upper()), list(own.lower()), [own.upper()], [own.lower()]):
        if all(part in dictionary and part != WORD_END for part in way):
            return [dictionary.index(part) for part in way]
    return []


def _lacks(symbol: str, word: str, place: str) -> str:
    return (
        f"{place}: the model's dictionary lacks {symbol!r} (in {word!r}): write it in letters that it has, "
        f"put {UNKNOWN} in place of the word, or leave out such symbols with --skip-unknown"
    )
