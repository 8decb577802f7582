"""Selects the demo's speech: ``python tools/make_demo_data.py FOLDER`` rewrites src/auricle/demo/.

FOLDER holds asterisk_en, _es, _fr, _it and _ru, each with audio/, COPYRIGHT and all.tsv (columns path,
samples, sample_rate, transcript, speaker). Files are copied as they are; which ones depends on nothing but
their paths, lengths and texts.
"""

import csv
import hashlib
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DEMO = Path(__file__).resolve().parents[1] / "src" / "auricle" / "demo"
SAMPLE_RATE = 16000
SHORTEST_SECONDS, LONGEST_SECONDS = 0.7, 12.0
TRAIN_SECONDS, TEST_SECONDS, UNLABELLED_SECONDS = 11.5 * 60, 2 * 60, 2.5 * 60
UNLABELLED = ("es", "fr", "it", "ru")
# A letter's name is not what the letter stands for in a word: "B" spoken "bee" teaches a letter model little.
SPELLED = ("letters", "phonetic")


@dataclass(frozen=True)
class Clip:
    """One recording: where it is under its language's audio/, its length in samples, and what is said."""

    path: Path
    samples: int
    transcript: str
    language: str

    @property
    def text(self) -> str:
        """The transcript with case and white space out of the way, for comparing."""
        return " ".join(self.transcript.casefold().split())


def read_clips(source: Path, language: str) -> list[Clip]:
    """The usable clips of one language."""
    with open(source / f"asterisk_{language}" / "all.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    clips = [
        Clip(Path(row["path"]).relative_to("audio"), int(row["samples"]), row["transcript"], language)
        for row in rows
    ]
    shortest, longest = SHORTEST_SECONDS * SAMPLE_RATE, LONGEST_SECONDS * SAMPLE_RATE
    return [
        clip for clip in clips if shortest <= clip.samples <= longest and clip.path.parts[0] not in SPELLED
    ]


def shuffled_texts(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    """The clips in groups of one text each, in an order that looks random and is always the same."""
    by_text: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_text[clip.text].append(clip)
    for text in sorted(by_text, key=lambda text: hashlib.sha256(text.encode()).digest()):
        yield by_text[text]


def take(groups: Iterator[list[Clip]], seconds: float) -> list[Clip]:
    """Whole groups until they last `seconds`, sorted by path."""
    taken: list[Clip] = []
    while sum(clip.samples for clip in taken) < seconds * SAMPLE_RATE:
        taken.extend(next(groups))
    return sorted(taken, key=lambda clip: (clip.language, clip.path))


def write_part(source: Path, name: str, clips: list[Clip], labelled: bool) -> None:
    """Copies the clips' files and writes the part's table."""
    lines = ["path\tsamples\ttranscript\tlanguage"]
    for clip in clips:
        place = Path("audio", clip.language) / clip.path
        (DEMO / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / f"asterisk_{clip.language}" / "audio" / clip.path, DEMO / place)
        transcript = clip.transcript if labelled else ""
        lines.append(f"{place.as_posix()}\t{clip.samples}\t{transcript}\t{clip.language}")
    (DEMO / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    minutes = sum(clip.samples for clip in clips) / SAMPLE_RATE / 60
    print(f"{name}: {len(clips)} clips, {minutes:.2f} minutes")


def licence_text(copyright_file: str, identifier: str) -> str:
    """The full text of a licence, out of Debian's machine-readable copyright file.

    There each of its lines is indented by a space, and an empty line is a full stop.
    """
    paragraphs = copyright_file.split("\n\n")
    found = next(part for part in paragraphs if part.startswith(f"License: {identifier}\n"))
    lines = found.rstrip("\n").split("\n")[1:]
    return "\n".join("" if line.strip() == "." else line[1:].rstrip() for line in lines).rstrip() + "\n"


def write_licences(source: Path) -> None:
    """The attribution and licence texts, beside the audio."""
    copyright_file = (source / "asterisk_en" / "COPYRIGHT").read_text(encoding="utf-8")
    (DEMO / "COPYRIGHT").write_text(copyright_file, encoding="utf-8")
    (DEMO / "LICENSES").mkdir(exist_ok=True)
    for identifier in ("CC-BY-SA-3.0", "CC-BY-3.0"):
        (DEMO / "LICENSES" / f"{identifier}.txt").write_text(
            licence_text(copyright_file, identifier), encoding="utf-8"
        )


def main() -> None:
    """Makes the three parts."""
    source = Path(sys.argv[1])
    shutil.rmtree(DEMO / "audio", ignore_errors=True)
    english = shuffled_texts(read_clips(source, "en"))
    write_part(source, "en_test", take(english, TEST_SECONDS), labelled=True)
    write_part(source, "en_train", take(english, TRAIN_SECONDS), labelled=True)
    others = [
        take(shuffled_texts(read_clips(source, language)), UNLABELLED_SECONDS) for language in UNLABELLED
    ]
    write_part(source, "unlabelled", [clip for part in others for clip in part], labelled=False)
    write_licences(source)


if __name__ == "__main__":
    main()
