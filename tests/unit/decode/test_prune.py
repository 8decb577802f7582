"""Pruning by relative entropy, against a model of dictionaries that tries every n-gram."""

import math

import numpy as np
import pytest
import torch

from auricle.decode.arpa import read_arpa, write_arpa
from auricle.decode.estimate import EstimationOptions, estimate
from auricle.decode.ngram import NgramModel
from auricle.decode.prune import increases, prune
from auricle.errors import UserError

CHAIN = np.random.default_rng(4).dirichlet([0.25] * 6, size=6)


def sentences(count=120, seed=1):
    rng = np.random.default_rng(seed)
    text = []
    for _ in range(count):
        word, words = int(rng.integers(6)), []
        for _ in range(rng.integers(1, 8)):
            words.append(f"w{word}")
            word = int(rng.choice(6, p=CHAIN[word]))
        text.append(words)
    return text


@pytest.fixture(scope="module")
def model():
    return estimate(sentences(), EstimationOptions(3))


class Plain:
    """A back-off model as a dictionary of probabilities; back-offs follow from what is there."""

    def __init__(self, model):
        self.words = [word for word in model.words if word != "<s>"]
        self.known = {}
        for n, table in enumerate(model.tables, start=1):
            for row, log_prob in zip(model.ngrams(n).tolist(), table.log_probs.tolist(), strict=True):
                self.known[tuple(model.words[number] for number in row)] = 10.0**log_prob

    def followers(self, context):
        return [word for word in self.words if (*context, word) in self.known]

    def probability(self, word, context):
        if (*context, word) in self.known or not context:
            return self.known[*context, word]
        after = self.followers(context)
        left = 1 - sum(self.known[*context, other] for other in after)
        free = 1 - sum(self.probability(other, context[1:]) for other in after)
        return left / free * self.probability(word, context[1:])

    def of_context(self, context):
        first = "</s>" if context[0] == "<s>" else context[0]
        share = self.probability(first, ())
        for place in range(1, len(context)):
            share *= self.probability(context[place], context[:place])
        return share

    def increase(self, ngram):
        """Of the perplexity, relative: from the relative entropy after the n-gram's context, word by word."""
        context = ngram[:-1]
        before = {word: self.probability(word, context) for word in self.words}
        taken = self.known.pop(ngram)
        entropy = sum(p * math.log(p / self.probability(word, context)) for word, p in before.items())
        self.known[ngram] = taken
        return math.expm1(self.of_context(context) * entropy)


def names(model, n):
    return [tuple(model.words[number] for number in row) for row in model.ngrams(n).tolist()]


@pytest.mark.parametrize("n", [2, 3])
def test_what_each_n_gram_is_worth(model, n):
    plain = Plain(model)
    expected = [plain.increase(ngram) for ngram in names(model, n)]
    assert increases(model, n).tolist() == pytest.approx(expected, rel=1e-3, abs=1e-8)
    assert min(expected) > -1e-8 and max(expected) > 1e-3


@pytest.mark.parametrize("threshold", [1e-5, 1e-4, 1e-3])
def test_what_is_worth_little_goes_and_what_is_needed_stays(model, threshold):
    plain, pruned = Plain(model), prune(model, threshold)
    stay = {ngram for ngram in names(model, 3) if plain.increase(ngram) >= threshold}
    begin = {ngram[:-1] for ngram in stay}
    stay |= {ngram for ngram in names(model, 2) if ngram in begin or plain.increase(ngram) >= threshold}
    found = {ngram for n in range(2, pruned.order + 1) for ngram in names(pruned, n)}
    assert found == stay and pruned.words == model.words
    kept = {ngram: plain.known[ngram] for ngram in stay}
    assert {n: pytest.approx(p, rel=1e-5) for n, p in kept.items()} == {
        n: Plain(pruned).known[n] for n in stay
    }


def total(model, context):
    state = model.start(1)
    for number in model.numbers(context):
        _, state = model.score(state, number[None])
    others = torch.tensor([i for i, word in enumerate(model.words) if word != "<s>"])
    return float((10.0 ** model.score(state.expand(len(others), -1), others)[0]).sum())


@pytest.mark.parametrize("threshold", [0.0, 1e-5, 1e-4, 1e-3, 1.0])
def test_probabilities_sum_to_one(model, threshold):
    pruned = prune(model, threshold)
    for context in ([], ["w1"], ["w3", "w1"], ["w2", "w2", "w2"], ["never"], sentences()[3][:2]):
        assert total(pruned, context) == pytest.approx(1.0, abs=1e-4)


def perplexity(model, text):
    return 10 ** (-sum(map(model.sentence, text)) / sum(len(words) + 1 for words in text))


def test_less_is_left_at_little_cost(model):
    text = sentences(100, seed=2)
    models = [model, *(prune(model, threshold) for threshold in (1e-5, 1e-4, 1e-3))]
    sizes = [sum(map(len, one.tables)) for one in models]
    assert sizes == sorted(sizes, reverse=True) and sizes[3] < 0.8 * sizes[0]
    assert perplexity(models[3], text) < 1.05 * perplexity(model, text)


def test_everything_may_go_but_words(model):
    (words,) = prune(model, 1e9).tables
    assert len(words) == len(model.words) and not words.backoffs.any()


def test_none_goes_at_no_threshold(model):
    same = prune(model, 0.0)
    for words in sentences(20, seed=5):
        assert same.sentence(words) == pytest.approx(model.sentence(words), abs=1e-3)


def test_kenlm_reads_it_alike(model, tmp_path):
    kenlm = pytest.importorskip("kenlm", reason="ufal-kenlm is not installed")
    pruned = prune(model, 1e-4)
    write_arpa(pruned, tmp_path / "lm.arpa")
    other, again = kenlm.Model(str(tmp_path / "lm.arpa")), read_arpa(tmp_path / "lm.arpa")
    for words in [*sentences(20, seed=3), ["zebra", "w1"]]:
        assert again.sentence(words) == pytest.approx(pruned.sentence(words), abs=1e-4)
        assert other.score(" ".join(words)) == pytest.approx(pruned.sentence(words), abs=1e-4)


@pytest.mark.parametrize("threshold", [-1e-8, float("nan"), float("inf")])
def test_thresholds_that_are_none(model, threshold):
    with pytest.raises(UserError, match="give 0 or more, such as 1e-8"):
        prune(model, threshold)


def test_a_model_of_words_stays_as_it_is():
    model = estimate(sentences(), EstimationOptions(1))
    assert isinstance(prune(model, 1e-3), NgramModel) and len(prune(model, 1e-3).tables) == 1
