"""Recipes made into runs."""

import json
import logging
from pathlib import Path

import pytest
import torch

from auricle.config.build import build_run
from auricle.config.build_model import model_config, pretrained_encoder
from auricle.config.build_schedule import schedule
from auricle.config.load import load_recipe
from auricle.config.schema import Recipe
from auricle.errors import UserError
from auricle.models.config import SpanMaskConfig, Wav2Vec2Config
from auricle.models.ctc import Wav2Vec2CTC
from auricle.train.engine import Engine
from auricle.train.loop import Trainer
from auricle.train.objective import CTCObjective, PretrainingObjective
from auricle.train.schedule import Cosine, Fixed, InverseSqrt, PolynomialDecay, TriStage
from corpora import TINY_CTC, TINY_PRETRAINING, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pretraining(corpus: Path, *overrides: str) -> Recipe:
    return load_recipe("small_pretrain", overrides=[f"task.data={corpus}", *TINY_PRETRAINING, *overrides])


def fine_tuning(corpus: Path, *overrides: str) -> Recipe:
    return load_recipe("small_ctc", overrides=[f"task.data={corpus}", *TINY_CTC, *overrides])


@pytest.fixture(scope="module")
def pretrained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    folder = tmp_path_factory.mktemp("run")
    trainer = build_run(pretraining(corpus, f"checkpoint.save_dir={folder}"))
    trainer.run()
    return trainer


def test_base_layout() -> None:
    recipe = load_recipe("wav2vec2_base_librispeech", overrides=["task.data=c"])
    config = model_config(recipe, pretrained_encoder(recipe), 0)
    assert isinstance(config, Wav2Vec2Config)
    assert (config.encoder.num_layers, config.encoder.dim, config.encoder.layerdrop) == (12, 768, 0.05)
    assert config.time_mask == SpanMaskConfig(prob=0.65)
    assert not config.normalize


def test_large_layout() -> None:
    recipe = load_recipe("wav2vec2_large_librivox", overrides=["task.data=c"])
    config = model_config(recipe, pretrained_encoder(recipe), 0)
    assert isinstance(config, Wav2Vec2Config)
    assert (config.conv_norm, config.conv_bias, config.encoder.pre_norm) == ("layer", True, True)
    assert config.quantizer is not None
    assert config.quantizer.temperature == (2.0, 0.1, 0.999995)
    assert config.normalize


def test_pretraining_runs(pretrained: Trainer) -> None:
    assert isinstance(pretrained.step.objective, PretrainingObjective)
    assert pretrained.step.objective.loss_weights == (0.1, 10.0)
    assert pretrained.progress.num_updates == 2
    assert (pretrained.folder / "checkpoints" / "last" / "model.safetensors").is_file()


def test_the_resolved_recipe_stands_in_the_run_folder(pretrained: Trainer, corpus: Path) -> None:
    recipe = load_recipe("recipe", config_dir=pretrained.folder)
    assert recipe == pretraining(corpus, f"checkpoint.save_dir={pretrained.folder}")


def test_fine_tuning_starts_from_the_pretrained_weights(pretrained: Trainer, corpus: Path) -> None:
    recipe = fine_tuning(corpus, f"model.w2v_path={pretrained.folder}", "model.mask_prob=0.4")
    model = build_run(recipe).model
    assert isinstance(model, Wav2Vec2CTC)
    weights = pretrained.model.state_dict()
    for name, value in model.encoder.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)
    assert model.config.encoder.time_mask.prob == 0.4
    assert model.config.num_labels == 4 + 7


def test_fine_tuning_may_leave_the_weights(pretrained: Trainer, corpus: Path) -> None:
    changes = [f"model.w2v_path={pretrained.folder}", "model.no_pretrained_weights=true", "common.seed=5"]
    model = build_run(fine_tuning(corpus, *changes)).model
    assert isinstance(model, Wav2Vec2CTC)
    assert not torch.equal(
        model.encoder.state_dict()["encoder.layers.0.fc1.weight"],
        pretrained.model.state_dict()["encoder.layers.0.fc1.weight"],
    )


def test_ctc_from_random_weights_runs(corpus: Path) -> None:
    trainer = build_run(fine_tuning(corpus, "model.freeze_finetune_updates=1"))
    assert isinstance(trainer.step.objective, CTCObjective)
    assert trainer.step.objective.freeze_updates == 1
    assert trainer.step.objective.sentence_avg
    trainer.run()
    lines = [json.loads(line) for line in Path("runs/small_ctc/log.jsonl").read_text().splitlines()]
    assert {"loss", "wer", "uer"} <= set(lines[-1])


def test_weights_of_another_model_to_start_from(pretrained: Trainer, corpus: Path) -> None:
    trainer = build_run(pretraining(corpus, f"checkpoint.finetune_from_model={pretrained.folder}"))
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, pretrained.model.state_dict()[name])


def test_weights_of_another_architecture(pretrained: Trainer, corpus: Path) -> None:
    changes = [f"checkpoint.finetune_from_model={pretrained.folder}", "model.encoder_ffn_embed_dim=32"]
    with pytest.raises(UserError, match=r"finetune_from_model=.* is of another architecture"):
        build_run(pretraining(corpus, *changes))


