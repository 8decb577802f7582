"""Lexicons made of words: spelled in letters, or looked up in a pronunciation dictionary."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from auricle.dictionary import WORD_END, Dictionary
from auricle.errors import UserError
from auricle.textfile import read_lines

MARKS = frozenset(["<s>", "</s>", "<unk>", "<UNK>", "<pad>"])


@dataclass(frozen=True, slots=True)
class SpelledWords:
    """A lexicon's lines, and the words that found no place in it."""

    lines: tuple[str, ...]
    left_out: tuple[str, ...]


def spell(words: Iterable[str], dictionary: Dictionary | None) -> SpelledWords:
    """Spells words in letters, `|` after each: what models fine-tuned on letters write.

    Args:
        words: In the order of the lexicon; each once.
        dictionary: The model's; words with letters that it lacks are left out. None: all letters are fine.
    """
    lines, left_out = [], []
    for word in words:
        if word in MARKS:
            continue
        if dictionary is None or all(letter in dictionary for letter in word):
            lines.append(f"{word}\t{' '.join(word)} {WORD_END}")
        else:
            left_out.append(word)
    return SpelledWords(tuple(lines), tuple(left_out))


def pronounce(
    words: Iterable[str], pronunciations: Mapping[str, list[str]], dictionary: Dictionary | None
) -> SpelledWords:
    """Looks words up: what models fine-tuned on phonemes write, all pronunciations of each."""
    lines, left_out = [], []
    for word in words:
        if word in MARKS:
            continue
        found = [
            sounds
            for sounds in pronunciations.get(word, [])
            if dictionary is None or not dictionary.unknown_symbols(sounds)
        ]
        lines += [f"{word}\t{sounds}" for sounds in found]
        if not found:
            left_out.append(word)
    return SpelledWords(tuple(lines), tuple(left_out))


def read_pronunciations(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Reads `word S OU N D S` a line, with `word(2)` for another pronunciation, as CMUdict has it.

    Raises:
        UserError: The file is missing, or a line has a word alone.
    """
    found: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields or line.startswith((";;;", "#")):
            continue
        if len(fields) == 1:
            raise UserError(f"{path}:{number}: {fields[0]!r} has no pronunciation: write it after the word")
        word = re.sub(r"\(\d+\)$", "", fields[0])
        sounds = " ".join(fields[1:])
        if sounds not in found.setdefault(word, []):
            found[word].append(sounds)
    return found
