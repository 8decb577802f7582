"""``auricle evaluate``, also called ``infer``: error rates of a model on a labelled subset."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.infer_words import read_words
from auricle.cli.options import MODEL, DeviceOption, DictionaryOption

logger = logging.getLogger(__name__)

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
Decoder = Annotated[str, typer.Option("--w2l-decoder", "--decoder", help="Only viterbi so far.")]
PostProcess = Annotated[
    str | None,
    typer.Option(
        "--post-process",
        "--remove-bpe",
        help="How units become words: letter (join them, split at |) or none (also --remove-bpe).",
        show_default="letter where the dictionary has |",
    ),
]
NumWorkers = Annotated[int, typer.Option(min=0, help="Processes that read audio.")]


def command(
    data: Data = None,
    model: Annotated[Path | None, MODEL] = None,
    subset: Subset = "test",
    results_path: ResultsPath = None,
    labels: Labels = "ltr",
    dictionary: DictionaryOption = None,
    max_tokens: MaxTokens = 1_600_000,
    batch_size: BatchSize = None,
    decoder: Decoder = "viterbi",
    post_process: PostProcess = None,
    num_workers: NumWorkers = 0,
    device: DeviceOption = None,
) -> None:
    """Decode a labelled subset and measure its error rates, in percent.

    Takes the words of fairseq's infer.py, old and new. Clips that cannot be read are named, set aside and
    counted; the rates are over the others.
    """
    from auricle.cli.evaluation import Options, evaluate

    words = read_words(data or [])
    options = Options(
        model=model,
        subset=subset,
        results_path=results_path,
        labels=labels,
        dictionary=dictionary,
        max_tokens=max_tokens,
        batch_size=batch_size,
        decoder=decoder,
        post_process=post_process,
        num_workers=num_workers,
        device=device,
    )
    options = replace(options, **words.options)
    if words.unused:
        logger.info("%s uses no language model: %s ignored", options.decoder, ", ".join(words.unused))
    summary, results = evaluate(options)
    typer.echo(
        f"{summary.subset}: WER {summary.wer:.2f} %, CER {summary.cer:.2f} %, UER {summary.uer:.2f} % "
        f"({summary.num_utterances} utterances, {summary.num_words} words, {summary.decoder}; "
        f"{summary.audio_seconds:.0f} s of audio in {summary.wall_seconds:.1f} s)"
    )
    if summary.set_aside:
        typer.echo(f"{len(summary.set_aside)} clips could not be used and count nowhere")
    if results is not None:
        typer.echo(f"results: {results}")
