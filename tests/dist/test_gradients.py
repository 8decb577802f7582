"""Losses, gradients and parameters of several workers are those of one process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import wav2vec_models
from auricle.data.batching import deal
from auricle.data.collate import Batch, nothing
from auricle.models.build import build_model
from auricle.models.config import DecoderConfig, Seq2SeqConfig
from auricle.train.compiled import compile_parts
from auricle.train.engine import Engine
from gloo import run_workers
from tiny_runs import (
    CONFIG,
    DICTIONARY,
    batch_of,
    ctc_model,
    objective_of,
    pretraining_model,
    step_of,
    without_chance,
)

Tensors = dict[str, NDArray[Any]]


@dataclass
class Learnt:
    """What came of some updates."""

    losses: list[dict[str, float]]
    norms: list[float]
    gradients: Tensors
    parameters: Tensors


def micro_batches(count: int, labels: bool, dtype: torch.dtype, holes: Sequence[int]) -> list[Batch]:
    """Of one to three utterances of several lengths; nothing could be read of some."""
    batches = []
    for number in range(count):
        ids = [3 * number + i for i in range(1 + number % 3)]
        lengths = [1500 + 130 * (index % 5) for index in ids]
        batch = batch_of(ids, labels=labels, lengths=lengths)
        batches.append(nothing() if number in holes else replace(batch, waveforms=batch.waveforms.to(dtype)))
    return batches


def learn(
    engine: Engine,
    make: Callable[[], Any],
    dtype: torch.dtype,
    count: int,
    per_update: int,
    holes: Sequence[int] = (),
    options: dict[str, Any] | None = None,
) -> Learnt:
    model = make().to(dtype).train()
    engine.distribute(model)
    step = step_of(model, objective_of(model, **options or {}), engine=engine, clip_norm=5.0)
    batches = micro_batches(count, make in (ctc_model, seq2seq), dtype, holes)
    losses, norms = [], []
    for update, mine in enumerate(deal(0, count, per_update, engine.num_workers, engine.rank)):
        result = step.update(
            [nothing() if number is None else batches[number] for number in mine], 1, update, 1e-2
        )
        assert result.applied
        norms.append(result.grad_norm)
        for loss in result.losses:
            parts = {name: float(part) for name, part in {**loss.parts, **loss.means}.items()}
            losses.append({"total": float(loss.total), "denominator": float(loss.denominator)} | parts)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return Learnt(losses, norms, whole(engine, gradients), whole(engine, model.state_dict()))


def whole(engine: Engine, tensors: dict[str, torch.Tensor]) -> Tensors:
    return {name: engine.whole(tensor).detach().numpy() for name, tensor in tensors.items()}


def compare(found: Learnt, expected: Learnt, on_losses: float, on_parameters: float) -> None:
    assert found.losses == [pytest.approx(loss, rel=on_losses) for loss in expected.losses]
    assert found.norms == pytest.approx(expected.norms, rel=on_parameters)
    assert_close(found.gradients, expected.gradients, on_parameters, least=1e-3)
    # Adam makes much of a small difference between gradients that are nothing but rounding.
    assert_close(found.parameters, expected.parameters, on_parameters, least=0.1)


def assert_close(found: Tensors, expected: Tensors, tolerance: float, least: float) -> None:
    """Relative to the largest value of each tensor, and to `least`."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        # A key's bias shifts all scores alike: its gradient is nothing but rounding, of which Adam makes steps.
        smallest = 1.0 if name.endswith("k_proj.bias") else least
        scale = max(np.abs(expected[name]).max(initial=0.0), smallest)
        assert np.abs(value - expected[name]).max(initial=0.0) <= tolerance * scale, name


PRECISIONS = ((torch.float64, 1e-9, 1e-9), (torch.float32, 1e-5, 1e-4))
"""What losses, and gradients and parameters, may differ by, relative to their size."""

CASES = {
    "accumulated": (2, 12, 4, ()),
    "uneven": (2, 7, 3, ()),
    "unreadable": (2, 9, 3, (0, 4)),
    "four workers": (4, 8, 4, ()),
    "four workers, uneven": (4, 13, 6, (2,)),
    "more workers than batches": (4, 4, 2, ()),
}
"""Workers, micro-batches, micro-batches an update, and those of which nothing can be read."""

QUICK = [("uneven", pretraining_model), ("unreadable", ctc_model)]


