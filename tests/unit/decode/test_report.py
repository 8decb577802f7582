import json
from dataclasses import replace

import pytest

from auricle.decode.report import (
    AlignedWord,
    ErrorCounts,
    Summary,
    Utterance,
    align_words,
    count_errors,
    write_evaluation,
)
from auricle.errors import UserError

SUMMARY = Summary(50.0, 25.0, 20.0, 2, 4, 3.5, 0.5, "viterbi", "model.pt", "test", [])
UTTERANCES = [
    Utterance(0, "/a/x.flac", "H E | I T |", "H E | A T |", -1.5, 2.0),
    Utterance(2, "/a/é.flac", "T E N |", "", -0.5, 1.5),
]


def test_rates_count_words_characters_and_units():
    counts = count_errors(["H E | I T |", "T E N |"], ["H E | A T | E |", ""])
    assert (counts.word_edits, counts.num_words) == (3, 3)
    assert (counts.char_edits, counts.num_chars) == (3 + 3, 5 + 3)
    assert (counts.unit_edits, counts.num_units) == (3 + 4, 6 + 4)
    assert counts.num_utterances == 2
    assert counts.wer == pytest.approx(100.0)
    assert counts.cer == pytest.approx(75.0)
    assert counts.uer == pytest.approx(70.0)


def test_no_errors_in_equal_text():
    counts = count_errors(["A | B |"], ["A | B |"])
    assert counts.wer == counts.cer == counts.uer == 0


def test_a_missing_word_end_is_an_error_of_units_only():
    counts = count_errors(["A | B |"], ["A | B"])
    assert (counts.word_edits, counts.unit_edits) == (0, 1)


def test_counts_add_up():
    references, hypotheses = ["A B |", "B |", "A |"], ["A |", "", "A |"]
    parts = [count_errors([r], [h]) for r, h in zip(references, hypotheses, strict=True)]
    assert sum(parts, ErrorCounts()) == count_errors(references, hypotheses)


def test_empty_references_stay_finite():
    assert count_errors([""], ["A |"]).wer == 100.0
    assert count_errors([""], [""]).wer == 0.0
    assert count_errors([], []) == ErrorCounts()


def test_phonemes_are_words_of_their_own():
    assert count_errors(["ah b"], ["ah p"], post_process="none").wer == 50.0


def test_lists_of_different_lengths_are_a_fault():
    with pytest.raises(ValueError, match="1 references for 0"):
        count_errors(["A |"], [])


def test_alignment_names_every_step():
    assert align_words(["THE CAT SAT DOWN"], ["THE BAT SAT"]) == [
        [
            AlignedWord("equal", "THE", "THE"),
            AlignedWord("substitute", "CAT", "BAT"),
            AlignedWord("equal", "SAT", "SAT"),
            AlignedWord("delete", "DOWN", ""),
        ]
    ]
    assert align_words(["", "A"], ["B", ""]) == [
        [AlignedWord("insert", "", "B")],
        [AlignedWord("delete", "A", "")],
    ]
    assert align_words([], []) == []


def test_files_have_fairseqs_layout(tmp_path):
    write_evaluation(tmp_path, "model.pt", "test", UTTERANCES, SUMMARY)
    texts = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.txt")}
    assert texts == {
        "hypo.word-model.pt-test.txt": "HE AT (None-0)\n (None-2)\n",
        "ref.word-model.pt-test.txt": "HE IT (None-0)\nTEN (None-2)\n",
        "hypo.units-model.pt-test.txt": "H E | A T | (None-0)\n (None-2)\n",
        "ref.units-model.pt-test.txt": "H E | I T | (None-0)\nT E N | (None-2)\n",
    }


def test_utterances_hold_errors_and_alignments(tmp_path):
    write_evaluation(tmp_path, "m", "s", UTTERANCES, SUMMARY)
    records = [json.loads(line) for line in (tmp_path / "utterances.jsonl").read_text().splitlines()]
    assert [(r["id"], r["path"], r["word_errors"], r["num_words"]) for r in records] == [
        (0, "/a/x.flac", 1, 2),
        (2, "/a/é.flac", 1, 1),
    ]
    assert records[0]["alignment"] == [["equal", "HE", "HE"], ["substitute", "IT", "AT"]]
    assert (records[0]["reference"], records[0]["hypothesis"]) == ("HE IT", "HE AT")


def test_summary_is_complete_and_replaces_the_old_one(tmp_path):
    write_evaluation(tmp_path, "m", "s", UTTERANCES, SUMMARY)
    write_evaluation(tmp_path, "m", "s", UTTERANCES, replace(SUMMARY, wer=1.25))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["wer"] == 1.25
    assert {"cer", "uer", "num_utterances", "num_words", "audio_seconds", "wall_seconds", "decoder"} < set(
        summary
    )
    assert not list(tmp_path.glob("*.partial"))


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        write_evaluation(tmp_path / "file", "m", "s", UTTERANCES, SUMMARY)
