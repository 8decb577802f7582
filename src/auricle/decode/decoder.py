"""What all CTC decoders are: frozen options in, hypotheses out, the best first."""

import math
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

from auricle.decode.emissions import Emissions
from auricle.decode.hypothesis import Hypothesis, PostProcess
from auricle.decode.viterbi import viterbi
from auricle.dictionary import WORD_END, Dictionary
from auricle.errors import UserError


class Decoder(Protocol):
    """Turns what a recogniser hears into what was said."""

    def decode(self, emissions: Emissions) -> list[list[Hypothesis]]:
        """The best hypotheses of each utterance, in order, at least one each."""


def search_device(device: torch.device | str) -> torch.device | str:
    """Where to search for a model on `device`: there, if it has float64, which scores need (mps has not)."""
    return "cpu" if str(device).startswith("mps") else device


@dataclass(frozen=True, slots=True)
class BeamOptions:
    """How a beam search goes about it; fairseq's words and defaults.

    Attributes:
        beam: Hypotheses kept at each frame.
        beam_size_token: Units tried at each frame, the likeliest first; None: all.
        beam_threshold: Hypotheses that are worse than the best by more than this are dropped.
        lm_weight: What the language model's scores are multiplied with.
        word_score: Added for each word.
        unk_weight: Added for each word that is not in the lexicon; -inf forbids them.
        sil_weight: Added for each frame of silence, which `|` stands for.
        nbest: Hypotheses given of each utterance.
    """

    beam: int = 50
    beam_size_token: int | None = None
    beam_threshold: float = 50.0
    lm_weight: float = 2.0
    word_score: float = -1.0
    unk_weight: float = -math.inf
    sil_weight: float = 0.0
    nbest: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                fine = (field.name, value) in (("unk_weight", -math.inf), ("beam_threshold", math.inf))
                if not fine:
                    raise UserError(f"{field.name} is {value}: give a number")
            least = 1 if field.name in ("beam", "nbest", "beam_size_token") else 0
            if field.name.startswith(("beam", "nbest")) and value is not None and value < least:
                raise UserError(f"{field.name} is {value}: give {least} or more")


BEAM_FIELDS = tuple(field.name for field in fields(BeamOptions))


def silence(dictionary: Dictionary) -> int:
    """The unit between words: `<sep>`, else `|`, else `</s>`, as in fairseq."""
    for symbol in ("<sep>", WORD_END):
        if symbol in dictionary:
            return dictionary.index(symbol)
    return dictionary.eos_index


@dataclass(frozen=True, slots=True)
class ViterbiDecoder:
    """The best unit of each frame; one hypothesis an utterance, with no language model."""

    dictionary: Dictionary
    post_process: PostProcess = "letter"

    def decode(self, emissions: Emissions) -> list[list[Hypothesis]]:
        """See `Decoder`."""
        log_probs: Tensor = emissions.log_probs
        hypotheses = viterbi(log_probs, emissions.lengths, self.dictionary, post_process=self.post_process)
        return [[hypothesis] for hypothesis in hypotheses]
