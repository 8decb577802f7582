"""Adam against its formula in plain tensors, its state, and the scaling and clipping of gradients."""

import copy
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from auricle.errors import UserError
from auricle.train import optim
from auricle.train.optim import Adam, clip_grad_norm, scale_and_clip

BETAS = (0.9, 0.98)


def plain_adam(
    parameter: Tensor, gradients: Iterable[Tensor], lr: float, eps: float, weight_decay: float
) -> Tensor:
    """fairseq's update as its documentation states it, in float64."""
    p, m, v = parameter.double(), torch.zeros(()).double(), torch.zeros(()).double()
    for t, gradient in enumerate(gradients, start=1):
        m = BETAS[0] * m + (1 - BETAS[0]) * gradient.double()
        v = BETAS[1] * v + (1 - BETAS[1]) * gradient.double() ** 2
        p = p - lr * weight_decay * p
        p = p - lr * (1 - BETAS[1] ** t) ** 0.5 / (1 - BETAS[0] ** t) * m / (v.sqrt() + eps)
    return p


def parameters(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def gradients(number: int, shape: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [1e-2 * torch.randn(shape, generator=generator) for _ in range(number)]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("eps", "weight_decay"), [(1e-6, 0.01), (0.1, 0.0), (1e-8, 0.5)])
def test_adam_computes_the_formula(
    monkeypatch: pytest.MonkeyPatch, device: str, fused: bool, eps: float, weight_decay: float
) -> None:
    if not fused:  # as on devices that have no fused kernel
        monkeypatch.setattr(optim, "_FUSED_DEVICES", frozenset())
    (p,) = parameters((33, 7))
    p.data = p.data.to(device)
    expected = plain_adam(p.detach().cpu(), gradients(9, (33, 7)), 1e-2, eps, weight_decay)
    adam = Adam([p], BETAS, eps, weight_decay)
    adam.set_lr(1e-2)
    for gradient in gradients(9, (33, 7)):
        p.grad = gradient.to(device, copy=True)
        adam.step()
    torch.testing.assert_close(p.detach().cpu().double(), expected, rtol=1e-6, atol=1e-6)


def test_a_parameter_without_gradient_is_left_alone_and_counts_from_its_first() -> None:
    early, late = parameters((5,), (5,))
    untouched = late.detach().clone()
    adam = Adam([early, late], BETAS, 1e-8, 0.1)
    adam.set_lr(1e-2)
    steps = gradients(6, (5,))
    for i, gradient in enumerate(steps):
        early.grad = gradient.clone()
        late.grad = gradient.clone() if i >= 3 else None
        if i < 3:
            assert torch.equal(late, untouched)
        adam.step()
    expected = plain_adam(untouched, steps[3:], 1e-2, 1e-8, 0.1)
    torch.testing.assert_close(late.detach().double(), expected, rtol=1e-6, atol=1e-6)
    assert (adam.state[early]["step"], adam.state[late]["step"]) == (6, 3)


def test_groups_have_their_own_options() -> None:
    decayed, kept = parameters((3,), (3,))
    before = kept.detach().clone()
    adam = Adam([{"params": [decayed]}, {"params": [kept], "weight_decay": 0.0}], BETAS, 1e-8, 0.5)
    adam.set_lr(0.1)
    for p in (decayed, kept):
        p.grad = torch.zeros(3)
    size = decayed.detach().clone()
    adam.step()
    torch.testing.assert_close(decayed.detach(), 0.95 * size)
    assert torch.equal(kept, before)


def run(adam: Adam, model: nn.Module, updates: range) -> None:
    for update in updates:
        generator = torch.Generator().manual_seed(update)
        for name, p in model.named_parameters():
            frozen = name.startswith("0") and update < 4
            p.grad = None if frozen else torch.randn(p.shape, generator=generator)
        adam.set_lr(1e-3 * update)
        adam.step()


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


@pytest.mark.parametrize("stop", [0, 2, 6])
def test_named_state_goes_on_bit_for_bit(stop: int) -> None:
    whole, first, second = small_model(), small_model(), small_model()
    run(Adam(whole.parameters(), BETAS, 1e-6, 0.01), whole, range(10))
    adam = Adam(first.parameters(), BETAS, 1e-6, 0.01)
    run(adam, first, range(stop))
    saved = {name: t.clone() for name, t in adam.named_state(first.named_parameters()).items()}
    second.load_state_dict(first.state_dict())
    resumed = Adam(second.parameters(), BETAS, 1e-6, 0.01)
    run(resumed, small_model(), range(1))  # a state of its own, to be replaced
    resumed.load_named_state(second.named_parameters(), saved)
    run(resumed, second, range(stop, 10))
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_loading_does_not_share_memory_with_what_it_was_given() -> None:
    model = small_model()
    adam = Adam(model.parameters(), BETAS)
    run(adam, model, range(5))
    saved = {name: t.clone() for name, t in adam.named_state(model.named_parameters()).items()}
    kept = copy.deepcopy(saved)
    adam.load_named_state(model.named_parameters(), saved)
    run(adam, model, range(5, 8))
    assert all(torch.equal(saved[name], kept[name]) for name in kept)


def test_torch_state_dict_goes_on_bit_for_bit() -> None:
    whole, half = small_model(), small_model()
    run(Adam(whole.parameters(), BETAS), whole, range(10))
    adam = Adam(half.parameters(), BETAS)
    run(adam, half, range(6))
    resumed = Adam(half.parameters(), BETAS)
    resumed.load_state_dict(copy.deepcopy(adam.state_dict()))
    run(resumed, half, range(6, 10))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), half.parameters(), strict=True))


