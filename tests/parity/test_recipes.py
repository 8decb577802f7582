"""Configurations that fairseq resolved itself resolve to the same values here, for the same models."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from auricle.config.build_model import model_config, pretrained_encoder
from auricle.config.load import as_mapping, load_recipe
from auricle.convert.load import load
from golden import golden_cases, read_meta

FAMILIES = {"wav2vec2", "wav2vec", "wav2vec_ctc"}


def family(meta: dict[str, Any]) -> str | None:
    model: str | None = meta.get("config", {}).get("model", {}).get("_name")
    return model


def as_recipe(case: Path, folder: Path) -> Path:
    """The case's configuration as a recipe file; of the embedded encoder only the model counts."""
    config = {group: dict(keys) for group, keys in read_meta(case)["config"].items() if keys}
    if config["model"].get("w2v_args"):
        config["model"]["w2v_args"] = {"model": config["model"]["w2v_args"]["model"]}
    path = folder / "case.yaml"
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    return path


def comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: comparable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    return {"(0.9,0.98)": [0.9, 0.98]}.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("case", golden_cases(where=lambda meta: family(meta) in FAMILIES))
def test_values(case: Path, tmp_path: Path) -> None:
    path = as_recipe(case, tmp_path)
    resolved = as_mapping(load_recipe(path.stem, config_dir=path.parent))
    for group, keys in OmegaConf.to_container(OmegaConf.load(path)).items():
        for name, value in keys.items():
            if name not in ("_name", "w2v_args"):
                assert comparable(resolved[group][name]) == comparable(value), f"{group}.{name}"


@pytest.mark.parametrize("case", golden_cases(where=lambda meta: family(meta) == "wav2vec_ctc"))
def test_the_model_of_a_fine_tuning_recipe_is_the_checkpoints(case: Path, tmp_path: Path) -> None:
    path = as_recipe(case, tmp_path)
    recipe = load_recipe(path.stem, config_dir=path.parent, overrides=["model.w2v_path=null"])
    loaded = load(case / "checkpoint.pt")
    assert loaded.dictionary is not None
    assert model_config(recipe, pretrained_encoder(recipe), len(loaded.dictionary)) == loaded.config


@pytest.mark.parametrize("case", golden_cases(where=lambda meta: family(meta) in ("wav2vec2", "wav2vec")))
def test_the_model_of_a_pretraining_recipe_is_the_checkpoints(case: Path, tmp_path: Path) -> None:
    path = as_recipe(case, tmp_path)
    recipe = load_recipe(path.stem, config_dir=path.parent)
    assert model_config(recipe, pretrained_encoder(recipe), 0) == load(case / "checkpoint.pt").config
