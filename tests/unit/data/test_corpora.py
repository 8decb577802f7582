"""Several corpora as one: numbers, names, sizes and keys of utterances, whichever dataset they are of."""

from pathlib import Path

import numpy as np
import torch

from auricle.data.corpora import SeveralCorpora
from auricle.data.dataset import SpeechDataset
from auricle.data.loader import BatchLoader
from auricle.dictionary import Dictionary
from auricle.manifest import read_manifest
from corpora import write_corpus


def several(folder: Path, weights: list[float] | None = None) -> tuple[SeveralCorpora, list[SpeechDataset]]:
    parts = []
    for name in ("one", "two"):
        manifest = read_manifest(
            (write_corpus(folder / name, num_utterances=4) / "train.tsv").rename(folder / f"{name}.tsv")
        )
        labels = [f"A {name[0].upper()}"] * 4
        parts.append(SpeechDataset(manifest, labels=labels, dictionary=Dictionary(["A", "O", "T"])))
    return SeveralCorpora([(5, parts[0]), (2, parts[1])], weights), parts


def test_utterances_are_those_of_the_parts(tmp_path: Path) -> None:
    joined, parts = several(tmp_path)
    assert len(joined) == 8 and joined.labels == ["A O"] * 4 + ["A T"] * 4
    for index in range(8):
        part, number = parts[index // 4], index % 4
        ours, theirs = joined[index], part[number]
        assert ours.id == index and torch.equal(ours.samples, theirs.samples)  # type: ignore[union-attr]
        assert (
            joined.sizes[index] == part.sizes[number]
            and joined.name(index) == f"{part.source.stem}:{part.name(number)}"
        )


def test_every_utterance_has_the_key_of_its_corpus(tmp_path: Path) -> None:
    joined, _ = several(tmp_path)
    loader = BatchLoader(joined, max_tokens=40_000, required_batch_size_multiple=1, pad=True)
    seen = {}
    for batch in loader.epoch(1):
        assert batch.corpus_keys is not None
        seen |= dict(zip(batch.ids.tolist(), batch.corpus_keys.tolist(), strict=True))
    assert seen == {index: 5 if index < 4 else 2 for index in range(8)}


def test_what_cannot_be_read_leaves_no_key(tmp_path: Path) -> None:
    joined, _ = several(tmp_path)
    for path in tmp_path.rglob("*.wav"):
        path.write_bytes(b"none")
    batch = joined.collate([joined[0], joined[5]], pad=True, crop_start=lambda *_: 0)
    assert len(batch) == 0 and batch.corpus_keys is not None and batch.corpus_keys.shape == (0,)
    assert [item.name for item in batch.set_aside] == [joined.name(0), joined.name(5)]


def test_two_corpora_may_have_the_same_relative_path(tmp_path: Path) -> None:
    joined, _ = several(tmp_path)
    for path in tmp_path.rglob("train0.wav"):
        path.write_bytes(b"none")
    found = [joined[index] for index in (0, 4)]
    assert [item.name for item in found] == ["one:train0.wav", "two:train0.wav"]  # type: ignore[union-attr]
    parts = [
        SpeechDataset(part, min_sample_size=10**6)
        for part in map(read_manifest, (tmp_path / "one.tsv", tmp_path / "two.tsv"))
    ]
    left_out = SeveralCorpora([(0, parts[0]), (1, parts[1])]).set_aside
    assert {item.name for item in left_out} == {f"{c}:train{i}.wav" for c in ("one", "two") for i in range(4)}


def test_a_copy_is_an_utterance_of_its_own_with_the_label_and_key_of_what_it_copies(tmp_path: Path) -> None:
    joined, parts = several(tmp_path, [1.0, 3.0])
    assert joined.labels == ["A O"] * 4 + ["A T"] * 8 and len(joined) == 12
    assert [joined.in_epoch(1, epoch).sum() for epoch in (1, 2)] == [8, 8]
    for index in (5, 9):
        copy, original = joined[index], parts[1][1]
        assert copy.id == index and torch.equal(copy.samples, original.samples)  # type: ignore[union-attr]
        assert joined.sizes[index] == parts[1].sizes[1] and joined.name(index) == "two:train1.wav"
    batch = joined.collate([joined[0], joined[5], joined[9]], pad=True, crop_start=lambda *_: 0)
    assert batch.corpus_keys is not None and batch.corpus_keys.tolist() == [5, 2, 2]


def test_an_epoch_varies_the_utterances_of_the_parts(tmp_path: Path) -> None:
    manifest = read_manifest(write_corpus(tmp_path / "one", num_utterances=2) / "train.tsv")
    plain, varied = SpeechDataset(manifest), SpeechDataset(manifest, speed_perturbation=0.2)
    joined = SeveralCorpora([(5, plain), (2, varied)])
    rng = np.random.default_rng
    for index, part in ((1, plain), (3, varied)):
        ours, theirs = joined.heard(index, rng(7)), part.heard(1, rng(7))
        assert ours.id == index and torch.equal(ours.samples, theirs.samples)  # type: ignore[union-attr]
    assert len(joined.heard(3, rng(7)).samples) != len(joined.heard(1, rng(7)).samples)  # type: ignore[union-attr]
