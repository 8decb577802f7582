"""How sure a model is of a word: the probability that it gives to the word's letters in the word's frames.

The sum over all paths through those frames that write the letters and nothing else (the forward algorithm of
CTC, Graves et al. 2006, section 4.1). Unlike the mean probability of the frames it falls where other letters
are about as likely, and tells words that are right from others better (numbers: `docs/long-recordings.md`).

Legend: T frames, L letters of the word, S = 2 L + 1 states.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def word_probability(
    blank: npt.NDArray[np.float32], letters: npt.NDArray[np.float32], units: Sequence[int]
) -> float:
    """The probability of writing a word in its frames.

    Args:
        blank: [T] natural-log probabilities of the blank.
        letters: [T, L], of each letter of the word.
        units: The letters, L of them: between two that are alike a blank has to stand.

    Returns:
        From 0 to 1.
    """
    frames, count = letters.shape
    emitted = np.empty((frames, 2 * count + 1))
    emitted[:, 0::2], emitted[:, 1::2] = blank[:, None], letters
    may_skip = np.full(2 * count + 1, -np.inf)
    may_skip[3::2] = np.where(np.diff(np.asarray(units)) != 0, 0.0, -np.inf)
    alpha = np.full(2 * count + 3, -np.inf)  # two states that are none stand before the first
    alpha[2:4] = emitted[0, :2]
    for frame in range(1, frames):
        ways = np.logaddexp(np.logaddexp(alpha[2:], alpha[1:-1]), alpha[:-2] + may_skip)
        alpha[2:] = ways + emitted[frame]
    return float(min(np.exp(np.logaddexp(alpha[-1], alpha[-2])), 1.0))
