"""From words to phonemes: espeak for sentences of a hundred languages, Phonetisaurus for any lexicon.

Both are separate programs under the GPL or of one platform: extras, imported when used. A phoneme model
itself needs neither.
"""

import logging
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

from auricle.errors import UserError
from auricle.files import atomic_write_bytes
from auricle.textfile import read_lines

SENTENCES_AT_A_TIME = 256

_FST = b"\xd6\xfd\xb2\x7e"
"""How the files of finite-state transducers begin; its program says nothing of others."""

_ORDERS = (8, 4, 2)
"""Symbols that a model of pronunciations looks back; 8 is Phonetisaurus's own choice."""

_COLOURS = re.compile("\x1b\\[[0-9;]*m")

Lexicon = Mapping[str, Sequence[str]]
"""A word -> its pronunciations, phonemes separated by spaces, the preferred one first."""


class _ProgramFailed(UserError):
    """A program of Phonetisaurus gave up."""


class Phonemizer(Protocol):
    """Turns sentences into phonemes."""

    def __call__(self, sentences: Iterable[str]) -> Iterator[list[str]]:
        """One list a sentence: the phonemes of each word, separated by spaces."""


class Espeak:
    """espeak-ng, through the package phonemizer, as the multilingual phoneme models were trained on.

    Words are pronounced as in their sentence; stress is left out, and so are the marks of words that it
    takes for another language.

    Args:
        language: espeak's name of it, such as en-us, fr-fr, es.

    Raises:
        UserError: The extra is not installed, or there is no such language.
    """

    def __init__(self, language: str) -> None:
        backend, separator = _espeak()
        known = sorted(backend.supported_languages())
        if language not in known:
            near = get_close_matches(language, known, n=3, cutoff=0.4)
            hint = f" (did you mean {' or '.join(near)}?)" if near else ""
            raise UserError(
                f"--language {language}: espeak does not know it{hint}; it knows {', '.join(known)}"
            )
        self._backend = backend(language, language_switch="remove-flags", with_stress=False)
        self._separator = separator(phone=" ", word="|", syllable="")

    def __call__(self, sentences: Iterable[str]) -> Iterator[list[str]]:
        """See `Phonemizer`."""
        batch: list[str] = []
        for sentence in sentences:
            batch.append(sentence.lower())  # capitals in a row would be spelled
            if len(batch) == SENTENCES_AT_A_TIME:
                yield from self._phonemes(batch)
                batch = []
        yield from self._phonemes(batch)

    def _phonemes(self, sentences: Sequence[str]) -> Iterator[list[str]]:
        spoken = iter(
            self._backend.phonemize([s for s in sentences if s.strip()], self._separator, strip=True)
        )
        for sentence in sentences:  # the backend leaves out empty ones
            line = next(spoken) if sentence.strip() else ""
            yield [" ".join(word.split()) for word in line.split("|") if word.strip()]


def _espeak() -> tuple[Any, Any]:
    try:
        import espeakng_loader
        from phonemizer.backend import EspeakBackend
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
        from phonemizer.separator import Separator
    except ImportError as error:
        raise UserError(
            f"espeak's phonemes need packages that are not here ({error.name}): "
            "pip install 'auricle[phonemes]'"
        ) from error
    logging.getLogger("phonemizer").setLevel(logging.ERROR)
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    return EspeakBackend, Separator


class FromLexicon:
    """A lexicon, and a Phonetisaurus model for the words that it lacks.

    Args:
        lexicon: Its first pronunciation of a word is taken.
        model: Guesses the others; None where every word has to be in the lexicon.
    """

    def __init__(self, lexicon: Lexicon, model: Path | None = None) -> None:
        self._lexicon = lexicon
        self._model = model
        self._guessed: dict[str, str] = {}

    def __call__(self, sentences: Iterable[str]) -> Iterator[list[str]]:
        """See `Phonemizer`.

        Raises:
            UserError: Nothing knows how a word is pronounced.
        """
        sentences = list(sentences)
        self._guess({word for sentence in sentences for word in sentence.split()})
        for sentence in sentences:
            yield [self._pronounce(word) for word in sentence.split()]

    def _pronounce(self, word: str) -> str:
        return self._lexicon[word][0] if word in self._lexicon else self._guessed[word]

    def _guess(self, words: Iterable[str]) -> None:
        missing = sorted(word for word in words if word not in self._lexicon and word not in self._guessed)
        if missing and self._model is not None:
            self._guessed |= predict(missing, self._model)
        left = [word for word in missing if word not in self._guessed]
        if left:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            advice = "add them to the lexicon, or take them out of the text"
            raise UserError(f"no pronunciation of {', '.join(left[:3])}{more}: {advice}")