def test_a_state_of_another_model_is_refused() -> None:
    model = small_model()
    adam = Adam(model.parameters(), BETAS)
    run(adam, model, range(5))
    saved = adam.named_state(model.named_parameters())
    with pytest.raises(UserError, match=r"other\.step is not in this"):
        adam.load_named_state(model.named_parameters(), {**saved, "other.step": torch.tensor(1)})
    with pytest.raises(UserError, match=r"1\.weight has another shape"):
        adam.load_named_state(model.named_parameters(), {**saved, "1.weight.exp_avg": torch.zeros(1)})
    del saved["0.bias.exp_avg"]
    with pytest.raises(UserError, match=r"lacks '0\.bias\.exp_avg'"):
        adam.load_named_state(model.named_parameters(), saved)


def with_gradients() -> list[nn.Parameter]:
    tensors = parameters((3,), (2, 2), (4,))
    tensors[0].grad = torch.tensor([3.0, 0.0, 0.0])
    tensors[1].grad = torch.tensor([[0.0, 4.0], [0.0, 0.0]])
    return tensors


def test_clipping_follows_fairseqs_factor_and_gives_the_norm_before() -> None:
    tensors = with_gradients()
    assert clip_grad_norm(tensors, 2.5) == 5.0
    factor = 2.5 / (torch.tensor(5.0) + 1e-6)
    assert torch.equal(tensors[0].grad, torch.tensor([3.0, 0.0, 0.0]) * factor)
    assert torch.equal(tensors[1].grad, torch.tensor([[0.0, 4.0], [0.0, 0.0]]) * factor)
    assert tensors[2].grad is None


@pytest.mark.parametrize("max_norm", [0.0, 5.1, 100.0])
def test_nothing_is_clipped_below_the_limit_or_without_one(max_norm: float) -> None:
    tensors = with_gradients()
    assert clip_grad_norm(tensors, max_norm) == 5.0
    assert torch.equal(tensors[0].grad, torch.tensor([3.0, 0.0, 0.0]))


@pytest.mark.parametrize("scale", [0.5, torch.tensor(0.5)])
def test_scaling_comes_before_clipping(scale: float | Tensor) -> None:
    tensors = with_gradients()
    assert scale_and_clip(iter(tensors), scale, 0.0) == 2.5
    assert torch.equal(tensors[0].grad, torch.tensor([1.5, 0.0, 0.0]))
    tensors = with_gradients()
    assert scale_and_clip(tensors, scale, 1.0) == 2.5
    torch.testing.assert_close(tensors[0].grad, torch.tensor([0.6, 0.0, 0.0]))


def test_no_gradients_have_norm_zero() -> None:
    assert clip_grad_norm(parameters((3,)), 1.0) == 0.0


def test_gradients_that_are_not_finite_show_in_the_norm() -> None:
    tensors = with_gradients()
    tensors[0].grad[0] = float("nan")
    assert not scale_and_clip(tensors, 1.0, 1.0).isfinite()
