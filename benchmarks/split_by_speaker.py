"""Split a corpus by speaker for the learning benchmarks: python benchmarks/split_by_speaker.py FOLDER DEST.

FOLDER holds `train.tsv` (path, samples, sample_rate, transcript, speaker): AN4's, or speechocean762's.
DEST gets `train`, `valid` and `train_10min` manifests with their labels, and `dict.ltr.txt`. A tenth of the
speakers, drawn with seed 0, is held out as `valid` and named in `valid.spk`; `train_10min` is the first ten
minutes of the shuffled rest. Transcripts are written in upper case.
"""

import csv
import random
import sys
from pathlib import Path

from auricle.dictionary import Dictionary, words_to_letters
from auricle.files import atomic_write_text
from auricle.manifest import Entry, write_manifest

TEN_MINUTES = 600.0

Row = dict[str, str]


def seconds_of(rows: list[Row]) -> float:
    """How long they are together."""
    return sum(int(row["samples"]) / int(row["sample_rate"]) for row in rows)


def split(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows of each part; no speaker of `valid` is in the others."""
    speakers = sorted({row["speaker"] for row in rows})
    rng = random.Random(0)
    held_out = set(rng.sample(speakers, round(len(speakers) / 10)))
    train = [row for row in rows if row["speaker"] not in held_out]
    few: list[Row] = []
    for row in rng.sample(train, len(train)):
        if seconds_of(few) < TEN_MINUTES:
            few.append(row)
    return {
        "train": train,
        "train_10min": few,
        "valid": [row for row in rows if row["speaker"] in held_out],
    }


def letters_of(row: Row) -> str:
    """A line of labels."""
    return words_to_letters(row["transcript"].upper())


def write(dest: Path, name: str, root: Path, rows: list[Row]) -> None:
    """The manifest and labels of one part."""
    entries = [Entry(row["path"], int(row["samples"]), line) for line, row in enumerate(rows, start=2)]
    write_manifest(dest / f"{name}.tsv", root, entries)
    atomic_write_text(dest / f"{name}.ltr", "".join(f"{letters_of(row)}\n" for row in rows))
    print(f"{name}: {len(rows)} utterances, {seconds_of(rows) / 60:.1f} minutes")


def main() -> None:
    """Write all parts."""
    root, dest = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    dest.mkdir(parents=True, exist_ok=True)
    with (root / "train.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    parts = split(rows)
    for name, part in parts.items():
        write(dest, name, root, part)
    atomic_write_text(dest / "valid.spk", "".join(f"{row['speaker']}\n" for row in parts["valid"]))
    Dictionary.from_labels(map(letters_of, parts["train"])).save(dest / "dict.ltr.txt")


if __name__ == "__main__":
    main()
