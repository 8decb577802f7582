"""The objectives against their definitions."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from auricle.losses import (
    contrastive,
    correct_predictions,
    cross_entropy,
    ctc,
    diversity,
    pretraining,
    weigh_blank,
)
from auricle.models.wav2vec2 import PretrainingOutput

INF = float("inf")


def output_of(logits: Tensor, valid: Tensor | None = None, *, quantized: bool = True) -> PretrainingOutput:
    perplexity = torch.tensor(12.5, requires_grad=True) if quantized else None
    return PretrainingOutput(
        logits=logits,
        valid=torch.ones(logits.shape[:2], dtype=torch.bool) if valid is None else valid,
        feature_penalty=torch.tensor(0.7, requires_grad=True),
        prob_perplexity=perplexity,
        code_perplexity=torch.tensor(9.0) if quantized else None,
        num_entries=20 if quantized else 0,
    )


def some_logits() -> Tensor:
    return torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))


VALID = torch.tensor([[True, True, True], [True, False, False]])


def test_contrastive_loss_is_the_sum_over_valid_frames() -> None:
    logits = some_logits()
    expected = sum(-math.log(torch.softmax(row, 0)[0]) for row in logits[VALID])
    assert float(contrastive(output_of(logits, VALID))) == pytest.approx(expected, rel=1e-5)


def test_infinite_negatives_are_no_candidates() -> None:
    logits = torch.tensor([[[1.0, -INF, 0.0], [2.0, -INF, -INF]]], requires_grad=True)
    loss = contrastive(output_of(logits))
    assert float(loss.detach()) == pytest.approx(math.log(1 + math.exp(-1)))
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_padding_has_no_gradient() -> None:
    logits = some_logits().requires_grad_()
    contrastive(output_of(logits, VALID)).backward()
    assert not logits.grad[~VALID].any()
    assert logits.grad[VALID].any(-1).all()


def test_diversity_is_the_share_of_unused_entries() -> None:
    assert float(diversity(output_of(some_logits())).detach()) == pytest.approx((20 - 12.5) / 20)


def test_correct_predictions() -> None:
    logits = torch.tensor(
        [[[3.0, 1.0, 2.0], [1.0, 2.0, 0.0], [1.0, 1.0, 1.0], [0.0, -INF, -INF], [9.0, 1.0, 1.0]]]
    )
    # The third is a collapse, not a success; the last is padding.
    valid = torch.tensor([[True, True, True, True, False]])
    assert int(correct_predictions(output_of(logits, valid))) == 2


def test_pretraining_adds_its_terms_scaled_by_the_masked_frames() -> None:
    output = output_of(some_logits(), VALID)
    loss = pretraining(output, (0.1, 10.0), 1.9)
    main, frames = float(contrastive(output)), 4
    parts = {"loss_0": main, "loss_1": 0.1 * 7.5 / 20 * frames, "loss_2": 10 * 0.7 * frames}
    assert {name: float(value) for name, value in loss.parts.items()} == pytest.approx(parts)
    assert float(loss.total.detach()) == pytest.approx(sum(parts.values()))
    assert int(loss.denominator) == loss.counted == frames
    means = {name: float(value) for name, value in loss.means.items()}
    assert means == pytest.approx({"prob_perplexity": 12.5, "code_perplexity": 9.0, "temp": 1.9})
    assert not any(value.requires_grad for value in (*loss.parts.values(), *loss.means.values()))


def test_weights_of_zero_and_missing_ones_leave_terms_out() -> None:
    output = output_of(some_logits())
    assert set(pretraining(output, (0.0, 2.0), 1.0).parts) == {"loss_0", "loss_2"}
    assert set(pretraining(output, (0.1,), 1.0).parts) == {"loss_0", "loss_1"}
    alone = pretraining(output, (), 1.0)
    assert_close(alone.total, contrastive(output))


def test_without_a_quantizer_the_first_weight_is_the_penaltys() -> None:
    loss = pretraining(output_of(some_logits(), quantized=False), (10.0,), 1.0)
    assert float(loss.parts["loss_1"]) == pytest.approx(10 * 0.7 * 6)
    assert not loss.means


@pytest.mark.parametrize(
    ("weight", "mode", "blank"),
    [(0.0, "add", 1.0), (2.5, "add", 3.5), (-4.0, "set", -4.0), (0.0, "set", 1.0)],
)
def test_the_blanks_logit(weight: float, mode: str, blank: float) -> None:
    logits = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert weigh_blank(logits, weight, mode).tolist() == [[[blank, 2.0, 3.0]]]
    assert logits.tolist() == [[[1.0, 2.0, 3.0]]]


def paths_probability(probabilities: Tensor, label: list[int]) -> float:
    """The probability of all ways to write a label, by going through every path."""
    total = 0.0
    for path in itertools.product(range(probabilities.shape[1]), repeat=len(probabilities)):
        collapsed = [symbol for symbol, _ in itertools.groupby(path)]
        if [symbol for symbol in collapsed if symbol != 0] == label:
            total += math.prod(float(row[symbol]) for row, symbol in zip(probabilities, path, strict=True))
    return total


LABELS = torch.tensor([[2, 1], [3, 99]])
LABEL_LENGTHS = torch.tensor([2, 1])
FRAMES = torch.tensor([4, 3])


def ctc_logits() -> Tensor:
    return torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(1))


def test_ctc_sums_over_all_paths_of_the_valid_frames() -> None:
    logits = ctc_logits()
    probabilities = logits.softmax(-1)
    expected = -math.log(paths_probability(probabilities[0], [2, 1]))
    expected -= math.log(paths_probability(probabilities[1, :3], [3]))
    loss = ctc(logits, FRAMES, LABELS, LABEL_LENGTHS)
    assert float(loss.total) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("sentence_avg", "denominator"), [(False, 3), (True, 2)])
def test_ctc_is_divided_by_labels_or_utterances(sentence_avg: bool, denominator: int) -> None:
    loss = ctc(ctc_logits(), FRAMES, LABELS, LABEL_LENGTHS, sentence_avg=sentence_avg)
    assert int(loss.denominator) == denominator
    assert not loss.parts and not loss.means and loss.correct is None


def test_ctc_does_not_look_at_padding() -> None:
    logits = ctc_logits()
    expected = ctc(logits, FRAMES, LABELS, LABEL_LENGTHS).total
    logits[1, 3] = float("nan")
    assert_close(ctc(logits, FRAMES, LABELS.clamp(max=3), LABEL_LENGTHS).total, expected)


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_labels_that_do_not_fit(zero_infinity: bool) -> None:
    logits = ctc_logits().requires_grad_()
    labels, lengths = torch.tensor([[2, 1], [3, 3]]), torch.tensor([2, 2])
    loss = ctc(logits, torch.tensor([4, 2]), labels, lengths, zero_infinity=zero_infinity)
    if not zero_infinity:
        assert loss.total.isinf()
        return
    alone = ctc(logits[:1], FRAMES[:1], labels[:1], lengths[:1])
    assert_close(loss.total, alone.total)
    loss.total.backward()
    assert torch.isfinite(logits.grad).all()


def test_ctc_computes_in_float32() -> None:
    logits = ctc_logits().bfloat16()
    assert_close(
        ctc(logits, FRAMES, LABELS, LABEL_LENGTHS).total,
        ctc(logits.float(), FRAMES, LABELS, LABEL_LENGTHS).total,
    )


def test_cross_entropy_leaves_padding_out() -> None:
    logits = torch.randn(2, 3, 5)
    targets = torch.tensor([[2, 3, 1], [4, 2, 0]])
    loss = cross_entropy(logits, targets)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=1, reduction="sum"
    )
    torch.testing.assert_close(loss.total, expected)
    assert int(loss.denominator) == 5 and not loss.parts
    assert int(cross_entropy(logits, targets, sentence_avg=True).denominator) == 2


def test_smoothing_shares_probability_among_the_other_labels() -> None:
    log_probs = torch.tensor([[0.7, 0.1, 0.2]]).log()
    loss = cross_entropy(log_probs, torch.tensor([0]), label_smoothing=0.1)
    wanted = -(0.9 * log_probs[0, 0] + 0.05 * log_probs[0, 1:].sum())
    torch.testing.assert_close(loss.total, wanted)
    torch.testing.assert_close(loss.parts["nll_loss"], -log_probs[0, 0])
    assert loss.correct is not None and int(loss.correct) == 1
