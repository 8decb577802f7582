from collections.abc import Callable
from pathlib import Path

from auricle.report.evaluation import Evaluation, read_evaluation
from auricle.report.results import AudioBudget, errors, legend, results_table, worst_utterances

from .conftest import utterance

MakeEvaluation = Callable[..., Path]


def evaluation(
    make: MakeEvaluation, folder: Path, *utterances: dict[str, object], **summary: object
) -> Evaluation:
    return read_evaluation(make(folder, utterances, **summary))


def test_the_table_has_rates_counts_and_speed(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    one = evaluation(make_evaluation, tmp_path / "test")
    row = results_table([("", one)], with_run=False)
    for text in ("test", "25.00", "12.50", "12.00", "1 min 30 s", "30× real time", "viterbi"):
        assert f">{text}</td>" in row
    assert "Run</th>" not in row
    assert ">base</td>" in results_table([("base", one)], with_run=True)


def test_great_speeds_are_whole_numbers(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    kept = evaluation(make_evaluation, tmp_path, wall_seconds=0.0125)
    assert ">7,200× real time</td>" in results_table([("", kept)], with_run=False)


def test_what_a_summary_lacks_is_left_open(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    one = evaluation(make_evaluation, tmp_path, wer=None, wall_seconds=0, num_words="many")
    assert results_table([("", one)], with_run=False).count(">–</td>") == 3


def test_alignments_have_marks_besides_colours(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    one = evaluation(
        make_evaluation, tmp_path, utterance(0, "THE CAT SAT DOWN HERE", "A CAT DOWN HERE NOW", 3)
    )
    html = worst_utterances(one, 8, AudioBudget())
    assert (
        '<span class="pair substituted" dir="auto"><span>THE</span><span>A</span><i title="substituted">≠</i>'
        in html
    )
    assert '<span>SAT</span><span class="nothing">·</span><i title="deleted">−</i>' in html
    assert '<span class="nothing">·</span><span>NOW</span><i title="inserted">+</i>' in html
    assert '<span class="pair correct" dir="auto"><span>CAT</span><span>CAT</span></span>' in html
    assert "3 errors, 5 words" in html
    assert all(word in legend() for word in ("correct", "substituted", "inserted", "deleted"))


def test_the_worst_can_be_heard_and_seen(tmp_path: Path, make_evaluation: MakeEvaluation, clip: Path) -> None:
    one = evaluation(
        make_evaluation, tmp_path / "e", utterance(0, "A", "B", 1, str(clip)), utterance(1, "A", "A", 0)
    )
    html = worst_utterances(one, 8, AudioBudget())
    assert '<audio src="data:audio/' in html
    assert '<img src="data:image/png;base64,' in html
    assert "1 of 2 utterances have every word right. Below, the 1 with the most word errors." in html
    assert "0.5 s, 0 to 8 kHz" in html


def test_audio_that_is_missing_or_too_much_is_said(
    tmp_path: Path, make_evaluation: MakeEvaluation, clip: Path
) -> None:
    missing = utterance(0, "A", "B", 1, str(tmp_path / "missing.flac"))
    one = evaluation(
        make_evaluation,
        tmp_path / "e",
        missing,
        utterance(1, "A", "B", 1),
        utterance(2, "A", "B", 1, str(clip)),
    )
    html = worst_utterances(one, 8, AudioBudget(num_bytes=100))
    assert "No audio: " in html and "no such file" in html
    assert "Its audio is not named" in html
    assert "Its audio is left out" in html
    assert "<audio" not in html


def test_a_long_utterance_is_cut(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    one = evaluation(make_evaluation, tmp_path, utterance(0, "A " * 500, "", 500))
    assert "… and 200 more words" in worst_utterances(one, 8, AudioBudget())


def test_nothing_wrong_and_nothing_there(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    right = evaluation(make_evaluation, tmp_path / "right", utterance(0, "A", "A", 0))
    assert "1 of 1 utterances have every word right.</p>" in worst_utterances(right, 8, AudioBudget())
    assert worst_utterances(evaluation(make_evaluation, tmp_path / "none"), 8, AudioBudget()) == ""


def test_transcripts_cannot_carry_markup(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    bad = "<script>alert(1)</script>"
    one = evaluation(
        make_evaluation, tmp_path, utterance(0, bad, f"{bad}<img>", 1, f"/tmp/{bad}"), decoder=bad
    )
    html = results_table([(bad, one)], with_run=True) + worst_utterances(one, 8, AudioBudget())
    assert "<script" not in html and "<img" not in html


def test_a_rate_has_its_interval_where_there_is_one():
    def evaluation(**more):
        return Evaluation("test", {"wer": 21.74, **more}, "viterbi", (), ())

    assert "21.74 (16.4 to 29.0)" in str(
        results_table([("", evaluation(wer_low=16.42, wer_high=28.99))], with_run=False)
    )
    assert "21.74</" in str(results_table([("", evaluation())], with_run=False))


def test_errors_are_told_by_kind_by_word_and_by_speaker(
    tmp_path: Path, make_evaluation: MakeEvaluation
) -> None:
    one = evaluation(
        make_evaluation,
        tmp_path,
        substitutions=3,
        deletions=2,
        insertions=1,
        confusions=[["FIVE", "NINE", 3], ["A", "", 2], ["", "<b>", 1], "damaged", ["A", 1, 2]],
        speakers={"mary": {"wer": 10.0, "num_words": 40}, "john": {"wer": 30.0, "num_words": 20}, "x": None},
    )
    html = errors(one)
    assert "3 substitutions, 2 deletions, 1 insertion." in html
    assert html.index("FIVE") < html.index("NINE") and "&lt;b&gt;" in html and html.count(">–</td>") == 2
    assert html.index("john") < html.index("mary") and ">30.00</td>" in html and ">x</td>" not in html


def test_only_so_many_speakers_are_shown(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    speakers = {f"s{n:02}": {"wer": float(n), "num_words": 9} for n in range(30)}
    html = errors(evaluation(make_evaluation, tmp_path, speakers=speakers))
    assert "Speaker, the worst 20" in html and "s29" in html and "s09" not in html


def test_summaries_of_older_versions_tell_no_errors(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    assert errors(evaluation(make_evaluation, tmp_path, confusions=3, speakers=[1])) == ""
