"""The labels of a Hugging Face recogniser, as our dictionary, and back.

A folder numbers its symbols in `vocab.json` as it likes, and calls the CTC blank its padding. Ours begin with
the blank `<s>`, then `<pad>`, `</s>` and `<unk>`. Published conversions of fairseq's models number as we do
and only name the first two the other way round. For others, which often have the blank last, the rows of the
output layer are put into our order; where each was is remembered, so that writing such a folder puts it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from auricle.convert import huggingface_keys as keys
from auricle.convert.literals import shortened
from auricle.dictionary import SPECIALS, WORD_END, Dictionary, is_text
from auricle.errors import UserError

VOCABULARY_FILE = "vocab.json"
ADDED_FILE = "added_tokens.json"
TOKENIZER_FILE = "tokenizer_config.json"
SPECIALS_FILE = "special_tokens_map.json"

DICTIONARY_FILE = "dict.ltr.txt"
"""Written besides, in fairseq's format: with the counts of symbols, for which `vocab.json` has no place."""

NO_ROW = -1
"""Stands for the row of a label that the folder does not have."""

_LETTERS = "Wav2Vec2CTCTokenizer"
_PHONEMES = "Wav2Vec2PhonemeCTCTokenizer"


@dataclass(frozen=True, slots=True)
class Labels:
    """A recogniser's labels.

    Attributes:
        dictionary: None where the folder has no vocabulary.
        rows: Which row of the folder's output layer each label is; empty: the one of its own number.
    """

    dictionary: Dictionary | None
    rows: tuple[int, ...] = ()


def read_labels(files: Mapping[str, Any], config: Mapping[str, Any], num_rows: int) -> Labels:
    """The labels of a folder.

    Args:
        files: The content of its JSON files, by their names; those that are missing are left out.
        config: Of these, `config.json`.
        num_rows: Of the output layer.

    Raises:
        UserError: The vocabulary is none, or has no symbol for the blank.
    """
    if VOCABULARY_FILE not in files:
        blank = config.get("pad_token_id")
        blank = blank if type(blank) is int and 0 < blank < num_rows else 0
        rows = (blank, *(row for row in range(num_rows) if row != blank))
        return Labels(None, rows if blank else ())
    symbols = _symbols(files, num_rows)
    numbers = {symbol: row for row, symbol in symbols.items()}
    specials: list[int] = []
    for symbol in _specials(files):  # two that are one symbol are one row, and not two
        row = numbers.get(symbol, NO_ROW)
        specials.append(NO_ROW if row in specials else row)
    if specials[0] == NO_ROW:
        raise UserError(f"{VOCABULARY_FILE} has no number for the blank, {shortened(_specials(files)[0])}")
    rest = [row for row in range(num_rows) if row not in specials]
    rows = (*specials, *rest)
    delimiter = _tokenizer(files).get("word_delimiter_token", WORD_END)
    names = _own_names([symbols.get(row) for row in rest], rest, delimiter)
    return Labels(Dictionary(names), () if rows == tuple(range(num_rows)) else rows)


def vocabulary(dictionary: Dictionary, rows: Sequence[int] = ()) -> dict[str, int]:
    """The content of `vocab.json`: the symbols as transformers calls them, each with its row."""
    named = [*keys.SPECIAL_SYMBOLS, *dictionary.symbols[len(SPECIALS) :]]
    numbered = dict(zip(named, rows or range(len(named)), strict=True))
    return {symbol: row for symbol, row in sorted(numbered.items(), key=lambda pair: pair[1]) if row >= 0}


def special_tokens(vocabulary: Mapping[str, int]) -> dict[str, str | None]:
    """The content of `special_tokens_map.json`; None for a symbol that the vocabulary has no row for."""
    pairs = zip(keys.SPECIALS, keys.SPECIAL_SYMBOLS, strict=True)
    return {word: symbol if symbol in vocabulary else None for word, symbol in pairs}


def tokenizer_config(vocabulary: Mapping[str, int]) -> dict[str, Any]:
    """The content of `tokenizer_config.json`.

    Letters are joined, and `|` is written as a space. Without a `|`, longer symbols are phonemes or pieces of
    words, which are written with spaces between them.
    """
    config: dict[str, Any] = {**special_tokens(vocabulary), "processor_class": "Wav2Vec2Processor"}
    own = vocabulary.keys() - set(keys.SPECIAL_SYMBOLS)
    if WORD_END not in own and any(len(symbol) > 1 for symbol in own):
        phonemes = {"do_phonemize": False, "phone_delimiter_token": " ", "word_delimiter_token": None}
        return {**config, **phonemes, "tokenizer_class": _PHONEMES}
    letters = {"word_delimiter_token": WORD_END, "replace_word_delimiter_char": " ", "do_lower_case": False}
    return {**config, **letters, "tokenizer_class": _LETTERS}


def _symbols(files: Mapping[str, Any], num_rows: int) -> dict[int, str]:
    """The symbol of each row of the output layer that has one."""
    content = files[VOCABULARY_FILE]
    language = _tokenizer(files).get("target_lang")
    if isinstance(content, dict) and isinstance(language, str) and isinstance(content.get(language), dict):
        content = content[language]
    symbols: dict[int, str] = {}
    for pairs in (content, files.get(ADDED_FILE, {})):
        if not isinstance(pairs, dict) or not all(type(row) is int for row in pairs.values()):
            raise UserError(f"{VOCABULARY_FILE} is no vocabulary: it must give each symbol a number")
        for symbol, row in pairs.items():
            if 0 <= row < num_rows and symbols.setdefault(row, symbol) != symbol:
                raise UserError(f"{VOCABULARY_FILE} gives {shortened(symbol)} the number of another symbol")
    return symbols


def _tokenizer(files: Mapping[str, Any]) -> dict[str, Any]:
    content = files.get(TOKENIZER_FILE)
    return content if isinstance(content, dict) else {}


def _specials(files: Mapping[str, Any]) -> list[str]:
    """What the folder calls its blank, beginning, end and unknown symbol."""
    given = files.get(SPECIALS_FILE)
    words = _tokenizer(files) | {
        word: token for word, token in (given if isinstance(given, dict) else {}).items() if token
    }
    symbols = []
    for word, usual in zip(keys.SPECIALS, keys.SPECIAL_SYMBOLS, strict=True):
        token = words.get(word, usual)
        token = token.get("content") if isinstance(token, dict) else token
        symbols.append(token if isinstance(token, str) else usual)
    return symbols


def _own_names(symbols: Sequence[str | None], rows: Sequence[int], delimiter: object) -> list[str]:
    """Symbols as a dictionary of ours can hold them: the delimiter is `|`, and what has no name gets one."""
    taken = {*SPECIALS, *(symbol for symbol in symbols if symbol)}
    names = []
    for symbol, row in zip(symbols, rows, strict=True):
        if symbol == delimiter and WORD_END not in taken:
            symbol = WORD_END
        if not symbol or symbol in SPECIALS or " " in symbol or "\n" in symbol or not is_text(symbol):
            free = (f"<label{row}{'_' * length}>" for length in count())
            symbol = next(name for name in free if name not in taken)
        names.append(symbol)
    return names
