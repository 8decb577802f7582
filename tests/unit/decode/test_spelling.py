import pytest

from auricle.decode.spelling import SpelledWord, spell
from auricle.dictionary import Dictionary
from auricle.errors import UserError

LETTERS = Dictionary("|EHTI'S")


def written(spelling, dictionary=LETTERS):
    return " ".join(dictionary[unit] for unit in spelling.units)


def test_words_are_spelled_letter_by_letter():
    spelling = spell(["HE  IT", "", "IS"], LETTERS)
    assert written(spelling) == "H E | I T | I S |"
    assert spelling.words == [SpelledWord("HE", 0, 2), SpelledWord("IT", 3, 5), SpelledWord("IS", 6, 8)]
    assert spelling.open_gaps == set()


def test_the_other_case_and_other_apostrophes_are_understood():
    spelling = spell(["it\u2019s He"], LETTERS)
    assert written(spelling) == "I T ' S | H E |"
    assert [word.text for word in spelling.words] == ["it\u2019s", "He"]
    assert written(spell(["\u00df"], LETTERS)) == "S S |"
    assert written(spell(["STRASSE"], Dictionary("|strae")), Dictionary("|strae")) == "s t r a s s e |"


@pytest.mark.parametrize("symbol", ["4", "\u00c9", "|", "-"])
def test_a_symbol_that_the_dictionary_lacks_is_named_with_its_line(symbol):
    with pytest.raises(UserError, match=r"talk\.txt:2: .*--skip-unknown") as caught:
        spell(["HE", f"IT{symbol}"], LETTERS, name="talk.txt")
    assert repr(symbol) in str(caught.value)
    spelling = spell([f"IT{symbol} HE"], LETTERS, skip_unknown=True)
    assert written(spelling) == "I T | H E |" and spelling.words[0].text == f"IT{symbol}"


def test_marked_places_and_words_of_nothing_may_be_anything():
    assert spell(["<unk> HE <unk> IT <unk>"], LETTERS).open_gaps == {0, 3, 6}
    spelling = spell(["HE 1984 IT"], LETTERS, skip_unknown=True)
    assert spelling.open_gaps == {3}
    assert spelling.words[1] == SpelledWord("1984", 3, 3)


def test_unknown_places_between_lines_and_words():
    lines = ["HE IT", "IS"]
    assert spell(lines, LETTERS, unknown="lines").open_gaps == {0, 6, 9}
    assert spell(lines, LETTERS, unknown="words").open_gaps == {0, 3, 6, 9}


def test_phonemes_stand_by_themselves():
    phonemes = Dictionary(["hh", "iy"])
    spelling = spell(["hh iy hh"], phonemes, post_process="none")
    assert written(spelling, phonemes) == "hh iy hh"
    assert [word.text for word in spelling.words] == ["hh", "iy", "hh"]
    with pytest.raises(UserError, match="'ah'"):
        spell(["ah"], phonemes, post_process="none")


def test_no_text_is_no_mistake():
    assert spell([], LETTERS).units == []
