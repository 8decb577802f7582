"""One update: what it sums, divides, scales and leaves alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from auricle.data import Batch
from auricle.errors import UserError
from auricle.losses import Loss
from auricle.models.build import Model
from auricle.train.draws import Position
from auricle.train.optim import Adam
from auricle.train.step import LossScale, Step
from tiny_runs import (
    CONFIG,
    assert_same_weights,
    batch_of,
    ctc_model,
    pretraining_model,
    step_of,
    weights,
    without_chance,
)


@dataclass(frozen=True)
class Squares:
    """A loss whose gradient is known: the sum over the batch of (weight - id)^2, by the number of ids."""

    model: nn.Linear
    positions: list[Position]

    def loss(self, batch: Batch, position: Position) -> Loss:
        self.positions.append(position)
        total = (self.model.weight - batch.ids.float()).square().sum()
        return Loss(total, torch.tensor(len(batch)), {"loss_0": total.detach()}, {})


def squares(**options: float) -> tuple[nn.Linear, Step, list[Position]]:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(10.0)
    positions: list[Position] = []
    step = Step(model, Squares(model, positions), Adam(model.parameters()), seed=1, **options)
    return model, step, positions


def ids(*values: int) -> Batch:
    return batch_of(values, lengths=[1] * len(values))


def test_the_gradient_is_that_of_the_mean_over_all_micro_batches() -> None:
    _, step, positions = squares()
    result = step.update([ids(1, 2), ids(6)], epoch=3, num_updates=8, lr=0.1)
    # Mean of 2 (10 - id) over the ids, however they are cut.
    assert result.grad_norm == pytest.approx(2 * (9 + 8 + 4) / 3)
    assert positions == [Position(3, 8, 0), Position(3, 8, 1)]
    assert [float(loss.total) for loss in result.losses] == [145.0, 16.0]
    assert not any(loss.total.requires_grad for loss in result.losses)
    assert result.applied


def test_the_rate_is_that_of_this_update() -> None:
    model, step, _ = squares()
    # Adam's first step has the length of the learning rate.
    step.update([ids(1)], epoch=1, num_updates=0, lr=0.25)
    assert model.weight.item() == pytest.approx(9.75)
    step.update([ids(1)], epoch=1, num_updates=1, lr=0.0)
    assert model.weight.item() == pytest.approx(9.75)


@pytest.mark.parametrize(("clip_norm", "expected"), [(0.0, 18.0), (3.0, 3.0), (100.0, 18.0)])
def test_the_gradient_is_clipped_after_the_division(clip_norm: float, expected: float) -> None:
    model, step, _ = squares(clip_norm=clip_norm)
    result = step.update([ids(1, 1)], epoch=1, num_updates=0, lr=0.1)
    assert result.grad_norm == pytest.approx(18.0)
    assert float(model.weight.grad) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make", [pretraining_model, ctc_model])
def test_cutting_the_batch_changes_nothing_but_rounding(make) -> None:
    labels = make is ctc_model
    # Masks whose number does not depend on the other rows; no penalty over the whole batch.
    config = without_chance(replace(CONFIG, time_mask=replace(CONFIG.time_mask, require_same=False)))
    cuts: list[list[Sequence[int]]] = [[range(4)], [[0, 1], [2, 3]], [[3], [2, 0], [1]]]
    results = []
    for cut in cuts:
        model = make(config)
        step = step_of(model)
        if not labels:
            step.objective = replace(step.objective, loss_weights=())
        parts = [batch_of(list(part), labels=labels) for part in cut]
        result = step.update(parts, epoch=1, num_updates=0, lr=1e-3)
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        results.append((result.grad_norm, gradients))
    for norm, gradients in results[1:]:
        assert norm == pytest.approx(results[0][0], rel=1e-4)
        for name, gradient in gradients.items():
            assert_close(gradient, results[0][1][name], rtol=1e-3, atol=1e-5)


def updated(model: Model, *, seed: int, num_updates: int) -> dict[str, Tensor]:
    step_of(model, seed=seed).update([batch_of([0, 1])], epoch=1, num_updates=num_updates, lr=1e-2)
    return weights(model)


def test_dropout_depends_on_seed_and_update_alone() -> None:
    first = updated(pretraining_model(), seed=1, num_updates=4)
    torch.rand(17)
    assert_same_weights(first, updated(pretraining_model(), seed=1, num_updates=4))
    # Seed and number of updates are added up, as in fairseq.
    others = [updated(pretraining_model(), seed=seed, num_updates=4) for seed in (2, 3)]
    assert not any(torch.equal(first["final_proj.weight"], other["final_proj.weight"]) for other in others)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_an_update_without_finite_gradient_leaves_everything_as_it_was(poison: float) -> None:
    model = pretraining_model()
    step = step_of(model)
    step.update([batch_of([0, 1])], epoch=1, num_updates=0, lr=1e-3)
    before = weights(model)
    moments = {name: t.clone() for name, t in step.optimizer.named_state(model.named_parameters()).items()}
    batch = batch_of([0, 1])
    batch.waveforms[0, 100] = poison
    result = step.update([batch_of([2]), batch], epoch=1, num_updates=1, lr=1e-3)
    assert not result.applied
    assert_same_weights(before, weights(model))
    assert_same_weights(moments, step.optimizer.named_state(model.named_parameters()))


def test_a_batch_without_anything_to_predict_moves_nothing() -> None:
    model = ctc_model()
    batch = replace(batch_of([0], labels=True), target_lengths=torch.tensor([0]))
    result = step_of(model).update([batch], epoch=1, num_updates=0, lr=1e-3)
    assert result.applied and result.grad_norm >= 0


def test_parameters_without_gradient_do_not_count() -> None:
    model = ctc_model()
    for parameter in model.encoder.parameters():
        parameter.requires_grad_(False)
    step = step_of(model)
    before = weights(model)
    step.update([batch_of([0, 1], labels=True)], epoch=1, num_updates=0, lr=1e-2)
    changed = {name for name, tensor in weights(model).items() if not torch.equal(tensor, before[name])}
    assert changed == {"proj.weight", "proj.bias"}


def test_bf16_computes_near_and_keeps_float32_parameters() -> None:
    norms = {}
    for precision in ("float32", "bf16"):
        model = pretraining_model(without_chance())
        step = step_of(model, precision=precision)
        norms[precision] = step.update([batch_of([0, 1])], epoch=1, num_updates=0, lr=1e-3).grad_norm
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        assert step.loss_scale is None
    assert norms["bf16"] != norms["float32"]
    assert norms["bf16"] == pytest.approx(norms["float32"], rel=0.1)


def test_the_loss_scale_follows_overflows() -> None:
    scale = LossScale(value=8.0, window=3)
    for _ in range(3):
        scale.update(overflow=False)
    assert (scale.value, scale.good_updates) == (16.0, 3)
    scale.update(overflow=True)
    assert (scale.value, scale.good_updates) == (8.0, 0)
    scale.update(overflow=False)
    assert (scale.value, scale.good_updates) == (8.0, 1)


def test_a_loss_scale_that_sinks_gives_up() -> None:
    scale = LossScale(value=2e-4, smallest=1e-4)
    scale.update(overflow=True)
    with pytest.raises(UserError, match=r"loss scale fell below 0\.0001"):
        scale.update(overflow=True)


@pytest.mark.gpu
def test_fp16_scales_the_loss_and_unscales_the_gradient() -> None:
    norms = []
    for precision in ("float32", "fp16"):
        model = pretraining_model(without_chance()).cuda()
        step = step_of(model, precision=precision)
        norms.append(step.update([batch_of([0, 1])], epoch=1, num_updates=0, lr=1e-3).grad_norm)
    assert norms[1] == pytest.approx(norms[0], rel=0.05)
    assert step.loss_scale is not None and step.loss_scale.good_updates == 1
