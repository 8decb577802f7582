"""Cropping, padding and labels of a batch."""

import torch

from auricle.data.collate import Batch, SetAside, Utterance, collate


def ramps(*lengths: int, labels: bool = False) -> list[Utterance]:
    return [
        Utterance(10 + i, torch.arange(n) + 100.0 * i, torch.arange(4, 4 + i) if labels else None)
        for i, n in enumerate(lengths)
    ]


def start_at_end(index: int, surplus: int) -> int:
    return surplus


def test_without_padding_all_are_cropped_to_the_shortest() -> None:
    batch = collate(ramps(5, 3, 4), pad=False, crop_start=start_at_end)
    assert batch.waveforms.tolist() == [[2, 3, 4], [100, 101, 102], [201, 202, 203]]
    assert batch.lengths.tolist() == [3, 3, 3] and batch.ids.tolist() == [10, 11, 12]
    assert batch.targets is None and batch.target_lengths is None and len(batch) == 3


def test_padding_is_zero_and_lengths_say_where_it_begins() -> None:
    batch = collate(ramps(2, 3), pad=True, crop_start=start_at_end)
    assert batch.waveforms.tolist() == [[0, 1, 0], [100, 101, 102]]
    assert batch.lengths.tolist() == [2, 3]
    assert batch.waveforms.dtype == torch.float32 and batch.lengths.dtype == batch.ids.dtype == torch.int64


def test_the_largest_size_crops_padded_batches_too() -> None:
    batch = collate(ramps(2, 9), pad=True, max_sample_size=4, crop_start=start_at_end)
    assert batch.waveforms.tolist() == [[0, 1, 0, 0], [105, 106, 107, 108]]
    assert batch.lengths.tolist() == [2, 4]


def test_crops_are_asked_for_by_utterance_and_surplus() -> None:
    asked = []
    collate(ramps(5, 3), pad=False, crop_start=lambda index, surplus: asked.append((index, surplus)) or 0)
    assert asked == [(10, 2)]


def test_labels_are_filled_up_with_pad() -> None:
    batch = collate(ramps(2, 2, 2, labels=True), pad=True, crop_start=start_at_end)
    assert batch.targets is not None and batch.target_lengths is not None
    assert batch.targets.tolist() == [[1, 1], [4, 1], [4, 5]]
    assert batch.target_lengths.tolist() == [0, 1, 2]


def test_what_could_not_be_read_is_listed_and_the_rest_used() -> None:
    lost = SetAside("x.wav", "corrupt")
    batch = collate([*ramps(2), lost], pad=True, crop_start=start_at_end)
    assert batch.set_aside == (lost,) and batch.ids.tolist() == [10]
    empty = collate([lost], pad=False, crop_start=start_at_end)
    assert len(empty) == 0 and empty.waveforms.shape == (0, 0) and empty.amount == 0
    assert collate([], pad=True, crop_start=start_at_end).waveforms.shape == (0, 0)


def test_seconds_leave_padding_out() -> None:
    assert collate(ramps(2, 6), pad=True, crop_start=start_at_end, sample_rate=4).amount == 2.0


def test_moving_to_a_device_takes_every_tensor() -> None:
    batch = collate(ramps(2, 3, labels=True), pad=True, crop_start=start_at_end).to("meta")
    tensors = [batch.ids, batch.waveforms, batch.lengths, batch.targets, batch.target_lengths]
    assert all(tensor is not None and tensor.is_meta for tensor in tensors)
    assert Batch(batch.ids, batch.waveforms, batch.lengths).to("meta").targets is None
