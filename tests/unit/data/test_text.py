"""Text becomes samples: how lines are cut, what stands before each, what is left out, what is shortened."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.data.loader import BatchLoader
from auricle.data.text import BreakMode, Cut, TextBatch, TextDataset, blocks_of
from auricle.dictionary import Dictionary
from auricle.errors import UserError

WORDS = Dictionary([f"w{i}" for i in range(20)])  # w0 is 4
BOS, PAD, EOS, UNK = 0, 1, 2, 3


def text(folder: Path, *lines: str) -> Path:
    path = folder / "train.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def tokens(dataset: TextDataset, index: int) -> list[int]:
    return dataset[index][1].tolist()


def collated(dataset: TextDataset, *indices: int, start: int = 0) -> TextBatch:
    return dataset.collate([dataset[i] for i in indices], pad=True, crop_start=lambda *_: start)


ENDS = np.array([4, 5, 7, 12, 13, 14, 16])  # lines of 4, 1 (blank), 2, 5, 1, 1, 2 symbols, </s> included


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("none", 6, [[0, 6], [6, 12], [12, 16]]),
        ("none", 4, [[0, 4], [4, 8], [8, 12], [12, 16]]),
        ("none", 99, [[0, 16]]),
        ("eos", 2, [[0, 4], [4, 5], [5, 7], [7, 12], [12, 13], [13, 14], [14, 16]]),
        ("complete", 7, [[0, 7], [7, 14], [14, 16]]),
        ("complete", 3, [[0, 4], [4, 7], [7, 12], [12, 14], [14, 16]]),
        ("complete_doc", 7, [[0, 4], [5, 12], [14, 16]]),
        ("complete_doc", 3, [[0, 4], [5, 7], [7, 12], [14, 16]]),
    ],
)
def test_blocks(mode: BreakMode, size: int, expected: list[list[int]]) -> None:
    assert blocks_of(ENDS, mode, size).tolist() == expected


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mode", ["none", "complete", "eos"])
def test_blocks_hold_everything_once_and_lines_stay_whole(mode: BreakMode, seed: int) -> None:
    rng = random.Random(seed)
    ends = np.cumsum([rng.randint(1, 9) for _ in range(50)])
    blocks, size = blocks_of(ends, mode, 12), 12
    assert blocks[0, 0] == 0 and blocks[-1, 1] == ends[-1]
    assert (blocks[1:, 0] == blocks[:-1, 1]).all() and (blocks[:, 1] > blocks[:, 0]).all()
    if mode != "none":
        assert set(blocks[:, 1].tolist()) <= set(ends.tolist())
    if mode != "eos":
        assert (blocks[:, 1] - blocks[:, 0]).max() <= size


def test_what_stands_before_a_sample(tmp_path: Path) -> None:
    path = text(tmp_path, "w0 w1 w2", "w3 w4")
    running_on = TextDataset(path, WORDS, Cut("none", 3))
    assert [tokens(running_on, i) for i in range(3)] == [[EOS, 4, 5, 6], [6, EOS, 7, 8], [8, EOS]]
    lines = TextDataset(path, WORDS, Cut("eos", 3))
    assert [tokens(lines, i) for i in range(2)] == [[EOS, 4, 5, 6, EOS], [EOS, 7, 8, EOS]]
    begun = TextDataset(path, WORDS, Cut("none", 3, first=BOS))
    assert [tokens(begun, i)[0] for i in range(3)] == [BOS] * 3
    assert lines.sizes.tolist() == [4, 3]
    counted = TextDataset(path, WORDS, Cut("complete", 8, first=BOS, counts_first=True))
    assert counted.sizes.tolist() == [8]
    assert [lines.name(0), lines.name(1), running_on.name(1)] == ["train.txt:1", "train.txt:2", "train.txt:1"]


def test_unknown_symbols_are_counted(tmp_path: Path) -> None:
    dataset = TextDataset(text(tmp_path, "w0 what w1", "who"), WORDS, Cut("eos", 9))
    assert (dataset.num_unknown, dataset.num_symbols) == (2, 6)
    assert tokens(dataset, 0) == [EOS, 4, UNK, 5, EOS]


def test_what_cannot_be_used_is_set_aside_by_name(tmp_path: Path) -> None:
    path = text(tmp_path, "w0 w1", "", "w0 w1 w2 w3", "w1")
    dataset = TextDataset(path, WORDS, Cut("eos", 9, first=BOS, counts_first=True, longest=5))
    assert [(item.name, item.reason.split(":")[0]) for item in dataset.set_aside] == [
        ("train.txt:2", "a blank line"),
        ("train.txt:3", "too long"),
    ]
    assert [dataset.name(i) for i in range(len(dataset))] == ["train.txt:1", "train.txt:4"]


def test_blank_lines_are_part_of_a_text_that_runs_on(tmp_path: Path) -> None:
    dataset = TextDataset(text(tmp_path, "w0", "", "w1"), WORDS, Cut("none", 9))
    assert tokens(dataset, 0) == [EOS, 4, EOS, EOS, 5, EOS] and not dataset.set_aside


@pytest.mark.parametrize(("shorten", "start"), [("truncate", 0), ("random_crop", 2)])
def test_long_lines_are_shortened(tmp_path: Path, shorten: str, start: int) -> None:
    path = text(tmp_path, "w0 w1 w2 w3 w4", "w9")
    cut = Cut("eos", 4, first=BOS, counts_first=True, shorten=shorten, longest=4)  # type: ignore[arg-type]
    dataset = TextDataset(path, WORDS, cut)
    assert dataset.sizes.tolist() == [4, 3] and not dataset.set_aside
    batch = collated(dataset, 0, 1, start=start)
    assert batch.tokens.tolist() == [[BOS, *(4 + start + i for i in range(3))], [BOS, 13, EOS, PAD]]
    assert batch.amount == 5


def test_a_part_from_the_middle_follows_what_was_cut_off(tmp_path: Path) -> None:
    dataset = TextDataset(text(tmp_path, "w0 w1 w2 w3 w4"), WORDS, Cut("eos", 3, shorten="random_crop"))
    assert collated(dataset, 0, start=2).tokens.tolist() == [[5, 6, 7, 8]]


def test_batches_of_an_epoch_can_be_taken_up_in_its_middle(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = text(tmp_path, *(" ".join(["w1"] * rng.randint(1, 30)) for _ in range(60)))
    dataset = TextDataset(path, WORDS, Cut("eos", 8, shorten="random_crop"))
    loader = BatchLoader(dataset, max_tokens=40, required_batch_size_multiple=1, pad=True)
    whole = list(loader.epoch(2))
    assert all(batch.tokens[:, 1:].numel() <= 40 for batch in whole)
    assert sorted(torch.cat([batch.ids for batch in whole]).tolist()) == list(range(60))
    for batch, again in zip(whole[3:], loader.epoch(2, start=3), strict=True):
        assert torch.equal(batch.tokens, again.tokens)
    assert [b.ids.tolist() for b in loader.epoch(1)] != [b.ids.tolist() for b in whole]


def test_a_large_dictionary_takes_wider_numbers(tmp_path: Path) -> None:
    large = Dictionary([f"s{i}" for i in range(70_000)])
    dataset = TextDataset(text(tmp_path, "s0 s69999"), large, Cut("eos", 9))
    assert tokens(dataset, 0) == [EOS, 4, 70_003, EOS]


def test_a_text_without_symbols(tmp_path: Path) -> None:
    for lines in ((), ("", "  ")):
        with pytest.raises(UserError, match=r"train\.txt holds no symbol"):
            TextDataset(text(tmp_path, *lines), WORDS, Cut("eos", 9))


def test_a_text_that_is_none(tmp_path: Path) -> None:
    path = text(tmp_path, "w0")
    path.write_bytes(path.read_bytes() + b"\xff\xfe w1\n")
    with pytest.raises(UserError, match=r"train\.txt:2: not UTF-8"):
        TextDataset(path, WORDS, Cut("eos", 9))
    with pytest.raises(UserError, match="cannot be read"):
        TextDataset(tmp_path, WORDS, Cut("eos", 9))
