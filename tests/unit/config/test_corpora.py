"""Subsets of several corpora, and runs over them."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.config.schema import Recipe
from auricle.errors import UserError
from corpora import TINY_CTC, write_corpus

MIXED = [
    "task.multi_corpus_keys='es,fr'",
    "task.multi_corpus_sampling_weights='1,3'",
    "dataset.train_subset='es:train,fr:other'",
    "dataset.valid_subset=fr:valid",
]


@pytest.fixture(autouse=True)
def two_corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six utterances in `train`, two in `other`."""
    monkeypatch.chdir(tmp_path)
    write_corpus(Path("corpus"))
    write_corpus(Path("elsewhere"), num_utterances=2)
    for suffix in ("tsv", "ltr"):
        shutil.copy(f"elsewhere/train.{suffix}", f"corpus/other.{suffix}")


def recipe(*changes: str) -> Recipe:
    return load_recipe("small_ctc", overrides=["task.data=corpus", *TINY_CTC, *MIXED, *changes])


def epoch_of(trainer: Any, epoch: int) -> Counter[tuple[int, str]]:
    """How often each utterance is heard: number of its corpus, and name."""
    batches = list(trainer.train.epoch(epoch))
    numbers = [index for batch in batches for index in batch.ids.tolist()]
    assert len(set(numbers)) == len(numbers)  # every copy has masks of its own
    corpora = [key for batch in batches for key in batch.corpus_keys.tolist()]
    return Counter(zip(corpora, map(trainer.train.dataset.name, numbers), strict=True))


def test_a_run_hears_corpora_by_their_weights() -> None:
    trainer = build_run(recipe())
    times = epoch_of(trainer, 1)
    assert sum(count for (corpus, _), count in times.items() if corpus == 0) == 2
    assert [count for (corpus, _), count in times.items() if corpus == 1] == [3, 3]
    assert trainer.run() == "done: 2 updates"


def test_without_weights_all_of_each_is_heard_once() -> None:
    times = epoch_of(build_run(recipe("task.multi_corpus_sampling_weights=null")), 1)
    assert list(times.values()) == [1] * 8


def test_a_run_taken_up_again_hears_the_same() -> None:
    assert epoch_of(build_run(recipe()), 3) == epoch_of(build_run(recipe()), 3)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("task.multi_corpus_sampling_weights='1'", "give one number for each of task.multi_corpus_keys"),
        ("task.multi_corpus_sampling_weights='1,x'", "give one number for each"),
        ("task.multi_corpus_sampling_weights='1,-1'", "give one share a corpus"),
        ("dataset.train_subset='es:train,de:other'", "de:other names none of task.multi_corpus_keys"),
        ("dataset.train_subset='es:train,fr:nowhere'", "nowhere.tsv"),
    ],
)
def test_mistakes(change: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        build_run(recipe(change))


def test_a_single_corpus_has_its_key_and_is_heard_once() -> None:
    trainer = build_run(recipe("dataset.train_subset=es:train"))
    assert list(epoch_of(trainer, 1).values()) == [1] * 6


def test_validation_hears_every_utterance_once() -> None:
    loader = build_run(recipe()).valid["fr:valid"]
    heard = [index for batch in loader.batches(1) for index in batch]
    assert sorted(heard) == list(range(len(loader.dataset)))
