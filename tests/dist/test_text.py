"""Workers learn text as one process does, and each knows the weights that it holds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import text_models
from auricle.data.batching import deal
from auricle.data.collate import nothing
from auricle.data.text import TextBatch, unknowns
from auricle.dictionary import MASK, Dictionary
from auricle.models.build import build_model
from auricle.train.engine import Engine
from auricle.train.metrics import RunningMeans
from auricle.train.text import LanguageModelObjective, MaskedLMObjective
from auricle.train.text_draws import SymbolDraws, SymbolMaskConfig
from auricle.train.validation import add_loss
from auricle.train.watch import why_not_finite
from gloo import run_workers
from tiny_runs import step_of


def language_model() -> Any:
    return LanguageModelObjective(build_model(text_models.LANGUAGE_MODEL))  # type: ignore[arg-type]


def masked_lm() -> Any:
    dictionary = Dictionary([*text_models.SYMBOLS, MASK])
    draws = SymbolDraws(SymbolMaskConfig(prob=0.5), dictionary, 4)
    return MaskedLMObjective(build_model(text_models.ROBERTA), draws)  # type: ignore[arg-type]


def learn(
    engine: Engine, make: Callable[[], Any], dtype: torch.dtype
) -> tuple[dict[str, float], dict[str, Any]]:
    """Means of the losses of two updates, of three micro-batches and one; and the parameters then."""
    torch.manual_seed(0)
    objective = make()
    model = objective.model.to(dtype).train()
    engine.distribute(model)
    step = step_of(model, objective, engine=engine, stand_in=unknowns())
    batches = [TextBatch(torch.tensor([i]), torch.tensor([[2, 4 + i, 5, 6, 7 - i, 2]])) for i in range(4)]
    means = RunningMeans()
    for update, mine in enumerate(deal(0, 4, 3, engine.num_workers, engine.rank)):
        shares = [nothing() if number is None else batches[number] for number in mine]
        result = step.update(shares, 1, update, 1e-2)
        assert result.applied and len(result.losses) == (3, 1)[update]
        for loss in result.losses:
            add_loss(means, loss)
    return means.means(), {name: engine.whole(p).detach().numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
@pytest.mark.parametrize("make", [language_model, masked_lm])
def test_workers_learn_text_as_one_process_does(make: Callable[[], Any], sharded: bool) -> None:
    # Logarithms of probabilities are float32 in any precision, as fairseq's are.
    for dtype, on_losses, on_weights in ((torch.float64, 1e-7, 1e-6), (torch.float32, 1e-5, 1e-4)):
        means, weights = learn(Engine(torch.device("cpu")), make, dtype)
        assert means["ppl"] > 1
        for found, theirs in run_workers(2, learn, make, dtype, sharded=sharded):
            assert found == pytest.approx(means, rel=on_losses)
            for name, weight in weights.items():
                # A key's bias has no gradient but rounding, of which Adam makes steps.
                least = 1.0 if name.endswith("k_proj.bias") else 0.1
                scale = max(np.abs(weight).max(), least)
                assert np.abs(theirs[name] - weight).max() <= on_weights * scale, name


def reasons(engine: Engine) -> list[str]:
    model = masked_lm().model
    # Of the last worker, where weights are shared out.
    torch.nn.init.constant_(model.embed_tokens.weight[-1:], 1e6)
    engine.distribute(model)
    why = "another"
    if engine.rank:  # the first one does not look: it would be waited for in vain
        own = (engine.own_part(parameter) for parameter in model.parameters())
        why = why_not_finite(own, [unknowns()], ["train.src:1"], [], 0.1)
    return engine.gather(why)


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_a_worker_looks_at_its_own_weights_and_waits_for_nobody(sharded: bool) -> None:
    for first, last in run_workers(2, reasons, sharded=sharded):
        assert first == "another" and "the weights have grown to 1e+06" in last and "train.src:1" in last
