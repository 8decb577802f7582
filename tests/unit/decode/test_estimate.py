import math

import numpy as np
import pytest
import torch

from auricle.decode.arpa import read_arpa, write_arpa
from auricle.decode.estimate import EstimationOptions, estimate
from auricle.errors import UserError

CHAIN = np.random.default_rng(0).dirichlet([0.3] * 12, size=12)


def sentences(count=300, seed=1):
    """Of a first-order chain over twelve words, one of them rare."""
    rng = np.random.default_rng(seed)
    text = []
    for _ in range(count):
        words, word = [], int(rng.integers(12))
        for _ in range(rng.integers(1, 9)):
            words.append(f"w{word}")
            word = int(rng.choice(12, p=CHAIN[word]))
        text.append(words)
    return text


def total(model, context):
    """The sum over all words of their probability after `context`."""
    state = model.start(1)
    for number in model.numbers(context):
        _, state = model.score(state, number[None])
    others = torch.tensor([i for i, word in enumerate(model.words) if word != "<s>"])
    scores, _ = model.score(state.expand(len(others), -1), others)
    return float((10.0**scores).sum())


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("prune", [(0,), (0, 1), (0, 0, 1)])
def test_probabilities_sum_to_one(order, prune):
    text = sentences()
    model = estimate(text, EstimationOptions(order=order, prune=prune))
    for context in ([], ["w1"], ["w3", "w1"], text[5][:3], ["w2", "w2", "w2"], ["never"]):
        assert total(model, context) == pytest.approx(1.0, abs=1e-5), context


def test_discounts_and_continuations_by_hand():
    """Two sentences; discounts are the usual ones, as nothing is seen twice often enough."""
    model = estimate([["a", "b"], ["c", "b"]], EstimationOptions(order=2))
    # continuations: a, c after <s>; b after a and c; </s> after b: 5 bigrams with 1, 1, 2, 1
    base = {"a": 0.5, "c": 0.5, "b": 2 - 1.0, "</s>": 0.5}
    left = (5 - sum(base.values())) / 5
    unigram = {word: share / 5 + left / 5 for word, share in base.items()}  # of a, b, c, </s>, <unk>
    state = model.start(1)
    scores, after = model.score(state, model.numbers(["a"]))
    assert 10 ** float(scores[0]) == pytest.approx((1 - 0.5) / 2 + 0.5 * unigram["a"], rel=1e-5)
    scores, after = model.score(after, model.numbers(["b"]))
    assert 10 ** float(scores[0]) == pytest.approx((1 - 0.5) / 1 + 0.5 * unigram["b"], rel=1e-5)
    assert 10 ** float(model.finish(after)[0]) == pytest.approx(0.5 + 0.5 * unigram["</s>"], rel=1e-5)
    scores, _ = model.score(after, model.numbers(["zebra"]))
    assert 10 ** float(scores[0]) == pytest.approx(0.5 * left / 5, rel=1e-5)


def perplexity(model, text):
    scores = [model.sentence(words) for words in text]
    return 10 ** (-sum(scores) / sum(len(words) + 1 for words in text))


def test_longer_n_grams_help_and_pruning_costs_little():
    text, held_out = sentences(3000), sentences(200, seed=2)
    one, two, pruned = (
        perplexity(estimate(text, EstimationOptions(order, prune)), held_out)
        for order, prune in ((1, (0,)), (2, (0,)), (2, (0, 2)))
    )
    assert two < 0.8 * one and two <= pruned < 1.1 * two


def test_pruning_leaves_out_what_is_rare():
    text = sentences()
    whole, pruned = (estimate(text, EstimationOptions(3, prune)) for prune in ((0,), (0, 1, 2)))
    assert len(pruned.tables[0]) == len(whole.tables[0])
    assert all(len(a) < len(b) for a, b in zip(pruned.tables[1:], whole.tables[1:], strict=True))


def test_a_given_vocabulary_is_all_there_is():
    model = estimate([["a", "b"], ["a", "c"]], EstimationOptions(2, vocabulary=frozenset("abz")))
    assert set(model.words) == {"<unk>", "<s>", "</s>", "a", "b", "z"}
    assert model.sentence(["a", "c"]) == model.sentence(["a", "q"]) > model.sentence(["a", "z"])


def test_what_is_estimated_can_be_written_and_read(tmp_path):
    model = estimate(sentences(50), EstimationOptions(3, (0, 0, 1)))
    write_arpa(model, tmp_path / "lm.arpa")
    again = read_arpa(tmp_path / "lm.arpa")
    for words in sentences(20, seed=3):
        assert again.sentence(words) == pytest.approx(model.sentence(words), abs=1e-4)


def test_kenlm_reads_it_alike(tmp_path):
    kenlm = pytest.importorskip("kenlm", reason="ufal-kenlm is not installed")
    model = estimate(sentences(200), EstimationOptions(4, (0, 0, 1)))
    write_arpa(model, tmp_path / "lm.arpa")
    other = kenlm.Model(str(tmp_path / "lm.arpa"))
    for words in [*sentences(20, seed=3), ["zebra", "w1"]]:
        assert other.score(" ".join(words)) == pytest.approx(model.sentence(words), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ([], {}, "there is no text"),
        ([["a", "</s>"]], {}, "the text holds </s>"),
        ([["a"]], {"order": 0}, "an order of 0: choose one from 1 to 10"),
        ([["a"]], {"prune": (0, 2, 1)}, "pruning 0 2 1: give numbers that begin with 0 and do not fall"),
        ([["a"]], {"prune": (1,)}, "pruning 1"),
    ],
)
def test_mistakes(text, options, message):
    with pytest.raises(UserError, match=message):
        estimate(text, EstimationOptions(**options))


def test_one_sentence_is_enough():
    model = estimate([["a"]], EstimationOptions(5))
    assert math.isfinite(model.sentence(["a"])) and total(model, ["a"]) == pytest.approx(1.0, abs=1e-5)
