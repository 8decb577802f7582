"""n-gram language models from files of either kind, sure to know the words they will be asked about."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from auricle.decode.arpa import read_arpa
from auricle.decode.lexicon import KenLMModel, is_kenlm_binary
from auricle.decode.ngram import NgramModel
from auricle.errors import UserError

_log = logging.getLogger(__name__)


def open_ngram(path: Path, advance: Callable[[int], object] | None = None) -> NgramModel | KenLMModel:
    """An n-gram model, ARPA or KenLM's binary.

    Args:
        path: The file.
        advance: Told how many n-grams more have been read, of an ARPA file.

    Raises:
        UserError: It is missing, damaged or something else, or KenLM is not installed for its binary.
    """
    return KenLMModel(path) if is_kenlm_binary(path) else read_arpa(path, advance)


def open_ngram_of(
    words: Sequence[str],
    source: str,
    path: Path,
    device: torch.device | str,
    advance: Callable[[int], object] | None = None,
) -> NgramModel | KenLMModel:
    """As `open_ngram`, on a device (KenLM has but the CPU), sure to know some of `words` (from `source`)."""
    ngram = open_ngram(path, advance)
    check_vocabulary([word in ngram for word in words], words, path, source)
    return ngram.to(device) if isinstance(ngram, NgramModel) else ngram


def check_vocabulary(known: Sequence[bool], words: Sequence[str], lm: Path, source: str) -> None:
    """Words that the language model does not know are said to be unlikely; all of them are a mistake.

    Args:
        known: Whether it knows each of `words`.
        words: What it will be asked about.
        lm: Its file.
        source: Where the words come from.

    Raises:
        UserError: It knows none.
    """
    unknown = len(known) - sum(known)
    if unknown == len(known):
        raise UserError(
            f"{lm}: the language model knows none of {source}, such as {words[0]!r}: it is of another "
            "vocabulary, or upper case where this is lower; make the two from the same words"
        )
    if unknown:
        first = next(word for word, is_known in zip(words, known, strict=True) if not is_known)
        share = math.ceil(100 * unknown / len(known))
        _log.info(
            "%s knows all but %d (%d %%) of %s, such as %r: these count as <unk>",
            lm,
            unknown,
            share,
            source,
            first,
        )
