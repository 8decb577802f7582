"""The shipped recipes have the published values, and every key the published default."""

import json
from pathlib import Path
from typing import Any

import pytest

from auricle.config.fields import keys_of
from auricle.config.load import as_mapping, load_recipe, recipe_yaml
from auricle.config.recipe_files import recipe_names
from auricle.config.schema import GROUPS
from auricle.convert.literals import LiteralError, read_literal

PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text())
DEFAULTS = json.loads((Path(__file__).parent / "defaults.json").read_text())
OPEN = {
    "task.data": "corpus",
    "model.w2v_path": "checkpoint.pt",
    "optimization.max_update": "1000",
}

# Defaults that are code rather than values, or depend on the machine.
COMPUTED = {
    "int(100000000.0)": 100_000_000,
    "2 ** 7": 128,
    "lambda: []": [],
    "lambda: [1]": [1],
    "lambda: [0.25]": [0.25],
    "lambda: GenerationConfig()": {},
    "MISSING": "???",
}
MACHINE = {"max(1, torch.cuda.device_count())", "os.getenv('LOCAL_RANK', 0)"}


def comparable(value: Any) -> Any:
    """Numbers as floats, literals in text as what they spell."""
    if isinstance(value, str):
        try:
            value = read_literal(value)
        except LiteralError:
            return value
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def load_with_open_keys(name: str, published: dict[str, Any]) -> dict[str, Any]:
    overrides = [
        f"{path}={value}"
        for path, value in OPEN.items()
        if published.get(path.split(".")[0], {}).get(path.split(".")[1]) == "???"
    ]
    return as_mapping(load_recipe(name, overrides=overrides))


@pytest.mark.parametrize("name", PUBLISHED)
def test_values(name: str) -> None:
    resolved = load_with_open_keys(name.rpartition("/")[2], PUBLISHED[name])
    for group, keys in PUBLISHED[name].items():
        for key, value in keys.items():
            if value != "???":
                assert comparable(resolved[group][key]) == comparable(value), f"{group}.{key}"


@pytest.mark.parametrize("name", recipe_names())
def test_a_resolved_recipe_reads_back_the_same(name: str, tmp_path: Path) -> None:
    overrides = ["task.data=corpus"]
    if not name.startswith(("wav2vec", "vq_wav2vec", "small", "demo_pretrain", "code")):
        overrides += ["model.w2v_path=checkpoint.pt", "optimization.max_update=1000"]
    recipe = load_recipe(name, overrides=overrides)
    (tmp_path / "recipe.yaml").write_text(recipe_yaml(recipe))
    assert load_recipe("recipe", config_dir=tmp_path) == recipe


@pytest.mark.parametrize("section", DEFAULTS)
def test_defaults(section: str) -> None:
    group, _, variant = section.partition(".")
    kinds = {
        "wav2vec2": GROUPS["model"]["wav2vec2"],
        "wav2vec": GROUPS["model"]["wav2vec"],
        "wav2vec_ctc": GROUPS["model"]["wav2vec_ctc"],
        "wav2vec_ctc_base": GROUPS["model"]["wav2vec_ctc"],
    }
    keys = keys_of(kinds[section] if section in kinds else GROUPS[group][variant])
    for name, default in DEFAULTS[section].items():
        if default in MACHINE if isinstance(default, str) else False:
            continue
        if isinstance(default, str) and default.startswith("II("):
            assert keys[name].source == default[4:-2], name
        else:
            expected = COMPUTED.get(default, default) if isinstance(default, str) else default
            assert comparable(keys[name].default) == comparable(expected), name
