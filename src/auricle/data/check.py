"""Is a corpus fit to train on: what is silent, clipped, copied, unlabelled, or in two splits at once.

`check_subset` looks at each manifest, `check_corpus` at all of them together; both give `Finding`s.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from auricle.audio import SAMPLE_RATE
from auricle.data.dataset import symbols_and_repeats
from auricle.data.measure import Measured, measure_files
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.manifest import Entry, Manifest, read_labels, read_manifest
from auricle.models.config import BASE_CONV_LAYERS
from auricle.models.conv import num_frames

MOSTLY_SILENT = 0.95
CLIPPED = 0.001
LOUD = 2.0
_NEAR = 0.99  # cosine of two prints: see docs/data-preparation.md for what was measured
_SAME_LENGTH = 0.02
_NEIGHBOURS = 64

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one utterance.

    Attributes:
        kind: One of `KINDS`.
        subset: The manifest's name.
        path: The utterance, as its manifest has it; "" where it is the subset's trouble.
        detail: What was seen.
    """

    kind: str
    subset: str
    path: str
    detail: str


KINDS: dict[str, tuple[Severity, str]] = {
    "unreadable": ("error", "cannot be read; training sets it aside"),
    "labels": ("error", "labels are missing or do not go with the manifest"),
    "symbol": ("error", "the label holds a symbol that the dictionary lacks"),
    "no-fit": ("error", "the label has more symbols than the audio frames: CTC cannot align it"),
    "split-copy": ("error", "the same recording is in two splits: what is measured on one is not honest"),
    "length": ("warning", "the manifest counts other samples than the file has"),
    "silent": ("warning", "nothing is heard, or hardly anything"),
    "clipped": ("warning", "the wave is cut off at full scale"),
    "loud": ("warning", "samples are far beyond full scale: a file with a wrong scale"),
    "copy": ("warning", "the same recording stands in the split twice"),
    "near-copy": ("warning", "sounds like a copy of another: another format, level or rate"),
    "empty-label": ("warning", "the label is empty"),
    "speaker": ("warning", "the speaker is in two splits"),
}
"""What can be found: how bad it is, and what it means."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One utterance of a subset, as far as later steps need it."""

    entry: Entry
    measured: Measured | None
    speaker: str | None


@dataclass
class Subset:
    """One manifest, looked through.

    Attributes:
        name: Of the manifest, without .tsv.
        utterances: In its order.
        findings: What is wrong with them.
    """

    name: str
    utterances: list[Checked] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: str, path: str, detail: str) -> None:
        """Take note of something."""
        self.findings.append(Finding(kind, self.name, path, detail))

    @property
    def seconds(self) -> list[float]:
        """Of what could be read."""
        return [one.measured.seconds for one in self.utterances if one.measured is not None]


def check_subset(
    path: Path,
    *,
    labels: str | None = None,
    dictionary: Dictionary | None = None,
    speaker_of: "SpeakerOf | None" = None,
    num_workers: int = 4,
    on_progress: Callable[[], object] = lambda: None,
) -> Subset:
    """Reads every utterance of a manifest and judges it by itself.

    Args:
        path: The .tsv.
        labels: Suffix of its labels; None where there are none to check.
        dictionary: Of the labels; None checks no symbols.
        speaker_of: Gives the speaker of a path; None where speakers are not known.
        num_workers: Files read at a time.
        on_progress: Called after each file.
    """
    manifest = read_manifest(path)
    subset = Subset(path.stem)
    lines = _labels(subset, path, labels, manifest)
    full_paths = [manifest.full_path(entry) for entry in manifest.entries]
    results = measure_files(full_paths, num_workers, on_progress)
    for entry, result, label in zip(manifest.entries, results, lines, strict=True):
        measured = None if isinstance(result, str) else result
        speaker = speaker_of(entry.path) if speaker_of is not None else None
        subset.utterances.append(Checked(entry, measured, speaker))
        if measured is None:
            subset.add("unreadable", entry.path, str(result))
        else:
            _judge_sound(subset, entry, measured)
            if label is not None:
                _judge_label(subset, entry, measured, label, dictionary)
    return subset


def check_corpus(subsets: Sequence[Subset]) -> list[Finding]:
    """Judges subsets together: copies within and between them, and speakers of several."""
    return [*_copies(subsets), *_near_copies(subsets), *_shared_speakers(subsets)]


def _labels(subset: Subset, path: Path, suffix: str | None, manifest: Manifest) -> list[str | None]:
    nothing: list[str | None] = [None] * len(manifest)
    if suffix is None:
        return nothing
    try:
        return list(read_labels(path.with_suffix(f".{suffix}"), manifest))
    except UserError as error:
        subset.add("labels", "", str(error))
        return nothing


