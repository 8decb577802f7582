"""Labels that a recogniser made for speech that nobody transcribed, and those of them to be believed.

Read from what `auricle transcribe --format json` writes, or from the `utterances.jsonl` of `auricle evaluate`
(which may have decoded with a language model).
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from auricle.data.transcripts import match
from auricle.errors import UserError
from auricle.manifest import Entry, Manifest
from auricle.textfile import read_lines

_FRAMES_A_SECOND = 50
"""Of wav2vec 2.0: a score of a whole utterance is judged by the frame."""


@dataclass(frozen=True, slots=True)
class PseudoLabel:
    """What a recogniser understood.

    Attributes:
        path: The audio.
        text: Its words.
        confidence: From 0 to 1: the mean probability of its words' frames; where only the score of the whole
            is known, the geometric mean over frames.
    """

    path: str
    text: str
    confidence: float


def read_pseudo_labels(path: Path) -> list[PseudoLabel]:
    """Reads one object a line.

    Raises:
        UserError: The file is missing, or a line is no transcript.
    """
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            label = _label(row)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(
                f"{path}:{number}: not a transcript with its scores: take what `auricle transcribe --format "
                "json` writes, or the utterances.jsonl of `auricle evaluate`"
            ) from None
        found.append(label)
    return found


def _label(row: Mapping[str, Any]) -> PseudoLabel:
    if "words" in row:
        scores = [float(word["score"]) for word in row["words"]]
        return PseudoLabel(str(row["path"]), str(row["text"]), fmean(scores) if scores else 0.0)
    frames = max(1.0, float(row["seconds"]) * _FRAMES_A_SECOND)
    confidence = min(1.0, math.exp(float(row["score"]) / frames))
    return PseudoLabel(str(row["path"]), " ".join(str(row["hypothesis"]).split()), confidence)


def believed(
    manifest: Manifest, labels: Sequence[PseudoLabel], min_confidence: float, table: str | os.PathLike[str]
) -> tuple[list[Entry], list[str]]:
    """The utterances of a manifest whose labels are to be believed, in its order, and their words.

    Left out are those without words and those below `min_confidence`. An utterance that the recogniser could
    not read has no label, and is left out as well.

    Args:
        manifest: What was transcribed, or more.
        labels: Of it.
        min_confidence: From 0 to 1.
        table: Where the labels come from, for what is said of mistakes.

    Raises:
        UserError: Nothing is left.
    """
    chosen = {label.path: label.text for label in labels if label.text and label.confidence >= min_confidence}
    nothing = {manifest.full_path(entry): "" for entry in manifest.entries}
    entries, texts = [], []
    for entry, text in zip(manifest.entries, match(manifest, nothing | chosen, table), strict=True):
        if text:
            entries.append(entry)
            texts.append(text)
    if not entries:
        best = max((label.confidence for label in labels), default=0.0)
        raise UserError(
            f"{table}: none of {len(manifest)} utterances has a label of confidence {min_confidence:g} or "
            f"more (the best has {best:.3f}): lower --min-confidence, or see whether it is of "
            f"{manifest.source}"
        )
    return entries, texts
