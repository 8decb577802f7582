"""``auricle demo``: from raw audio to transcripts on the bundled speech, in minutes."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    quick: Annotated[
        bool, typer.Option("--quick", help="The same road in two minutes at most, not as far.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where everything goes; made where it does not exist.")] = Path(
        "auricle-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order, crops, masks and distractors.")] = 1,
    updates: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="N M",
            help="Pre-train for exactly N updates, train each recogniser for exactly M, however long.",
            show_default="as many as fit in the time",
        ),
    ] = None,
) -> None:
    """Pre-train, fine-tune and transcribe on the bundled speech, in ten minutes at most on two cores.

    A small wav2vec 2.0 is pre-trained on unlabelled speech in five languages and fine-tuned with CTC on
    English; the same model is trained from random weights on the same transcripts. Both are measured on
    sentences that neither has seen, and transcribe a file.

    Minutes of training on a CPU do not make a good recogniser: this shows the whole road, with curves that go
    the right way.

    The same command goes on with a demo that was interrupted. To start anew, remove its folder or choose
    another.
    """
    from auricle.cli.demo_run import run

    try:
        run(folder, quick=quick, seed=seed, updates=updates or ())
    except KeyboardInterrupt:
        print("stopped: the same command goes on from here", file=sys.stderr)
        raise
