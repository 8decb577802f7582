"""Epochs: complete, reproducible, resumable, the same with any number of workers."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import sounds
from auricle.data import Batch, BatchLoader, SpeechDataset
from auricle.dictionary import Dictionary
from auricle.errors import UserError

SIZES = [1000 + 37 * ((7 * number) % 23) for number in range(23)]


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> SpeechDataset:
    return SpeechDataset(sounds.corpus(tmp_path_factory.mktemp("speech"), SIZES), max_sample_size=1500)


def loader(dataset: SpeechDataset, **options: object) -> BatchLoader:
    usual = {"max_tokens": 6000, "required_batch_size_multiple": 2, "pad": False}
    return BatchLoader(dataset, **(usual | options))  # type: ignore[arg-type]


def contents(batches: list[Batch]) -> list[tuple[list[int], list[int], float]]:
    """Utterances, lengths and a weighted sum: enough to tell two crops apart."""
    weights = [torch.arange(batch.waveforms.numel(), dtype=torch.float64) for batch in batches]
    return [
        (batch.ids.tolist(), batch.lengths.tolist(), float(batch.waveforms.double().flatten() @ weight))
        for batch, weight in zip(batches, weights, strict=True)
    ]


@pytest.mark.parametrize("pad", [True, False])
def test_an_epoch_has_every_utterance_once_within_the_limits(speech: SpeechDataset, pad: bool) -> None:
    batches = list(loader(speech, pad=pad).epoch(1))
    assert sorted(i for batch in batches for i in batch.ids.tolist()) == list(range(23))
    assert all(batch.waveforms.numel() <= 6000 for batch in batches)
    assert len(batches) == len(loader(speech, pad=pad))


def test_epochs_differ_and_repeat(speech: SpeechDataset) -> None:
    first, second = (contents(list(loader(speech).epoch(number))) for number in (1, 2))
    assert [ids for ids, *_ in first] != [ids for ids, *_ in second]
    assert contents(list(loader(speech).epoch(1))) == first
    assert contents(list(loader(speech, seed=2).epoch(1))) != first


def test_an_epoch_can_be_taken_up_in_its_middle(speech: SpeechDataset) -> None:
    whole = contents(list(loader(speech).epoch(3)))
    for start in (0, 1, len(whole) - 1, len(whole)):
        assert contents(list(loader(speech).epoch(3, start))) == whole[start:]


def test_workers_change_nothing(speech: SpeechDataset) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with_workers, without = loader(speech, num_workers=2), loader(speech)
    for epoch, start in ((1, 0), (2, 3), (3, 0)):
        got = contents(list(with_workers.epoch(epoch, start)))
        assert got == contents(list(without.epoch(epoch, start)))
    assert torch.equal(torch.get_rng_state(), state), "reading may not draw from torch's generator"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_can_be_left_in_its_middle(speech: SpeechDataset, num_workers: int) -> None:
    batches = loader(speech, num_workers=num_workers)
    whole = contents(list(loader(speech).epoch(1)))
    for _ in range(2):
        running = batches.epoch(1)
        assert contents([next(running), next(running)]) == whole[:2]
        del running
    assert contents(list(batches.epoch(1))) == whole


def test_unshuffled_batches_go_from_long_to_short_and_keep_all(speech: SpeechDataset) -> None:
    batches = loader(speech, shuffle=False, pad=True).batches(1)
    sizes = [min(SIZES[i], 1500) for batch in batches for i in batch]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) == 23
    assert loader(speech, shuffle=False, pad=True).batches(9) == batches


def test_a_worker_reads_its_own_batches(speech: SpeechDataset) -> None:
    whole = contents(list(loader(speech).epoch(2)))
    for num_workers in (0, 1):
        batches = loader(speech, num_workers=num_workers)
        assert contents(list(batches.read(2, [1, 3, 4]))) == [whole[1], whole[3], whole[4]]
        assert list(batches.read(2, [])) == []


def test_a_fixed_order_is_kept(speech: SpeechDataset) -> None:
    order = [[3, 1], [2]]
    batches = loader(speech, fixed_order=order, max_tokens=None)
    assert [batch.ids.tolist() for batch in batches.epoch(5)] == order
    assert [batch.ids.tolist() for batch in batches.epoch(5, start=1)] == [[2]]


def test_labels_come_along(tmp_path: Path) -> None:
    manifest = sounds.corpus(tmp_path, [500, 600, 700])
    dataset = SpeechDataset(manifest, labels=["A |", "B |", "A B |"], dictionary=Dictionary("|AB"))
    (batch,) = BatchLoader(dataset, max_tokens=10**6, pad=True).epoch(1)
    assert batch.targets is not None and batch.target_lengths is not None
    by_id = dict(zip(batch.ids.tolist(), batch.targets.tolist(), strict=True))
    assert by_id == {0: [5, 4, 1], 1: [6, 4, 1], 2: [5, 6, 4]}
    with pytest.raises(UserError, match=r"labelled speech cannot be cropped: set task.enable_padding=true"):
        BatchLoader(dataset, max_tokens=10**6, pad=False)


def test_what_is_longer_than_a_batch_is_set_aside(tmp_path: Path) -> None:
    dataset = SpeechDataset(sounds.listed(tmp_path, [10, 500, 5000]), min_sample_size=100)
    batches = BatchLoader(dataset, max_tokens=1000, pad=True)
    assert batches.batches(1) == [[0]]
    assert [item.name for item in batches.set_aside] == ["0.wav", "2.wav"]
    assert batches.set_aside[1].reason == "too long: 5000 samples, max_tokens is 1000"


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ([100], {"max_tokens": None}, "set dataset.max_tokens or dataset.batch_size"),
        ([], {}, "train.tsv lists no utterance"),
        ([9000, 9000], {}, r"train.tsv can be used: 0.wav: too long: 9000 samples.*; and 1 more"),
    ],
)
def test_what_cannot_work_is_said_at_once(
    tmp_path: Path, sizes: list[int], options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        loader(SpeechDataset(sounds.listed(tmp_path, sizes)), **options)


def test_dropping_the_only_batch_is_an_error(speech: SpeechDataset) -> None:
    batches = loader(speech, max_tokens=10**6, required_batch_size_multiple=64, drop_remainder=True)
    with pytest.raises(UserError, match="required_batch_size_multiple=1"):
        batches.batches(1)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_epoch_of_which_nothing_can_be_read_is_an_error(tmp_path: Path, num_workers: int) -> None:
    batches = loader(SpeechDataset(sounds.listed(tmp_path, [100] * 9)), num_workers=num_workers, batch_size=2)
    epoch = batches.epoch(1)
    assert [len(next(epoch)) for _ in range(len(batches) - 1)] == [0] * (len(batches) - 1)
    with pytest.raises(UserError, match=r"train.tsv can be used: \d.wav: no such file; and 8 more"):
        next(epoch)
    assert len(list(batches.epoch(1, start=1))) == len(batches) - 1


def test_crops_cover_the_utterance(tmp_path: Path) -> None:
    dataset = SpeechDataset(sounds.corpus(tmp_path, [40]), max_sample_size=30)
    whole = dataset[0].samples  # type: ignore[union-attr]
    starts = set()
    for epoch in range(1, 150):
        (batch,) = loader(dataset, max_tokens=100).epoch(epoch)
        starts |= {s for s in range(11) if torch.equal(whole[s : s + 30], batch.waveforms[0])}
    assert starts == set(range(11))


def test_reading_draws_from_no_global_generator(speech: SpeechDataset) -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    list(loader(speech).epoch(1))
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index, union-attr]


def test_what_workers_hold_can_be_sent_to_them(tmp_path: Path) -> None:
    """Where processes are not forked, as on Python 3.14, the reader is pickled."""
    manifest = sounds.corpus(tmp_path, [500, 600])
    dataset = SpeechDataset(
        manifest, labels=["A |", "B |"], dictionary=Dictionary("|AB"), num_frames=lambda samples: samples // 9
    )
    reader = BatchLoader(dataset, max_tokens=10**6, pad=True)._reader
    again = pickle.loads(pickle.dumps(reader))
    assert contents([again[(1, [0, 1])]]) == contents([reader[(1, [0, 1])]])
    batch = pickle.loads(pickle.dumps(reader[(1, [1])]))
    assert batch.ids.tolist() == [1] and batch.target_lengths.tolist() == [2]


SIGNALLED = """
import os, signal, subprocess, sys
from pathlib import Path
import sounds
from auricle.data import BatchLoader, SpeechDataset

