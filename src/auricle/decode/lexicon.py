"""Decoding with flashlight's beam search, and KenLM's binary models; both libraries are optional.

Nothing else in the package imports them. `beam.py` searches in the same way without them.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auricle.decode.decoder import BeamOptions, silence
from auricle.decode.emissions import Emissions
from auricle.decode.hypothesis import Hypothesis, PostProcess
from auricle.decode.traceback import Speller
from auricle.decode.trie import Lexicon
from auricle.decode.viterbi import BLANK
from auricle.dictionary import SPECIALS, Dictionary
from auricle.errors import UserError

FORGET_AT = 1_000_000
"""So many of KenLM's states are kept, some 200 MB."""

KENLM_MAGIC = b"mmap lm http://kheafield.com/code"


@dataclass(frozen=True, slots=True)
class FlashlightSettings:
    """All that a search needs; sent as it is to worker processes.

    Attributes:
        dictionary: Of the model's units.
        options: See there.
        lexicon: The words there are; None: every string of units is one.
        lm: A KenLM file, ARPA or binary, over the lexicon's words or over units; None for none.
        post_process: How units become words, without a lexicon.
    """

    dictionary: Dictionary
    options: BeamOptions
    lexicon: Lexicon | None = None
    lm: Path | None = None
    post_process: PostProcess = "letter"


class FlashlightDecoder:
    """A `Decoder`: flashlight-text's search, utterance by utterance, in worker processes where asked to."""

    def __init__(self, settings: FlashlightSettings, num_workers: int = 0) -> None:
        """Prepares the search.

        Args:
            settings: See there.
            num_workers: Processes that search; each reads the language model for itself. 0: this one.

        Raises:
            UserError: flashlight-text is not installed, or cannot read the language model.
        """
        self._search = _FlashlightSearch(settings) if num_workers == 0 else None
        self._pool: ProcessPoolExecutor | None = None
        if num_workers:
            _flashlight()
            self._pool = ProcessPoolExecutor(
                num_workers,
                multiprocessing.get_context("spawn"),
                initializer=_begin_worker,
                initargs=(settings,),
            )

    def decode(self, emissions: Emissions) -> list[list[Hypothesis]]:
        """See `Decoder`."""
        lengths = emissions.lengths.tolist()
        log_probs = emissions.log_probs.float().cpu().numpy()
        clips = [np.ascontiguousarray(row[:n]) for row, n in zip(log_probs, lengths, strict=True)]
        if self._search is not None:
            return [self._search.decode(clip) for clip in clips]
        assert self._pool is not None
        return list(self._pool.map(_decode_in_worker, clips))

    def close(self) -> None:
        """Ends the worker processes."""
        if self._pool is not None:
            self._pool.shutdown()


_of_this_worker: "_FlashlightSearch | UserError | None" = None


def _begin_worker(settings: FlashlightSettings) -> None:
    global _of_this_worker
    torch.set_num_threads(1)
    try:
        _of_this_worker = _FlashlightSearch(settings)
    except UserError as error:  # raised here, it would end the worker, and nobody would hear of it
        _of_this_worker = error


def _decode_in_worker(log_probs: npt.NDArray[np.float32]) -> list[Hypothesis]:
    assert _of_this_worker is not None
    if isinstance(_of_this_worker, UserError):
        raise _of_this_worker
    return _of_this_worker.decode(log_probs)


