"""Whole training runs that fairseq recorded, done again by the loop of `auricle train` itself.

Only three things are given to it: the order of the batches, the draws, and the weights to start from.
"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

import auricle
from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.convert.storages import StoredTensor
from auricle.convert.torch_file import read
from auricle.data import BatchLoader
from auricle.models.config import Wav2Vec2Config
from auricle.models.wav2vec2 import PretrainingDraws
from auricle.train.checkpoint import load_training_state
from auricle.train.draws import MaskDraws, Position, temperature
from auricle.train.loop import Trainer
from golden import golden_cases, load_case, read_meta, scalar
from recorded import load_recorded, own_name, recorded_draws

Update = Mapping[str, Any]

RUNS = golden_cases(where=lambda meta: "updates" in meta.get("scalars", {}) and "source" in meta["arrays"])
each_run = pytest.mark.parametrize("case", RUNS)

# A perturbation of the weights by 2e-7 moves what is compared here by less than a tenth of these.
CURVES = {"rel": 1e-4, "abs": 1e-6}
PARAMETERS = {"rtol": 0, "atol": 1e-4}
MOMENTS = 1e-3
"""Of the largest value of each."""


@dataclass(frozen=True)
class RecordedDraws:
    """The draws of a recorded run, by update and micro-batch."""

    arrays: Mapping[str, Tensor]
    updates: Sequence[Update]

    def pretraining(
        self, config: Wav2Vec2Config, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> PretrainingDraws:
        masks = self.finetuning(config, ids, frames, position)
        assert masks.span_mask is not None
        key = f"u{position.update:02d}."
        noise = self.arrays.get(f"{key}gumbel{position.micro_batch}")
        return recorded_draws(
            config,
            masks.span_mask,
            self.arrays[f"{key}neg{position.micro_batch}"],
            [] if noise is None else [noise],
            temperature(config.quantizer, position.update),
            channel_mask=masks.channel_mask,
        )

    def finetuning(
        self, config: Wav2Vec2Config, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> MaskDraws:
        assert self.updates[position.update]["batch_ids"][position.micro_batch] == list(ids)
        # Where both kinds are drawn, they alternate: time, channels, and so on with the next micro-batch.
        kinds = [mask.prob > 0 for mask in (config.time_mask, config.channel_mask)]
        first = position.micro_batch * sum(kinds)
        names = (f"u{position.update:02d}.mask{first + i}" for i in range(sum(kinds)))
        return MaskDraws(*(self.arrays[next(names)] if drawn else None for drawn in kinds))


class RecordedBatches(BatchLoader):
    """The batches of a recorded run: every epoch is one update."""

    def __init__(self, loader: BatchLoader, updates: Sequence[Update]) -> None:
        super().__init__(loader.dataset, max_tokens=None, pad=True, fixed_order=updates[0]["batch_ids"])
        self._updates = updates

    def batches(self, epoch: int) -> list[list[int]]:
        return [list(ids) for ids in self._updates[epoch - 1]["batch_ids"]]


def write_data(case: Path, folder: Path) -> None:
    """A manifest of the recorded waveforms, as float32 files, and their labels where there are any."""
    meta, arrays = load_case(case)
    source = arrays["source"]
    lengths = scalar(meta, "lengths") if "lengths" in meta["scalars"] else [source.shape[1]] * len(source)
    lines = [str(folder)]
    for number, (samples, length) in enumerate(zip(source, lengths, strict=True)):
        soundfile.write(folder / f"{number}.wav", samples[:length].numpy(), 16000, subtype="FLOAT")
        lines.append(f"{number}.wav\t{length}")
    (folder / "train.tsv").write_text("\n".join(lines) + "\n")
    if "labels" in meta["scalars"]:
        suffix = meta["config"]["task"]["labels"]
        (folder / f"train.{suffix}").write_text("\n".join(scalar(meta, "labels")) + "\n")
        shutil.copy(case / f"dict.{suffix}.txt", folder)


def trainer_of(case: Path, folder: Path) -> Trainer:
    """The run that the recorded configuration describes, before its first update."""
    meta, arrays = load_case(case)
    updates = scalar(meta, "updates")
    recipe = {group: dict(keys) for group, keys in meta["config"].items()}
    if "w2v_path" in recipe["model"]:
        # The architecture is all that is taken from it: the weights are overwritten below.
        recipe["model"] |= {"w2v_path": str(case / "checkpoint.pt"), "w2v_args": None}
    recipe["model"]["reference_padding"] = True
    recipe["model"].pop("data", None)  # the task's is meant
    recipe["task"]["data"] = str(folder)
    recipe["optimization"]["update_freq"] = [max(len(update["batch_ids"]) for update in updates)]
    recipe["common"] = {"log_interval": 1, "cpu": True}
    recipe["dataset"] = {"max_tokens": 10**7, "disable_validation": True, "num_workers": 0}
    recipe["checkpoint"] = {"save_dir": str(folder / "run"), "save_interval": 0}
    (folder / "recorded.yaml").write_text(json.dumps(recipe))
    trainer = build_run(load_recipe("recorded", config_dir=folder), draws=RecordedDraws(arrays, updates))
    weights = load_file(case / "init.safetensors")
    trainer.model.load_state_dict({own_name(name): tensor for name, tensor in weights.items()})
    return replace(trainer, train=RecordedBatches(trainer.train, updates))


@pytest.fixture(scope="module")
def finished() -> dict[Path, Path]:
    """The run folder of each case; made by the first test that needs it."""
    return {}


@pytest.fixture
def run(case: Path, finished: dict[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    if case not in finished:
        folder = tmp_path_factory.mktemp(case.name)
        write_data(case, folder)
        trainer = trainer_of(case, folder)
        trainer.run()
        finished[case] = trainer.folder
    return finished[case]


def logged(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@each_run
def test_every_update_is_the_one_recorded(case: Path, run: Path) -> None:
    updates = scalar(read_meta(case), "updates")
    lines = logged(run)
    assert [line["update"] for line in lines] == [update["num_updates_before"] + 1 for update in updates]
    for line, update in zip(lines, updates, strict=True):
        bits = sum(update["loss_sum"]) / sum(update["sample_size"]) / math.log(2)
        expected = {"loss": bits, "lr": update["lr_used"], "grad_norm": update["grad_norm"]}
        found = {name: line[name] for name in expected}
        assert found == pytest.approx(expected, **CURVES), f"update {line['update']}"


@each_run
def test_every_statistic_is_the_one_recorded(case: Path, run: Path) -> None:
    for line, update in zip(logged(run), scalar(read_meta(case), "updates"), strict=True):
        outputs = update["logging"]
        size = sum(output["sample_size"] for output in outputs)
        expected = {}
        for name in outputs[0]:
            if name.startswith("loss_"):
                expected[name] = sum(output[name] for output in outputs) / size / math.log(2)
            elif name in line and name != "loss":
                expected[name] = sum(output[name] for output in outputs) / len(outputs)
        if "correct" in outputs[0]:
            counted = sum(output["count"] for output in outputs)
            expected["accuracy"] = sum(output["correct"] for output in outputs) / counted
        found = {name: line[name] for name in expected}
        assert found == pytest.approx(expected, **CURVES), f"update {line['update']}"


@each_run
def test_the_last_parameters_are_those_recorded(case: Path, run: Path) -> None:
    found, expected = auricle.load(run), load_recorded(case)
    assert found.num_updates == expected.num_updates == len(scalar(read_meta(case), "updates"))
    assert found.config == expected.config
    expected_weights = expected.model.state_dict()
    assert found.model.state_dict().keys() == expected_weights.keys()
    for name, tensor in found.model.state_dict().items():
        assert_close(
            tensor, expected_weights[name], **PARAMETERS, msg=lambda text, name=name: f"{name}: {text}"
        )


@each_run
def test_the_last_state_of_adam_is_the_one_recorded(case: Path, run: Path) -> None:
    stored = read(case / "checkpoint.pt")["last_optimizer_state"]
    if not stored or not stored["state"]:
        pytest.skip(f"{case.name}: the checkpoint was stripped of its optimizer state")
    # fairseq numbers the parameters in the order in which its state dict names them.
    names = [own_name(name) for name in scalar(read_meta(case), "state_dict_order")]
    tensors = load_training_state(run / "checkpoints" / "last").tensors
    found = {name.rpartition(".")[0] for name in tensors}
    assert found == {names[number] for number in stored["state"]}
    for number, state in stored["state"].items():
        for key in ("exp_avg", "exp_avg_sq"):
            assert isinstance(state[key], StoredTensor)
            expected = state[key].load()
            difference = (tensors[f"{names[number]}.{key}"] - expected).abs().max()
            assert difference <= MOMENTS * expected.abs().max() + 1e-9, f"{names[number]}.{key}"
        assert int(tensors[f"{names[number]}.step"]) == int(state["step"])
