"""Words to phonemes."""

import sys
from itertools import product
from pathlib import Path

import pytest

from auricle.data.phonemes import Espeak, FromLexicon, predict, read_lexicon, train_g2p
from auricle.errors import UserError

LEXICON = """CAT K AE T
BAT B AE T
RAT R AE T
CAR K AA R
BAR B AA R
TAR T AA R
TAB T AE B
THE DH AH
THE(2) DH IY
"""


def test_espeak_says_sentences_and_keeps_empty_ones() -> None:
    pytest.importorskip("phonemizer")
    english = list(Espeak("en-us")(["HELLO WORLD", "", "  ", "the cat"]))
    assert english == [["h ə l oʊ", "w ɜː l d"], [], [], ["ð ə", "k æ t"]]
    assert list(Espeak("fr-fr")(["bonjour"])) == [["b ɔ̃ ʒ u ʁ"]]


def test_espeak_goes_on_over_many_sentences() -> None:
    pytest.importorskip("phonemizer")
    sentences = ["" if number % 5 == 0 else "cat" for number in range(600)]
    said = list(Espeak("en-us")(sentences))
    assert [bool(words) for words in said] == [bool(sentence) for sentence in sentences]


def test_a_language_that_espeak_does_not_know() -> None:
    pytest.importorskip("phonemizer")
    with pytest.raises(UserError, match=r"--language en_us: espeak does not know it \(did you mean .*en-us"):
        Espeak("en_us")


def test_without_the_extras_a_line_says_how_to_have_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "phonemizer", None)
    monkeypatch.setitem(sys.modules, "phonemizer.backend", None)
    monkeypatch.setitem(sys.modules, "phonetisaurus", None)
    with pytest.raises(UserError, match=r"auricle\[phonemes\]"):
        Espeak("en-us")
    with pytest.raises(UserError, match=r"auricle\[phonetisaurus\]"):
        train_g2p({"A": ["AH"]}, tmp_path / "m.fst")


def test_a_lexicon_has_variants_and_takes_the_first(tmp_path: Path) -> None:
    (tmp_path / "lexicon").write_text(LEXICON)
    lexicon = read_lexicon(tmp_path / "lexicon")
    assert lexicon["THE"] == ["DH AH", "DH IY"]
    assert list(FromLexicon(lexicon)(["THE CAT", ""])) == [["DH AH", "K AE T"], []]
    with pytest.raises(UserError, match="no pronunciation of DOG: add them"):
        list(FromLexicon(lexicon)(["THE DOG"]))


@pytest.mark.parametrize(
    ("text", "complaint"), [("CAT\n", ":1: CAT has no phonemes"), ("\n", "holds no word")]
)
def test_a_lexicon_that_is_none(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "lexicon").write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_lexicon(tmp_path / "lexicon")


def test_a_model_is_trained_from_a_lexicon_and_guesses(tmp_path: Path) -> None:
    pytest.importorskip("phonetisaurus")
    letters = {"B": "B", "K": "K", "R": "R", "T": "T", "D": "D", "L": "L", "S": "S", "N": "N"}
    vowels = {"A": "AE", "E": "EH", "I": "IH"}
    lexicon = {
        f"{first}{vowel}{last}": [f"{letters[first]} {vowels[vowel]} {letters[last]}"]
        for first, vowel, last in product(letters, vowels, letters)
        if (first, vowel, last) != ("R", "A", "B")
    }
    lexicon["THE"] = ["DH AH"]
    model = tmp_path / "a folder's" / "model.fst"
    train_g2p(lexicon, model)
    assert predict(["RAB", "ЖУК"], model) == {"RAB": "R AE B"}
    assert list(FromLexicon(lexicon, model)(["THE RAB"])) == [["DH AH", "R AE B"]]
    with pytest.raises(UserError, match="no pronunciation of ЖУК"):
        list(FromLexicon(lexicon, model)(["ЖУК"]))


def test_a_lexicon_too_small_for_a_model(tmp_path: Path) -> None:
    pytest.importorskip("phonetisaurus")
    with pytest.raises(UserError, match=r"failed: .* \(of 0 entries; some hundred are needed\)"):
        train_g2p({"A_B": ["AH B"]}, tmp_path / "m.fst")


def test_a_model_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("phonetisaurus")
    with pytest.raises(UserError, match="there is no such model"):
        predict(["A"], tmp_path / "none.fst")
    (tmp_path / "bad.fst").write_bytes(b"no model")
    with pytest.raises(UserError, match="is no model of Phonetisaurus"):
        predict(["A"], tmp_path / "bad.fst")
