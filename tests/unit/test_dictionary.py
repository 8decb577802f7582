"""fairseq's dictionary files, label lines to numbers and back, letters to words and back."""

from pathlib import Path

import pytest
import torch

from auricle.dictionary import MASK, Dictionary, letters_to_words, words_to_letters
from auricle.errors import UserError


def test_special_symbols_come_first_and_are_not_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dict.ltr.txt"
    path.write_text("| 10\nE 9\n")
    dictionary = Dictionary.load(path)
    assert dictionary.symbols == ["<s>", "<pad>", "</s>", "<unk>", "|", "E"]
    assert dictionary.counts == [1, 1, 1, 1, 10, 9]
    assert [dictionary[i] for i in (dictionary.bos_index, dictionary.pad_index)] == ["<s>", "<pad>"]
    assert [dictionary[i] for i in (dictionary.eos_index, dictionary.unk_index)] == ["</s>", "<unk>"]
    path.write_text("\n| 10\nE 9\n\n")
    assert Dictionary.load(path) == dictionary
    dictionary.save(tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_text() == "| 10\nE 9\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("| 10\nE\n", r":2: expected 'symbol count', got 'E'"),
        ("| ten\n", r":1: expected 'symbol count'"),
        ("| 1\n| 2\n", r"'\|' is in the dictionary twice"),
        ("<pad> 1\n", r"'<pad>' is in the dictionary twice"),
        ("E 1 #fairseq:overwrite\n", r":1: #fairseq:overwrite is not supported"),
    ],
)
def test_other_files_are_refused_by_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "dict.ltr.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=f"dict.ltr.txt.*{message}"):
        Dictionary.load(path)


def test_symbols_that_no_label_line_could_hold_are_refused() -> None:
    for symbol in ("", "A B", "A\n"):
        with pytest.raises(UserError, match="empty or holds a space"):
            Dictionary([symbol])


def test_counts_belong_to_symbols() -> None:
    with pytest.raises(ValueError, match="2 symbols but 1 counts"):
        Dictionary(["a", "b"], [1])


def test_from_labels_ranks_by_count_then_by_code_point() -> None:
    dictionary = Dictionary.from_labels(["B A | A |", "C | <unk>"])
    assert dictionary.symbols[4:] == ["|", "A", "B", "C"]
    assert dictionary.counts[4:] == [3, 2, 1, 1]


def test_encode_and_decode() -> None:
    dictionary = Dictionary("|EHIT")
    tokens = dictionary.encode("H E | I T |")
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == [6, 5, 4, 7, 8, 4]
    assert dictionary.decode(tokens) == "H E | I T |"
    assert dictionary.decode([0, 6, 5, 3, 1, 2]) == "H E <unk> <pad>"
    assert dictionary.encode("").shape == (0,)


def test_an_unknown_symbol_is_named_or_mapped() -> None:
    dictionary = Dictionary("|AB")
    with pytest.raises(UserError, match=r"symbol 'É' of the label 'A É \|' is not in the dictionary"):
        dictionary.encode("A É |")
    assert dictionary.encode("A É |", unknown="unk").tolist() == [5, 3, 4]
    assert dictionary.index("É") == dictionary.unk_index
    assert dictionary.unknown_symbols("A Z Y Z") == ["Y", "Z"]
    assert "A" in dictionary and "É" not in dictionary and 5 not in dictionary


def test_long_labels_are_shortened_in_messages() -> None:
    with pytest.raises(UserError) as caught:
        Dictionary("A").encode("A " * 500 + "B")
    assert len(str(caught.value)) < 250


def test_equality_is_that_of_numbering() -> None:
    assert Dictionary("ab", [1, 2]) == Dictionary("ab", [3, 4])
    assert hash(Dictionary("ab", [1, 2])) == hash(Dictionary("ab"))
    assert Dictionary("ab") != Dictionary("ba")
    assert Dictionary("ab") != "ab"
    assert repr(Dictionary("ab")) == "Dictionary(6 symbols)"


@pytest.mark.parametrize(
    ("words", "letters"),
    [("HE IT", "H E | I T |"), ("", ""), ("  HE   IT ", "H E | I T |"), ("É", "É |")],
)
def test_words_and_letters(words: str, letters: str) -> None:
    assert words_to_letters(words) == letters
    assert letters_to_words(letters) == " ".join(words.split())


def test_letters_of_a_model_that_repeats_word_ends() -> None:
    assert letters_to_words("| | H E | | I T") == "HE IT"
    assert letters_to_words("") == ""


def test_more_symbols_come_last() -> None:
    dictionary = Dictionary(["a", "b"], [7, 3])
    assert dictionary.extended([MASK]).symbols[4:] == ["a", "b", MASK]
    assert dictionary.extended([MASK]).counts[4:] == [7, 3, 1]
    assert len(dictionary) == 6


def test_padding_to_a_multiple() -> None:
    padded = Dictionary(["a", "b"], [7, 3]).padded()
    assert padded.symbols[4:] == ["a", "b", "madeupword0000", "madeupword0001"]
    assert padded.counts[4:] == [7, 3, 0, 0]
    assert padded.padded() == padded and len(padded.padded(5)) == 10


@pytest.mark.parametrize(
    "content",
    [
        b"a " + b"9" * 5_000,
        b"a" * 10**6,
        b"x" * 10**6 + b" 1\n" + b"x" * 10**6 + b" 1",
        b"\0",
        b"a 1\n\xff 1",
        b"a -1",
        b"a 1.5",
        b"<pad> 1",
    ],
)
def test_hostile_files_get_one_short_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dict.txt").write_bytes(content)
    with pytest.raises(UserError) as caught:
        Dictionary.load(tmp_path / "dict.txt")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device of endless zeros here")
def test_a_file_without_end() -> None:
    with pytest.raises(UserError, match="larger than 64 MiB"):
        Dictionary.load("/dev/zero")
