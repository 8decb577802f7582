"""``auricle libri-labels``: labels from LibriSpeech's own transcript files."""

from pathlib import Path
from typing import Annotated

import typer

from auricle.data.transcripts import read_libri, write_labels
from auricle.manifest import read_manifest


def command(
    tsv: Annotated[
        Path, typer.Argument(metavar="TSV", help="A manifest of LibriSpeech.", show_default=False)
    ],
    output_dir: Annotated[
        Path, typer.Option(help="Where to write; made where it does not exist.", show_default=False)
    ],
    output_name: Annotated[
        str, typer.Option(help="Name of the files without .ltr and .wrd.", show_default=False)
    ],
) -> None:
    """Write NAME.ltr and NAME.wrd from the SPEAKER-CHAPTER.trans.txt files that stand beside the audio."""
    texts = read_libri(read_manifest(tsv))
    write_labels(output_dir, output_name, texts)
    typer.echo(f"{output_dir / output_name}.ltr, {output_dir / output_name}.wrd: {len(texts)} utterances")
