"""The manifests and labels that a recipe's subset stands for: one, or several corpora mixed by weights."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from auricle.config.schema import Recipe
from auricle.data.mixing import Mixture, mixture
from auricle.errors import UserError
from auricle.manifest import Entry, Manifest, read_labels, read_manifest

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a data set is made from.

    Attributes:
        manifest: Its utterances; of several corpora, with their full paths.
        labels: One line an utterance, or None.
        mixture: Which utterances are copies of which corpus; None where there is one corpus.
    """

    manifest: Manifest
    labels: list[str] | None
    mixture: Mixture | None = None


def subsets_of(names: str, *, mixed: bool) -> list[str]:
    """The parts of a recipe's list of subsets; `key:file` counts as `file` where corpora are not mixed."""
    parts = [name.strip() for name in names.split(",") if name.strip()]
    return parts if mixed else [part.rpartition(":")[2] for part in parts]


def read_corpus(recipe: Recipe, folder: Path, subset: str, *, labelled: bool) -> Corpus:
    """Reads what a subset stands for.

    With `task.multi_corpus_keys=a,b` and `task.multi_corpus_sampling_weights=1,3`, the subset
    `a:train_a,b:train_b` is both manifests, of which an epoch has one part and three.

    Raises:
        UserError: A file is missing, or keys, weights and subsets do not go together.
    """
    suffix = recipe.task.labels if labelled else None
    if recipe.task.multi_corpus_keys is None or "," not in subset:
        return _one(folder, subset.rpartition(":")[2].strip(), suffix)
    weights = _weights(recipe)
    pairs = [part.rpartition(":")[::2] for part in subsets_of(subset, mixed=True)]
    unknown = [key or name for key, name in pairs if key.strip() not in weights]
    if unknown:
        raise UserError(
            f"dataset.train_subset={subset}: {unknown[0]} is none of task.multi_corpus_keys "
            f"({', '.join(weights)}): write key:manifest for each corpus"
        )
    parts = [_one(folder, name.strip(), suffix) for _, name in pairs]
    shares = [weights[key.strip()] for key, _ in pairs]
    if recipe.task.multi_corpus_sampling_weights is None:  # all of each, once
        shares = [float(len(part.manifest)) for part in parts]
    return _mixed(parts, shares, [key for key, _ in pairs])


def _weights(recipe: Recipe) -> dict[str, float]:
    keys = [key.strip() for key in (recipe.task.multi_corpus_keys or "").split(",")]
    given = recipe.task.multi_corpus_sampling_weights
    try:
        weights = [1.0] * len(keys) if given is None else [float(weight) for weight in given.split(",")]
        return dict(zip(keys, weights, strict=True))
    except ValueError:
        raise UserError(
            f"task.multi_corpus_sampling_weights={given}: give one number for each of "
            f"task.multi_corpus_keys={','.join(keys)}"
        ) from None


def _one(folder: Path, name: str, suffix: str | None) -> Corpus:
    manifest = read_manifest(folder / f"{name}.tsv")
    return Corpus(manifest, None if suffix is None else read_labels(folder / f"{name}.{suffix}", manifest))


def _mixed(parts: Sequence[Corpus], weights: Sequence[float], names: Sequence[str]) -> Corpus:
    mix, numbers = mixture([len(part.manifest) for part in parts], weights)
    entries: list[Entry] = [
        replace(entry, path=part.manifest.full_path(entry))
        for part in parts
        for entry in part.manifest.entries
    ]
    lines = [line for part in parts for line in part.labels or ()]
    heard = ", ".join(f"{name} {rate:.3g} times" for name, rate in zip(names, mix.rates, strict=True))
    _log.info("an epoch hears %s", heard)
    return Corpus(
        Manifest(Path(), tuple(entries[number] for number in numbers), parts[0].manifest.source),
        [lines[number] for number in numbers] if lines else None,
        mix,
    )
