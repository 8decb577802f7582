"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from auricle.errors import UserError

MODEL = typer.Option(
    "--model",
    "--path",
    "--checkpoint",
    help="A fine-tuned checkpoint (also --path, --checkpoint).",
    show_default=False,
)
DictionaryOption = Annotated[
    Path | None, typer.Option("--dictionary", help="Its dict.ltr.txt, where the checkpoint holds none.")
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="Such as cpu or cuda:1.", show_default="cuda where there is one, else cpu"),
]
CorpusArgument = Annotated[
    Path, typer.Argument(metavar="CORPUS", help="A folder of manifests, or one .tsv.", show_default=False)
]
SubsetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--subset",
        help="Manifest of the folder, without .tsv; may be given again, or several with commas.",
        show_default="all",
    ),
]


def manifests_of(corpus: Path, wanted: list[str] | None) -> list[Path]:
    """The manifests that `CorpusArgument` and `SubsetOption` name.

    Raises:
        UserError: There are none.
    """
    if corpus.is_file():
        return [corpus]
    if not corpus.is_dir():
        raise UserError(f"{corpus}: no such folder or manifest")
    names = [part for given in wanted or [] for part in given.split(",") if part]
    found = [corpus / f"{name}.tsv" for name in names] or sorted(corpus.glob("*.tsv"))
    if not found:
        raise UserError(f"{corpus} holds no manifest (.tsv): make them with `auricle manifest`")
    return found
