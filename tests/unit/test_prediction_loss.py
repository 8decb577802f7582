"""The objectives of wav2vec 1.0 and vq-wav2vec, by what they are defined as."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from auricle.losses import prediction
from auricle.models.wav2vec import PredictionOutput

LOGITS = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(1)) * 3
VALID = torch.tensor([[0, 1, 3], [2, 0, 1]])[:, None] <= torch.arange(4)[None, :, None]
OUTPUT = PredictionOutput(LOGITS, VALID)
GUMBEL = replace(OUTPUT, num_entries=12, prob_perplexity=torch.tensor(7.0), code_perplexity=torch.tensor(5.0))
KMEANS = replace(OUTPUT, num_entries=12, kmeans_loss=torch.tensor(1.5), code_perplexity=torch.tensor(5.0))


def test_choices_are_cross_entropies() -> None:
    loss = prediction(OUTPUT, (), 1.0, infonce=True)
    rows = LOGITS[VALID]
    expected = F.cross_entropy(rows, torch.zeros(len(rows), dtype=torch.int64), reduction="sum")
    assert_close(loss.total, expected)
    assert int(loss.denominator) == len(rows) == int(loss.counted or 0)
    assert int(loss.correct or 0) == int((rows.argmax(-1) == 0).sum())


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_decisions_are_binary_cross_entropies(weight: float) -> None:
    loss = prediction(OUTPUT, (), 1.0, infonce=False, distractor_weight=weight)
    rows = LOGITS[VALID]
    labels = torch.zeros_like(rows)
    labels[:, 0] = 1.0
    weights = torch.full_like(rows, weight)
    weights[:, 0] = 1.0
    expected = F.binary_cross_entropy_with_logits(rows, labels, weights, reduction="sum")
    assert_close(loss.total, expected)
    assert int(loss.denominator) == len(rows)
    assert loss.correct is None and loss.parts == {}


@pytest.mark.parametrize(("output", "penalty"), [(GUMBEL, 12 - 7.0), (KMEANS, 1.5)])
def test_one_penalty_scaled_by_the_predictions(output: PredictionOutput, penalty: float) -> None:
    plain = prediction(output, (), 1.0, infonce=True)
    assert plain.parts == {}
    loss = prediction(output, (0.5,), 1.0, infonce=True)
    assert_close(loss.total - plain.total, 0.5 * penalty * VALID.sum().float(), rtol=1e-4, atol=1e-4)
    assert_close(loss.parts["loss_0"], plain.total)
    assert float(loss.parts["loss_1"]) == pytest.approx(0.5 * penalty * int(VALID.sum()))


def test_what_is_logged() -> None:
    assert prediction(OUTPUT, (), 1.5, infonce=True).means == {}
    assert prediction(GUMBEL, (), 1.5, infonce=True).means.keys() == {
        "prob_perplexity", "code_perplexity", "temp",
    }  # fmt: skip
    assert float(prediction(GUMBEL, (), 1.5, infonce=True).means["temp"]) == 1.5
    assert prediction(KMEANS, (), 1.5, infonce=True).means.keys() == {"code_perplexity", "kmeans_loss"}


@pytest.mark.parametrize("infonce", [True, False])
def test_padding_has_no_gradient_and_nothing_valid_no_loss(infonce: bool) -> None:
    logits: Tensor = LOGITS.clone().requires_grad_()
    prediction(PredictionOutput(logits, VALID), (), 1.0, infonce=infonce).total.backward()
    assert logits.grad is not None
    assert not logits.grad[~VALID].any() and logits.grad[VALID].abs().sum(-1).min() > 0
    nothing = prediction(PredictionOutput(LOGITS, VALID & False), (), 1.0, infonce=infonce)
    assert float(nothing.total) == 0.0 and int(nothing.denominator) == 0


def test_an_untrained_model_loses_what_chance_does() -> None:
    even = PredictionOutput(torch.zeros(1, 2, 1, 5), torch.ones(1, 2, 1, dtype=torch.bool))
    assert float(prediction(even, (), 1.0, infonce=True).total) == pytest.approx(2 * math.log(5))
    assert float(prediction(even, (), 1.0, infonce=False).total) == pytest.approx(10 * math.log(2))
