"""The demo's data: all of the bundled speech, cut into parts that share nothing."""

from pathlib import Path

import pytest

from auricle.cli import demo_steps
from auricle.dictionary import Dictionary
from auricle.manifest import read_labels, read_manifest


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    demo_steps.write_data(folder)
    return folder


def paths(manifest: Path) -> set[str]:
    return {entry.path for entry in read_manifest(manifest).entries}


def test_what_is_learnt_from_is_not_what_is_measured_on(data: Path) -> None:
    english = {name: paths(data / "english" / f"{name}.tsv") for name in ("train", "valid", "test")}
    speech = {name: paths(data / "speech" / f"{name}.tsv") for name in ("train", "valid")}
    assert not english["train"] & english["valid"]
    assert not speech["train"] & speech["valid"]
    assert not english["test"] & (english["train"] | english["valid"] | speech["train"] | speech["valid"])
    assert english["train"] | english["valid"] < speech["train"] | speech["valid"]


def test_all_of_the_speech_is_used(data: Path) -> None:
    listed = set().union(*(paths(path) for path in data.rglob("*.tsv")))
    there = {path.relative_to(demo_steps.SPEECH).as_posix() for path in demo_steps.SPEECH.rglob("*.opus")}
    assert listed == there


@pytest.mark.parametrize("name", ["train", "valid", "test"])
def test_labels_go_with_the_manifests_and_the_dictionary(data: Path, name: str) -> None:
    folder = data / "english"
    labels = read_labels(folder / f"{name}.ltr", read_manifest(folder / f"{name}.tsv"))
    assert not Dictionary.load(folder / "dict.ltr.txt").unknown_symbols(" ".join(labels))


def test_the_manifests_lead_to_the_audio_from_anywhere(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    for path in data.rglob("*.tsv"):
        manifest = read_manifest(path)
        assert all(Path(manifest.full_path(entry)).is_file() for entry in manifest.entries)


def test_the_sample_is_a_clip_of_the_test_set(data: Path) -> None:
    assert demo_steps.SAMPLE in paths(data / "english" / "test.tsv")
    assert len(demo_steps.reference().split()) > 5
