"""Greedy CTC decoding: the best unit of each frame, repeats collapsed, blanks dropped.

CTC has no transitions, so its Viterbi path is the frame-wise best one (Graves et al. 2006, section 3.2,
"best path decoding").

B utterances, N frames, V units.
"""

from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from auricle.decode.hypothesis import Hypothesis, PostProcess, WordSpan
from auricle.dictionary import WORD_END, Dictionary
from auricle.losses import weigh_blank

BLANK = Dictionary.bos_index
"""The CTC blank is `<s>`, the first symbol (fairseq, quirk 26)."""

BlankMode = Literal["add", "set"]


def log_probs(logits: Tensor, blank_weight: float = 0.0, blank_mode: BlankMode = "add") -> Tensor:
    """The emissions a decoder works on: [..., V] float32 natural-log probabilities."""
    return weigh_blank(logits.float(), blank_weight, blank_mode).log_softmax(dim=-1)


def viterbi(
    emissions: Tensor,
    lengths: Tensor,
    dictionary: Dictionary,
    *,
    blank_weight: float = 0.0,
    blank_mode: BlankMode = "add",
    post_process: PostProcess = "letter",
) -> list[Hypothesis]:
    """The best path of each utterance; frames past `lengths` never count.

    Args:
        emissions: [B, N, V] float; the model's logits, or log-probabilities (they are normalised here, which
            leaves log-probabilities as they are). A `blank_weight` to be "set" is measured against logits.
        lengths: [B] int64, frames; 0 gives an empty hypothesis.
        dictionary: Of V symbols.
        blank_weight: Raises the blank's logit, or replaces it; see `auricle.losses.weigh_blank`.
        blank_mode: "add" or "set".
        post_process: How units become words.

    Returns:
        One hypothesis an utterance, in order.
    """
    best = log_probs(emissions.detach(), blank_weight, blank_mode).max(dim=-1)
    scores, units = best.values.cpu().numpy(), best.indices.cpu().numpy()
    return [
        _hypothesis(scores[row, :length], units[row, :length], dictionary, post_process)
        for row, length in enumerate(lengths.tolist())
    ]


def _hypothesis(
    scores: npt.NDArray[np.float32],
    units: npt.NDArray[np.int64],
    dictionary: Dictionary,
    post_process: PostProcess,
) -> Hypothesis:
    """Collapses one path: `scores` [N] natural-log probabilities and `units` [N] of its frames."""
    edges = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist(), len(units)]
    runs = [(int(units[a]), a, b) for a, b in pairwise(edges) if a < b and units[a] != BLANK]
    words, spans = [], []
    for word in _split_words(runs, dictionary, post_process):
        start, end = word[0][1], word[-1][2]
        words.append("".join(dictionary[unit] for unit, _, _ in word))
        spans.append(WordSpan(start, end, float(np.exp(scores[start:end]).mean())))
    return Hypothesis(
        tokens=tuple(unit for unit, _, _ in runs),
        words=tuple(words),
        score=float(scores.sum()),
        timesteps=tuple(start for _, start, _ in runs),
        spans=tuple(spans),
    )


def _split_words(
    runs: list[tuple[int, int, int]], dictionary: Dictionary, post_process: PostProcess
) -> list[list[tuple[int, int, int]]]:
    """Groups (unit, start, end) runs into words; `</s>` spells nothing, as in `Dictionary.decode`."""
    spoken = [run for run in runs if run[0] != dictionary.eos_index]
    if post_process == "none":
        return [[run] for run in spoken]
    words: list[list[tuple[int, int, int]]] = [[]]
    for run in spoken:
        if dictionary[run[0]] == WORD_END:
            words.append([])
        else:
            words[-1].append(run)
    return [word for word in words if word]
