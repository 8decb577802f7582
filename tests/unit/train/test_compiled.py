"""Compiled parts of a model: the same losses, and no program made anew for every batch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from auricle.data.collate import Batch
from auricle.train.compiled import compile_parts, layers_of
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

# torch's compiler looks at gradients of tensors that have none, and warns itself.
# Its first import of inductor meets a class of its own that is written with what it has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),
    pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is:DeprecationWarning:torch.jit._script"),
]

SHAPES = [(2, 2000), (3, 1800), (2, 2300), (4, 2100), (3, 1950), (2, 1700)]


@pytest.fixture(autouse=True)
def nothing_compiled_yet() -> None:
    torch._dynamo.reset()
    counters.clear()


def batches(labels: bool) -> list[Batch]:
    return [batch_of(range(rows), labels=labels, lengths=[size] * rows) for rows, size in SHAPES]


def losses(make: Callable[..., Any], config: Any, backend: str | None, made: list[int]) -> list[float]:
    model = make(config).train()
    if backend:
        compile_parts(model, backend)
    step, totals = step_of(model), []
    for number, batch in enumerate(batches(make is ctc_model)):
        result = step.update([batch], epoch=1, num_updates=number, lr=1e-3)
        totals.append(float(result.losses[0].total))
        made.append(counters["stats"]["unique_graphs"])
    return totals


def test_layers_are_found_and_keep_their_names() -> None:
    model = ctc_model()
    before = weights(model)
    assert len(list(layers_of(model))) == CONFIG.encoder.num_layers
    compile_parts(model, "eager")
    assert_same_weights(weights(model), before)


@pytest.mark.parametrize("make", [pretraining_model, ctc_model])
def test_losses_are_those_of_the_model_that_is_not_compiled(make: Callable[..., Any]) -> None:
    made: list[int] = []
    found = losses(make, without_chance(), "aot_eager", made)
    assert found == pytest.approx(losses(make, without_chance(), None, []), rel=1e-4)
    # Compiled for the first shape, and for all others; never again.
    assert made[0] > 0 and len(set(made[2:])) == 1
    assert not counters["graph_break"]


@pytest.mark.slow
def test_layers_that_are_left_out_do_not_make_new_programs() -> None:
    made: list[int] = []
    found = losses(pretraining_model, CONFIG, "aot_eager", made)
    assert len(set(made[3:])) == 1
    torch._dynamo.reset()
    assert found == losses(pretraining_model, CONFIG, "aot_eager", [])  # dropout follows from the seed


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("make", [pretraining_model, ctc_model])
def test_the_compiler_that_is_meant_for_training(make: Callable[..., Any]) -> None:
    """Needs a C++ compiler, and minutes."""
    found = losses(make, without_chance(), "inductor", [])
    assert found == pytest.approx(losses(make, without_chance(), None, []), rel=1e-4)
