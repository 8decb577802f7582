"""Codes as text, for language models: a line an utterance, a token a frame, as fairseq writes it."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.convert.loaded import Loaded
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.extract.clips import Clip
from auricle.extract.models import Tokenizer
from auricle.extract.record import difference, fingerprint, list_fingerprint, read_record, write_record
from auricle.extract.stream import Values, extract
from auricle.files import PARTIAL, growing_file

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """What is in a file of tokens.

    Attributes:
        num_utterances: Lines.
        num_empty: Those that are empty, because a recording could not be used.
    """

    num_utterances: int
    num_empty: int


def line_of(codes: Values) -> str:
    """Codes int64 [N, G] as text: `12-305 7-7 31-2`."""
    return " ".join("-".join(map(str, frame)) for frame in codes.tolist())


def write_tokens(
    target: Path,
    clips: Sequence[Clip],
    loaded: Loaded,
    *,
    max_tokens: int,
    max_size: int | None = None,
    on_progress: Callable[[int], object] = lambda steps: None,
) -> Written:
    """Writes a line a clip, in order; what cannot be used is named and gets an empty line.

    The file gets its name when it is whole. `NAME.partial` is what an interrupted run has left, and is gone
    on with; `NAME.json` says what both are made with.

    Args:
        target: The file.
        clips: What to listen to.
        loaded: The model.
        max_tokens: Samples in a batch.
        max_size: As in `Tokenizer`.
        on_progress: Told how many utterances more are done.

    Raises:
        UserError: The model has no quantizer, what is there was made otherwise, no recording can be used, or
            the disk is full.
    """
    tokenizer = Tokenizer(loaded, max_size)
    settings = {
        "weights": fingerprint(loaded.model),
        "normalize": tokenizer.hearing.normalize,
        "recordings": list_fingerprint(clips),
        "max_size": max_size,
    }
    if _is_done(target, settings):
        _logger.info("%s is there already", target)
        on_progress(len(clips))
        return count_lines(target)
    write_record(record_of(target), settings, loaded.source)
    with growing_file(target) as (stream, done):
        on_progress(done)
        if done:
            _logger.info("%s: going on after %d of %d utterances", target, done, len(clips))
        usable = done > 0
        for result in extract(clips[done:], tokenizer, max_tokens=max_tokens):
            if result.values is None:
                _logger.warning("set aside %s: %s: its line is empty", result.clip.path, result.reason)
            line = "" if result.values is None else line_of(result.values)
            usable = usable or bool(line)
            stream.write(f"{line}\n".encode())
            stream.flush()
            on_progress(1)
        if not usable:
            stream.truncate(0)
            raise UserError(f"none of the {len(clips)} recordings of {target} can be used, see above")
    return count_lines(target)


def record_of(target: Path) -> Path:
    """Where it stands what a file of tokens is made with."""
    return target.with_name(f"{target.name}.json")


def _is_done(target: Path, settings: Mapping[str, object]) -> bool:
    """Whether the whole file is there; a half one that is of no use is removed."""
    partial = target.with_name(target.name + PARTIAL)
    record = read_record(record_of(target))
    differs = "nothing says what it was made with" if record is None else difference(record, settings)
    if target.exists() and differs is not None:
        raise UserError(f"{target} is there, made otherwise ({differs}): choose another folder, or remove it")
    if differs is not None:
        partial.unlink(missing_ok=True)
    return target.exists()


def count_lines(path: Path) -> Written:
    """Counts utterances."""
    lines = empty = 0
    with open(path, "rb") as stream:
        for line in stream:
            lines, empty = lines + 1, empty + (line == b"\n")
    return Written(lines, empty)


def dictionary_of(paths: Iterable[Path]) -> Dictionary:
    """The dictionary of files of tokens, as fairseq's preprocessing makes it.

    Frequent tokens first, equals in code point order, filled up to a multiple of 8 (golden quirk 33).
    """
    return Dictionary.from_labels(_lines(paths)).padded()


def _lines(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        with open(path, encoding="utf-8") as stream:
            yield from stream
