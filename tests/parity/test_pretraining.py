"""The contrastive task against what fairseq recorded: logits, penalties, losses, gradients, statistics."""

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
from auricle.models.config import Wav2Vec2Config
from auricle.models.wav2vec2 import PretrainingDraws, PretrainingOutput, Wav2Vec2Pretraining
from auricle.train.draws import Position, temperature
from auricle.train.objective import PretrainingObjective
from golden import golden_cases, load_case, read_meta, scalar
from recorded import (
    ACTIVATIONS,
    LOSSES,
    assert_grad_norms,
    corpus_key,
    kinds,
    load_recorded,
    recorded_draws,
)

# (case, prefix of its arrays): a pass in evaluation and one in training of each case, as a rule.
PASSES = [
    (case, prefix)
    for case in golden_cases(where=lambda meta: "pretrain.mask_indices" in meta["arrays"])
    for prefix in kinds(read_meta(case), ".logits")
]
each_pass = pytest.mark.parametrize(("case", "prefix"), PASSES)


@dataclass(frozen=True)
class Given:
    """Draws that are given."""

    draws: PretrainingDraws

    def pretraining(
        self, config: Wav2Vec2Config, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> PretrainingDraws:
        return self.draws


class Pass:
    """One recorded pass, to be done again."""

    def __init__(self, case: Path, prefix: str) -> None:
        loaded = load_recorded(case)
        assert isinstance(loaded.model, Wav2Vec2Pretraining)
        self.model = loaded.model.train(prefix.endswith(".train"))
        self.num_updates = loaded.num_updates
        self.meta, self.arrays = load_case(case)
        self.prefix = prefix
        self.temperature = self.scalar("temp")
        weights = tuple(self.scalar("loss_weights"))
        self.objective = PretrainingObjective(self.model, Given(self.draws()), weights)

    def draws(self) -> PretrainingDraws:
        return recorded_draws(
            self.model.config,
            self.arrays["pretrain.mask_indices"],
            self.array("neg_idx"),
            [array for name, array in sorted(self.arrays.items()) if f"{self.prefix}.gumbel_noise" in name],
            self.temperature,
            channel_mask=self.arrays.get("pretrain.mask_channel_indices"),
            codebook_negatives=self.arrays.get(f"{self.prefix}.codebook_idx"),
        )

    def array(self, name: str) -> Tensor:
        return self.arrays[f"{self.prefix}.{name}"]

    def scalar(self, name: str) -> Any:
        return scalar(self.meta, f"{self.prefix}.{name}")

    @property
    def waveforms(self) -> Tensor:
        return self.arrays["source"][:, : scalar(self.meta, "nopad_samples")]

    def output(self) -> PretrainingOutput:
        key = corpus_key(self.meta)
        output: PretrainingOutput = self.model(self.waveforms, None, self.draws(), corpus_key=key)
        return output

    def loss(self) -> Loss:
        rows, samples = self.waveforms.shape
        key = corpus_key(self.meta)
        batch = Batch(
            torch.arange(rows),
            self.waveforms,
            torch.full((rows,), samples),
            corpus_keys=None if key is None else torch.tensor(key).expand(rows),
        )
        return self.objective.loss(batch, Position(1, self.num_updates))


@each_pass
@torch.no_grad()
def test_logits_and_which_of_them_are_infinite(case: Path, prefix: str) -> None:
    task = Pass(case, prefix)
    logits, expected = task.output().logits, task.array("logits").permute(1, 2, 0)
    assert torch.equal(logits.isinf(), expected.isinf())
    assert int(logits.isinf().sum()) == task.scalar("n_inf_logits")
    assert_close(logits, expected, **ACTIVATIONS)
    assert_close(logits.double(), task.array("logits.f64").permute(1, 2, 0), **ACTIVATIONS)


@each_pass
@torch.no_grad()
def test_penalties_and_perplexities(case: Path, prefix: str) -> None:
    task = Pass(case, prefix)
    output = task.output()
    assert_close(output.feature_penalty, task.array("features_pen"), **LOSSES)
    assert (output.prob_perplexity is None) == (f"{prefix}.prob_perplexity" not in task.arrays)
    if output.prob_perplexity is not None:
        assert_close(output.prob_perplexity, task.array("prob_perplexity"), **LOSSES)
        assert_close(output.code_perplexity, task.array("code_perplexity"), **LOSSES)
        assert output.num_entries == task.scalar("num_vars")
        config = task.model.config
        found = temperature(config.quantizer or config.input_quantizer, task.num_updates)
        assert found == pytest.approx(task.temperature)


@each_pass
@torch.no_grad()
def test_losses_and_what_is_logged(case: Path, prefix: str) -> None:
    task = Pass(case, prefix)
    loss, logged = task.loss(), task.scalar("logging_output")
    assert_close(loss.total, task.array("loss"), **LOSSES)
    assert_close(loss.total.double(), task.array("loss.f64"), **LOSSES)
    assert int(loss.denominator) == logged["sample_size"] == task.scalar("sample_size")
    parts = {name: value for name, value in logged.items() if name.startswith("loss_")}
    assert {name: float(value) for name, value in loss.parts.items()} == pytest.approx(parts, rel=1e-5)
    for name in {"prob_perplexity", "code_perplexity", "temp"} & logged.keys():
        assert float(loss.means[name]) == pytest.approx(logged[name], rel=1e-5), name
    assert loss.correct is not None and loss.counted is not None
    assert (int(loss.correct), int(loss.counted)) == (logged["correct"], logged["count"])


@each_pass
def test_gradients(case: Path, prefix: str) -> None:
    task = Pass(case, prefix)
    task.loss().total.backward()
    assert_grad_norms(task.model, task.scalar("grad_norms"))
