"""The work of ``auricle lm``."""

import gzip
import importlib.util
import logging
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.cli.output import check_writable_file
from auricle.cli.progress import progress
from auricle.decode.arpa import read_arpa, write_arpa
from auricle.decode.estimate import EstimationOptions, estimate
from auricle.decode.ngram import NgramModel
from auricle.decode.prune import prune
from auricle.decode.wordlist import MARKS, pronounce, read_pronunciations, spell
from auricle.dictionary import Dictionary, letters_to_words
from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.textfile import read_lines

CASES: dict[str, Callable[[str], str]] = {"keep": str, "lower": str.lower, "upper": str.upper}
ESTIMATORS = ("auto", "own", "lmplz", "mitlm")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """What to make of what; see the help of the command."""

    texts: tuple[Path, ...] = ()
    output: Path | None = None
    order: int | None = None
    prune: str | None = None
    entropy_prune: float | None = None
    vocabulary: Path | None = None
    case: str = "keep"
    estimator: str | None = None
    model: Path | None = None
    lexicon: Path | None = None
    dictionary: Path | None = None
    pronunciations: Path | None = None
    binary: Path | None = None


def make(request: Request) -> Iterator[str]:
    """Makes it, and says line by line what was made.

    Raises:
        UserError: Something is missing or wrong.
    """
    _check(request)
    options = EstimationOptions(request.order or 3, _counts(request.prune or "0"), _vocabulary(request))
    model = _model(request, options)
    if request.entropy_prune is not None:
        model = prune(model, request.entropy_prune)
    sizes = ", ".join(f"{len(table):,} {n}-grams" for n, table in enumerate(model.tables, start=1))
    if request.output is not None:
        write_arpa(model, request.output)
        yield f"{request.output}: {sizes}"
    if request.lexicon is not None:
        yield _write_lexicon(request, model)
    if request.binary is not None:
        yield _write_binary(request, model)


def _check(request: Request) -> None:
    if bool(request.texts) == (request.model is not None):
        raise UserError("give the text to estimate from, or a model with --model, and not both")
    if request.output is None and request.lexicon is None and request.binary is None:
        raise UserError("nothing to write: give --output lm.arpa, --lexicon lexicon.txt, or both")
    if request.case not in CASES:
        raise UserError(f"--case {request.case}: choose one of {', '.join(CASES)}")
    of_text = ("order", "prune", "vocabulary", "estimator")
    given = [f"--{name}" for name in of_text if getattr(request, name) is not None]
    if request.model is not None and given:
        raise UserError(
            f"{', '.join(given)}: for models estimated from text; --entropy-prune makes a --model smaller"
        )
    if request.estimator not in (None, *ESTIMATORS):
        raise UserError(f"--estimator {request.estimator}: choose one of {', '.join(ESTIMATORS)}")
    if request.binary is not None and shutil.which("build_binary") is None:
        raise UserError("--binary needs KenLM's build_binary on the PATH; ARPA files are read as they are")
    for path in (request.output, request.lexicon, request.binary):
        if path is not None:
            check_writable_file(path)
    if request.dictionary is not None:  # both are small: read here for what may be wrong with them
        Dictionary.load(request.dictionary)
    if request.pronunciations is not None:
        read_pronunciations(request.pronunciations)


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise UserError(f"--prune {text!r}: give whole numbers, such as '0 0 1'") from None


def _vocabulary(request: Request) -> frozenset[str] | None:
    if request.vocabulary is None:
        return None
    change = CASES[request.case]
    words = frozenset(change(word) for line in read_lines(request.vocabulary) for word in line.split()[:1])
    if not words:
        raise UserError(f"{request.vocabulary}: no words: a vocabulary has one a line")
    return words


def sentences(paths: Sequence[Path], case: str = "keep") -> Iterator[list[str]]:
    """The words of each line; label files (.ltr) hold letters, and | after each word."""
    for path in paths:
        change = CASES[case]
        for line in _lines(path):
            text = letters_to_words(line) if path.suffix == ".ltr" else line
            yield change(text).split()


def _lines(path: Path) -> Iterator[str]:
    if path.suffix != ".gz":
        yield from read_lines(path)
        return
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            for line in stream:
                yield line.rstrip("\n")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}): check the file") from None


