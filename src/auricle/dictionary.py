"""The symbols that a model writes: fairseq's `dict.*.txt` files, and the way between letters and words."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice, zip_longest
from typing import Literal

import torch
from torch import Tensor

from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.textfile import read_lines

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
"""The symbols that come first in every dictionary and are in no file."""

MAX_DIGITS = 18
"""Of a count."""

_UNWRITTEN = (0, 2)
"""`<s>` and `</s>`; fairseq writes a `<pad>` that a model emits."""

MASK = "<mask>"
"""What stands for a symbol that a masked language model shall guess; the last one of its dictionary."""

MAX_DICTIONARY_BYTES = 64 * 2**20
"""Of a file: two million symbols."""

WORD_END = "|"
"""Stands after each word in letter labels."""


class Dictionary:
    """Symbols and their numbers, in fairseq's order.

    First `<s>` (the CTC blank), `<pad>`, `</s>` and `<unk>`, then those of the file.

    Attributes:
        symbols: Every symbol, the four special ones included; its position is its number.
        counts: How often each was seen when the dictionary was made; 1 for the special ones.
    """

    bos_index = 0
    pad_index = 1
    eos_index = 2
    unk_index = 3

    def __init__(self, symbols: Iterable[str], counts: Iterable[int] | None = None) -> None:
        """Build from the symbols after the four special ones.

        Args:
            symbols: In the order of their numbers, from 4.
            counts: One a symbol; all 1 where there are none.

        Raises:
            UserError: A symbol is there twice, is one of the special ones, or is empty or holds a space.
        """
        own = list(symbols)
        own_counts = [1] * len(own) if counts is None else list(counts)
        if len(own_counts) != len(own):
            raise ValueError(f"{len(own)} symbols but {len(own_counts)} counts")
        self.symbols = [*SPECIALS, *own]
        self.counts = [1] * len(SPECIALS) + own_counts
        self._index = {symbol: index for index, symbol in enumerate(self.symbols)}
        if len(self._index) != len(self.symbols):
            twice = next(symbol for symbol, times in Counter(self.symbols).items() if times > 1)
            twice = _shortened(twice)
            raise UserError(
                f"symbol {twice!r} is in the dictionary twice ({' '.join(SPECIALS)} always are): remove one"
            )
        for symbol in own:
            if not symbol or " " in symbol or "\n" in symbol:
                shown = _shortened(symbol)
                raise UserError(f"symbol {shown!r} is empty or holds a space: labels are split at spaces")
            if not is_text(symbol):
                raise UserError(
                    f"symbol {_shortened(symbol)!r} holds half a character, which no file can hold"
                )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Dictionary":
        """Read fairseq's format: `symbol count` a line, without the four special symbols.

        Raises:
            UserError: The file is missing, not UTF-8, or has a line of another form.
        """
        symbols, counts = [], []
        lines = read_lines(path, max_bytes=MAX_DICTIONARY_BYTES)
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            fields = line.rstrip().rsplit(" ", 1)
            # fairseq marks a symbol that may stand twice, such as its own specials, with this flag
            if fields[-1] == "#fairseq:overwrite":
                raise UserError(f"{path}:{number}: #fairseq:overwrite is not supported: remove the line")
            if len(fields) != 2 or not fields[1].isdecimal() or len(fields[1]) > MAX_DIGITS:
                raise UserError(f"{path}:{number}: expected 'symbol count', got {_shortened(line)!r}")
            symbols.append(fields[0])
            counts.append(int(fields[1]))
        try:
            return cls(symbols, counts)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @classmethod
    def from_labels(cls, lines: Iterable[str]) -> "Dictionary":
        """Collect the symbols of label lines: frequent ones first, equals in code point order, as fairseq."""
        seen: Counter[str] = Counter()
        for line in lines:
            seen.update(line.split())
        ranked = sorted(seen.keys() - set(SPECIALS), key=lambda symbol: (-seen[symbol], symbol))
        return cls(ranked, [seen[symbol] for symbol in ranked])

    def extended(self, symbols: Iterable[str]) -> "Dictionary":
        """The same with more symbols at the end, counted once each."""
        own = slice(len(SPECIALS), None)
        more = list(symbols)
        return Dictionary([*self.symbols[own], *more], [*self.counts[own], *[1] * len(more)])

    def padded(self, multiple: int = 8) -> "Dictionary":
        """The same, filled up to a multiple with symbols that no text holds, as fairseq does (quirk 33)."""
        own = slice(len(SPECIALS), None)
        count = -len(self) % multiple
        names = (f"madeupword{number:04d}" for number in range(len(self) + count))
        fill = list(islice((name for name in names if name not in self), count))
        return Dictionary([*self.symbols[own], *fill], [*self.counts[own], *[0] * count])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write fairseq's format, all of it or nothing."""
        pairs = zip(self.symbols[len(SPECIALS) :], self.counts[len(SPECIALS) :], strict=True)
        atomic_write_text(path, "".join(f"{symbol} {count}\n" for symbol, count in pairs))

    def __len__(self) -> int:
        return len(self.symbols)

    def __getitem__(self, index: int) -> str:
        return self.symbols[index]

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._index

    def __eq__(self, other: object) -> bool:
        """Two dictionaries are equal when they number the same symbols alike; counts do not matter."""
        return isinstance(other, Dictionary) and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash(tuple(self.symbols))

    def __repr__(self) -> str:
        return f"Dictionary({len(self)} symbols)"

    def check_same(self, models: "Dictionary", name: str, advice: str) -> None:
        """Refuse to number symbols otherwise than a model does.

        Args:
            models: The dictionary that the model was fine-tuned with.
            name: What to call this one.
            advice: What to do if they differ.

        Raises:
            UserError: They differ; it names the first symbol that does.
        """
        pairs = enumerate(zip_longest(self.symbols, models.symbols, fillvalue="nothing"))
        for number, (own, other) in pairs:
            if own != other:
                raise UserError(
                    f"{name} is not the dictionary that the model was fine-tuned with (symbol {number} is "
                    f"{own} there and {other} in the model): {advice}"
                )

    def index(self, symbol: str) -> int:
        """The number of a symbol; that of `<unk>` where it is not there."""
        return self._index.get(symbol, self.unk_index)

    def numbers(self, line: str) -> list[int]:
        """The numbers of a line's symbols; that of `<unk>` for those that are not there."""
        index = self._index
        return [index.get(symbol, self.unk_index) for symbol in line.split()]

    def unknown_symbols(self, line: str) -> list[str]:
        """The symbols of a label line that are not in the dictionary, each once, in code point order."""
        return sorted(symbol for symbol in set(line.split()) if symbol not in self._index)

    def encode(self, line: str, *, unknown: Literal["error", "unk"] = "error") -> Tensor:
        """Turn a label line into numbers.

        Args:
            line: Symbols separated by white space.
            unknown: What a symbol that is not in the dictionary does: raise, or become `<unk>` as in fairseq.

        Returns:
            [S] int64.

        Raises:
            UserError: `unknown` is "error" and there is such a symbol.
        """
        if unknown == "error" and (missing := self.unknown_symbols(line)):
            raise UserError(
                f"symbol {missing[0]!r} of the label {_shortened(line)!r} is not in the dictionary: "
                "add it, or make the labels with this dictionary's symbols"
            )
        return torch.tensor([self.index(symbol) for symbol in line.split()], dtype=torch.int64)

    def decode(self, tokens: Tensor | Sequence[int]) -> str:
        """Write numbers as symbols separated by spaces, leaving out `<s>` and `</s>`, as fairseq does."""
        numbers = tokens.tolist() if isinstance(tokens, Tensor) else tokens
        return " ".join(self.symbols[number] for number in numbers if number not in _UNWRITTEN)


def is_text(symbol: str) -> bool:
    """Whether a symbol can be written in UTF-8: one of a pickle or of JSON may hold half a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in symbol)


def letters_to_words(text: str) -> str:
    """Join letters into words: "H E | I T |" -> "HE IT" (fairseq's `post_process=letter`)."""
    return " ".join("".join(text.split()).replace(WORD_END, " ").split())


def words_to_letters(text: str) -> str:
    """Spell words as letter labels: "HE IT" -> "H E | I T |"; no words give an empty label."""
    return " ".join(f"{' '.join(word)} {WORD_END}" for word in text.split())


def _shortened(line: str, limit: int = 60) -> str:
    return line if len(line) <= limit else line[: limit - 3] + "..."