def _judge_sound(subset: Subset, entry: Entry, measured: Measured) -> None:
    if measured.num_samples != entry.num_samples:
        counted = f"{entry.num_samples} in the manifest, {measured.num_samples} in the file"
        subset.add("length", entry.path, counted)
    if measured.silent_share >= MOSTLY_SILENT:
        quiet = f"{measured.silent_share:.0%} of it is silence, its peak is {measured.peak:.2g}"
        subset.add("silent", entry.path, quiet)
    if measured.peak > LOUD:
        subset.add("loud", entry.path, f"samples reach {measured.peak:.3g}, full scale is 1")
    elif measured.clipped_share > CLIPPED:
        subset.add("clipped", entry.path, f"{measured.clipped_share:.1%} of the samples are at the limit")


def _judge_label(
    subset: Subset, entry: Entry, measured: Measured, label: str, dictionary: Dictionary | None
) -> None:
    symbols, repeats = symbols_and_repeats(label)
    if not symbols:
        subset.add("empty-label", entry.path, "no symbols")
    frames = num_frames(round(measured.seconds * SAMPLE_RATE), BASE_CONV_LAYERS)
    needed = symbols + repeats
    if needed > frames:
        subset.add("no-fit", entry.path, f"{frames} frames, {needed} are needed for {symbols} symbols")
    if dictionary is not None and (missing := dictionary.unknown_symbols(label)):
        subset.add("symbol", entry.path, f"not in the dictionary: {' '.join(missing)}")


_Place = tuple[Subset, Checked]


def _read(subsets: Iterable[Subset]) -> list[tuple[_Place, Measured]]:
    return [
        ((subset, one), one.measured)
        for subset in subsets
        for one in subset.utterances
        if one.measured is not None
    ]


def _copies(subsets: Sequence[Subset]) -> list[Finding]:
    """Recordings whose samples are equal."""
    by_digest: dict[bytes, list[_Place]] = defaultdict(list)
    for place, measured in _read(subsets):
        by_digest[measured.digest].append(place)
    return [_copy(places[0], other) for places in by_digest.values() for other in places[1:]]


def _copy(first: _Place, other: _Place, near: str = "") -> Finding:
    within = first[0] is other[0]
    detail = f"{near or 'the same samples as'} {first[0].name}: {first[1].entry.path}"
    kind = "near-copy" if near else ("copy" if within else "split-copy")
    return Finding(kind, other[0].name, other[1].entry.path, detail)


def _near_copies(subsets: Sequence[Subset]) -> list[Finding]:
    """Recordings of nearly one length whose prints are near, each named with the first such one."""
    places = sorted(_read(subsets), key=lambda item: item[1].seconds)
    if not places:
        return []
    prints = np.stack([measured.print for _, measured in places])
    seconds = np.array([measured.seconds for _, measured in places])
    found = []
    for i, (place, measured) in enumerate(places[1:], start=1):
        low = max(int(np.searchsorted(seconds, measured.seconds * (1 - _SAME_LENGTH))), i - _NEIGHBOURS)
        near = np.flatnonzero(prints[low:i] @ prints[i] > _NEAR)
        for j in near[:1] + low:
            if places[j][1].digest != measured.digest:
                found.append(_copy(places[j][0], place, "sounds like"))
    return found


def _shared_speakers(subsets: Sequence[Subset]) -> list[Finding]:
    homes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for subset in subsets:
        for one in subset.utterances:
            if one.speaker is not None:
                homes[one.speaker][subset.name] += 1
    return [
        Finding("speaker", " ".join(counts), speaker, _counted(counts))
        for speaker, counts in homes.items()
        if len(counts) > 1
    ]


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} utterances in {name}" for name, count in counts.items())


SpeakerOf = Callable[[str], str | None]
"""A path of a manifest -> the speaker's name."""

_LIBRI = re.compile(r"(\d+)-\d+-\d+\Z")


def speakers_by(rule: str, paths: Sequence[str]) -> SpeakerOf | None:
    """How speakers are known from paths.

    Args:
        rule: "none"; "folder", the folder that an utterance lies in; a regular expression whose first group
            is the speaker; "auto": LibriSpeech's names where all have this form, else folders where there are
            several.
        paths: Of all manifests.

    Raises:
        UserError: The expression is none, or has no group.
    """
    if rule == "none":
        return None
    if rule == "folder":
        return _folder
    if rule == "auto":
        if paths and all(_LIBRI.search(PurePosixPath(path).stem) for path in paths):
            return _by_pattern(_LIBRI, stem=True)
        return _folder if len({_folder(path) for path in paths}) > 1 else None
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise UserError(f"--speakers {rule}: not a regular expression ({error})") from None
    if pattern.groups < 1:
        raise UserError(f"--speakers {rule}: put the speaker's part in parentheses, such as '^([^/]+)/'")
    return _by_pattern(pattern, stem=False)


def _folder(path: str) -> str | None:
    return PurePosixPath(path).parent.name or None


def _by_pattern(pattern: re.Pattern[str], *, stem: bool) -> SpeakerOf:
    def speaker(path: str) -> str | None:
        found = pattern.search(PurePosixPath(path).stem if stem else path)
        return found[1] if found else None

    return speaker
