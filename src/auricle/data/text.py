"""From a text file to samples of symbols: lines, pieces of lines, or blocks that run on over lines.

One line is a sentence, or an utterance's codes; its symbols are separated by spaces. Unlike sound, text is
held in memory, two bytes a symbol (four where the dictionary has more than 65,536).
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.data.collate import CropStart, SetAside
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.textfile import iterate_lines

BreakMode = Literal["none", "complete", "complete_doc", "eos"]
"""What a sample is: so many symbols, so many whole lines, the same within a document, one line."""

Shorten = Literal["none", "truncate", "random_crop"]
"""What becomes of a sample that is too long: it is left out, or a part of it is taken."""

Blocks = NDArray[np.int64]
"""[K, 2]: where each block begins and ends among all symbols."""


@dataclass(frozen=True, slots=True)
class TextBatch:
    """What a training step on text takes. B is 0 where there is nothing to learn from.

    Attributes:
        ids: [B] int64, the samples' numbers in the dataset.
        tokens: [B, S] int64, rows filled up with `<pad>`; the first symbol of each stands before the sample.
        set_aside: Always empty: text is checked before.
    """

    ids: Tensor
    tokens: Tensor
    set_aside: tuple[SetAside, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def amount(self) -> float:
        """Symbols, those that stand before the samples not counted."""
        return int((self.tokens[:, 1:] != Dictionary.pad_index).sum())

    def to(self, device: torch.device | str) -> "TextBatch":
        """The same batch on another device."""
        return replace(self, ids=self.ids.to(device), tokens=self.tokens.to(device))


def unknowns(num_symbols: int = 8) -> TextBatch:
    """One sample of symbols that say nothing: what a worker reads that has nothing else to do."""
    return TextBatch(torch.zeros(1, dtype=torch.int64), torch.full((1, num_symbols), Dictionary.unk_index))


@dataclass(frozen=True, slots=True)
class Cut:
    """How text is cut into samples; fairseq's words and meanings.

    Attributes:
        mode: See `BreakMode`; a blank line ends a document.
        size: Symbols of a sample (`tokens_per_sample`); a line may be longer, except in the mode "none".
        first: The symbol that stands before each sample; None for the one that precedes it in the text, which
            is `</s>` at the beginning.
        counts_first: Whether that symbol is one of those that `size` and `longest` count.
        shorten: What becomes of samples of more than `size` symbols.
        longest: The most symbols that the model has positions for; longer samples are set aside.
    """

    mode: BreakMode
    size: int
    first: int | None = None
    counts_first: bool = False
    shorten: Shorten = "none"
    longest: int | None = None


class TextDataset:
    """The samples of a text file, by number.

    Attributes:
        sizes: [K] int64, symbols of each as they are counted (`Cut.counts_first`).
        set_aside: What was left out: blank lines where each line is a sample, and what is too long.
        num_symbols: Of the file, ends of lines included.
        num_unknown: Of these, how many the dictionary lacks.
    """

    unit = "tokens"
    labels: list[str] | None = None
    max_sample_size: int | None = None

    def __init__(self, path: Path, dictionary: Dictionary, cut: Cut) -> None:
        """Read and cut a file.

        Args:
            path: Text, a line a sentence.
            dictionary: Numbers the symbols; those that it lacks become `<unk>`.
            cut: How.

        Raises:
            UserError: The file cannot be read or holds no symbol.
        """
        self.source = path
        self._cut = cut
        self._symbols, ends = _read(path, dictionary)
        self.num_symbols = len(self._symbols)
        self.num_unknown = int((self._symbols == Dictionary.unk_index).sum())
        if self.num_symbols == len(ends):
            raise UserError(f"{path} holds no symbol: give a text with a sentence a line")
        blocks = blocks_of(ends, cut.mode, cut.size - cut.counts_first)
        self._lines = np.searchsorted(ends, blocks[:, 0], side="right") + 1
        sizes = blocks[:, 1] - blocks[:, 0] + cut.counts_first
        if cut.shorten != "none":
            sizes = np.minimum(sizes, cut.size)
        reasons = [self._reason(*pair) for pair in zip(blocks[:, 1] - blocks[:, 0], sizes, strict=True)]
        kept = np.array([reason is None for reason in reasons], dtype=np.bool_)
        self.set_aside = tuple(
            SetAside(f"{path.name}:{line}", reason)
            for line, reason in zip(self._lines, reasons, strict=True)
            if reason is not None
        )
        self._blocks, self._lines, self.sizes = blocks[kept], self._lines[kept], sizes[kept]

    def _reason(self, length: int, size: int) -> str | None:
        """Why a sample cannot be used, if it cannot."""
        if self._cut.mode == "eos" and length == 1:
            return "a blank line"
        longest = self._cut.longest
        if longest is not None and size > longest:
            return f"too long: {size} tokens, the model has {longest} positions (task.shorten_method)"
        return None

    def __len__(self) -> int:
        return len(self.sizes)

    def in_epoch(self, seed: int, epoch: int) -> NDArray[np.bool_]:
        """Which samples an epoch consists of, bool [K]: all."""
        return np.ones(len(self), dtype=np.bool_)

    def __getitem__(self, index: int) -> tuple[int, NDArray[np.int64]]:
        """The number of a sample and its symbols, with the one before them; not shortened yet."""
        start, end = self._blocks[index]
        before = self._cut.first
        if before is None:
            before = int(self._symbols[start - 1]) if start > 0 else Dictionary.eos_index
        return index, np.concatenate([[before], self._symbols[start:end]]).astype(np.int64)

    def heard(self, index: int, rng: np.random.Generator) -> tuple[int, NDArray[np.int64]]:
        """A sample as an epoch has it: text is not varied."""
        return self[index]

    def name(self, index: int) -> str:
        """Where in the file a sample begins."""
        return f"{self.source.name}:{self._lines[index]}"

    def collate(
        self, items: Sequence[tuple[int, NDArray[np.int64]]], *, pad: bool, crop_start: CropStart
    ) -> TextBatch:
        """Put samples together, each shortened as `Cut.shorten` says.

        Args:
            items: What the dataset gave.
            pad: Text is always filled up.
            crop_start: Chooses which part of a sample "random_crop" keeps.
        """
        rows = [self._shortened(index, tokens, crop_start) for index, tokens in items]
        width = max((len(row) for row in rows), default=1)
        tokens = np.full((len(rows), width), Dictionary.pad_index, dtype=np.int64)
        for filled, row in zip(tokens, rows, strict=True):
            filled[: len(row)] = row
        ids = torch.tensor([index for index, _ in items], dtype=torch.int64)
        return TextBatch(ids, torch.from_numpy(tokens))

    def _shortened(self, index: int, tokens: NDArray[np.int64], crop_start: CropStart) -> NDArray[np.int64]:
        room = self._cut.size - self._cut.counts_first
        surplus = len(tokens) - 1 - room
        if self._cut.shorten == "none" or surplus <= 0:
            return tokens
        start = crop_start(index, surplus) if self._cut.shorten == "random_crop" else 0
        if start > 0 and self._cut.first is None:
            return tokens[start : start + 1 + room]  # the symbol before is the one that was cut off
        return np.concatenate([tokens[:1], tokens[1 + start : 1 + start + room]])


def blocks_of(ends: NDArray[np.int64], mode: BreakMode, size: int) -> Blocks:
    """Cut a text into samples, as fairseq's `TokenBlockDataset`.

    Args:
        ends: [L] where each line ends, after its `</s>`.
        mode: See `BreakMode`.
        size: Symbols of a sample.
    """
    starts = np.concatenate([[0], ends[:-1]])
    if mode == "eos":
        return np.stack([starts, ends], axis=1)
    if mode == "none":
        cuts = np.append(np.arange(0, ends[-1], size), ends[-1])
        return np.stack([cuts[:-1], cuts[1:]], axis=1)
    return np.array(list(_of_whole_lines(ends, mode, size)), dtype=np.int64).reshape(-1, 2)


def _of_whole_lines(ends: NDArray[np.int64], mode: BreakMode, size: int) -> Iterator[tuple[int, int]]:
    """As many whole lines as fit, one at least."""
    begin = last = 0
    for start, end in pairwise([0, *ends.tolist()]):
        blank = end - start == 1
        document_ends = mode == "complete_doc" and blank
        if last > begin and (document_ends or end - begin > size):
            yield begin, last
            begin = last
        if document_ends:
            begin = end
        last = end
    if last > begin:
        yield begin, last


def _read(path: Path, dictionary: Dictionary) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """All symbols of a file, each line followed by `</s>`, and where the lines end."""
    symbols = array("H" if len(dictionary) <= 2**16 else "I")
    ends = array("q")
    for line in iterate_lines(path):
        symbols.extend(dictionary.numbers(line))
        symbols.append(Dictionary.eos_index)
        ends.append(len(symbols))
    return np.asarray(symbols), np.asarray(ends, dtype=np.int64)
