"""Options that several commands have."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.decode.hypothesis import PostProcess
    from auricle.dictionary import Dictionary

logger = logging.getLogger(__name__)

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
PostProcessOption = Annotated[
    str | None,
    typer.Option(
        "--post-process",
        "--remove-bpe",
        help="How units become words: letter (join them, split at |), wordpiece (_), sentencepiece, "
        "or none (also --remove-bpe).",
        show_default="letter where the dictionary has |",
    ),
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


def chosen_post_process(name: str | None, dictionary: "Dictionary") -> "PostProcess":
    """The way of that name to make words; None: what the dictionary suggests.

    Raises:
        UserError: There is no such way.
    """
    from auricle.decode.hypothesis import MARKS, PostProcess
    from auricle.decode.listen import suggested_post_process

    if name is None:
        return suggested_post_process(dictionary)
    known: tuple[PostProcess, ...] = get_args(PostProcess)
    found = next((choice for choice in known if choice == name.lower()), None)
    if found is None:
        raise UserError(f"--post-process {name} is not available: choose one of {', '.join(known)}")
    mark = MARKS.get(found, "")
    if found != "letter" and not any(mark in symbol for symbol in dictionary.symbols):
        logger.warning("--post-process %s: no unit of the dictionary has a %r: all are one word", name, mark)
    return found
