"""Language models in ARPA's text format, plain or gzipped: read and written."""

import gc
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auricle.decode.ngram import NgramError, NgramModel, make_tables
from auricle.errors import UserError
from auricle.files import atomic_write_bytes

CHUNK_LINES = 4_000
HEADER_LINES = 10_000
"""Where `\\data\\` has to stand: another file than an ARPA file is not read to its end."""

GZIP_MAGIC = b"\x1f\x8b"


def read_arpa(path: str | os.PathLike[str], advance: Callable[[int], object] | None = None) -> NgramModel:
    """Reads a back-off model.

    Args:
        path: A `.arpa` or `.lm` file; gzipped, whatever its name, if it begins as such files do.
        advance: Told how many n-grams more have been read.

    Raises:
        UserError: The file is missing or is no such model; the message has the line where there is one.
    """
    try:
        with open(path, "rb") as raw:
            zipped = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            stream = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 20) if zipped else raw
            with stream, _no_cycles():
                return _Reader(Path(path), stream, advance or (lambda _: None)).model()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: damaged or cut off gzip file ({error}): fetch it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path") from None


@contextmanager
def _no_cycles() -> Iterator[None]:
    """Keeps the collector from going through millions of short lists: three times as fast."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class _Reader:
    """Reads from top to bottom, knowing the line it is at."""

    def __init__(self, path: Path, stream: Iterable[bytes], advance: Callable[[int], object]) -> None:
        self.path = path
        self.lines = iter(stream)
        self.line = 0
        self.advance = advance
        self.vocabulary: dict[bytes, int] = {}
        self.places: list[list[tuple[int, int]]] = []  # of each order: first n-gram of a chunk, its line

    def model(self) -> NgramModel:
        counts = self._counts()
        orders = [self._section(n, count, len(counts)) for n, count in enumerate(counts, start=1)]
        self._expect(b"\\end\\")
        try:
            tables = make_tables(len(self.vocabulary), *zip(*orders, strict=True))
            return NgramModel.build([self._decoded(word) for word in self.vocabulary], tables)
        except NgramError as error:
            first, line = next(x for x in reversed(self.places[error.order - 1]) if x[0] <= error.place)
            raise UserError(
                f"{self.path}:{line + error.place - first}: this {error.order}-gram {error.reason}"
            ) from None
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None

    def _counts(self) -> list[int]:
        """The numbers of n-grams that the head announces."""
        for line in islice(self._text(), HEADER_LINES):
            if line == b"\\data\\":
                break
        else:
            raise UserError(f"{self.path}: no ARPA language model: \\data\\ is missing")
        counts: list[int] = []
        for line in self._text():
            match = re.fullmatch(rb"ngram\s+(\d+)\s*=\s*(\d+)", line)
            if match and int(match[1]) == len(counts) + 1:
                counts.append(int(match[2]))
            elif counts and line == b"\\1-grams:":
                return counts
            else:
                raise self._error(f"expected 'ngram {len(counts) + 1}=COUNT'", line)
        raise UserError(f"{self.path}:{self.line}: the file ends in its head: fetch or estimate it again")

    def _section(
        self, n: int, count: int, order: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The words, log-probabilities and back-offs of the n-grams of one order."""
        if n > 1:
            self._expect(b"\\%d-grams:" % n)
        self.places.append([])
        words = [np.empty((0, n), np.int64)]
        values = [np.empty((0, 2), np.float64)]
        left = count
        while left:
            first_line = self.line + 1
            lines = list(islice(self.lines, min(left, CHUNK_LINES)))
            fields = [line for line in map(bytes.split, lines) if line]
            self.line += len(lines)
            if not lines or any(line[0][:1] == b"\\" for line in fields):
                raise self._too_few(lines, first_line, n, count, left)
            self.places[-1].append((count - left, first_line))
            try:
                words_read, values_read = self._parse(fields, n, order)
            except (ValueError, KeyError):
                raise self._first_error(lines, first_line, n, order) from None
            words.append(words_read)
            values.append(values_read)
            left -= len(fields)
            self.advance(len(fields))
        log_probs, backoffs = np.concatenate(values).astype(np.float32).T
        return np.concatenate(words), np.ascontiguousarray(log_probs), np.ascontiguousarray(backoffs)

    def _parse(
        self, fields: Sequence[list[bytes]], n: int, order: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Words [count, n] and values [count, 2] of lines that are as they should be.

        Raises:
            ValueError, KeyError: One is not.
        """
        for line in fields:
            if len(line) == n + 1:
                line.append(b"0")
            elif len(line) != n + 2:
                raise ValueError
        if not fields:
            return np.empty((0, n), np.int64), np.empty((0, 2), np.float64)
        log_probs, *words, backoffs = zip(*fields, strict=True)
        values = np.array([list(map(float, log_probs)), list(map(float, backoffs))]).T
        if not np.isfinite(values).all() or (values[:, 0] > 0).any() or (n == order and values[:, 1].any()):
            raise ValueError
        if n == 1:
            for word in words[0]:
                if word in self.vocabulary:
                    raise ValueError
                self.vocabulary[word] = len(self.vocabulary)
        numbers = [list(map(self.vocabulary.__getitem__, column)) for column in words]
        return np.array(numbers, dtype=np.int64).T, values

    def _first_error(self, lines: Sequence[bytes], first_line: int, n: int, order: int) -> UserError:
        """What is wrong with the first wrong line of a chunk."""
        seen: set[bytes] = set()
        for number, line in enumerate(lines, start=first_line):
            self.line = number
            fields = line.split()
            problem = _problem(fields, n, order) if fields else None
            if problem is None and n == 1 and fields and fields[1] in seen:
                problem = "this word is there twice"
            elif problem is None and n > 1 and fields:
                unknown = next((word for word in fields[1 : n + 1] if word not in self.vocabulary), None)
                problem = f"the word {_shown(unknown)} is no 1-gram" if unknown else None
            if problem is not None:
                return self._error(problem, line.strip())
            seen.update(fields[1:2])
        return UserError(f"{self.path}:{first_line}: a word is there twice among the 1-grams: remove one")

    def _too_few(self, lines: Sequence[bytes], first_line: int, n: int, count: int, left: int) -> UserError:
        """The section ends before its time: with the file, or with the head of the next."""
        place = next((i for i, line in enumerate(lines) if line.lstrip().startswith(b"\\")), len(lines))
        missing = left - sum(bool(line.strip()) for line in lines[:place])
        return UserError(
            f"{self.path}:{first_line + place}: {count} {n}-grams are announced and {missing} of them are "
            "missing: the file is cut off or was edited; fetch or estimate it again"
        )

    def _text(self) -> Iterator[bytes]:
        """The lines that hold anything, without white space around it."""
        for line in self.lines:
            self.line += 1
            if text := line.strip():
                yield text

    def _expect(self, wanted: bytes) -> None:
        line = next(self._text(), b"the end of the file")
        if line != wanted:
            raise self._error(f"expected {wanted.decode()} after as many n-grams as announced", line)

    def _error(self, problem: str, line: bytes) -> UserError:
        return UserError(f"{self.path}:{self.line}: {problem}, got {_shown(line)}")

    def _decoded(self, word: bytes) -> str:
        try:
            return word.decode()
        except UnicodeDecodeError:
            raise UserError(f"the word {_shown(word)} is not UTF-8: convert the file, with iconv") from None


def _problem(fields: Sequence[bytes], n: int, order: int) -> str | None:
    """What is wrong with a line of an n-gram, its words apart."""
    if len(fields) not in (n + 1, n + 2):
        return f"expected a log-probability, {n} words and a back-off"
    backoff = fields[n + 1] if len(fields) > n + 1 else b"0"
    for text, what in ((fields[0], "log-probability"), (backoff, "back-off")):
        try:
            value = float(text)
        except ValueError:
            return f"the {what} is no number"
        if not np.isfinite(value):
            return f"the {what} is not finite"
        if value > 0 and what == "log-probability":
            return "the log-probability is above 0"
        if value and n == order and what == "back-off":
            return f"a {n}-gram, the longest kind, has a back-off"
    return None


def _shown(text: bytes, limit: int = 60) -> str:
    shown = text.decode(errors="replace")
    return repr(shown if len(shown) <= limit else shown[: limit - 3] + "...")


def write_arpa(model: NgramModel, path: str | os.PathLike[str]) -> None:
    """Writes a model, all of it or nothing; gzipped where the name ends in `.gz`.

    Raises:
        UserError: The disk is full or not writable.
    """
    text = "".join(_written(model)).encode()
    atomic_write_bytes(path, gzip.compress(text, mtime=0) if str(path).endswith(".gz") else text)


def _written(model: NgramModel) -> Iterator[str]:
    yield "\\data\\\n"
    for n, table in enumerate(model.tables, start=1):
        yield f"ngram {n}={len(table)}\n"
    for n, table in enumerate(model.tables, start=1):
        yield f"\n\\{n}-grams:\n"
        rows: Iterable[list[int]] = model.ngrams(n).tolist()
        for words, log_prob, backoff in zip(
            rows, table.log_probs.tolist(), table.backoffs.tolist(), strict=True
        ):
            text = " ".join(model.words[word] for word in words)
            yield (
                f"{log_prob:.7g}\t{text}\t{backoff:.7g}\n" if n < model.order else f"{log_prob:.7g}\t{text}\n"
            )
    yield "\n\\end\\\n"
