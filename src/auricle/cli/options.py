"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

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