class _FlashlightSearch:
    """flashlight's objects; they point at each other, so all are kept alive here."""

    def __init__(self, settings: FlashlightSettings) -> None:
        self._nbest = settings.options.nbest
        self._library, dictionary_library = _flashlight()
        dictionary, lexicon = settings.dictionary, settings.lexicon
        words = dictionary.symbols if lexicon is None else [*lexicon.words, "<unk>"]
        self._word_dictionary = dictionary_library.Dictionary()
        for word in words:
            self._word_dictionary.add_entry(word)
        self._lm = self._language_model(settings.lm)
        if settings.lm is not None:
            self._check_vocabulary(settings, len(words))
        self._trie: Any = None
        silent = silence(dictionary)
        if lexicon is None:
            self._decoder = self._library.LexiconFreeDecoder(
                self._options(settings, with_lexicon=False), self._lm, silent, BLANK, []
            )
        else:
            self._trie = self._make_trie(lexicon, len(dictionary), silent)
            options = self._options(settings, with_lexicon=True)
            unknown = len(words) - 1
            self._decoder = self._library.LexiconDecoder(
                options, self._trie, self._lm, silent, BLANK, unknown, [], False
            )
        self._speller = Speller(
            dictionary, silent, None if lexicon is None else tuple(words), settings.post_process
        )

    def decode(self, log_probs: npt.NDArray[np.float32]) -> list[Hypothesis]:
        """The best hypotheses of one utterance, [N, V] contiguous."""
        frames, units = log_probs.shape
        results = self._decoder.decode(log_probs.ctypes.data, frames, units)
        return [
            self._speller.hypothesis(
                # one unit before the first frame, one after the last
                np.array(result.tokens[1 : frames + 1], np.int64),
                np.array(result.words[1 : frames + 1], np.int64),
                log_probs,
                float(result.score),
                float(result.lmScore),
            )
            for result in results[: self._nbest]
        ]

    def _language_model(self, path: Path | None) -> Any:
        if path is None:
            return self._library.ZeroLM()
        if not path.is_file():
            raise UserError(f"{path}: cannot be read (no such file): check the path")
        from flashlight.lib.text.decoder.kenlm import KenLM

        try:
            return KenLM(str(path), self._word_dictionary)
        except (RuntimeError, OSError) as error:
            reason = _reason(error)
            raise UserError(f"{path}: KenLM cannot read it ({reason}): try --engine own") from None

    def _check_vocabulary(self, settings: FlashlightSettings, count: int) -> None:
        """As `ngram_file.check_vocabulary`: flashlight does not tell which words the model knows."""
        start = self._lm.start(False)
        unknown = count - 1 if settings.lexicon else settings.dictionary.unk_index
        words = range(count - 1) if settings.lexicon else range(len(SPECIALS), count)
        of_unknown = self._lm.score(start, unknown)[1]
        if all(self._lm.score(start, word)[1] == of_unknown for word in words):  # the first as a rule tells
            source = settings.lexicon.source if settings.lexicon else "the recogniser's units"
            raise UserError(
                f"{settings.lm}: the language model knows none of {source}: it is of another vocabulary, or "
                "upper case where this is lower; make the two from the same words"
            )

    def _make_trie(self, lexicon: Lexicon, num_units: int, silent: int) -> Any:
        trie = self._library.Trie(num_units, silent)
        start = self._lm.start(False)
        scores = [self._lm.score(start, label)[1] for label in range(len(lexicon.words))]
        for label, units in lexicon.spellings:
            trie.insert(list(units), label, scores[label])
        trie.smear(self._library.SmearingMode.MAX)
        return trie

    def _options(self, settings: FlashlightSettings, *, with_lexicon: bool) -> Any:
        options = settings.options
        common = {
            "beam_size": options.beam,
            "beam_size_token": options.beam_size_token or len(settings.dictionary),
            "beam_threshold": options.beam_threshold,
            "lm_weight": options.lm_weight,
            "sil_score": options.sil_weight,
            "log_add": False,
            "criterion_type": self._library.CriterionType.CTC,
        }
        if with_lexicon:
            return self._library.LexiconDecoderOptions(
                word_score=options.word_score, unk_score=options.unk_weight, **common
            )
        return self._library.LexiconFreeDecoderOptions(**common)


