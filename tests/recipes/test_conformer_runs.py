"""The Conformer recipes, and all further options of wav2vec 2.0, in small: train, save, open, fine-tune."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import auricle
from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.errors import UserError
from auricle.train.draws import Position
from auricle.train.loop import Trainer
from corpora import TINY_CTC, TINY_PRETRAINING, write_corpus

SMALL = [
    *TINY_PRETRAINING,
    *("distributed_training.distributed_world_size=1", "common.fp16=false", "common.cpu=true"),
    *("dataset.required_batch_size_multiple=1", "common.log_interval=1", "optimization.max_update=3"),
    "model.depthwise_conv_kernel_size=5",
]
RECIPES = ["wav2vec2_conformer_base_librispeech", "wav2vec2_conformer_large_librivox"]
OPTIONS = {
    "rotary": ["model.layer_type=conformer", "model.attn_type=espnet", "model.pos_enc_type=rope"],
    "plain attention": ["model.layer_type=conformer", "model.depthwise_conv_kernel_size=3"],
    "quantized input": ["model.quantize_input=true", "model.quantize_targets=false"],
    "one quantizer": [
        *("model.quantize_input=true", "model.same_quantizer=true", "model.negatives_from_everywhere=true"),
        *("model.crop_seq_to_multiple=2", "model.target_glu=true"),
    ],
    "distractors": [
        *("model.cross_sample_negatives=3", "model.codebook_negatives=4", "model.quantizer_depth=2"),
        *("model.mask_channel_prob=0.3", "model.mask_channel_length=2", "model.mask_channel_before=true"),
    ],
    "adapter": ["model.layer_type=trf_adp", "model.adp_num=1", "model.adp_dim=5"],
    "checkpoints of activations": ["model.checkpoint_activations=true", "model.layer_type=conformer"],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trained(recipe: str, corpus: Path, *overrides: str) -> Trainer:
    trainer = build_run(load_recipe(recipe, overrides=[f"task.data={corpus}", *overrides]))
    trainer.run()
    return trainer


def logged(trainer: Trainer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (trainer.folder / "log.jsonl").read_text().splitlines()]


def assert_opens(trainer: Trainer) -> None:
    """What `auricle.load` makes of the run is the model that was trained."""
    loaded = auricle.load(trainer.folder / "checkpoints" / "last")
    assert loaded.config == trainer.model.config and loaded.num_updates == 3
    theirs = loaded.model.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in trainer.model.state_dict().items())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains_and_what_it_gives_is_fine_tuned(recipe: str, corpus: Path) -> None:
    trainer = trained(recipe, corpus, *SMALL, "checkpoint.save_dir=pre")
    lines = logged(trainer)
    assert all(line["prob_perplexity"] > 0 for line in lines if "prob_perplexity" in line)
    assert {"loss", "code_perplexity", "accuracy"} <= set(lines[0])
    assert_opens(trainer)
    counted = "encoder.layers.0.conv_module.batch_norm.num_batches_tracked"
    assert int(trainer.model.state_dict()[counted]) > 0
    normalize = str(trainer.model.config.normalize).lower()
    tuned = trained(
        "small_ctc", corpus, *TINY_CTC, "model.w2v_path=pre", "optimization.max_update=3",
        f"task.normalize={normalize}", "checkpoint.save_dir=tuned",
    )  # fmt: skip
    assert tuned.model.config.encoder.encoder.layer_type == "conformer"
    assert_opens(tuned)


@pytest.mark.parametrize("options", OPTIONS)
def test_options_train(options: str, corpus: Path) -> None:
    changes = ["model.layer_type=transformer", "model.attn_type=''", "model.pos_enc_type=abs"]
    trainer = trained(RECIPES[0], corpus, *SMALL, *changes, *OPTIONS[options], "checkpoint.save_dir=run")
    assert all(line["loss"] > 0 for line in logged(trainer) if "loss" in line)
    assert_opens(trainer)


def test_adapters_are_added_for_fine_tuning(corpus: Path) -> None:
    before = trained("small_pretrain", corpus, *SMALL, "checkpoint.save_dir=pre")
    changes = ["model.w2v_path=pre", "optimization.max_update=3", "model.layer_type=trf_adp"]
    overrides = [*TINY_CTC, *changes, "model.adp_dim=4", "checkpoint.save_dir=tuned"]
    tuned = trained("small_ctc", corpus, *overrides, "model.adp_num=1", "model.freeze_regex='^(?!.*adapter)'")
    weights, start = tuned.model.encoder.state_dict(), before.model.state_dict()
    assert any(".adapter_layer." in name for name in weights)
    kept = [name for name in weights if ".adapter_layer." not in name]
    assert kept and all(torch.equal(weights[name], start[name]) for name in kept)
    assert_opens(tuned)
    with pytest.raises(UserError, match=r"adp_num=2, but task\.multi_corpus_keys is not set: give each"):
        trained("small_ctc", corpus, *overrides, "model.adp_num=2")


TWO = [
    *("task.multi_corpus_keys='a, b'", "dataset.train_subset='a:train,b:valid'"),
    *("dataset.valid_subset='b:valid,a:train'", "model.layer_type=trf_adp", "model.adp_dim=4"),
    *("model.adp_num=2", "optimization.max_update=3"),
]


@pytest.mark.parametrize("recipe", ["small_pretrain", "small_ctc"])
def test_every_corpus_trains_its_own_adapters(recipe: str, corpus: Path) -> None:
    tiny = SMALL if recipe == "small_pretrain" else [*TINY_CTC, "dataset.validate_interval=1"]
    trainer = trained(recipe, corpus, *tiny, *TWO, "checkpoint.save_dir=two")
    assert_opens(trainer)
    assert {line["split"] for line in logged(trainer)} == {"train", "b:valid", "a:train"}
    batches = list(trainer.train.epoch(1))
    assert sum(map(len, batches)) == 12
    assert sorted(key for batch in batches for key in batch.corpus_keys.tolist()) == [0] * 6 + [1] * 6
    for number, subset in ((1, "b:valid"), (0, "a:train")):
        batch = next(iter(trainer.valid[subset].epoch(1)))
        trainer.model.zero_grad()
        trainer.step.objective.loss(batch, Position(1, 0)).total.backward()
        adapters = {name: p for name, p in trainer.model.named_parameters() if name.endswith("W_b")}
        assert adapters
        for weight in adapters.values():
            assert weight.grad is not None and weight.grad[number].any() and not weight.grad[1 - number].any()


def test_subsets_name_their_corpus(corpus: Path) -> None:
    for subset in ("train", "c:train"):
        with pytest.raises(
            UserError, match=rf"{subset} names none of task\.multi_corpus_keys=a,b: write .* a:train"
        ):
            trained("small_ctc", corpus, *TINY_CTC, *TWO, f"dataset.train_subset={subset}")
    with pytest.raises(UserError, match=r"model\.adp_num=1, but task\.multi_corpus_keys=a,b"):
        trained("small_ctc", corpus, *TINY_CTC, *TWO, "model.adp_num=1")
