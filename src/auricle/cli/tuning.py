"""The work of ``auricle tune``."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from auricle.cli.decoders import DecoderChoice, first_pass, make_decoder, open_scorer, with_weights
from auricle.cli.decoding import Listener, decode_saved, keep_heard
from auricle.cli.device import pick_device
from auricle.cli.evaluation import (
    Options,
    model_and_dictionary,
    name_set_aside,
    open_emissions,
)
from auricle.cli.options import chosen_post_process
from auricle.decode.beam import BeamSearch
from auricle.decode.hypothesis import Hypothesis, PostProcess, units_to_words
from auricle.decode.neural_lm import ranked, scores_of
from auricle.decode.report import count_errors
from auricle.decode.saved import SavedEmissions
from auricle.decode.tuning import Round, Search, Weights, tune
from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.manifest import read_labels, read_manifest
from auricle.models.ctc import Wav2Vec2CTC


def hear(options: Options) -> tuple[SavedEmissions, list[str]]:
    """Emissions of the subset, kept or made now, and the references of its utterances.

    Raises:
        UserError: Something is missing, or does not go together.
    """
    assert options.data is not None
    manifest = read_manifest(options.data / f"{options.subset}.tsv")
    labels = read_labels(options.data / f"{options.subset}.{options.labels}", manifest)
    if options.emissions is not None:
        saved = open_emissions(options, manifest)
    else:
        model, dictionary = model_and_dictionary(options)
        if not isinstance(model, Wav2Vec2CTC):
            raise UserError("this recogniser writes letters one by one: its search has no such weights")
        listener = Listener(model, manifest, options.max_tokens, options.batch_size, options.num_workers)
        saved = keep_heard(listener, dictionary, str(options.model), options.subset)
        name_set_aside(listener.set_aside)
    by_index = {entry.line - 2: label for entry, label in zip(manifest.entries, labels, strict=True)}
    references = [by_index[clip.index] for clip in saved.clips]
    if not any(reference.strip() for reference in references):
        raise UserError(f"{manifest.source}: nothing is said in it, by its labels: tune on another subset")
    return saved, references


def tune_weights(
    saved: SavedEmissions,
    references: Sequence[str],
    options: Options,
    rounds: int,
    lm_weights: tuple[float, float],
    word_scores: tuple[float, float],
    told: Callable[[Round], object],
) -> list[Round]:
    """The rounds of `tune`, with the decoder that the options ask for.

    With a language model that ranks lists anew, its weights are what is tuned: the search is done once.
    """
    post_process = chosen_post_process(options.post_process, saved.dictionary)
    choice = options.decoder
    said = [units_to_words(reference, post_process) for reference in references]

    def edits(number: int, words: Sequence[str]) -> int:
        return count_errors([said[number]], [" ".join(words)], post_process="none").word_edits

    start = Weights(choice.beam.lm_weight, choice.beam.word_score)
    if choice.rescore_lm is not None:
        start = Weights(choice.rescore_weight, choice.rescore_word_score)
    make = _searching if choice.rescore_lm is None else _ranking
    return tune(
        make(saved, options, post_process),
        edits,
        sum(len(text.split()) for text in said),
        start=start,
        rounds=rounds,
        lm_weights=lm_weights,
        word_scores=word_scores,
        told=told,
    )


def _searching(saved: SavedEmissions, options: Options, post_process: PostProcess) -> Search:
    """A search with each pair."""
    device = pick_device(options.device)
    decoder = make_decoder(options.decoder, saved.dictionary, post_process, device)

    def search(weights: Weights) -> list[list[Hypothesis]]:
        nonlocal decoder
        choice = with_weights(options.decoder, weights.lm_weight, weights.word_score)
        if isinstance(decoder, BeamSearch):
            decoder = decoder.with_options(choice.beam)
        else:
            decoder = make_decoder(choice, saved.dictionary, post_process, device)
        return [one.hypotheses for one in decode_saved(saved, decoder)]

    return search


def _ranking(saved: SavedEmissions, options: Options, post_process: PostProcess) -> Search:
    """One search, whose lists are ranked anew with each pair."""
    choice, device = options.decoder, pick_device(options.device)
    assert choice.rescore_lm is not None
    decoder = make_decoder(first_pass(choice), saved.dictionary, post_process, device)
    scorer = open_scorer(choice.rescore_lm, device)
    lists = [one.hypotheses for one in decode_saved(saved, decoder)]
    scores = scores_of(lists, scorer)
    lists = [[replace(one, lm_score=scores[one.words]) for one in hypotheses] for hypotheses in lists]
    return lambda weights: ranked(lists, scores, weights.lm_weight, weights.word_score)


def best_of(rounds: Sequence[Round]) -> Round:
    """The round of the fewest errors, the first of equals."""
    return min(rounds, key=lambda one: one.wer)


def named(choice: DecoderChoice, weights: Weights) -> dict[str, float]:
    """The weights by the names of the options that they are values of."""
    again = "" if choice.rescore_lm is None else "rescore_"
    name = "rescore_weight" if again else "lm_weight"
    return {name: weights.lm_weight, f"{again}word_score": weights.word_score}


def write_rounds(path: Path, rounds: Sequence[Round], choice: DecoderChoice) -> None:
    """Writes all rounds and the best pair as JSON."""
    best = best_of(rounds)
    each = [{"weights": named(choice, one.weights), "wer": one.wer} for one in rounds]
    content = {**named(choice, best.weights), "wer": best.wer, "rounds": each}
    atomic_write_text(path, json.dumps(content, indent=2) + "\n")
