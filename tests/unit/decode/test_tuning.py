"""Tuning against searches whose best weights are known."""

import pytest

from auricle.decode.hypothesis import Hypothesis
from auricle.decode.tuning import Weights, tune

RIGHT, SHORT, LONG = ("A", "B"), ("AB",), ("A", "B", "C")


def scored(words, acoustic, lm, weights):
    score = acoustic + weights.lm_weight * lm + weights.word_score * len(words)
    return Hypothesis((), words, score, (), (), acoustic, lm)


def search(weights):
    """The right words win only where lm_weight is between 1 and 3 times what the word score makes good."""
    lists = []
    for shift in (0.0, 0.1, -0.1):
        hypotheses = [
            scored(RIGHT, -10.0 + shift, -2.0, weights),
            scored(SHORT, -9.0, -3.5, weights),
            scored(LONG, -8.0, -3.0, weights),
        ]
        lists.append(sorted(hypotheses, key=lambda one: -one.score))
    return lists


def edits(_, words):
    return {RIGHT: 0, SHORT: 2, LONG: 1}[tuple(words)]


def test_the_best_weights_are_found_and_searched_with():
    told = []
    rounds = tune(search, edits, 6, start=Weights(0.0, 0.0), told=told.append)
    assert rounds == told and rounds[0].wer == pytest.approx(50.0)
    assert min(one.wer for one in rounds) == 0.0 and len(rounds) <= 6
    best = min(rounds, key=lambda one: one.wer).weights
    assert all(found[0].words == RIGHT for found in search(best))


def test_no_more_rounds_than_asked_for():
    assert len(tune(search, edits, 6, start=Weights(0.0, 0.0), rounds=1)) == 1


def test_the_range_is_kept():
    rounds = tune(search, edits, 6, start=Weights(0.0, 0.0), lm_weights=(0.0, 0.5), word_scores=(0.0, 0.5))
    assert all(0 <= one.weights.lm_weight <= 0.5 and 0 <= one.weights.word_score <= 0.5 for one in rounds)
