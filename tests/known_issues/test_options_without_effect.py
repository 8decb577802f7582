"""Options of decoders that had no effect, without a word about it."""

import logging
from pathlib import Path
from typing import Any

import pytest

from auricle.cli.decoders import make_choice, make_decoder
from auricle.cli.main import main
from auricle.cli.options import chosen_post_process
from auricle.dictionary import Dictionary
from auricle.errors import UserError


def test_the_best_path_names_all_that_it_does_not_look_at() -> None:
    choice = make_choice(preset="base-960h", engine="flashlight", rescoring={"rescore_weight": 2.0}, beam=9)
    assert set(choice.unused) == {"--preset", "--engine", "--rescore-weight", "--beam"}
    assert make_choice(nbest=3, lexicon=None, rescoring={"rescore_lm": None}).unused == ()


def test_a_preset_that_is_none_is_a_mistake_without_a_search_too() -> None:
    with pytest.raises(UserError, match="no preset 'base-1h'"):
        make_choice(preset="base-1h")


def test_weights_of_ranking_anew_want_a_model(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "auricle"):
        make_choice(name="kenlm", lm=Path("lm.arpa"), rescoring={"rescore_lm": None, "rescore_nbest": 9})
        assert "--rescore-nbest ignored" in caplog.text
        caplog.clear()
        make_choice(name="kenlm", lm=Path("lm.arpa"), rescoring={"rescore_lm": Path("x"), "rescore_nbest": 9})
    assert "ignored" not in caplog.text


@pytest.mark.parametrize("words", [{}, {"name": "kenlm"}, {"name": "fairseqlm", "lm": Path("lm.pt")}])
def test_processes_are_refused_where_none_would_search(words: dict[str, Any]) -> None:
    for engine in (None, "own"):
        with pytest.raises(UserError, match="--decode-workers 2: only flashlight searches in processes"):
            make_choice(**words, engine=engine, workers=2)
    assert make_choice(name="kenlm", engine="flashlight", workers=2).workers == 2


def test_alternatives_that_the_best_path_lacks_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "auricle"):
        make_decoder(make_choice(nbest=1), Dictionary("AB"), "letter")
        assert not caplog.text
        make_decoder(make_choice(nbest=2), Dictionary("AB"), "letter")
    assert "viterbi finds one hypothesis: --nbest ignored" in caplog.text


@pytest.mark.parametrize("name", ["rescore_weight", "rescore_word_score"])
def test_weights_of_ranking_anew_are_numbers(name: str) -> None:
    for value in (float("inf"), float("nan")):
        with pytest.raises(UserError, match=f"--{name.replace('_', '-')} is {value}: give a number"):
            make_choice(name="kenlm", rescoring={"rescore_lm": Path("x"), name: value})


def test_marks_that_no_unit_has_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "auricle"):
        assert chosen_post_process("none", Dictionary(["|", "A"])) == "none"
        assert chosen_post_process("wordpiece", Dictionary(["_A", "B"])) == "wordpiece"
        assert not caplog.text
        assert chosen_post_process("wordpiece", Dictionary(["|", "A"])) == "wordpiece"
    assert "no unit of the dictionary has a '_'" in caplog.text


def test_the_best_path_has_no_weights_to_tune(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "data", "--model", "m", "--lm-model", "lm.arpa", "--decoder", "viterbi"]) == 2
    error = capsys.readouterr().err
    assert "viterbi has no weights" in error and error.count("\n") == 1
