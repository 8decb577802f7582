"""Labels of Hugging Face's folders in our order, and back."""

from typing import Any

import pytest

from auricle.convert.huggingface_vocabulary import (
    read_labels,
    special_tokens,
    tokenizer_config,
    vocabulary,
)
from auricle.dictionary import Dictionary
from auricle.errors import UserError

PUBLISHED = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "A": 5, "B": 6}


def files(symbols: object, **more: Any) -> dict[str, Any]:
    return {"vocab.json": symbols, **{f"{name}.json": content for name, content in more.items()}}


def test_published_vocabularies_are_numbered_as_ours() -> None:
    labels = read_labels(files(PUBLISHED), {}, 7)
    assert labels.dictionary == Dictionary(["|", "A", "B"]) and labels.rows == ()
    assert vocabulary(Dictionary(["|", "A", "B"])) == PUBLISHED


def test_the_blank_may_be_anywhere() -> None:
    symbols = {"A": 0, "|": 1, "B": 2, "[UNK]": 3, "[PAD]": 4}
    tokens = {"pad_token": "[PAD]", "unk_token": {"content": "[UNK]", "lstrip": False}}
    added = {"<s>": 5, "</s>": 6}
    labels = read_labels(files(symbols, special_tokens_map=tokens, added_tokens=added), {}, 7)
    assert labels.rows == (4, 5, 6, 3, 0, 1, 2) and labels.dictionary == Dictionary(["A", "|", "B"])
    assert labels.dictionary is not None
    back = vocabulary(labels.dictionary, labels.rows)
    assert back == {"A": 0, "|": 1, "B": 2, "<unk>": 3, "<pad>": 4, "<s>": 5, "</s>": 6}
    # Without rows of their own, two symbols are added that are never written.
    labels = read_labels(files(symbols, tokenizer_config=tokens, added_tokens=added), {}, 5)
    assert labels.rows == (4, -1, -1, 3, 0, 1, 2)
    assert vocabulary(Dictionary(["A", "|", "B"]), labels.rows) == {
        "A": 0,
        "|": 1,
        "B": 2,
        "<unk>": 3,
        "<pad>": 4,
    }


def test_specials_that_are_one_symbol_are_one_row() -> None:
    symbols = {"A": 0, "[PAD]": 1}
    tokens = dict.fromkeys(("pad_token", "bos_token", "eos_token", "unk_token"), "[PAD]")
    assert read_labels(files(symbols, special_tokens_map=tokens), {}, 2).rows == (1, -1, -1, -1, 0)


def test_a_delimiter_of_another_name_is_ours() -> None:
    symbols = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, " ": 4, "A": 5}
    labels = read_labels(files(symbols, tokenizer_config={"word_delimiter_token": " "}), {}, 6)
    assert labels.dictionary == Dictionary(["|", "A"])


def test_symbols_that_no_dictionary_holds_get_a_name() -> None:
    symbols = {"[P]": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "a b": 4, "<pad>": 5}
    labels = read_labels(files(symbols, tokenizer_config={"pad_token": "[P]"}), {}, 8)
    assert labels.dictionary == Dictionary(["<label4>", "<label5>", "<label6>", "<label7>"])


def test_vocabularies_of_several_languages() -> None:
    both = {"eng": PUBLISHED, "fra": {**PUBLISHED, "é": 7}}
    labels = read_labels(files(both, tokenizer_config={"target_lang": "fra"}), {}, 8)
    assert labels.dictionary == Dictionary(["|", "A", "B", "é"])
    with pytest.raises(UserError, match="is no vocabulary"):
        read_labels(files(both), {}, 8)


@pytest.mark.parametrize(
    ("blank", "rows"), [(0, ()), (2, (2, 0, 1)), (9, ()), (None, ()), (-1, ()), (True, ())]
)
def test_without_a_vocabulary_the_configuration_names_the_blank(blank: object, rows: tuple[int, ...]) -> None:
    labels = read_labels({}, {"pad_token_id": blank}, 3)
    assert labels.dictionary is None and labels.rows == rows


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        ([], "is no vocabulary"),
        ({"a": "b"}, "is no vocabulary"),
        ({"a": 1.0}, "is no vocabulary"),
        ({"<pad>": 0, "a": 0}, "'a' the number of another symbol"),
        ({"a": 0}, "no number for the blank, '<pad>'"),
        ({"<pad>": 9, "a": 0}, "no number for the blank"),
    ],
)
def test_vocabularies_that_are_none(symbols: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_labels(files(symbols), {}, 3)


def test_the_tokenizer_joins_letters_and_spaces_phonemes() -> None:
    letters = tokenizer_config(vocabulary(Dictionary(["|", "A", "ch"])))
    assert letters["tokenizer_class"] == "Wav2Vec2CTCTokenizer" and letters["word_delimiter_token"] == "|"
    phonemes = tokenizer_config(vocabulary(Dictionary(["a", "tʃ"])))
    assert phonemes["tokenizer_class"] == "Wav2Vec2PhonemeCTCTokenizer" and not phonemes["do_phonemize"]
    assert tokenizer_config(vocabulary(Dictionary(["a", "b"])))["tokenizer_class"] == "Wav2Vec2CTCTokenizer"


def test_special_tokens_without_a_row_are_none() -> None:
    assert special_tokens({"<pad>": 0, "a": 1}) == {
        "pad_token": "<pad>",
        "bos_token": None,
        "eos_token": None,
        "unk_token": None,
    }