def test_normalize_must_be_the_checkpoints(pretrained: Trainer, corpus: Path) -> None:
    recipe = fine_tuning(corpus, f"model.w2v_path={pretrained.folder}", "task.normalize=false")
    with pytest.raises(UserError) as error:
        build_run(recipe)
    assert "task.normalize=false of the recipe does not go with" in str(error.value)
    assert "trained with normalize=true: add task.normalize=true" in str(error.value)


def test_frozen_parameters(corpus: Path) -> None:
    trainer = build_run(fine_tuning(corpus, "model.freeze_regex=feature_extractor"))
    frozen = {name for name, p in trainer.model.named_parameters() if not p.requires_grad}
    assert frozen
    assert all("feature_extractor" in name for name in frozen)


def test_workers_are_simulated(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    changes = ["distributed_training.distributed_world_size=64", "optimization.update_freq=[1,2]"]
    with caplog.at_level(logging.INFO):
        trainer = build_run(pretraining(corpus, *changes))
    assert trainer.options.update_freq == (64, 128)
    assert "simulating 64 workers by accumulating gradients" in caplog.text


class ThreeWorkers(Engine):
    num_workers = 3


def test_a_batch_means_the_same_with_any_number_of_workers(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ThreeWorkers(torch.device("cpu"))
    with caplog.at_level(logging.INFO):
        recipe = pretraining(corpus, "distributed_training.distributed_world_size=64")
        assert build_run(recipe, engine=engine).options.update_freq == (64,)
        assert "simulating 64 workers with 3" in caplog.text
        caplog.clear()
        recipe = pretraining(corpus, "distributed_training.distributed_world_size=2")
        assert build_run(recipe, engine=engine).options.update_freq == (2,)
        assert "an update is made of 2 batches: 1 workers have nothing to do" in caplog.text


def test_workers_that_were_started_are_the_world(monkeypatch: pytest.MonkeyPatch, corpus: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert pretraining(corpus).distributed_training.distributed_world_size == 3


def test_what_is_set_aside_is_named_and_listed(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        trainer = build_run(pretraining(corpus, "task.min_sample_size=8000"))
    count = len(trainer.train.set_aside)
    assert f"train: {count} utterances set aside" in caplog.text
    listed = Path("runs/small_pretrain/set_aside.train.tsv").read_text().splitlines()
    assert len(listed) == count > 0
    assert "too short" in listed[0]


def test_precision(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert build_run(pretraining(corpus, "common.bf16=true", "common.cpu=true")).step.precision == "bf16"
    with caplog.at_level(logging.INFO):
        trainer = build_run(pretraining(corpus, "common.fp16=true", "common.cpu=true"))
    assert trainer.step.precision == "float32"
    assert "float16 is for accelerators" in caplog.text


SCHEDULES = {
    (): PolynomialDecay(0.5, 100, 200),
    ("lr_scheduler=tri_stage", "lr_scheduler.phase_ratio=[0.1,0.4,0.5]"): TriStage(0.5, 10, 40, 50),
    ("lr_scheduler=tri_stage", "lr_scheduler.decay_steps=7"): TriStage(0.5, 0, 0, 7),
    ("lr_scheduler=cosine", "lr_scheduler.warmup_updates=20"): Cosine(0.5, 80, 20),
    ("lr_scheduler=inverse_sqrt", "lr_scheduler.warmup_updates=9"): InverseSqrt(0.5, 9),
    ("lr_scheduler=fixed", "lr_scheduler.warmup_updates=3"): Fixed(0.5, 3),
}


@pytest.mark.parametrize("changes", SCHEDULES)
def test_schedules(changes: tuple[str, ...]) -> None:
    overrides = ["task.data=c", "optimization.lr=[0.5]", "optimization.max_update=100", *changes]
    assert schedule(load_recipe("small_pretrain", overrides=overrides)) == SCHEDULES[changes]


def test_one_loss_weight_stands_for_all(corpus: Path) -> None:
    objective = build_run(pretraining(corpus, "criterion.loss_weights=[0.2]")).step.objective
    assert isinstance(objective, PretrainingObjective)
    assert objective.loss_weights == (0.2, 0.2)


MISTAKES = {
    "task.data=nowhere": "task.data=nowhere: there is no such folder",
    "dataset.valid_subset=dev": r"dev\.tsv",
    "task.labels=null": "task.labels is not set",
    "task.labels=phn": r"dict\.phn\.txt",
    "optimization.lr=[0.1,0.2]": "give one learning rate",
    "model.freeze_regex=.": "leaves nothing to train",
    "dataset.max_tokens=null": "dataset.max_tokens or dataset.batch_size",
    "model.w2v_path=missing.pt": r"missing\.pt",
    "model.w2v_args.model.encoder_attention_heads=5": "5 attention heads",
    "model.w2v_args.model.conv_feature_layers='[(1,2)]'": "conv_feature_layers",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_mistakes_are_answered_in_one_line(corpus: Path, override: str) -> None:
    with pytest.raises(UserError, match=MISTAKES[override]) as error:
        build_run(fine_tuning(corpus, override))
    assert "\n" not in str(error.value)


def test_penalties_without_weights(corpus: Path) -> None:
    with pytest.raises(UserError, match="3 weights, the model 2 penalties"):
        build_run(pretraining(corpus, "criterion.loss_weights=[1,2,3]"))
    with pytest.raises(UserError, match=r"criterion\.infonce=true"):
        build_run(pretraining(corpus, "criterion.infonce=false"))
