"""Recipes from YAML, with links, interpolations, variants, and every mistake answered in one line."""

import logging
from pathlib import Path

import pytest

from auricle.config.load import load_recipe
from auricle.config.recipe_files import find_recipe, recipe_names
from auricle.config.schema import Recipe
from auricle.config.schema_model import CTCKeys, Wav2Vec2Keys
from auricle.config.schema_task import CosineKeys, PolynomialKeys
from auricle.errors import UserError

MINIMAL = """# @package _group_
task: {_name: audio_pretraining, data: corpus}
criterion: {_name: wav2vec}
optimizer: {_name: adam}
lr_scheduler: {_name: polynomial_decay, warmup_updates: 5}
model: {_name: wav2vec2}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL)
    return path


def load(path: Path, *overrides: str) -> Recipe:
    return load_recipe(path.stem, config_dir=path.parent, overrides=overrides)


def test_links_follow_what_they_are_linked_to(recipe_file: Path) -> None:
    recipe = load(recipe_file, "common.seed=7", "optimization.max_update=30", "optimization.lr=[0.1]")
    assert recipe.task.seed == 7
    assert isinstance(recipe.lr_scheduler, PolynomialKeys)
    assert recipe.lr_scheduler.total_num_update == 30.0
    assert recipe.lr_scheduler.lr == recipe.optimizer.lr == (0.1,)


def test_a_linked_key_may_be_given_by_itself(recipe_file: Path) -> None:
    assert load(recipe_file, "common.seed=7", "task.seed=8").task.seed == 8


def test_environment_variables(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUS", "/somewhere")
    recipe_file.write_text(MINIMAL.replace("corpus", '"${env:CORPUS}/en"'))
    assert load(recipe_file).task.data == "/somewhere/en"


def test_an_environment_variable_that_is_not_set(recipe_file: Path) -> None:
    recipe_file.write_text(MINIMAL.replace("corpus", '"${env:NOT_SET_ANYWHERE}"'))
    with pytest.raises(UserError, match="NOT_SET_ANYWHERE"):
        load(recipe_file)


def test_a_variant_can_be_exchanged(recipe_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe_file.write_text(MINIMAL.replace("warmup_updates: 5", "warmup_updates: 5, power: 2.0"))
    with caplog.at_level(logging.INFO):
        recipe = load(recipe_file, "lr_scheduler=cosine")
    assert isinstance(recipe.lr_scheduler, CosineKeys)
    assert recipe.lr_scheduler.warmup_updates == 5
    assert "leaves out lr_scheduler.power" in caplog.text


def test_a_deleted_key_has_its_default_again(recipe_file: Path) -> None:
    recipe = load(recipe_file, "~lr_scheduler.warmup_updates")
    assert isinstance(recipe.lr_scheduler, PolynomialKeys)
    assert recipe.lr_scheduler.warmup_updates == 0


def test_older_words_are_understood(recipe_file: Path) -> None:
    recipe = load(recipe_file, "dataset.max_sentences=4")
    assert recipe.dataset.batch_size == recipe.dataset.batch_size_valid == 4


def test_an_architecture_inside_a_fine_tuning_recipe() -> None:
    recipe = load_recipe("small_ctc", overrides=["task.data=c", "model.w2v_args.model.encoder_layers=3"])
    assert isinstance(recipe.model, CTCKeys)
    assert recipe.model.w2v_args is not None
    assert isinstance(recipe.model.w2v_args.model, Wav2Vec2Keys)
    assert recipe.model.w2v_args.model.encoder_layers == 3
    assert recipe.model.w2v_args.model.encoder_embed_dim == 192


def test_the_run_folder_is_named_after_the_recipe(recipe_file: Path) -> None:
    assert load(recipe_file).checkpoint.save_dir == "runs/mine"
    assert load(recipe_file, "checkpoint.save_dir=there").checkpoint.save_dir == "there"


def test_groups_of_other_tasks_are_passed_over(recipe_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe_file.write_text(MINIMAL + "hydra: {run: {dir: '${now:%Y}'}}\n")
    with caplog.at_level(logging.INFO):
        load(recipe_file)
    assert "the group hydra is not used" in caplog.text


def test_keys_without_effect_are_mentioned_once(recipe_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load(recipe_file, "common.wandb_project=x", "distributed_training.bucket_cap_mb=50")
    notices = [r.message for r in caplog.records if "without effect" in r.message]
    assert notices == [
        "accepted, without effect here: common.wandb_project, distributed_training.bucket_cap_mb"
    ]


def test_shipped_recipes_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load_recipe("wav2vec2_base_librispeech", overrides=["task.data=c"])
    assert not caplog.records


MISTAKES = {
    "model.encoder_layer=3": r"override 'model.encoder_layer=3': unknown key model.encoder_layer "
    r".did you mean model.encoder_layers\?",
    "task.max_tokens=3": r"did you mean dataset.max_tokens\?",
    "optimisation.lr=[1]": r"override 'optimisation.lr=\[1\]': unknown key .did you mean optimization.lr",
    "max_update=3": r"did you mean optimization.max_update\?",
    "model.encoder_layers=many": r"many': model.encoder_layers: expected int, got 'many'",
    "model.mask_selection=median": r"expected static \| uniform \| normal \| poisson",
    "optimizer=sgd": r"override 'optimizer=sgd': there is no optimizer 'sgd'.*there are adam",
    "criterion=ctc": r"wav2vec2 is trained with task audio_pretraining and criterion wav2vec, not with",
    "common.seed=${no.such.key}": "an interpolation of the recipe cannot be resolved",
    "common.seed=${task.seed}": "an interpolation of the recipe cannot be resolved",
    "task.data=???": r"the recipe leaves task.data open: add task.data=\.\.\.",
    "task.speed_perturbation=15": r"task.speed_perturbation: expected a share from 0 to 0.5, got 15",
    "common.seed=-1": r"common.seed: expected 0 or more, got -1",
    "model=7": r"name a key of the group, such as model._name=",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_mistakes_are_answered_in_one_line(recipe_file: Path, override: str) -> None:
    with pytest.raises(UserError, match=MISTAKES[override]) as error:
        load(recipe_file, override)
    assert "\n" not in str(error.value)


CONTENTS = {
    "model: {_name: wav2vec2, extractor: x}": r"recipe mine.yaml: unknown key model.extractor",
    "modle: {_name: wav2vec2}": r"recipe mine.yaml: unknown group 'modle' .did you mean model",
    "model: 3": "'model' must hold keys, not 3",
    "model: [": "is not valid YAML",
    "- model": "must hold groups of keys",
    "model: {}": "nothing says which model: add model._name=wav2vec2 or wav2vec_ctc or wav2vec",
}


@pytest.mark.parametrize("content", CONTENTS)
def test_faulty_files_are_answered_in_one_line(recipe_file: Path, content: str) -> None:
    groups = [line for line in MINIMAL.splitlines() if not line.startswith("model")]
    recipe_file.write_text(content if content.startswith("-") else "\n".join([*groups, content]))
    with pytest.raises(UserError, match=CONTENTS[content]) as error:
        load(recipe_file)
    assert "\n" not in str(error.value)


def test_fine_tuning_needs_an_encoder() -> None:
    with pytest.raises(UserError, match=r"leaves task.data, model.w2v_path open"):
        load_recipe("base_10h")
    with pytest.raises(UserError, match=r"model.w2v_path is null: give a checkpoint, or an architecture"):
        load_recipe("base_10h", overrides=["task.data=c", "model.w2v_path=null"])


def test_names_of_recipes(tmp_path: Path) -> None:
    assert find_recipe("base_10h").name == find_recipe("finetuning/base_10h.yaml").name == "base_10h.yaml"
    assert {"small_ctc", "small_pretrain", "vox_960h", "finetune"} <= set(recipe_names())
    with pytest.raises(
        UserError, match=r"no recipe 'base_10hours' among those shipped .did you mean base_10h"
    ):
        find_recipe("base_10hours")
    with pytest.raises(UserError, match=r"--config-dir .*: there is no such folder"):
        find_recipe("base_10h", tmp_path / "none")


def test_nothing_given() -> None:
    with pytest.raises(UserError, match=r"nothing says which .* take a recipe that does .--config-name NAME"):
        load_recipe(None)
