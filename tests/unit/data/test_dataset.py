"""Which utterances are kept, why others are not, and what reading one gives."""

from pathlib import Path

import numpy as np
import pytest
import torch

import sounds
from auricle import audio
from auricle.data import SetAside, SpeechDataset, Utterance
from auricle.dictionary import Dictionary
from auricle.errors import UserError

LETTERS = Dictionary("|AB")


def num_frames(num_samples: int) -> int:
    """Base's: a receptive field of 400 samples, a step of 320."""
    return max(0, (num_samples - 400) // 320 + 1)


def reasons(dataset: SpeechDataset) -> dict[str, str]:
    return {item.name: item.reason for item in dataset.set_aside}


def test_everything_is_kept_where_nothing_is_asked(tmp_path: Path) -> None:
    dataset = SpeechDataset(sounds.listed(tmp_path, [1, 399, 10**9]))
    assert len(dataset) == 3 and dataset.set_aside == () and dataset.labels is None
    assert dataset.sizes.tolist() == [1, 399, 10**9] and dataset.source.name == "train.tsv"


def test_short_ones_are_set_aside_and_long_ones_kept_for_cropping(tmp_path: Path) -> None:
    dataset = SpeechDataset(sounds.listed(tmp_path, [10, 20, 30]), min_sample_size=20, max_sample_size=25)
    assert [entry.path for entry in dataset.entries] == ["1.wav", "2.wav"]
    assert reasons(dataset) == {"0.wav": "too short: 10 samples, min_sample_size needs 20"}


def test_what_gives_no_frame_is_set_aside(tmp_path: Path) -> None:
    dataset = SpeechDataset(sounds.listed(tmp_path, [399, 400]), num_frames=num_frames)
    assert reasons(dataset) == {"0.wav": "too short: 399 samples, one frame needs 400"}


def test_labels_have_to_fit(tmp_path: Path) -> None:
    sizes = [400 + 320 * 3, 400 + 320 * 3, 400 + 320 * 3 - 1, 400, 399]
    labels = ["A B A |", "A A B |", "A B A |", "", ""]
    manifest = sounds.listed(tmp_path, sizes)
    dataset = SpeechDataset(manifest, labels=labels, dictionary=LETTERS, num_frames=num_frames)
    assert [entry.path for entry in dataset.entries] == ["0.wav", "3.wav"]
    assert dataset.labels == ["A B A |", ""]
    assert reasons(dataset) == {
        "1.wav": "too short: 1360 samples, a label of 4 symbols needs 1680",
        "2.wav": "too short: 1359 samples, a label of 4 symbols needs 1360",
        "4.wav": "too short: 399 samples, one frame needs 400",
    }


def test_labels_need_not_fit_where_they_are_written_one_by_one(tmp_path: Path) -> None:
    manifest = sounds.listed(tmp_path, [400, 399])
    labels = ["A B A |", "A"]
    dataset = SpeechDataset(
        manifest, labels=labels, dictionary=LETTERS, num_frames=num_frames, labels_need_frames=False
    )
    assert reasons(dataset) == {"1.wav": "too short: 399 samples, one frame needs 400"}


def test_labelled_speech_is_not_cropped(tmp_path: Path) -> None:
    manifest = sounds.listed(tmp_path, [100, 101])
    dataset = SpeechDataset(manifest, labels=["A", "B"], dictionary=LETTERS, max_sample_size=100)
    assert [entry.path for entry in dataset.entries] == ["0.wav"]
    assert "too long: 101 samples, max_sample_size is 100" in reasons(dataset)["1.wav"]


def test_labels_of_another_list_or_alphabet(tmp_path: Path) -> None:
    manifest = sounds.listed(tmp_path, [100, 100])
    with pytest.raises(UserError, match=r"1 labels for the 2 utterances of .*train.tsv"):
        SpeechDataset(manifest, labels=["A"], dictionary=LETTERS)
    with pytest.raises(UserError, match=r"the label of 1.wav \(.*train.tsv:3\) holds 'É'"):
        SpeechDataset(manifest, labels=["A", "É"], dictionary=LETTERS)
    with pytest.raises(ValueError, match="labels need a dictionary"):
        SpeechDataset(manifest, labels=["A", "A"])


def test_reading_gives_samples_and_numbers(tmp_path: Path) -> None:
    manifest = sounds.corpus(tmp_path, [500, 600])
    dataset = SpeechDataset(manifest, labels=["A |", "B A |"], dictionary=LETTERS)
    item = dataset[1]
    assert isinstance(item, Utterance) and item.id == 1 and item.samples.shape == (600,)
    assert torch.equal(item.samples, audio.read(tmp_path / "1.wav").samples)
    assert item.targets is not None and item.targets.tolist() == [6, 5, 4]


def test_normalizing_is_of_the_whole_utterance(tmp_path: Path) -> None:
    item = SpeechDataset(sounds.corpus(tmp_path, [500]), normalize=True)[0]
    assert isinstance(item, Utterance) and item.targets is None
    assert torch.equal(item.samples, audio.normalize(audio.read(tmp_path / "0.wav").samples))


def test_numbers_are_those_of_what_is_kept(tmp_path: Path) -> None:
    dataset = SpeechDataset(sounds.corpus(tmp_path, [10, 500]), min_sample_size=100)
    item = dataset[0]
    assert isinstance(item, Utterance) and item.id == 0 and len(item.samples) == 500


def test_an_unreadable_file_is_a_value(tmp_path: Path) -> None:
    manifest = sounds.corpus(tmp_path, [500, 500])
    (tmp_path / "0.wav").unlink()
    dataset = SpeechDataset(manifest)
    assert dataset[0] == SetAside("0.wav", "no such file")
    assert isinstance(dataset[1], Utterance)


def test_a_manifest_that_promises_too_much_is_found_out_when_reading(tmp_path: Path) -> None:
    sounds.corpus(tmp_path, [300])
    dataset = SpeechDataset(sounds.listed(tmp_path, [5000]), num_frames=num_frames)
    assert dataset[0] == SetAside("0.wav", "too short: 300 samples, one frame needs 400")


def test_sizes_are_counted_at_the_models_rate(tmp_path: Path) -> None:
    sounds.write(tmp_path / "0.wav", 200, rate=8000)
    dataset = SpeechDataset(sounds.listed(tmp_path, [200]), num_frames=num_frames)
    assert dataset.sizes.tolist() == [400]
    item = dataset[0]
    assert isinstance(item, Utterance) and len(item.samples) == 400


def test_an_epoch_hears_other_speeds_and_the_same_ones_again(tmp_path: Path) -> None:
    dataset = SpeechDataset(sounds.corpus(tmp_path, [16000]), normalize=True, speed_perturbation=0.2)
    assert len(dataset[0].samples) == 16000  # type: ignore[union-attr]
    heard = [dataset.heard(0, np.random.default_rng(seed)) for seed in range(20)]
    lengths = [len(item.samples) for item in heard if isinstance(item, Utterance)]
    assert min(lengths) < 14500 and max(lengths) > 17500  # of 13,334 to 20,000
    assert all(13_333 <= length <= 20_000 for length in lengths)
    again = dataset.heard(0, np.random.default_rng(3))
    assert torch.equal(again.samples, heard[3].samples)  # type: ignore[union-attr]
    assert abs(float(again.samples.std()) - 1) < 1e-2  # type: ignore[union-attr]


def test_speed_moves_the_pitch(tmp_path: Path) -> None:
    time = torch.arange(16000) / 16000
    played = audio.at_speed(torch.sin(2 * torch.pi * 440 * time), 1.1)
    assert abs(len(played) - 16000 / 1.1) <= 1
    spectrum = torch.fft.rfft(played).abs()
    assert abs(float(spectrum.argmax()) * 16000 / len(played) - 484) < 2


def test_what_would_become_too_short_keeps_its_speed(tmp_path: Path) -> None:
    manifest = sounds.corpus(tmp_path, [400 + 320 * 3])
    dataset = SpeechDataset(
        manifest, labels=["A B A |"], dictionary=LETTERS, num_frames=num_frames, speed_perturbation=0.3
    )
    heard = [dataset.heard(0, np.random.default_rng(seed)) for seed in range(8)]
    lengths = [len(item.samples) for item in heard if isinstance(item, Utterance)]
    assert len(lengths) == 8 and min(lengths) == 1360 < max(lengths)
