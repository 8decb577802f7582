"""Greedy CTC decoding: the best unit of each frame, repeats collapsed, blanks dropped.

CTC has no transitions, so its Viterbi path is the frame-wise best one (Graves et al. 2006, section 3.2,
"best path decoding").

B utterances, N frames, V units.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from auricle.decode.hypothesis import Hypothesis, PostProcess
from auricle.decode.spans import runs_of, span_of, split_words
from auricle.dictionary import Dictionary
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
    runs = runs_of(units, BLANK)
    words, parts = split_words(runs, dictionary, post_process)
    score = float(scores.sum())
    return Hypothesis(
        tokens=tuple(unit for unit, _, _ in runs),
        words=tuple(words),
        score=score,
        timesteps=tuple(start for _, start, _ in runs),
        spans=tuple(span_of(part, scores) for part in parts),
        acoustic_score=score,
    )