def cases() -> Iterator[Any]:
    for name in CASES:
        for make in (pretraining_model, ctc_model):
            marks = () if (name, make) in QUICK else pytest.mark.slow
            yield pytest.param(name, make, marks=marks, id=f"{name}-{make.__name__}")


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
@pytest.mark.parametrize(("case", "make"), list(cases()))
def test_workers_learn_what_one_process_learns(case: str, make: Callable[[], Any], sharded: bool) -> None:
    workers, count, per_update, holes = CASES[case]
    for dtype, on_losses, on_parameters in PRECISIONS:
        arguments = (make, dtype, count, per_update, holes)
        expected = learn(Engine(torch.device("cpu")), *arguments)
        for found in run_workers(workers, learn, *arguments, sharded=sharded):
            compare(found, expected, on_losses, on_parameters)


def seq2seq() -> Any:
    torch.manual_seed(0)
    decoder = DecoderConfig(num_layers=2, dim=8, ffn_dim=12, num_heads=2, max_positions=20, layerdrop=0.2)
    return build_model(Seq2SeqConfig(encoder=CONFIG, decoder=decoder, num_labels=len(DICTIONARY)))


def wav2vec() -> Any:
    return wav2vec_models.model_of(wav2vec_models.LAYOUTS["every option"])


def vq_wav2vec() -> Any:
    return wav2vec_models.model_of(wav2vec_models.LAYOUTS["k-means"])


def gumbel_wav2vec() -> Any:
    return wav2vec_models.model_of(wav2vec_models.LAYOUTS["gumbel"])


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
@pytest.mark.parametrize("make", [seq2seq, wav2vec, vq_wav2vec, gumbel_wav2vec])
def test_workers_of_every_family_learn_what_one_process_learns(
    make: Callable[[], Any], sharded: bool
) -> None:
    """Of an uneven number of micro-batches, one of which cannot be read."""
    for dtype, on_losses, on_parameters in PRECISIONS:
        arguments = (make, dtype, 7, 3, (4,))
        expected = learn(Engine(torch.device("cpu")), *arguments)
        for found in run_workers(2, learn, *arguments, sharded=sharded):
            compare(found, expected, on_losses, on_parameters)


def conformer() -> Any:
    encoder = replace(CONFIG.encoder, layer_type="conformer", conv_kernel=3, checkpoint_activations=True)
    return pretraining_model(replace(CONFIG, encoder=encoder))


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_batch_norms_know_what_one_process_knows(sharded: bool) -> None:
    for dtype, on_losses, on_parameters in PRECISIONS:
        arguments = (conformer, dtype, 7, 3, (1,))
        expected = learn(Engine(torch.device("cpu")), *arguments)
        statistics = [name for name in expected.parameters if "running" in name or "tracked" in name]
        assert len(statistics) == 6
        for found in run_workers(2, learn, *arguments, sharded=sharded):
            compare(found, expected, on_losses, on_parameters)
            counted = [found.parameters[name] for name in statistics if "tracked" in name]
            assert counted == [expected.parameters[name] for name in statistics if "tracked" in name]


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_what_is_frozen_has_no_gradient_in_any_worker(sharded: bool) -> None:
    arguments = (ctc_model, torch.float64, 4, 2, (), {"freeze_updates": 1})
    expected = learn(Engine(torch.device("cpu")), *arguments)
    for found in run_workers(2, learn, *arguments, sharded=sharded):
        compare(found, expected, 1e-9, 1e-9)
    frozen = (*arguments[:-1], {"freeze_updates": 9})
    for found in run_workers(2, learn, *frozen, sharded=sharded):
        assert set(found.gradients) == {"proj.weight", "proj.bias"}


def plain() -> Any:
    return pretraining_model(without_chance())


@pytest.mark.parametrize("make", [plain, pretraining_model])
def test_torch_has_nothing_to_say(make: Callable[[], Any], capfd: pytest.CaptureFixture[str]) -> None:
    """Neither where every weight has a gradient, nor where LayerDrop may leave some without."""
    expected = learn(Engine(torch.device("cpu")), make, torch.float64, 4, 2)
    for found in run_workers(2, learn, make, torch.float64, 4, 2):
        compare(found, expected, 1e-9, 1e-9)
    assert capfd.readouterr().err == ""


def compiled() -> Any:
    model = plain()
    compile_parts(model, "aot_eager")
    return model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_workers_compile_as_one_process_does(sharded: bool) -> None:
    expected = learn(Engine(torch.device("cpu")), plain, torch.float32, 4, 2)
    for found in run_workers(2, learn, compiled, torch.float32, 4, 2, sharded=sharded):
        compare(found, expected, 1e-5, 1e-4)
