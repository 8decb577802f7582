"""``auricle convert``: a checkpoint into another format, and the proof that it answers the same."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from auricle.cli.options import DictionaryOption


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC",
            help="A fairseq .pt of any era, a Hugging Face folder, a checkpoint or run folder of ours.",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="DST", help="A file for fairseq, a folder for the others.", show_default=False
        ),
    ],
    to: Annotated[
        Literal["auricle", "fairseq", "huggingface"], typer.Option("--to", help="The format of DST.")
    ],
    dictionary: DictionaryOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace DST where it exists.")] = False,
) -> None:
    """Write a model in the format of fairseq, of Hugging Face's transformers, or of this package.

    What was written is read again before it gets its name: every weight must be the same to the bit, and the
    answers to a test signal the same. Neither fairseq nor transformers is needed.
    """
    from auricle.convert.conversion import convert
    from auricle.convert.load import load

    done = convert(load(source, dictionary=dictionary), target, to, force=force)
    for notice in done.notices:
        print(f"auricle: {notice}", file=sys.stderr)
    if done.dictionary is not None:
        typer.echo(f"{done.dictionary}: its dictionary, the dict.txt of fairseq's data folder")
    typer.echo(f"{target}: largest difference on a test signal {done.difference:.3g}")
