import pytest

from auricle.decode.hypothesis import Hypothesis, units_to_words


@pytest.mark.parametrize(
    ("units", "words"),
    [("H E | I T |", "HE IT"), ("| H E | | I", "HE I"), ("", ""), ("|", "")],
)
def test_letters_join_into_words(units, words):
    assert units_to_words(units) == words


def test_units_stay_apart_without_post_processing():
    assert units_to_words(" a  b ", "none") == "a b"


def test_text_joins_words():
    assert Hypothesis((), ("HE", "IT"), 0.0, (), ()).text == "HE IT"
