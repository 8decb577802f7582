"""What of a recogniser's labels is to be believed."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from auricle.data.pseudo_labels import PseudoLabel, believed, read_pseudo_labels
from auricle.errors import UserError
from sounds import listed

SIZES = [16000, 32000, 16000]


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def spoken(path: str, text: str, *scores: float) -> dict[str, Any]:
    return {"path": path, "text": text, "words": [{"text": "x", "score": score} for score in scores]}


def test_transcripts_have_the_mean_of_their_words(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", spoken("0.wav", "YES NO", 0.5, 1.0), spoken("1.wav", ""))
    assert read_pseudo_labels(path) == [PseudoLabel("0.wav", "YES NO", 0.75), PseudoLabel("1.wav", "", 0.0)]


def test_evaluations_have_the_mean_of_their_frames(tmp_path: Path) -> None:
    row = {"path": "0.wav", "hypothesis": "YES  NO", "score": 100 * math.log(0.8), "seconds": 2.0}
    path = write(tmp_path / "u.jsonl", row, row | {"score": 3.0})
    first, second = read_pseudo_labels(path)
    assert (first.text, first.confidence, second.confidence) == ("YES NO", pytest.approx(0.8), 1.0)


@pytest.mark.parametrize(
    "line", ["no json", "[1]", '{"path": "a"}', '{"path": "a", "words": [1], "text": ""}']
)
def test_a_line_that_is_no_transcript(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(UserError, match=r"t\.jsonl:2: not a transcript"):
        read_pseudo_labels(tmp_path / "t.jsonl")


def test_those_below_and_those_without_words_are_left_out(tmp_path: Path) -> None:
    manifest = listed(tmp_path, SIZES)
    labels = [
        PseudoLabel(str(tmp_path / "2.wav"), "C", 0.91),
        PseudoLabel(str(tmp_path / "1.wav"), "B", 0.89),
        PseudoLabel(str(tmp_path / "0.wav"), "", 1.0),
    ]
    entries, texts = believed(manifest, labels, 0.9, "t.jsonl")
    assert [entry.path for entry in entries] == ["2.wav"] and texts == ["C"]
    entries, texts = believed(manifest, labels[:2], 0.0, "t.jsonl")  # 0.wav could not be read
    assert texts == ["B", "C"]


def test_nothing_to_be_believed_says_what_the_best_has(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of 3 utterances .* confidence 0.9 .*best has 0.500"):
        believed(listed(tmp_path, SIZES), [PseudoLabel("0.wav", "A", 0.5)], 0.9, "t.jsonl")
