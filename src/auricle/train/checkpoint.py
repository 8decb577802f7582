"""Checkpoint folders: a model that `auricle.load` opens, and the state that lets its training go on.

A run keeps ``checkpoints/last``, ``checkpoints/best`` and ``checkpoints/update_N``. Each holds the model's
files (see `auricle.convert.own`) and, of this module, ``training_state.safetensors`` (tensors: optimizer
moments and the like) and ``training_state.json`` (everything else: counters, positions). Folders appear whole
or not at all (see `auricle.files`), and nothing in them is ever changed in place.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from auricle.convert.own import write_weights
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.files import atomic_folder, clean_leftovers, discard_folder, resolve_folder, write_tensors
from auricle.models.config import ModelConfig

FORMAT_VERSION = 1
LAST = "last"
BEST = "best"

_TENSORS = "training_state.safetensors"
_VALUES = "training_state.json"
_UPDATE = re.compile(r"update_(\d+)")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingState:
    """What training needs besides the model to go on bit for bit.

    Attributes:
        num_updates: Updates done.
        tensors: Under flat names; dtypes and values are kept exactly.
        values: Anything JSON holds (tuples come back as lists; floats are exact).
    """

    num_updates: int
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


def update_name(num_updates: int) -> str:
    """Name of the checkpoint folder that is kept for this update."""
    return f"update_{num_updates}"


def save_checkpoint(
    folder: Path,
    weights: Mapping[str, Tensor],
    config: ModelConfig,
    dictionary: Dictionary | None,
    state: TrainingState,
) -> None:
    """Write a checkpoint folder, in place of the one that is there; `weights` are a model's state.

    Raises:
        UserError: It cannot be written, the disk being full for example; what was there before is kept.
    """
    with atomic_folder(folder) as partial:
        write_weights(partial, weights, config, dictionary, {"num_updates": state.num_updates})
        write_tensors(partial / _TENSORS, state.tensors)
        values = {
            "format_version": FORMAT_VERSION,
            "num_updates": state.num_updates,
            "values": dict(state.values),
        }
        (partial / _VALUES).write_text(json.dumps(values, indent=1), encoding="utf-8")


def copy_checkpoint(source: Path, folder: Path) -> None:
    """Let `folder` be a copy of the checkpoint `source`; their tensors share the disk where it can.

    Raises:
        UserError: It cannot be written; what was there before is kept.
    """
    with atomic_folder(folder) as partial:
        for path in resolve_folder(source).iterdir():
            if path.suffix != ".safetensors" or not _link(path, partial / path.name):
                shutil.copyfile(path, partial / path.name)


def load_training_state(folder: Path) -> TrainingState:
    """Read what `save_checkpoint` was given, from `folder` or what an interrupted save left of it.

    Raises:
        UserError: There is none, or it is damaged or of a later version.
    """
    source = resolve_folder(folder)
    if not (source / _VALUES).is_file():
        raise UserError(
            f"{folder} holds no training state to go on from: give a checkpoint folder of a run,"
            " or start a new run from its weights (model.w2v_path or checkpoint.finetune_from_model)"
        )
    try:
        content = json.loads((source / _VALUES).read_text(encoding="utf-8"))
        if content["format_version"] > FORMAT_VERSION:
            raise UserError(f"{source} was written by a later version of auricle: update the package")
        tensors = load_file(source / _TENSORS)
        return TrainingState(content["num_updates"], tensors, content["values"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the training state in {source} is damaged ({error}): go on from another checkpoint"
        ) from error


def remove_old_updates(checkpoints: Path, keep: int) -> None:
    """Remove all but the `keep` latest ``update_N`` folders, and what interrupted saves left behind.

    As with fairseq's ``keep_interval_updates``, a `keep` of 0 or less keeps all. What cannot be removed is
    left, with a warning.
    """
    numbers = sorted(
        int(match[1]) for path in checkpoints.iterdir() if (match := _UPDATE.fullmatch(path.name))
    )
    try:
        for number in numbers[:-keep] if keep > 0 else ():
            discard_folder(checkpoints / update_name(number))
        clean_leftovers(checkpoints)
    except OSError as error:
        _logger.warning("cannot remove old checkpoints in %s: %s", checkpoints, error)


def _link(source: Path, target: Path) -> bool:
    """Give the file a second name; False where the file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True
