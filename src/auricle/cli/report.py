"""``auricle report``: the page of a run."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Run folders; several are compared in the same charts.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page to write.", show_default="RUN/report.html")
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(
            help="A folder that `auricle evaluate` wrote, besides RUN/evaluations/*; may be given again."
        ),
    ] = None,
    worst: Annotated[
        int, typer.Option(help="Utterances to show of each evaluation, those with the most errors.")
    ] = 8,
) -> None:
    """Write the page of a run: curves, error rates, and the worst utterances to see and to hear.

    The page is one HTML file with nothing outside it. RUN may also be what `auricle evaluate` wrote.
    """
    from auricle.report import write_report  # here, as it waits for torch and --help need not

    typer.echo(write_report(runs, output=output, evaluations=evaluation or [], worst=worst))
