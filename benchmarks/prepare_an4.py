"""Split AN4 by speaker for the learning benchmarks: python benchmarks/prepare_an4.py AN4_FOLDER DEST.

AN4_FOLDER holds `train.tsv` (path, samples, sample_rate, transcript, speaker). DEST gets `train`, `valid` and
`train_10min` manifests with their labels, and `dict.ltr.txt`. A tenth of the speakers, drawn with seed 0, is
held out as `valid`; `train_10min` is the first ten minutes of the shuffled rest.
"""

import csv
import random
import sys
from pathlib import Path

from auricle.dictionary import Dictionary, words_to_letters
from auricle.files import atomic_write_text
from auricle.manifest import Entry, write_manifest

TEN_MINUTES = 600 * 16000

Row = dict[str, str]


def split(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows of each part; no speaker of `valid` is in the others."""
    speakers = sorted({row["speaker"] for row in rows})
    rng = random.Random(0)
    held_out = set(rng.sample(speakers, round(len(speakers) / 10)))
    train = [row for row in rows if row["speaker"] not in held_out]
    few, seconds = [], 0
    for row in rng.sample(train, len(train)):
        if seconds < TEN_MINUTES:
            few.append(row)
            seconds += int(row["samples"])
    return {
        "train": train,
        "train_10min": few,
        "valid": [row for row in rows if row["speaker"] in held_out],
    }


def write(dest: Path, name: str, root: Path, rows: list[Row]) -> None:
    """The manifest and labels of one part."""
    entries = [Entry(row["path"], int(row["samples"]), line) for line, row in enumerate(rows, start=2)]
    write_manifest(dest / f"{name}.tsv", root, entries)
    letters = [words_to_letters(row["transcript"]) for row in rows]
    atomic_write_text(dest / f"{name}.ltr", "".join(f"{line}\n" for line in letters))
    minutes = sum(entry.num_samples for entry in entries) / 16000 / 60
    print(f"{name}: {len(rows)} utterances, {minutes:.1f} minutes")


def main() -> None:
    """Write all parts."""
    root, dest = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    dest.mkdir(parents=True, exist_ok=True)
    with (root / "train.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    parts = split(rows)
    for name, part in parts.items():
        write(dest, name, root, part)
    labels = [words_to_letters(row["transcript"]) for row in parts["train"]]
    Dictionary.from_labels(labels).save(dest / "dict.ltr.txt")


if __name__ == "__main__":
    main()
