"""A checkpoint of any format written in another: written beside, read again, compared, then renamed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from auricle.convert.fairseq import read_fairseq
from auricle.convert.fairseq_write import dictionary_beside, fit_fairseq, write_fairseq
from auricle.convert.fitted import Fitted
from auricle.convert.huggingface import read_huggingface
from auricle.convert.huggingface_files import is_huggingface
from auricle.convert.huggingface_write import fit_huggingface, write_huggingface
from auricle.convert.loaded import Loaded
from auricle.convert.own import ROWS, is_own, read_model, write_model
from auricle.convert.verify import largest_difference
from auricle.errors import UserError
from auricle.files import atomic_file, atomic_folder

Format = Literal["auricle", "fairseq", "huggingface"]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a conversion.

    Attributes:
        difference: The largest one between answers before and after, to a test signal.
        notices: A sentence for each thing that the format cannot say of the model.
        dictionary: A file that was written besides, where the format has no place for the dictionary.
    """

    difference: float
    notices: tuple[str, ...]
    dictionary: Path | None = None


def convert(loaded: Loaded, target: Path, to: Format, *, force: bool = False) -> Conversion:
    """Write a model in a format, once what was written has been found to give the same answers.

    Args:
        loaded: The model.
        target: A file for fairseq, a folder for the others.
        to: The format.
        force: Replace what is there.

    Raises:
        UserError: The format cannot hold the model, something is in the way, the disk is full, or what was
            written gives other answers; what was at `target` is as it was.
    """
    _check_target(loaded, target, to, force)
    if to == "fairseq":
        return _to_fairseq(loaded, target, force)
    fit, write, read = _FOLDERS[to]
    fitted = fit(loaded)
    with atomic_folder(target) as partial:
        write(partial, fitted.loaded)
        difference = _verified(fitted.loaded, read, partial, target)
    return Conversion(difference, fitted.notices)


def _to_fairseq(loaded: Loaded, target: Path, force: bool) -> Conversion:
    fitted = fit_fairseq(loaded)
    words = dictionary_beside(fitted.loaded)
    beside = None if words is None else target.with_suffix(".dict.txt")
    if beside is not None and beside.exists() and not force:
        raise UserError(f"{beside} exists: choose another name, or replace it with --force")
    with atomic_file(target) as partial:
        write_fairseq(partial, fitted.loaded)
        held = fitted.loaded if words is None else replace(fitted.loaded, dictionary=None)
        difference = _verified(held, read_fairseq, partial, target)
    if words is not None and beside is not None:
        words.save(beside)
    return Conversion(difference, fitted.notices, beside)


def _verified(expected: Loaded, read: Callable[[Path], Loaded], partial: Path, target: Path) -> float:
    try:
        written = read(partial)
        if written.dictionary != expected.dictionary:
            raise UserError("what was written has another dictionary: nothing is kept")
        return largest_difference(expected, written)
    except UserError as error:
        raise UserError(f"{target}: {str(error).replace(str(partial), str(target))}") from None


def _write_own(folder: Path, fitted: Loaded) -> None:
    extra = {"num_updates": fitted.num_updates} | ({ROWS: list(fitted.rows)} if fitted.rows else {})
    write_model(folder, fitted.model, fitted.config, fitted.dictionary, extra)


_FOLDERS: dict[
    str, tuple[Callable[[Loaded], Fitted], Callable[[Path, Loaded], None], Callable[[Path], Loaded]]
] = {
    "auricle": (Fitted, _write_own, read_model),
    "huggingface": (fit_huggingface, write_huggingface, read_huggingface),
}


def _check_target(loaded: Loaded, target: Path, to: Format, force: bool) -> None:
    """Whether something may be written there: only what is asked for is replaced, and only a checkpoint."""
    source, place = loaded.source.resolve(), target.resolve()
    if place == source or (to != "fairseq" and place in source.parents):
        raise UserError(f"{target} is, or holds, what is converted: choose another place")
    if not target.exists() or (to != "fairseq" and target.is_dir() and not any(target.iterdir())):
        return
    if not force:
        raise UserError(f"{target} exists: choose another name, or replace it with --force")
    if to == "fairseq" and target.is_dir():
        raise UserError(f"{target} is a folder, and fairseq's format is a file: give a name ending in .pt")
    if to != "fairseq" and not (is_own(target) or is_huggingface(target)):
        raise UserError(f"{target} is no checkpoint folder, and is not replaced: choose another name")
