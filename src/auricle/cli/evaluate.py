"""``auricle evaluate``, also called ``infer``: error rates of a model on a labelled subset."""

from pathlib import Path
from typing import Annotated, Any

import typer

from auricle.cli.backend import BackendOption, PrecisionOption
from auricle.cli.beam_options import OPTIONS, with_decoding
from auricle.cli.infer_words import read_words
from auricle.cli.options import MODEL, DeviceOption, DictionaryOption, PostProcessOption

Data = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATA",
        help="The folder with SUBSET.tsv and SUBSET.ltr. fairseq's Hydra keys may stand here too "
        "(decoding.type=viterbi task.data=DATA common_eval.path=MODEL ...).",
        show_default=False,
    ),
]
Subset = Annotated[str, typer.Option("--gen-subset", "--subset", help="Which subset.")]
ResultsPath = Annotated[
    Path | None,
    typer.Option(
        help="Folder for hypo.*, ref.*, utterances.jsonl and summary.json.",
        show_default="evaluations/SUBSET in the model's run folder, else none",
    ),
]
Labels = Annotated[str, typer.Option(help="Ending of the label file.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Samples a batch, padding included.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", "--max-sentences", min=1, help="Most utterances a batch (also --max-sentences)."
    ),
]
NumWorkers = Annotated[int, typer.Option(min=0, help="Processes that read audio.")]


SaveEmissions = Annotated[
    Path | None,
    typer.Option(help="Folder to keep the emissions in, to decode them again with --emissions or tune."),
]
EmissionsFolder = Annotated[
    Path | None, typer.Option("--emissions", help="Such a folder: decoded without running the model.")
]
Speakers = Annotated[
    str | None,
    typer.Option(
        help="Who speaks, for rates of each: a file of a name a line, folder (that a clip is in), "
        "or top (first folder of its path).",
        show_default="SUBSET.spk, if there",
    ),
]


@with_decoding()
def command(
    data: Data = None,
    model: Annotated[Path | None, MODEL] = None,
    subset: Subset = "test",
    results_path: ResultsPath = None,
    labels: Labels = "ltr",
    dictionary: DictionaryOption = None,
    max_tokens: MaxTokens = 1_600_000,
    batch_size: BatchSize = None,
    post_process: PostProcessOption = None,
    num_workers: NumWorkers = 0,
    device: DeviceOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    save_emissions: SaveEmissions = None,
    emissions: EmissionsFolder = None,
    speakers: Speakers = None,
    *,
    decoding: dict[str, Any],
) -> None:
    """Decode a labelled subset and measure its error rates, in percent.

    Takes the words of fairseq's infer.py, old and new. Clips that cannot be read are named, set aside and
    counted; the rates are over the others.
    """
    given = dict(locals())
    given |= given.pop("decoding") | read_words(given.pop("data") or [])
    _run(given)


def _run(given: dict[str, Any]) -> None:
    """Sorts the options, evaluates and says what was found."""
    from auricle.cli.decoders import choice_of, writing_of
    from auricle.cli.evaluation import Options, evaluate
    from auricle.decode.seq2seq import SearchOptions

    choice, writing = choice_of(given), writing_of(given, SearchOptions())
    given = {name: value for name, value in given.items() if name not in OPTIONS}
    options = Options(**given, decoder=choice, writing=writing)
    summary, results = evaluate(options)
    typer.echo(
        f"{summary.subset}: WER {summary.wer:.2f} % (95 % interval {summary.wer_low:.2f} to "
        f"{summary.wer_high:.2f}), CER {summary.cer:.2f} %, UER {summary.uer:.2f} % "
        f"({summary.num_utterances} utterances, {summary.num_words} words, {summary.decoder}; "
        f"{summary.audio_seconds:.0f} s of audio in {summary.wall_seconds:.1f} s)"
    )
    if summary.set_aside:
        typer.echo(f"{len(summary.set_aside)} clips could not be used and count nowhere")
    if results is not None:
        typer.echo(f"results: {results}")
