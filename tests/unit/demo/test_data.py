"""The speech that goes into the wheel: a fixed split that shares no text, files that read, licences."""

import csv
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
import soundfile

DEMO = Path(str(files("auricle"))) / "demo"
PARTS = {"en_train": {"en"}, "en_test": {"en"}, "unlabelled": {"es", "fr", "it", "ru"}}


def rows(part: str) -> list[dict[str, str]]:
    with open(DEMO / f"{part}.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def texts(part: str) -> set[str]:
    return {" ".join(row["transcript"].casefold().split()) for row in rows(part)}


def minutes(part: str) -> float:
    return sum(int(row["samples"]) for row in rows(part)) / 16000 / 60


def test_train_and_test_share_no_text_and_no_file() -> None:
    assert not texts("en_train") & texts("en_test")
    paths = [row["path"] for part in PARTS for row in rows(part)]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("part", PARTS)
def test_every_file_reads_and_lasts_what_its_row_says(part: str) -> None:
    for row in rows(part):
        samples, rate = soundfile.read(DEMO / row["path"], dtype="float32")
        assert (samples.shape, rate) == ((int(row["samples"]),), 16000), row["path"]
        assert 0.7 <= len(samples) / rate <= 12
        assert abs(samples).max() > 0.01, f"{row['path']} is silent"
        assert row["path"].startswith(f"audio/{row['language']}/")


def test_parts_have_the_promised_languages_labels_and_lengths() -> None:
    assert {part: {row["language"] for row in rows(part)} for part in PARTS} == PARTS
    assert all(texts("en_train")) and all(texts("en_test"))
    assert texts("unlabelled") == {""}
    assert [round(minutes(part), 1) for part in ("en_train", "en_test", "unlabelled")] == [11.5, 2.0, 10.1]


def test_every_file_is_listed_and_licensed() -> None:
    listed = {row["path"] for part in PARTS for row in rows(part)}
    present = {path.relative_to(DEMO).as_posix() for path in (DEMO / "audio").rglob("*") if path.is_file()}
    assert present == listed
    annotations = tomllib.loads((DEMO / "REUSE.toml").read_text(encoding="utf-8"))["annotations"]
    licence_of = {}
    for entry in annotations:
        for pattern in [entry["path"]] if isinstance(entry["path"], str) else entry["path"]:
            for path in DEMO.glob(pattern.replace("/**", "/**/*")):
                licence_of[path.relative_to(DEMO).as_posix()] = entry["SPDX-License-Identifier"]
    assert present <= licence_of.keys()
    for identifier in set(licence_of.values()):
        assert "Creative Commons" in (DEMO / "LICENSES" / f"{identifier}.txt").read_text(encoding="utf-8")
    assert "Allison Smith" in (DEMO / "COPYRIGHT").read_text(encoding="utf-8")


def test_the_set_stays_small() -> None:
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) < 6.5e6
