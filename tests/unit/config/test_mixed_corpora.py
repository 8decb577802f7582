"""Subsets of several corpora, and runs over them."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.config.mixed_corpora import read_corpus
from auricle.config.schema import Recipe
from auricle.errors import UserError
from corpora import TINY_CTC, write_corpus

MIXED = [
    "task.multi_corpus_keys='es,fr'",
    "task.multi_corpus_sampling_weights='1,3'",
    "dataset.train_subset='es:train,fr:other'",
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


def epoch_of(trainer: Any, epoch: int) -> Counter[str]:
    entries = trainer.train.dataset.entries
    return Counter(entries[index].path for batch in trainer.train.batches(epoch) for index in batch)


def test_a_run_hears_corpora_by_their_weights() -> None:
    trainer = build_run(recipe())
    times = epoch_of(trainer, 1)
    assert sum(count for path, count in times.items() if path.startswith("corpus/")) == 2
    assert [count for path, count in times.items() if path.startswith("elsewhere/")] == [3, 3]
    assert trainer.run() == "done: 2 updates"


def test_without_weights_all_of_each_is_heard_once() -> None:
    times = epoch_of(build_run(recipe("task.multi_corpus_sampling_weights=null")), 1)
    assert list(times.values()) == [1] * 8


def test_labels_stay_with_their_utterances() -> None:
    corpus = read_corpus(recipe(), Path("corpus"), "es:train,fr:other", labelled=True)
    assert corpus.labels is not None
    mine = {
        str(Path(folder) / line.split("\t")[0]): label
        for folder, name in (("corpus", "train"), ("elsewhere", "other"))
        for line, label in zip(
            Path(f"corpus/{name}.tsv").read_text().splitlines()[1:],
            Path(f"corpus/{name}.ltr").read_text().splitlines(),
            strict=True,
        )
    }
    assert {
        entry.path: label for entry, label in zip(corpus.manifest.entries, corpus.labels, strict=True)
    } == mine


def test_a_run_taken_up_again_hears_the_same() -> None:
    assert epoch_of(build_run(recipe()), 3) == epoch_of(build_run(recipe()), 3)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("task.multi_corpus_sampling_weights='1'", "give one number for each of task.multi_corpus_keys"),
        ("task.multi_corpus_sampling_weights='1,x'", "give one number for each"),
        ("task.multi_corpus_sampling_weights='1,-1'", "give one share a corpus"),
        ("dataset.train_subset='es:train,de:other'", "de is none of task.multi_corpus_keys"),
        ("dataset.train_subset='es:train,fr:nowhere'", "nowhere.tsv"),
    ],
)
def test_mistakes(change: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        build_run(recipe(change))


def test_a_single_corpus_may_have_its_key() -> None:
    assert (
        len(build_run(recipe("dataset.train_subset=es:train", "dataset.valid_subset=fr:valid")).train.dataset)
        == 6
    )
