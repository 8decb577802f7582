"""From the end of a beam search back to its beginning: the paths of the best hypotheses.

B utterances, N frames, V units, F hypotheses, R those of a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auricle.decode.hypothesis import Hypothesis, PostProcess
from auricle.decode.spans import Run, runs_of, span_of, split_words
from auricle.decode.viterbi import BLANK
from auricle.dictionary import Dictionary


@dataclass(frozen=True, slots=True)
class Final:
    """How a hypothesis ends.

    Attributes:
        num_frames: Of its utterance.
        utterance: Which one.
        row: Its place among the hypotheses of the last frame.
        score, lm_score: See `Hypothesis`.
    """

    num_frames: int
    utterance: int
    row: int
    score: float
    lm_score: float


class Trace:
    """For each frame, where each hypothesis came from, its unit, and the word that ended there."""

    def __init__(self) -> None:
        self._frames: list[Tensor] = []

    def append(self, parent: Tensor, unit: Tensor, word: Tensor) -> None:
        """Notes a frame: int64 [R] each."""
        self._frames.append(torch.stack([parent, unit, word]).int())

    def paths(self, finals: Sequence[Final]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Units and ended words of each frame, [F, N] each; unspecified past a hypothesis' frames."""
        ends = np.array([final.num_frames for final in finals])
        places = np.array([final.row for final in finals])
        units = np.zeros((len(finals), len(self._frames)), np.int64)
        words = np.full_like(units, -1)
        for frame in range(len(self._frames) - 1, -1, -1):
            parent, unit, word = self._frames[frame].cpu().numpy()
            active = ends > frame
            rows = places[active]
            units[active, frame], words[active, frame] = unit[rows], word[rows]
            places[active] = parent[rows]
        return units, words


@dataclass(frozen=True, slots=True)
class Speller:
    """Makes hypotheses of paths.

    Attributes:
        dictionary: Of the units.
        silence: The unit between words.
        words: The lexicon's, by label; None: units spell them.
        post_process: How, then.
    """

    dictionary: Dictionary
    silence: int
    words: Sequence[str] | None
    post_process: PostProcess

    def hypothesis(
        self,
        path: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
        log_probs: npt.NDArray[np.floating],
        score: float,
        lm_score: float,
    ) -> Hypothesis:
        """One hypothesis.

        Args:
            path: [N], the unit of each frame.
            labels: [N], the word that ends there; -1 for none. Not looked at without a lexicon.
            log_probs: [N, V].
            score: See `Hypothesis`.
            lm_score: The same.
        """
        scores = log_probs[np.arange(len(path)), path]
        runs = runs_of(path, BLANK)
        if self.words is None:
            texts, parts = split_words(runs, self.dictionary, self.post_process)
        else:
            places = np.flatnonzero(labels >= 0)
            texts = [self.words[label] for label in labels[places]]
            parts = _runs_of_words(runs, places.tolist(), self.silence)
        return Hypothesis(
            tokens=tuple(unit for unit, _, _ in runs),
            words=tuple(texts),
            score=score,
            timesteps=tuple(start for _, start, _ in runs),
            spans=tuple(span_of(part, scores) for part in parts),
            acoustic_score=float(scores.sum(dtype=np.float64)),
            lm_score=lm_score,
        )


def hypotheses_of(
    finals: Sequence[Final], trace: Trace, log_probs: npt.NDArray[np.float64], speller: Speller
) -> list[list[Hypothesis]]:
    """The hypotheses of each utterance, from `log_probs` [B, N, V]; `finals` has the best ones first."""
    found: list[list[Hypothesis]] = [[] for _ in log_probs]
    for final, path, labels in zip(finals, *trace.paths(finals), strict=True):
        count = final.num_frames
        emitted = log_probs[final.utterance, :count]
        found[final.utterance].append(
            speller.hypothesis(path[:count], labels[:count], emitted, final.score, final.lm_score)
        )
    return found


def _runs_of_words(runs: Sequence[Run], places: Sequence[int], silence: int) -> list[list[Run]]:
    """The runs of each word, given the frames in which words end; the silence after a word is not of it."""
    parts: list[list[Run]] = []
    start = 0
    for place in places:
        own = [run for run in runs if start <= run[1] <= place]
        # flashlight lets a unit that lasts two frames be the last of one word and all of the next
        parts.append([run for run in own if run[0] != silence] or own or [(silence, place, place + 1)])
        start = place + 1
    return parts
