import numpy as np
import pytest

from auricle.decode.analysis import WordErrors, bootstrap_interval, by_speaker, confusions, word_errors
from auricle.decode.report import align_words

SAID = ["A B C", "A A", "D"]
HEARD = ["A X C E", "A", "D"]


def test_errors_are_told_apart():
    first, second, third = (word_errors(steps) for steps in align_words(SAID, HEARD))
    assert first == WordErrors(substitutions=1, insertions=1, num_words=3)
    assert second == WordErrors(deletions=1, num_words=2) and third == WordErrors(num_words=1)
    total = first + second + third
    assert total.edits == 3 and total.wer == pytest.approx(50.0)


def test_frequent_confusions_come_first():
    found = confusions(align_words([*SAID, "A B"], [*HEARD, "A X"]))
    assert found == [("B", "X", 2), ("", "E", 1), ("A", "", 1)]


def test_speakers_are_summed_up():
    errors = [WordErrors(1, num_words=2), WordErrors(num_words=3), WordErrors(1, num_words=1)]
    found = by_speaker(errors, ["bob", "ann", "bob"])
    assert list(found) == ["ann", "bob"] and found["bob"] == WordErrors(2, num_words=3)


def test_the_interval_holds_what_it_says():
    """Of 200 samples of a known rate, the interval covers it about 95 times in a hundred."""
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        errors = [WordErrors(int(rng.binomial(10, 0.2)), num_words=10) for _ in range(60)]
        low, high = bootstrap_interval(errors, seed=seed)
        inside += low <= 20.0 <= high
    assert 178 <= inside <= 199


def test_errors_that_go_together_make_the_interval_wider():
    errors = [WordErrors(10 if i < 40 else 0, num_words=10) for i in range(80)]
    speakers = [str(i // 20) for i in range(80)]
    alone, together = bootstrap_interval(errors), bootstrap_interval(errors, speakers)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_one_speaker_is_no_reason_to_be_sure():
    errors = [WordErrors(10 if i < 40 else 0, num_words=10) for i in range(80)]
    assert bootstrap_interval(errors, ["one"] * 80) == bootstrap_interval(errors)


def test_nothing_to_count_gives_zero():
    assert bootstrap_interval([]) == (0.0, 0.0) and bootstrap_interval([WordErrors()]) == (0.0, 0.0)
