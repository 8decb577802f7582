"""``auricle labels``: letter labels, word labels and a dictionary from a table of transcripts."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from auricle.cli.label_dictionary import write_or_check
from auricle.data.pseudo_labels import believed, read_pseudo_labels
from auricle.data.transcripts import PATH_COLUMNS, TEXT_COLUMNS, match, read_table, write_labels
from auricle.dictionary import words_to_letters
from auricle.errors import UserError
from auricle.manifest import Entry, Manifest, read_manifest, write_manifest

DICTIONARY = "dict.ltr.txt"


def command(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="Transcripts: .tsv (with a header line, no quotes), .csv (with a header line) or .jsonl.",
            show_default=False,
        ),
    ],
    manifest: Annotated[Path, typer.Option(help="The .tsv that the labels go with.", show_default=False)],
    output_dir: Annotated[
        Path, typer.Option(help="Where to write; made where it does not exist.", show_default=False)
    ],
    output_name: Annotated[
        str | None,
        typer.Option(help="Name of the files without .ltr and .wrd.", show_default="the manifest's"),
    ] = None,
    path_column: Annotated[
        str | None,
        typer.Option(
            help="Column with the audio's path or name.",
            show_default=f"the first of {', '.join(PATH_COLUMNS)}",
        ),
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(
            help="Column with the transcript.", show_default=f"the first of {', '.join(TEXT_COLUMNS)}"
        ),
    ] = None,
    case: Annotated[
        Literal["keep", "upper", "lower"],
        typer.Option(help="Published models write upper case.", case_sensitive=False),
    ] = "keep",
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="For self-training: TABLE holds what a model understood (`auricle transcribe --format "
            "json`, or utterances.jsonl of `auricle evaluate`); only utterances of this confidence or more "
            "are written, and a NAME.tsv of them.",
            show_default=False,
        ),
    ] = None,
    new_dictionary: Annotated[
        bool,
        typer.Option(
            "--new-dictionary", help=f"Write {DICTIONARY} from these labels even where there is one already."
        ),
    ] = False,
) -> None:
    """Write NAME.ltr, NAME.wrd and dict.ltr.txt from a table of transcripts, in the order of a manifest.

    The dictionary is written once: where there is one, such as when valid.tsv comes after train.tsv, it is
    kept, and labels with a symbol that it lacks are refused.
    """
    listed = read_manifest(manifest)
    name = output_name or manifest.stem
    entries: list[Entry] | None = None
    if min_confidence is None:
        texts = match(listed, read_table(table, path_column, text_column), table)
    else:
        if (output_dir / f"{name}.tsv").resolve() == manifest.resolve():
            raise UserError(f"{manifest} would be written over: choose another --output-name")
        entries, texts = believed(listed, read_pseudo_labels(table), min_confidence, table)
    if case != "keep":
        texts = [text.upper() if case == "upper" else text.lower() for text in texts]
    letters = [words_to_letters(text) for text in texts]
    write_or_check(output_dir / DICTIONARY, letters, new=new_dictionary, mend="mend the transcripts")
    write_labels(output_dir, name, texts)
    if entries is not None:
        write_manifest(output_dir / f"{name}.tsv", listed.root, entries)
        typer.echo(f"{output_dir / name}.tsv: {_kept(entries, listed)}")
    typer.echo(f"{output_dir / name}.ltr, {output_dir / name}.wrd: {len(texts)} utterances")
    if empty := sum(not text for text in texts):
        print(f"{empty} transcripts are empty", file=sys.stderr)


def _kept(entries: Sequence[Entry], listed: Manifest) -> str:
    share = sum(entry.num_samples for entry in entries) / sum(entry.num_samples for entry in listed.entries)
    return f"{len(entries)} of {len(listed)} utterances are believed, {share:.1%} of the audio"
