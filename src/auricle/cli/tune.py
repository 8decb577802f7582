"""``auricle tune``: the language model's weight and the word score that make the fewest errors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle.cli import beam_options as beam
from auricle.cli.options import MODEL, DeviceOption, DictionaryOption

if TYPE_CHECKING:
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
LmWeights = Annotated[tuple[float, float], typer.Option(help="The range of weights to look in.")]
WordScores = Annotated[tuple[float, float], typer.Option(help="The range of word scores.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="A JSON file of the rounds.", show_default=False)
]


def command(
    data: Data,
    lm_model: beam.LmModel,
    model: Annotated[Path | None, MODEL] = None,
    emissions: EmissionsFolder = None,
    subset: Subset = "valid",
    labels: Labels = "ltr",
    dictionary: DictionaryOption = None,
    decoder: beam.Decoder = "kenlm",
    lexicon: beam.LexiconFile = None,
    lm_weight: beam.LmWeight = None,
    word_score: beam.WordScore = None,
    sil_weight: beam.SilWeight = None,
    unk_weight: beam.UnkWeight = None,
    beam_: Annotated[int | None, beam.BEAM] = None,
    beam_size_token: beam.BeamSizeToken = None,
    beam_threshold: beam.BeamThreshold = None,
    nbest: Annotated[int, typer.Option(min=2, help="Hypotheses to rank, of each utterance.")] = 50,
    engine: beam.Engine = None,
    preset: beam.Preset = None,
    rounds: Rounds = 6,
    lm_weights: LmWeights = (0.0, 5.0),
    word_scores: WordScores = (-4.0, 4.0),
    output: Output = None,
    device: DeviceOption = None,
) -> None:
    """Search the language model's weight and the word score on a labelled subset.

    The model runs once; n-best lists are ranked anew for every pair of weights, and searches are done where
    that promises the fewest errors.
    """
    from auricle.cli.decoders import make_choice
    from auricle.cli.evaluation import Options
    from auricle.cli.output import check_writable
    from auricle.cli.tuning import best_of, hear, tune_weights, write_rounds

    if output is not None:
        check_writable(output.parent)
    choice = make_choice(
        name=decoder,
        lm=lm_model,
        lexicon=lexicon,
        engine=engine,
        preset=preset,
        lm_weight=lm_weight,
        word_score=word_score,
        sil_weight=sil_weight,
        unk_weight=unk_weight,
        beam=beam_,
        beam_size_token=beam_size_token,
        beam_threshold=beam_threshold,
        nbest=nbest,
    )
    options = Options(
        data=data, model=model, subset=subset, labels=labels, dictionary=dictionary, decoder=choice,
        emissions=emissions, device=device,
    )  # fmt: skip
    saved, references = hear(options)
    told = tune_weights(saved, references, options, rounds, lm_weights, word_scores, _say)
    best = best_of(told)
    if output is not None:
        write_rounds(output, told)
    for flag, value, ends in (
        ("--lm-weights", best.weights.lm_weight, lm_weights),
        ("--word-scores", best.weights.word_score, word_scores),
    ):
        if value in ends:
            typer.echo(f"{value:g} is an end of {flag}: a wider range may have a better one")
    typer.echo(
        f"best: --lm-weight {best.weights.lm_weight:g} --word-score {best.weights.word_score:g} "
        f"(WER {best.wer:.2f} % on {subset}, {len(saved.clips)} utterances)"
    )


def _say(one: "Round") -> None:
    typer.echo(
        f"lm_weight {one.weights.lm_weight:g}, word_score {one.weights.word_score:g}: WER {one.wer:.2f} %"
    )
