"""Dropout: how much is dropped, that the gradient fits, that seeds repeat it."""

import pytest
import torch
from torch.testing import assert_close

from auricle.models.dropout import Dropout, dropout, layers_to_run

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_rest_scaled(device: str, p: float) -> None:
    torch.manual_seed(0)
    count = 200_000
    y = dropout(torch.ones(count, device=device), p)
    dropped = (y == 0).float().mean().item()
    assert abs(dropped - p) < 5 * (p * (1 - p) / count) ** 0.5
    assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - p)))


@pytest.mark.parametrize("device", DEVICES)
def test_the_gradient_is_dropped_where_the_value_was(device: str) -> None:
    x = torch.randn(7, 11, device=device, requires_grad=True)
    y = dropout(x, 0.4)
    y.backward(torch.ones_like(y))
    assert_close(x.grad * x, y)


@pytest.mark.parametrize("shape", [(0,), (1,), (5, 3), (2, 3, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert dropout(torch.ones(shape), 0.5).shape == shape


def test_layout_and_type_are_kept_in_value() -> None:
    torch.manual_seed(1)
    x = torch.randn(6, 5).bfloat16().T
    y = dropout(x, 0.5)
    assert y.dtype == torch.bfloat16
    assert_close(y[y != 0], (2 * x)[y != 0])


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(2)
    kept = (dropout(torch.ones(400_000), 0.5) != 0).float() - 0.5
    for distance in (1, 2, 3, 4):
        correlation = (kept[:-distance] * kept[distance:]).mean().item() / 0.25
        assert abs(correlation) < 5 / 400_000**0.5


def test_a_seed_repeats_it_with_any_number_of_threads() -> None:
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            torch.manual_seed(3)
            results.append(dropout(torch.ones(100_001), 0.3))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)
    assert not torch.equal(results[0], dropout(torch.ones(100_001), 0.3))


def test_everything_can_be_dropped() -> None:
    assert dropout(torch.ones(10), 1.0).sum() == 0


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.5, False)])
def test_nothing_happens_in_evaluation_or_without_a_share(p: float, training: bool) -> None:
    x = torch.randn(4)
    state = torch.get_rng_state()
    assert Dropout(p).train(training)(x) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_the_share_is_shown() -> None:
    assert repr(Dropout(0.25)) == "Dropout(p=0.25)"


def test_layerdrop_drops_its_share_in_training_only() -> None:
    torch.manual_seed(4)
    kept = [layers_to_run(20, 0.2, training=True) for _ in range(500)]
    share = sum(map(sum, kept)) / (20 * 500)
    assert abs(share - 0.8) < 5 * (0.16 / 10_000) ** 0.5
    assert layers_to_run(3, 0.2, training=False) == [True] * 3
    state = torch.get_rng_state()
    assert layers_to_run(3, 0.0, training=True) == [True] * 3
    assert torch.equal(torch.get_rng_state(), state)
