"""``auricle tune``: the language model's weight and the word score that make the fewest errors."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auricle.cli.beam_options import WRITING, with_decoding
from auricle.cli.options import MODEL, DeviceOption, DictionaryOption, PostProcessOption
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.cli.decoders import DecoderChoice
    from auricle.decode.tuning import Round

Data = Annotated[Path, typer.Argument(metavar="DATA", help="The folder with SUBSET.tsv and SUBSET.ltr.")]
Subset = Annotated[str, typer.Option("--gen-subset", "--subset", help="A subset to tune on, not to test on.")]
EmissionsFolder = Annotated[
    Path | None,
    typer.Option(
        "--emissions",
        help="What auricle evaluate --save-emissions kept; else the model is run once.",
        show_default=False,
    ),
]
Labels = Annotated[str, typer.Option(help="Ending of the label file.")]
Rounds = Annotated[int, typer.Option(min=1, help="Searches at most.")]
LmWeights = Annotated[tuple[float, float], typer.Option(help="The range of weights, the lower end first.")]
WordScores = Annotated[tuple[float, float], typer.Option(help="The range of word scores.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="A JSON file of the rounds.", show_default=False)
]


@with_decoding(leave_out=WRITING, decoder="kenlm", nbest=50)
def command(
    data: Data,
    model: Annotated[Path | None, MODEL] = None,
    emissions: EmissionsFolder = None,
    subset: Subset = "valid",
    labels: Labels = "ltr",
    dictionary: DictionaryOption = None,
    post_process: PostProcessOption = None,
    rounds: Rounds = 6,
    lm_weights: LmWeights = (0.0, 5.0),
    word_scores: WordScores = (-4.0, 4.0),
    output: Output = None,
    device: DeviceOption = None,
    *,
    decoding: dict[str, Any],
) -> None:
    """Search the language model's weight and the word score on a labelled subset.

    The model runs once; n-best lists are ranked anew for every pair of weights, and searches are done where
    that promises the fewest errors. With --rescore-lm the search keeps the weights given, is done once, and
    the weight and word score of that second model are looked for.
    """
    from auricle.cli.decoders import choice_of, flag
    from auricle.cli.evaluation import Options
    from auricle.cli.output import check_writable_file
    from auricle.cli.tuning import best_of, hear, named, tune_weights, write_rounds

    if output is not None:
        check_writable_file(output)
    if decoding["lm_model"] is None:
        raise UserError("no language model to weigh: give it with --lm-model")
    choice = choice_of(decoding)
    if choice.name == "viterbi":
        raise UserError("viterbi has no weights to look for: search with --w2l-decoder kenlm or fairseqlm")
    for option, (low, high) in (("--lm-weights", lm_weights), ("--word-scores", word_scores)):
        if not -math.inf < low <= high < math.inf:
            raise UserError(f"{option} {low:g} {high:g}: give the ends of a range, the lower one first")
    if choice.beam.nbest < 2:
        raise UserError(f"--nbest {choice.beam.nbest}: give 2 or more, to rank")
    options = Options(
        data=data, model=model, subset=subset, labels=labels, dictionary=dictionary, decoder=choice,
        post_process=post_process, emissions=emissions, device=device,
    )  # fmt: skip
    saved, references = hear(options)
    say = partial(_say, choice)
    told = tune_weights(saved, references, options, rounds, lm_weights, word_scores, say)
    best = best_of(told)
    if output is not None:
        write_rounds(output, told, choice)
    for option, value, ends in (
        ("--lm-weights", best.weights.lm_weight, lm_weights),
        ("--word-scores", best.weights.word_score, word_scores),
    ):
        if value in ends and ends[0] < ends[1]:
            typer.echo(f"{value:g} is an end of {option}: a wider range may have a better one")
    flags = " ".join(f"{flag(name)} {value:g}" for name, value in named(choice, best.weights).items())
    typer.echo(f"best: {flags} (WER {best.wer:.2f} % on {subset}, {len(saved.clips)} utterances)")


def _say(choice: "DecoderChoice", one: "Round") -> None:
    from auricle.cli.tuning import named

    weights = ", ".join(f"{name} {value:g}" for name, value in named(choice, one.weights).items())
    typer.echo(f"{weights}: WER {one.wer:.2f} %")
