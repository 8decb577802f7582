"""What is found in a corpus, one made for each kind of trouble."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.data.check import KINDS, Finding, Subset, check_corpus, check_subset, speakers_by
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from unit.data.test_measure import RATE, voice


def put(folder: Path, subset: str, files: dict[str, np.ndarray], labels: dict[str, str]) -> None:
    lines = [str(folder)]
    for name, samples in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if samples is not None:
            loud = np.abs(samples).max() > 1  # only floats hold what is beyond full scale
            content = samples if loud else np.round(samples * 32767).astype(np.int16)
            soundfile.write(folder / name, content, RATE, subtype="FLOAT" if loud else None)
        lines.append(f"{name}\t{16000 if samples is None else len(samples)}")
    (folder / f"{subset}.tsv").write_text("\n".join(lines) + "\n")
    (folder / f"{subset}.ltr").write_text("".join(f"{labels.get(name, 'A B |')}\n" for name in files))


def check(folder: Path, *names: str) -> list[Finding]:
    subsets: list[Subset] = [
        check_subset(
            folder / f"{name}.tsv",
            labels="ltr",
            dictionary=Dictionary(["|", "A", "B"]),
            speaker_of=speakers_by("folder", []),
        )
        for name in names
    ]
    return [finding for subset in subsets for finding in subset.findings] + check_corpus(subsets)


def kinds(findings: list[Finding]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in findings:
        assert finding.kind in KINDS
        found.setdefault(finding.kind, []).append(finding.path)
    return found


def test_a_good_corpus_has_no_findings(tmp_path: Path) -> None:
    put(tmp_path, "train", {"s1/a.wav": voice(seed=1), "s1/b.wav": voice(1.3, seed=2)}, {})
    put(tmp_path, "valid", {"s2/c.wav": voice(seed=3)}, {})
    assert check(tmp_path, "train", "valid") == []


def test_each_trouble_has_its_kind(tmp_path: Path) -> None:
    first, clipped = voice(seed=1), np.clip(voice(1.1, seed=5) * 40, -1, 1)
    files = {
        "s/first.wav": first,
        "s/silent.wav": np.zeros(17000, dtype=np.float32),
        "s/clipped.wav": clipped,
        "s/loud.wav": voice(0.9, seed=6) * 30000,
        "s/same.flac": first,
        "s/quiet.wav": first * 0.3,
        "s/missing.wav": None,
        "s/long-label.wav": voice(0.3, seed=7),
        "s/unknown.wav": voice(0.5, seed=8),
        "s/empty.wav": voice(0.6, seed=9),
    }
    labels = {"s/long-label.wav": "A A B B " * 10, "s/unknown.wav": "A X |", "s/empty.wav": ""}
    put(tmp_path, "train", files, labels)
    put(tmp_path, "valid", {"s/leak.wav": files["s/unknown.wav"]}, {})
    (tmp_path / "train.tsv").write_text(
        (tmp_path / "train.tsv").read_text().replace("first.wav\t16000", "first.wav\t99")
    )
    assert kinds(check(tmp_path, "train", "valid")) == {
        "length": ["s/first.wav"],
        "silent": ["s/silent.wav"],
        "clipped": ["s/clipped.wav"],
        "loud": ["s/loud.wav"],
        "copy": ["s/same.flac"],
        "near-copy": ["s/quiet.wav"],
        "unreadable": ["s/missing.wav"],
        "no-fit": ["s/long-label.wav"],
        "symbol": ["s/unknown.wav"],
        "empty-label": ["s/empty.wav"],
        "split-copy": ["s/leak.wav"],
        "speaker": ["s"],
    }


def test_a_finding_says_what_was_seen(tmp_path: Path) -> None:
    put(tmp_path, "train", {"s/a.wav": voice(0.3)}, {"s/a.wav": "A A B"})
    assert check(tmp_path, "train") == []
    put(tmp_path, "train", {"s/a.wav": voice(0.3)}, {"s/a.wav": "A A " * 8})
    (finding,) = check(tmp_path, "train")
    assert finding == Finding("no-fit", "train", "s/a.wav", "14 frames, 31 are needed for 16 symbols")


def test_labels_that_do_not_go_with_the_manifest_are_one_finding(tmp_path: Path) -> None:
    put(tmp_path, "train", {"s/a.wav": voice()}, {})
    (tmp_path / "train.ltr").write_text("A\nB\nA\n")
    (finding,) = check(tmp_path, "train")
    assert finding.kind == "labels" and "3 labels" in finding.detail


@pytest.mark.parametrize(
    ("rule", "paths", "speakers"),
    [
        ("auto", ["19-198-0001.flac", "x/26-495-0003.flac"], ["19", "26"]),
        ("auto", ["anna/1.wav", "ben/1.wav"], ["anna", "ben"]),
        ("folder", ["anna/1.wav", "2.wav"], ["anna", None]),
        (r"_([a-z]+)_", ["0_jackson_1.wav", "odd.wav"], ["jackson", None]),
    ],
)
def test_speakers_are_known_from_paths(rule: str, paths: list[str], speakers: list[str | None]) -> None:
    speaker_of = speakers_by(rule, paths)
    assert speaker_of is not None
    assert [speaker_of(path) for path in paths] == speakers


def test_speakers_that_no_path_tells() -> None:
    assert speakers_by("auto", ["all/1.wav", "all/2.wav"]) is None
    assert speakers_by("none", ["a/1.wav", "b/2.wav"]) is None
    for rule in ("(", "abc"):
        with pytest.raises(UserError, match="--speakers"):
            speakers_by(rule, [])