def _model(request: Request, options: EstimationOptions) -> NgramModel:
    if request.model is not None:
        with progress("n-grams read") as advance:
            return _recased(read_arpa(request.model, advance), request)
    estimator = request.estimator or "auto"
    if estimator == "auto":
        estimator = "lmplz" if shutil.which("lmplz") else "own"
    if estimator == "own":
        return estimate(_counted(request), options)
    with tempfile.TemporaryDirectory() as folder:
        text, arpa = Path(folder, "text"), Path(folder, "lm.arpa")
        with text.open("w", encoding="utf-8") as stream:
            stream.writelines(" ".join(words) + "\n" for words in _counted(request))
        command = _lmplz(options, text, arpa) if estimator == "lmplz" else _mitlm(options, text, arpa)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(command))
        if done.returncode or not arpa.is_file():
            reason = " ".join(done.stderr.split())[-200:]
            raise UserError(f"{estimator} failed ({reason}): try --estimator own")
        return read_arpa(arpa)


def _recased(model: NgramModel, request: Request) -> NgramModel:
    """With its words in another case: the recogniser's letters and the model's have to be the same."""
    if request.case == "keep":
        return model
    change = CASES[request.case]
    words = [word if word in MARKS else change(word) for word in model.words]
    if len(set(words)) < len(words):
        twice = next(word for word, times in Counter(words).items() if times > 1)
        raise UserError(f"{request.model}: {twice} is there in more than one case: estimate the model anew")
    return NgramModel.build(words, model.tables)


def _counted(request: Request) -> Iterator[list[str]]:
    with progress("sentences") as advance:
        for words in sentences(request.texts, request.case):
            yield words
            advance()


def _lmplz(options: EstimationOptions, text: Path, arpa: Path) -> list[str]:
    program = shutil.which("lmplz")
    if program is None:
        raise UserError("lmplz is not on the PATH: install KenLM, or take --estimator own")
    if options.vocabulary is not None:
        raise UserError("--vocabulary goes with --estimator own")
    command = [
        program,
        "-o",
        str(options.order),
        "--discount_fallback",
        "--text",
        str(text),
        "--arpa",
        str(arpa),
    ]
    return [*command, "--prune", *map(str, options.prune)] if any(options.prune) else command


def _environment(command: Sequence[str]) -> dict[str, str]:
    """With the libraries that a wheel keeps apart from its programs."""
    program = Path(command[0])
    libraries = program.parents[2] / "lib" / program.parent.name
    return {**os.environ, "LD_LIBRARY_PATH": str(libraries)} if libraries.is_dir() else dict(os.environ)


def _mitlm(options: EstimationOptions, text: Path, arpa: Path) -> list[str]:
    """MITLM as the phonetisaurus package brings it."""
    found = importlib.util.find_spec("phonetisaurus")
    places = Path(found.origin).parent.glob("bin/*/estimate-ngram") if found and found.origin else iter(())
    program = shutil.which("estimate-ngram") or next(map(str, places), None)
    if program is None:
        raise UserError("MITLM is not installed: pip install phonetisaurus (Linux), or take --estimator own")
    if options.vocabulary is not None or any(options.prune):
        raise UserError("--vocabulary and --prune go with --estimator own or lmplz")
    return [program, "-o", str(options.order), "-s", "ModKN", "-t", str(text), "-wl", str(arpa)]


def _write_lexicon(request: Request, model: NgramModel) -> str:
    assert request.lexicon is not None
    dictionary = Dictionary.load(request.dictionary) if request.dictionary else None
    words = sorted(model.words)
    if request.pronunciations is not None:
        spelled = pronounce(words, read_pronunciations(request.pronunciations), dictionary)
    else:
        spelled = spell(words, dictionary)
    if not spelled.lines:
        source = request.pronunciations or request.dictionary or "letters"
        raise UserError(
            f"no word, such as {words[-1]!r}, can be written with {source}: set --case upper or lower"
        )
    atomic_write_text(request.lexicon, "".join(f"{line}\n" for line in spelled.lines))
    said = f"{request.lexicon}: {len(spelled.lines):,} lines"
    if spelled.left_out:
        first = spelled.left_out[0]
        said += f"; {len(spelled.left_out):,} words left out that have no spelling, such as {first!r}"
    return said


def _write_binary(request: Request, model: NgramModel) -> str:
    assert request.binary is not None
    with tempfile.TemporaryDirectory() as folder:
        arpa = Path(folder, "lm.arpa")
        write_arpa(model, arpa)
        command = ["build_binary", "trie", str(arpa), str(Path(folder, "lm.bin"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"build_binary failed ({' '.join(done.stderr.split())[-200:]})")
        shutil.move(Path(folder, "lm.bin"), request.binary)
    return f"{request.binary}: KenLM binary"
