"""Lexicons: which words there are, how they are spelled, and the tree of their spellings.

A tree's node is a spelling's beginning. Children stand side by side, so that the next letters of many
hypotheses are found at once.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auricle.dictionary import WORD_END, Dictionary
from auricle.errors import UserError
from auricle.textfile import read_lines

ROOT = 0


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words and their spellings.

    Attributes:
        words: Each once; their place is their label.
        spellings: Label and units of each spelling; a word may have several, and several words the same.
        source: The file, for messages.
    """

    words: tuple[str, ...]
    spellings: tuple[tuple[int, tuple[int, ...]], ...]
    source: str = "lexicon"


def read_lexicon(path: str | os.PathLike[str], dictionary: Dictionary) -> Lexicon:
    """Reads `word<TAB>s p e l l i n g |` a line, as fairseq and flashlight do.

    Raises:
        UserError: The file is missing or empty, or a line has no spelling or units that the dictionary lacks.
    """
    labels: dict[str, int] = {}
    spellings: dict[tuple[int, tuple[int, ...]], None] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) == 1:
            raise UserError(f"{path}:{number}: the word {fields[0]!r} has no spelling: write it after a tab")
        word, *units = fields
        unknown = next((unit for unit in units if unit not in dictionary), None)
        if unknown is not None:
            raise UserError(
                f"{path}:{number}: {unknown!r} in the spelling of {word!r} is not in the model's dictionary"
                f"{_hint(unknown, dictionary)}: make the lexicon with the model's units"
            )
        label = labels.setdefault(word, len(labels))
        spellings[label, tuple(dictionary.index(unit) for unit in units)] = None
    if not spellings:
        raise UserError(f"{path}: no words: a lexicon has 'word<TAB>s p e l l i n g |' a line")
    return Lexicon(tuple(labels), tuple(spellings), str(path))


def _hint(unit: str, dictionary: Dictionary) -> str:
    for other in (unit.upper(), unit.lower()):
        if other in dictionary:
            return f", which has {other!r}"
    return f", which ends words with {WORD_END!r}" if unit == " " and WORD_END in dictionary else ""


@dataclass(frozen=True, slots=True)
class Trie:
    """The tree of spellings, in flat arrays; node 0 is the root.

    Attributes:
        first_edge: int64 [nodes + 1]; the children of node i are edges first_edge[i] to first_edge[i + 1].
        edge_unit: int64 [edges], the unit that leads to a child.
        edge_child: int64 [edges].
        first_label: int64 [nodes + 1], the same for the words that end at a node.
        labels: int64.
        best: float64 [nodes], the best score of the words at and below a node; 0 at the root.
    """

    first_edge: Tensor
    edge_unit: Tensor
    edge_child: Tensor
    first_label: Tensor
    labels: Tensor
    best: Tensor

    def to(self, device: torch.device | str) -> "Trie":
        """The same on another device."""
        moved = {name: getattr(self, name).to(device) for name in Trie.__slots__}
        return replace(self, **moved)


def build_trie(lexicon: Lexicon, num_units: int, scores: Sequence[float]) -> Trie:
    """Builds the tree.

    Args:
        lexicon: Its words.
        num_units: Size of the dictionary.
        scores: Of each word, as the language model has it at the start of a sentence.

    Returns:
        The tree, each node with the best score below it: flashlight's "smearing" by the maximum. Where
        several words end at one node their probabilities count together, as they do there.
    """
    children: dict[int, int] = {}
    ends = []
    for _, units in lexicon.spellings:
        node = ROOT
        for unit in units:
            node = children.setdefault(node * num_units + unit, len(children) + 1)
        ends.append(node)
    keys = np.fromiter(children, np.int64, len(children))
    parents, units_of = keys // num_units, keys % num_units
    order = np.lexsort([units_of, parents])
    count = len(children) + 1
    labels = np.array([label for label, _ in lexicon.spellings], np.int64)
    by_end = np.argsort(ends, kind="stable")
    best = np.full(count, -np.inf)
    np.logaddexp.at(best, ends, np.asarray(scores, np.float64)[labels])
    _smear(best, parents)
    best[ROOT] = 0.0
    return Trie(
        first_edge=_offsets(parents, count),
        edge_unit=torch.from_numpy(units_of[order]),
        edge_child=torch.from_numpy(order + 1),
        first_label=_offsets(np.array(ends), count),
        labels=torch.from_numpy(labels[by_end]),
        best=torch.from_numpy(best),
    )


def _smear(best: npt.NDArray[np.float64], parents: npt.NDArray[np.int64]) -> None:
    """Gives each node the best score below it; a child's number is above its parent's."""
    values, above = best.tolist(), parents.tolist()
    for node in range(len(above), 0, -1):
        parent = above[node - 1]
        if values[node] > values[parent]:
            values[parent] = values[node]
    best[:] = values


def _offsets(owners: npt.NDArray[np.int64], count: int) -> Tensor:
    """Where the entries of each of `count` owners begin, once sorted by owner: int64 [count + 1]."""
    ends = np.bincount(owners, minlength=count).cumsum()
    return torch.from_numpy(np.concatenate([[0], ends]).astype(np.int64))