signal.signal(signal.SIGTERM, lambda *_: None)  # as a trainer, which saves and leaves after the update
signal.signal(signal.SIGINT, lambda *_: None)
dataset = SpeechDataset(sounds.listed(Path(sys.argv[1]), [500] * 40))
loader = BatchLoader(dataset, max_tokens=1000, required_batch_size_multiple=1, pad=False, num_workers=1)
epoch = loader.epoch(1)
next(epoch)
subprocess.run(["sh", "-c", "kill -s TERM 0; kill -s INT 0"])
print(1 + sum(1 for _ in epoch))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who sent a signal")
def test_workers_outlive_signals_to_the_whole_group_and_end_with_the_main_process(tmp_path: Path) -> None:
    sounds.corpus(tmp_path, [500] * 40)
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "20\n"), done.stderr


@pytest.mark.parametrize("num_workers", [0, 2])
def test_speeds_depend_on_seed_epoch_and_utterance_alone(
    tmp_path: Path, speech: SpeechDataset, num_workers: int
) -> None:
    varied = SpeechDataset(sounds.corpus(tmp_path, SIZES), speed_perturbation=0.2)
    whole = contents(list(loader(varied, pad=True, num_workers=num_workers).epoch(3)))
    assert contents(list(loader(varied, pad=True).epoch(3, 2))) == whole[2:]
    lengths = {i: n for ids, sizes, _ in whole for i, n in zip(ids, sizes, strict=True)}
    assert sum(lengths[i] != size for i, size in enumerate(SIZES)) > 20
    other = contents(list(loader(varied, pad=True).epoch(4)))
    assert lengths != {i: n for ids, sizes, _ in other for i, n in zip(ids, sizes, strict=True)}
