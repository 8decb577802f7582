"""The dictionary beside labels: written with the first of them, held against later ones."""

from collections.abc import Sequence
from pathlib import Path

import typer

from auricle.dictionary import Dictionary
from auricle.errors import UserError


def write_or_check(path: Path, labels: Sequence[str], *, new: bool, mend: str) -> None:
    """Write the dictionary of labels, or see that the one that is there has all their symbols.

    Args:
        path: Of the dictionary.
        labels: Symbols separated by spaces.
        new: Write it even where there is one.
        mend: What to do, besides that, where it lacks some.

    Raises:
        UserError: It lacks some.
    """
    if new or not path.exists():
        dictionary = Dictionary.from_labels(labels)
        dictionary.save(path)
        typer.echo(f"{path}: {len(dictionary)} symbols, special ones included")
        return
    unknown = Dictionary.load(path).unknown_symbols(" ".join(labels))
    if unknown:
        raise UserError(f"{path} lacks {' '.join(unknown)}: {mend}, or write it anew with --new-dictionary")
