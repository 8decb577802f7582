"""wav2vec 1.0 and vq-wav2vec against what fairseq recorded: features, codes, contexts, losses, gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from auricle.data.collate import Batch
from auricle.losses import Loss
from auricle.models.wav2vec import PredictionDraws, PredictionOutput, Wav2Vec, gumbel_config
from auricle.models.wav2vec_config import Wav2VecConfig
from auricle.train.draws import Position, temperature
from auricle.train.objective import PredictionObjective
from golden import golden_cases, load_case, read_meta, scalar
from recorded import ACTIVATIONS, LOSSES, assert_grad_norms, kinds, load_recorded

CASES = golden_cases(where=lambda meta: any(kinds(meta, ".cpc_logits")))
FILES = [path for case in CASES for path in sorted(case.glob("checkpoint*.pt"))]
PASSES = [(case, prefix) for case in CASES for prefix in kinds(read_meta(case), ".cpc_logits")]
each_pass = pytest.mark.parametrize(("case", "prefix"), PASSES)


@dataclass(frozen=True)
class Given:
    """Draws that are given."""

    draws: PredictionDraws

    def prediction(
        self, config: Wav2VecConfig, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> PredictionDraws:
        return self.draws


class Pass:
    """One recorded pass, to be done again."""

    def __init__(self, case: Path, prefix: str) -> None:
        loaded = load_recorded(case)
        assert isinstance(loaded.model, Wav2Vec)
        self.model = loaded.model.train(prefix.endswith("train"))
        self.config, self.num_updates = loaded.model.config, loaded.num_updates
        self.meta, self.arrays = load_case(case)
        self.prefix = prefix
        self.weights = tuple(self.meta["config"]["criterion"]["loss_weights"] or ())

    def array(self, name: str) -> Tensor:
        return self.arrays[f"{self.prefix}.{name}"]

    def scalar(self, name: str) -> Any:
        return scalar(self.meta, f"{self.prefix}.{name}")

    def draws(self) -> PredictionDraws:
        negatives = self.array("neg_idx").permute(1, 2, 0)
        noise = self.arrays.get(f"{self.prefix}.gumbel_noise")
        if noise is not None:
            noise = noise.view(*negatives.shape[:2], self.config.quantizer.num_codebooks, -1)
        return PredictionDraws(negatives, noise, self.temperature())

    def temperature(self) -> float:
        if self.config.quantizer.kind != "gumbel":
            return 1.0
        return temperature(gumbel_config(self.config.quantizer), self.num_updates)

    def output(self) -> PredictionOutput:
        output: PredictionOutput = self.model(self.arrays["source"], None, self.draws())
        return output

    def loss(self) -> Loss:
        waveforms = self.arrays["source"]
        rows, samples = waveforms.shape
        batch = Batch(torch.arange(rows), waveforms, torch.full((rows,), samples))
        objective = PredictionObjective(self.model, Given(self.draws()), self.weights)
        return objective.loss(batch, Position(1, self.num_updates))


def as_recorded(logits: Tensor, offset: int, infonce: bool) -> Tensor:
    """[B, N, S, 1 + K] in fairseq's order: step, frame, row, candidate; or step, candidate, row, frame."""
    steps = [logits[:, offset + step :, step] for step in range(logits.shape[2])]
    if infonce:
        return torch.cat([step.transpose(0, 1).flatten(0, 1) for step in steps])
    return torch.cat([step.permute(2, 0, 1).flatten() for step in steps])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
@torch.no_grad()
def test_features_codes_and_contexts_of_every_layout(path: Path) -> None:
    model = load_recorded(path.parent, file=path.name).model
    _, arrays = load_case(path.parent)
    z = model.feature_extractor(arrays["source"])
    assert_close(z, arrays["z"], **ACTIVATIONS)
    assert_close(z.double(), arrays["z.f64"], **ACTIVATIONS)
    assert (model.vector_quantizer is None) == ("idx" not in arrays)
    if "idx" in arrays:
        z, codes = model.vector_quantizer.forward_idx(z)
        assert torch.equal(codes, arrays["idx"])
        assert_close(z, arrays["q"], **ACTIVATIONS)
    assert_close(model.feature_aggregator(z), arrays["c"], **ACTIVATIONS)


@each_pass
@torch.no_grad()
def test_logits_and_statistics_of_codes(case: Path, prefix: str) -> None:
    task = Pass(case, prefix)
    output = task.output()
    offset = task.model.wav2vec_predictions.offset
    assert offset == scalar(task.meta, "offset")
    found = as_recorded(output.logits, offset, task.config.infonce)
    assert_close(found, task.array("cpc_logits"), **ACTIVATIONS)
    assert_close(found.double(), task.array("cpc_logits.f64"), **ACTIVATIONS)
    for name in ("prob_perplexity", "code_perplexity", "kmeans_loss"):
        value = getattr(output, name)
        assert (value is None) == (f"{prefix}.{name}" not in task.arrays), name
        if value is not None:
            assert_close(value, task.array(name), **LOSSES)


@each_pass
@torch.no_grad()
def test_losses_and_what_is_logged(case: Path, prefix: str) -> None:
    task = Pass(case, prefix)
    loss, logged = task.loss(), task.scalar("logging_output")
    assert_close(loss.total, task.array("loss"), **LOSSES)
    # The diversity term is a small difference of large numbers.
    assert_close(loss.total.double(), task.array("loss.f64"), rtol=2e-5, atol=1e-6)
    assert int(loss.denominator) == logged["sample_size"] == task.scalar("sample_size")
    parts = {name: value for name, value in logged.items() if name.startswith("loss_")}
    assert {name: float(value) for name, value in loss.parts.items()} == pytest.approx(parts, rel=1e-5)
    for name in {"prob_perplexity", "code_perplexity", "temp", "kmeans_loss"} & logged.keys():
        assert float(loss.means[name]) == pytest.approx(logged[name], rel=1e-5), name
    assert (loss.correct is not None) == ("correct" in logged)
    if loss.correct is not None and loss.counted is not None:
        assert (int(loss.correct), int(loss.counted)) == (logged["correct"], logged["count"])


@each_pass
def test_gradients(case: Path, prefix: str) -> None:
    task = Pass(case, prefix)
    task.loss().total.backward()
    assert_grad_norms(task.model, task.scalar("grad_norms"))
