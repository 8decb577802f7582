"""From the unit of each frame to tokens and words with their frames: what all CTC decoders end with.

N frames, V units.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from auricle.decode.hypothesis import MARKS, PostProcess, WordSpan
from auricle.dictionary import Dictionary

Run = tuple[int, int, int]
"""A unit and the frames [start, end) that it fills."""


def runs_of(path: npt.NDArray[np.int64], blank: int) -> list[Run]:
    """The runs of equal units on a path [N], blanks left out."""
    edges = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    return [(int(path[a]), a, b) for a, b in pairwise(edges) if a < b and path[a] != blank]


def split_words(
    runs: Iterable[Run], dictionary: Dictionary, post_process: PostProcess
) -> tuple[list[str], list[list[Run]]]:
    """Words, and the runs of each; `</s>` spells nothing, as in `Dictionary.decode`.

    A unit with a mark inside belongs to the word that its first letters belong to.
    """
    spoken = [run for run in runs if run[0] != dictionary.eos_index]
    if post_process == "none":
        return [dictionary[run[0]] for run in spoken], [[run] for run in spoken]
    words, parts = [""], [[]]  # type: ignore[var-annotated]
    for run in spoken:
        first, *others = dictionary[run[0]].split(MARKS[post_process])
        pieces = [first, *others]
        for number, piece in enumerate(pieces):
            if number:
                words.append("")
                parts.append([])
            words[-1] += piece
            if piece:
                parts[-1].append(run)
    kept = [number for number, word in enumerate(words) if word]
    return [words[number] for number in kept], [parts[number] for number in kept]


def span_of(runs: Sequence[Run], log_probs: npt.NDArray[np.floating]) -> WordSpan:
    """Where a word's runs stand, and how sure its frames are; `log_probs` [N] of the path's units."""
    start, end = runs[0][1], runs[-1][2]
    return WordSpan(start, end, float(np.exp(log_probs[start:end]).mean()))
