from collections.abc import Callable
from pathlib import Path

import pytest

from auricle.errors import UserError
from auricle.report.evaluation import find_evaluations, read_evaluation

from .conftest import utterance

MakeEvaluation = Callable[..., Path]


def test_reads_rates_and_utterances(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    lines = [utterance(0, "A B", "A B", 0, "/x/a.flac"), utterance(1, "A B", "B", 1)]
    evaluation = read_evaluation(make_evaluation(tmp_path / "test", lines))
    assert evaluation.name == "test"
    assert evaluation.numbers["wer"] == 25.0
    assert evaluation.decoder == "viterbi"
    assert [one.name for one in evaluation.utterances] == ["a.flac", "utterance 1"]
    assert evaluation.notices == ()


def test_the_worst_have_the_most_errors_then_the_fewest_words(
    tmp_path: Path, make_evaluation: MakeEvaluation
) -> None:
    lines = [utterance(0, "A", "A", 0), utterance(1, "A B C", "A", 2), utterance(2, "A B", "", 2)]
    evaluation = read_evaluation(make_evaluation(tmp_path / "test", [*lines, utterance(3, "A", "B C D", 3)]))
    assert [one.id for one in evaluation.worst(8)] == ["3", "2", "1"]
    assert [one.id for one in evaluation.worst(1)] == ["3"]


def test_damaged_utterances_and_clips_set_aside_are_said(
    tmp_path: Path, make_evaluation: MakeEvaluation
) -> None:
    wrong = [{**utterance(1, "A", "A", 0), "word_errors": -1}, {**utterance(2, "A", "A", 0), "path": 3}]
    set_aside = [{"name": "b.flac", "reason": "empty file"}]
    evaluation = read_evaluation(
        make_evaluation(tmp_path, [utterance(0, "A", "A", 0), *wrong], set_aside=set_aside)
    )
    assert len(evaluation.utterances) == 1
    assert "lines 2, 3 (2 in all) are damaged" in evaluation.notices[0]
    assert "set aside and that no rate counts: 1." in evaluation.notices[1]


def test_a_summary_without_utterances_is_enough(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    folder = make_evaluation(tmp_path, [], decoder=None, wer="25")
    (folder / "utterances.jsonl").unlink()
    evaluation = read_evaluation(folder)
    assert evaluation.decoder == ""
    assert "wer" not in evaluation.numbers
    assert "utterances.jsonl is missing" in evaluation.notices[0]


def test_a_folder_without_a_summary_or_with_a_damaged_one_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no summary\.json"):
        read_evaluation(tmp_path)
    (tmp_path / "summary.json").write_text('{"wer": 3')
    with pytest.raises(UserError, match=r"summary\.json is damaged .*; evaluate again"):
        read_evaluation(tmp_path)


def test_finds_the_evaluations_of_a_run_by_name(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    folders = [make_evaluation(tmp_path / "evaluations" / name, []) for name in ("test-b", "test-a")]
    (tmp_path / "evaluations" / "unfinished").mkdir()
    assert find_evaluations(tmp_path) == folders[::-1]
    assert find_evaluations(tmp_path / "evaluations") == []
