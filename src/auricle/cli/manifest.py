"""``auricle manifest``: the audio of a folder, in train.tsv and valid.tsv."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.progress import progress
from auricle.errors import UserError
from auricle.manifest import Broken, extensions_in, find, measure, split, write_manifest


def command(
    waves: Annotated[
        Path, typer.Argument(metavar="WAVES", help="The folder of the audio.", show_default=False)
    ],
    dest: Annotated[Path, typer.Option(help="Where to write; made where it does not exist.")] = Path("."),
    ext: Annotated[
        list[str] | None,
        typer.Option(
            help="Extension of the files to list, in any case; may be given again, or several with commas.",
            show_default="flac",
        ),
    ] = None,
    valid_percent: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the files, from 0 to 1, that goes to valid.tsv."),
    ] = 0.01,
    seed: Annotated[int, typer.Option(help="Decides which files go to valid.tsv.")] = 42,
    path_must_contain: Annotated[
        str | None, typer.Option(help="List only files whose full path holds this text.", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Files looked at a time.")] = 8,
) -> None:
    """List the audio of a folder in train.tsv and valid.tsv.

    The first line is the folder, every other one a path under it and its number of samples, read from the
    file's header. A file that cannot be used is named on standard error with the reason, and left out.
    """
    extensions = [part for given in ext or ["flac"] for part in given.split(",") if part]
    paths = find(waves, extensions, path_must_contain)
    if not paths:
        raise UserError(_none_found(waves, extensions, path_must_contain))
    with progress("files", len(paths)) as advance:
        entries, broken = measure(waves, paths, num_workers=workers, on_progress=advance)
    _report_broken(waves, broken)
    if not entries:
        raise UserError(f"none of the {len(paths)} files under {waves} can be used, see above")
    train, valid = split(entries, valid_percent, seed)
    root = os.path.realpath(waves)
    # without a share to hold out fairseq writes no valid.tsv
    for name, part in [("train", train), *([("valid", valid)] if valid_percent > 0 else [])]:
        write_manifest(dest / f"{name}.tsv", root, part)
        typer.echo(
            f"{dest / name}.tsv: {len(part)} files, {sum(entry.num_samples for entry in part)} samples"
        )


def _report_broken(waves: Path, broken: Sequence[Broken]) -> None:
    for path, reason in broken:
        print(f"left out {waves / path}: {reason}", file=sys.stderr)
    if broken:
        print(f"{len(broken)} files were left out", file=sys.stderr)


def _none_found(waves: Path, extensions: Sequence[str], path_must_contain: str | None) -> str:
    """What to say where no file matches: what else is there is the best hint."""
    wanted = " or ".join(f".{extension.lstrip('.')}" for extension in extensions)
    among = f" with {path_must_contain!r} in its path" if path_must_contain else ""
    others = ", ".join(
        f"{count} {extension or 'without one'}" for extension, count in extensions_in(waves).most_common(5)
    )
    return f"no {wanted} file{among} under {waves} (found by extension: {others or 'no file'}): see --ext"