def read_lexicon(path: Path) -> dict[str, list[str]]:
    """Reads `word p h o n e m e s` a line; `word(2)` is another pronunciation of a word.

    Raises:
        UserError: A line has no phonemes, or there is no line.
    """
    lexicon: dict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields or line.startswith(";;;"):  # CMUdict's comments
            continue
        if len(fields) == 1:
            raise UserError(f"{path}:{number}: {fields[0]} has no phonemes: write 'word p h o n e m e s'")
        word, bracket, count = fields[0].partition("(")
        variant = bracket and count.rstrip(")").isdecimal() and word
        lexicon[word if variant else fields[0]].append(" ".join(fields[1:]))
    if not lexicon:
        raise UserError(f"{path} holds no word")
    return dict(lexicon)


def train_g2p(lexicon: Lexicon, model: Path) -> None:
    """Trains a Phonetisaurus model, which guesses pronunciations, from a lexicon.

    Raises:
        UserError: The extra is not installed, or the training failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        entries = [f"{word}\t{one}" for word, each in lexicon.items() for one in each]
        # "_" and "|" have a meaning in its alignments
        usable = [entry for entry in entries if not set("_|\xa0") & set(entry)]
        (Path(folder) / "lexicon.txt").write_text("".join(f"{entry}\n" for entry in usable), encoding="utf-8")
        _train(folder, len(usable))
        atomic_write_bytes(model, (Path(folder) / "train" / "model.fst").read_bytes())


def _train(folder: str, num_entries: int) -> None:
    """Trains in a folder, with a shorter memory where words are too few or too short for a long one."""
    for order in _ORDERS:
        command = [
            "phonetisaurus-train",
            "--lexicon",
            "lexicon.txt",
            "--seq2_del",
            "--ngram_order",
            str(order),
        ]
        try:
            _phonetisaurus(command, folder)
            return
        except _ProgramFailed as error:
            failure = error
    raise UserError(f"{failure} (of {num_entries} entries; some hundred are needed)") from failure


def predict(words: Sequence[str], model: Path) -> dict[str, str]:
    """Guesses pronunciations; words with letters that the model has never seen are left out.

    Raises:
        UserError: The extra is not installed, or the model is none.
    """
    if not model.is_file():
        raise UserError(f"{model}: there is no such model: train it with --lexicon")
    with open(model, "rb") as stream:
        if stream.read(len(_FST)) != _FST:
            raise UserError(f"{model} is no model of Phonetisaurus: train one with --lexicon")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(model, Path(folder) / "model.fst")  # the tool trips over some names
        (Path(folder) / "words.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
        answer = _phonetisaurus(
            ["phonetisaurus-apply", "--model", "model.fst", "--word_list", "words.txt"], folder
        )
    lines = (line.split() for line in answer.splitlines())
    return {word: " ".join(phonemes) for word, *phonemes in filter(None, lines) if phonemes}


def _phonetisaurus(command: Sequence[str], folder: str) -> str:
    """Runs one of its programs, and gives what it wrote on standard output."""
    try:
        import phonetisaurus
    except ImportError as error:
        advice = "pip install 'auricle[phonetisaurus]' (Linux on x86-64, ARM or ARMv7)"
        raise UserError(f"Phonetisaurus is not installed: {advice}") from error
    environment = phonetisaurus.guess_environment()
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
    except OSError as error:
        raise UserError(f"Phonetisaurus cannot run here ({error.strerror}): it is made for Linux") from error
    if done.returncode:
        reason = _COLOURS.sub("", (done.stderr.strip().splitlines() or ["no reason given"])[-1])
        raise _ProgramFailed(f"{command[0]} failed: {reason}")
    return done.stdout
