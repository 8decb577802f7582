"""Validation with a language model: what `+criterion.wer_args=[...]` and its single keys ask for."""

import logging
from dataclasses import dataclass
from pathlib import Path

from auricle.config.schema import Recipe
from auricle.config.schema_task import CTCLossKeys
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.train.objective import WordDecoder

_log = logging.getLogger(__name__)


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


def word_decoder(recipe: Recipe, dictionary: Dictionary) -> WordDecoder | None:
    """What decodes words in validation; None for the words that greedy decoding spells.

    Args:
        recipe: What asks for it.
        dictionary: Of what the model writes: the lexicon spells words with its symbols.

    Raises:
        UserError: see `word_decoding`.
    """
    asked = word_decoding(recipe)
    if asked is None:
        return None
    _log.info(
        "validation counts the words of greedy decoding, not yet those of %s: measure with the language "
        "model by `auricle evaluate --w2l-decoder kenlm --lm-model %s --lexicon %s`",
        asked.lm.name,
        asked.lm,
        asked.lexicon,
    )
    return None
