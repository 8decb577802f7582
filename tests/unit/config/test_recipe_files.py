"""Recipes that are made of several files, and files as fairseq's folder has them."""

from pathlib import Path

import pytest

from auricle.config.load import load_recipe
from auricle.config.schema_task import CTCLossKeys
from auricle.errors import UserError

BASE = """# @package _group_
common: {seed: 3}
task: {_name: audio_finetuning, data: "${env:CORPUS}", labels: ltr}
criterion: {_name: ctc}
optimizer: {_name: adam}
lr_scheduler: {_name: fixed}
model: {_name: wav2vec_ctc, w2v_path: w}
hydra: {sweep: {dir: "/somewhere/${env:PREFIX}/${hydra.job.num}"}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CORPUS", "corpus")
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "criterion").mkdir()
    (tmp_path / "criterion" / "finite.yaml").write_text(
        "# @package _group_\n_name: ctc\nzero_infinity: true\n"
    )
    (tmp_path / "run_config").mkdir()
    (tmp_path / "run_config" / "slurm_1.yaml").write_text(
        "# @package _global_\nhydra: {launcher: {nodes: 1}}\n"
    )
    return tmp_path


def test_defaults_come_before_the_recipe_itself(folder: Path) -> None:
    (folder / "mine.yaml").write_text(
        "defaults:\n  - base\n  - criterion: finite\n  - model: null\ncommon: {log_interval: 7}\n"
    )
    recipe = load_recipe("mine.yaml", config_dir=folder)
    assert (recipe.common.seed, recipe.common.log_interval, recipe.task.data) == (3, 7, "corpus")
    assert isinstance(recipe.criterion, CTCLossKeys) and recipe.criterion.zero_infinity


@pytest.mark.parametrize(("order", "seed"), [("[_self_, base]", 3), ("[base, _self_]", 9), ("[base]", 9)])
def test_self_says_where_the_recipe_comes(folder: Path, order: str, seed: int) -> None:
    (folder / "mine.yaml").write_text(f"defaults: {order}\ncommon: {{seed: 9}}\n")
    assert load_recipe("mine", config_dir=folder).common.seed == seed


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("defaults: [nowhere]\n", "its defaults name nowhere, which is not in"),
        ("defaults: [mine]\n", "its defaults lead back to itself"),
        ("defaults: base\n", "'defaults' must be a list"),
        ("defaults: [[base]]\n", "write a name, or group: name"),
    ],
)
def test_defaults_that_lead_nowhere(folder: Path, text: str, complaint: str) -> None:
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=complaint):
        load_recipe("mine", config_dir=folder)


@pytest.mark.parametrize("sign", ["", "+"])
def test_a_file_of_a_folder_of_options_is_chosen_on_the_command_line(folder: Path, sign: str) -> None:
    recipe = load_recipe("base", config_dir=folder, overrides=[f"{sign}run_config=slurm_1", "common.seed=4"])
    assert recipe.common.seed == 4


def test_a_word_for_a_group_chooses_its_variant(folder: Path) -> None:
    (folder / "mine.yaml").write_text(BASE.replace("{_name: fixed}", "cosine"))
    assert load_recipe("mine", config_dir=folder).lr_scheduler._name == "cosine"
    (folder / "mine.yaml").write_text(BASE.replace("{_name: fixed}", "pass_through"))
    with pytest.raises(UserError, match="there is no lr_scheduler 'pass_through'"):
        load_recipe("mine", config_dir=folder)


def test_fine_tuning_under_the_name_it_once_had(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "old.yaml").write_text(BASE.replace("audio_finetuning", "audio_pretraining"))
    with caplog.at_level("INFO", logger="auricle"):
        assert load_recipe("old", config_dir=folder).task._name == "audio_finetuning"
    assert "is audio_finetuning" in caplog.text
