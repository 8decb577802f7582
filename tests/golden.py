"""Where the recorded reference data is, and how to read a case of it."""

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parents[1]
Meta = dict[str, Any]


def golden_folder() -> Path:
    """The folder that AURICLE_GOLDEN names, else ../shared/golden, else the committed subset."""
    named = os.environ.get("AURICLE_GOLDEN")
    if named:
        if not Path(named).is_dir():
            raise FileNotFoundError(f"AURICLE_GOLDEN names {named}, which is not a folder")
        return Path(named)
    shared = REPOSITORY.parent / "shared" / "golden"
    return shared if shared.is_dir() else REPOSITORY / "tests" / "golden_subset"


def golden_cases(where: Callable[[Meta], bool] | None = None) -> list[Path]:
    """The folders of the cases whose case.json satisfies `where`.

    Their names say nothing: a new case is picked up by what is in it, whatever it is called.
    An empty list given to `pytest.mark.parametrize` skips the test and says so.
    """
    folders = sorted(path.parent for path in golden_folder().glob("*/case.json"))
    return [folder for folder in folders if where is None or where(read_meta(folder))]


@cache
def read_meta(case: Path) -> Meta:
    """The case's case.json."""
    meta: Meta = json.loads((case / "case.json").read_text(encoding="utf-8"))
    return meta


def load_case(case: Path) -> tuple[Meta, dict[str, Tensor]]:
    """A case's case.json and its arrays."""
    return read_meta(case), load_file(case / "arrays.safetensors")


def scalar(meta: Meta, name: str) -> Any:
    """A recorded scalar, whether stored bare or as {"value": ..., "desc": ...}."""
    value = meta["scalars"][name]
    return value["value"] if isinstance(value, dict) and "value" in value else value
