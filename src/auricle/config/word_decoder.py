"""Validation with a language model: what `+criterion.wer_args=[...]` and its single keys ask for."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from auricle.config.schema import Recipe
from auricle.config.schema_task import CTCLossKeys
from auricle.decode.beam import BeamSearch
from auricle.decode.decoder import BeamOptions, search_device
from auricle.decode.emissions import Emissions
from auricle.decode.ngram_file import open_ngram_of
from auricle.decode.trie import read_lexicon
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.train.objective import WordDecoder

_WIDEST = 50
"""Of fairseq's search in validation: hypotheses, units a frame, and how far behind the best."""


@dataclass(frozen=True, slots=True)
class WordDecoding:
    """How words are decoded in validation; fairseq's `wer_*` keys.

    Attributes:
        lm: n-gram language model of words, ARPA or KenLM's binary.
        lexicon: Words and their spellings.
        lm_weight: Of the language model's score.
        word_score: Added for each word.
        sil_weight: Added for each silence.
    """

    lm: Path
    lexicon: Path
    lm_weight: float
    word_score: float
    sil_weight: float

    def options(self, num_units: int) -> BeamOptions:
        """Those of the search over a dictionary of `num_units`; as fairseq's criterion has them."""
        width = min(_WIDEST, num_units)
        return BeamOptions(
            beam=_WIDEST,
            beam_size_token=width,
            beam_threshold=float(width),
            lm_weight=self.lm_weight,
            word_score=self.word_score,
            sil_weight=self.sil_weight,
        )


def word_decoding(recipe: Recipe) -> WordDecoding | None:
    """What the recipe asks for; None where it asks for nothing.

    `criterion.wer_args` holds model, lexicon, weight and word score in one, and comes before single keys.

    Raises:
        UserError: a file is missing, or there is a model without a lexicon.
    """
    keys = recipe.criterion
    if not isinstance(keys, CTCLossKeys):
        return None
    lm, lexicon, lm_weight, word_score = keys.wer_args or (
        keys.wer_kenlm_model,
        keys.wer_lexicon,
        keys.wer_lm_weight,
        keys.wer_word_score,
    )
    if lm is None:
        return None
    if lexicon is None:
        raise UserError("criterion.wer_kenlm_model needs the words that it is of: set criterion.wer_lexicon")
    found = WordDecoding(
        Path(lm).expanduser(), Path(lexicon).expanduser(), lm_weight, word_score, keys.wer_sil_weight
    )
    for what, path in (("language model", found.lm), ("lexicon", found.lexicon)):
        if not path.is_file():
            raise UserError(f"{path}: there is no such {what} (criterion.wer_args): check the path")
    return found


def word_decoder(
    recipe: Recipe, dictionary: Dictionary, device: torch.device | str = "cpu"
) -> WordDecoder | None:
    """What decodes words in validation; None for the words that greedy decoding spells.

    Every worker makes its own: a language model in KenLM's binary is then in memory once for all of them.

    Args:
        recipe: What asks for it.
        dictionary: Of what the model writes: the lexicon spells words with its symbols.
        device: Where to search.

    Raises:
        UserError: see `word_decoding`; or a file is damaged, the language model knows none of the lexicon's
            words, or the dictionary lacks their letters.
    """
    asked = word_decoding(recipe)
    if asked is None:
        return None
    lexicon = read_lexicon(asked.lexicon, dictionary)
    device = search_device(device)
    search = BeamSearch(
        dictionary,
        asked.options(len(dictionary)),
        lexicon=lexicon,
        lm=open_ngram_of(lexicon.words, lexicon.source, asked.lm, device),
        device=device,
    )

    def decode(log_probs: Tensor, lengths: Tensor) -> list[str]:
        return [best.text for best, *_ in search.decode(Emissions(log_probs, lengths))]

    return decode
