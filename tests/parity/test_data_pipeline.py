"""Order, batches, crops, manifests and labels as fairseq's own data code gave them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from auricle import audio
from auricle.cli.main import main
from auricle.data import BatchLoader, SpeechDataset, Utterance
from auricle.data.batching import batch_by_size, deal, ordered_indices
from auricle.data.collate import collate
from auricle.data.transcripts import read_libri, write_labels
from auricle.manifest import Manifest, find, read_manifest
from golden import golden_cases, load_case, read_meta, scalar

CASES = golden_cases(where=lambda meta: "batching" in meta.get("scalars", {}))
each_case = pytest.mark.parametrize("case", CASES)


def scalars(name):
    """(case, recorded value) of every case, one by one where the value is a list."""
    return [(case, value) for case in CASES for value in scalar(read_meta(case), name)]


def recorded(name):
    return pytest.mark.parametrize(
        ("case", "want"), scalars(name), ids=lambda x: "" if isinstance(x, Path) else f"seed{x['seed']}"
    )


def placed(case: Path) -> Manifest:
    """The case's manifest, whose root was taken out, under a folder that exists; it holds no audio."""
    return replace(read_manifest(case / "train.tsv"), root=case)


@recorded("batching")
def test_filter_order_and_batches(case, want):
    manifest = placed(case)
    dataset = SpeechDataset(
        manifest, min_sample_size=want["min_sample_size"], max_sample_size=want["max_sample_size"]
    )
    assert len(dataset) == want["n_kept"]
    skipped = {entry.path for entry in manifest.entries} - {entry.path for entry in dataset.entries}
    assert skipped == {manifest.entries[i].path for i in want["skipped_manifest_lines"]}
    rng = np.random.RandomState(want["seed"])
    order = ordered_indices(dataset.sizes, max_sample_size=want["max_sample_size"], rng=rng).tolist()
    assert order == want["ordered_indices"]
    largest = None if want["pad"] else want["max_sample_size"]
    batches = batch_by_size(
        order,
        np.minimum(dataset.sizes, largest or dataset.sizes.max()).tolist(),
        max_tokens=want["max_tokens"],
        batch_size=want["max_sentences"],
        multiple=want["required_batch_size_multiple"],
        drop_remainder=True,
    )
    assert batches == want["batches"]


@recorded("iterator")
def test_epochs_and_shards(case, want):
    dataset = SpeechDataset(placed(case), min_sample_size=32000, max_sample_size=250000)
    batches = BatchLoader(
        dataset,
        max_tokens=1_400_000,
        required_batch_size_multiple=4,
        seed=want["seed"],
        pad=False,
        drop_remainder=True,
    ).batches(want["epoch"])
    count, workers = len(batches), want["num_shards"]
    (mine,) = deal(0, count, count, workers, want["shard_id"])
    assert [batches[number] for number in mine if number is not None] == want["this_shard"]
    assert len(mine) == -(-len(want["shuffled_order_all_shards"]) // workers)


COLLATED = [("pad0_max45", 3), ("pad1_maxNone", 3), ("pad1_max48", 4), ("pad0_maxNone", 5)]


@pytest.mark.parametrize(("name", "seed"), COLLATED)
@each_case
def test_collated_ramps(case, name, seed):
    _, arrays = load_case(case)
    rng = np.random.RandomState(seed)
    longest = name.partition("max")[2]
    batch = collate(
        [Utterance(i, torch.arange(n) + 1000.0 * i, None) for i, n in enumerate((50, 37, 64))],
        pad=name.startswith("pad1"),
        max_sample_size=None if longest == "None" else int(longest),
        crop_start=lambda _, surplus: int(rng.randint(0, surplus + 1)),
    )
    assert torch.equal(batch.waveforms, arrays[f"collate.{name}.source"])
    if f"collate.{name}.padding_mask" in arrays:
        lengths = (~arrays[f"collate.{name}.padding_mask"]).sum(-1)
        assert torch.equal(batch.lengths, lengths)


@each_case
def test_normalized_wave(case):
    _, arrays = load_case(case)
    torch.testing.assert_close(
        audio.normalize(arrays["normalize.in"]), arrays["normalize.out"], atol=1e-6, rtol=1e-6
    )


@each_case
def test_stereo_wave(case, tmp_path):
    _, arrays = load_case(case)
    soundfile.write(tmp_path / "x.wav", arrays["stereo.in"].numpy(), 16000, subtype="FLOAT")
    assert torch.equal(audio.read(tmp_path / "x.wav").samples, arrays["stereo.out"])


@pytest.fixture
def libri(case, tmp_path):
    """The recorded LibriSpeech-like tree, with silence for speech."""
    for path, utterance in scalar(read_meta(case), "libri_tree").items():
        file = tmp_path / "libri" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, np.zeros(utterance["samples"]), 16000)
        speaker, chapter, _ = file.stem.split("-")
        with (file.parent / f"{speaker}-{chapter}.trans.txt").open("a") as transcripts:
            transcripts.write(f"{file.stem} {utterance['text']}\n")
    return tmp_path / "libri"


@each_case
def test_manifest_command(case, libri, tmp_path):
    runs = dict(scalar(read_meta(case), "wav2vec_manifest"))
    assert find(libri, ["flac"]) == runs.pop("glob_order")
    for name, run in runs.items():
        dest = tmp_path / name
        assert main(["manifest", str(libri), "--dest", str(dest), "--ext", "flac", *run["args"]]) == 0
        root = str(libri.resolve())
        got = {file.name: file.read_text().replace(root, "<ROOT>") for file in dest.iterdir()}
        assert got == run["files"], name


@each_case
def test_libri_labels(case, libri, tmp_path):
    want = scalar(read_meta(case), "libri_labels")
    assert main(["manifest", str(libri), "--dest", str(tmp_path), "--valid-percent", "0"]) == 0
    write_labels(tmp_path, "train", read_libri(read_manifest(tmp_path / "train.tsv")))
    assert (tmp_path / "train.ltr").read_text() == want["ltr"]
    assert (tmp_path / "train.wrd").read_text() == want["wrd"]