def _flashlight() -> tuple[Any, Any]:
    """The library's modules for decoders and dictionaries."""
    try:
        from flashlight.lib.text import decoder, dictionary
    except ImportError:
        raise UserError(
            "flashlight-text is not installed: pip install 'auricle[flashlight]' (Python 3.12 at most), or "
            "search with --engine own"
        ) from None
    return decoder, dictionary


def _reason(error: Exception) -> str:
    """What KenLM says, without the place in its sources that it says first."""
    return " ".join(str(error).split()).rpartition(" threw ")[2][:200]


def is_kenlm_binary(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a model that KenLM's build_binary wrote."""
    try:
        with open(path, "rb") as file:
            return file.read(len(KENLM_MAGIC)) == KENLM_MAGIC
    except OSError:
        return False


@dataclass(slots=True)
class KenLMModel:
    """A binary model as a `LanguageModel`, asked through the `kenlm` module.

    A state is a number under which KenLM's own, which are opaque, is kept.
    """

    path: Path
    _model: Any = field(init=False, repr=False)
    _words: list[str] = field(init=False, repr=False, default_factory=list)
    _index: dict[str, int] = field(init=False, repr=False, default_factory=dict)
    _states: dict[int, Any] = field(init=False, repr=False, default_factory=dict)
    _next: int = field(init=False, repr=False, default=1)
    _known: dict[tuple[int, int], tuple[float, int]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        try:
            import kenlm
        except ImportError:
            raise UserError(
                f"{self.path} is a binary model of KenLM's: pip install 'auricle[kenlm]' to read it, or give "
                "the ARPA file it was made from"
            ) from None
        config = kenlm.Config()
        config.show_progress = False
        try:
            self._model = kenlm.Model(str(self.path), config)
        except (OSError, RuntimeError) as error:
            reason = _reason(error)
            raise UserError(f"{self.path}: KenLM cannot read it ({reason}): make it again") from None
        begin = kenlm.State()
        self._model.BeginSentenceWrite(begin)
        self._states[0] = begin

    @property
    def costly(self) -> bool:
        """Each question crosses to the library by itself."""
        return True

    def __contains__(self, word: str) -> bool:
        return word in self._model

    def numbers(self, words: Sequence[str]) -> Tensor:
        """See `LanguageModel`."""
        for word in words:
            if word not in self._index:
                self._index[word] = len(self._words)
                self._words.append(word)
        return torch.tensor([self._index[word] for word in words], dtype=torch.int64)

    def start(self, count: int) -> Tensor:
        """See `LanguageModel`."""
        return torch.zeros(count, 1, dtype=torch.int64)

    def score(self, states: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """See `LanguageModel`; log10-probabilities."""
        asked = zip(states[:, 0].tolist(), words.tolist(), strict=True)
        answers = [self._known.get(one) or self._ask(*one) for one in asked]
        scores = torch.tensor([score for score, _ in answers], dtype=torch.float64, device=states.device)
        after = torch.tensor([state for _, state in answers], dtype=torch.int64, device=states.device)
        return scores, after[:, None]

    def outlook(self, words: Tensor) -> Tensor:
        """See `LanguageModel`."""
        return self.score(self.start(len(words)), words)[0]

    def _ask(self, state: int, word: int) -> tuple[float, int]:
        import kenlm

        after = kenlm.State()
        score = self._model.BaseScore(self._states[state], self._words[word], after)
        self._states[self._next] = after
        answer = self._known[state, word] = (score, self._next)
        self._next += 1
        return answer

    def finish(self, states: Tensor) -> Tensor:
        """See `LanguageModel`."""
        (end,) = self.numbers(["</s>"]).tolist()
        return self.score(states, torch.full((len(states),), end))[0]

    def keep(self, states: Tensor) -> None:
        """Forgets everything else once that is much: a long evaluation must not fill the memory."""
        if len(self._states) > FORGET_AT:
            self._known.clear()
            live = {0, *states[:, 0].tolist()}
            self._states = {number: self._states[number] for number in live}
