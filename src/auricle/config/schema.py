"""The recipe: fairseq's ten groups of keys, typed.

A group with several variants is a union of dataclasses told apart by `_name`. A new family of models is a
dataclass in `schema_model.py` or `schema_text.py`, added to `ModelKeys` or `TextModelKeys`; nothing else here
knows of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from auricle.config.fields import Key, keys_of, variants
from auricle.config.schema_model import ModelKeys
from auricle.config.schema_run import (
    CheckpointKeys,
    CommonKeys,
    DatasetKeys,
    DistributedKeys,
    OptimizationKeys,
)
from auricle.config.schema_task import CriterionKeys, OptimizerKeys, SchedulerKeys, TaskKeys
from auricle.config.schema_text import TextCriterionKeys, TextModelKeys, TextTaskKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that defines a training run."""

    common: CommonKeys
    task: TaskKeys | TextTaskKeys
    dataset: DatasetKeys
    distributed_training: DistributedKeys
    criterion: CriterionKeys | TextCriterionKeys
    optimization: OptimizationKeys
    optimizer: OptimizerKeys
    lr_scheduler: SchedulerKeys
    model: ModelKeys | TextModelKeys
    checkpoint: CheckpointKeys


GROUPS: dict[str, dict[str, type]] = {
    name: variants(annotation) for name, annotation in get_type_hints(Recipe).items()
}
"""The variants of each group by `_name`; a group with only one kind has it under ""."""

FOREIGN_GROUPS = frozenset(
    {"bmuf", "bpe", "common_eval", "ema", "eval_lm", "generation", "hydra", "interactive"}
    | {"scoring", "simul_type", "tokenizer"}
)
"""Groups of fairseq's recipes that training speech models makes no use of."""

RENAMED = {
    "optimization.min_lr": "optimization.stop_min_lr",
    "dataset.max_sentences": "dataset.batch_size",
    "dataset.max_sentences_valid": "dataset.batch_size_valid",
}
"""Words of fairseq before 0.10 and what became of them."""


def all_keys() -> Iterator[tuple[str, str, Key]]:
    """Every key there is, as (group, variant or "", key)."""
    for group, kinds in GROUPS.items():
        for variant, kind in kinds.items():
            for key in keys_of(kind).values():
                yield group, variant, key


def nearest(word: str, known: list[str]) -> str:
    """A hint, " (did you mean ...?)", for a misspelt key, name or file; empty where nothing is near.

    A dotted key that stands in the wrong group is near to the key of that name in the right one.
    """
    leaf = word.rpartition(".")[2]
    moved = [key for key in known if "." in key and key.rpartition(".")[2] == leaf]
    found = moved[:1] or get_close_matches(word, known, n=1, cutoff=0.6) or _near_leaf(leaf, known)
    return f" (did you mean {found[0]}?)" if found else ""


def _near_leaf(leaf: str, known: list[str]) -> list[str]:
    by_leaf = {key.rpartition(".")[2]: key for key in known}
    return [by_leaf[name] for name in get_close_matches(leaf, list(by_leaf), n=1, cutoff=0.6)]


def known_keys(chosen: dict[str, type]) -> list[str]:
    """The dotted keys of the chosen variants."""
    return [f"{group}.{name}" for group, kind in chosen.items() for name in keys_of(kind)]


def default_of(kind: type, name: str) -> Any:
    """A key's default, or its "???" or "${...}"."""
    return keys_of(kind)[name].default
