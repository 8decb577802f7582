import gzip

import pytest
import torch

from auricle.decode.arpa import read_arpa, write_arpa
from auricle.errors import UserError
from language_models import TRIGRAM, write_trigram


@pytest.fixture
def path(tmp_path):
    return write_trigram(tmp_path / "lm.arpa")


def test_probabilities_and_back_offs(path):
    model = read_arpa(path)
    assert model.order == 3 and [len(table) for table in model.tables] == [6, 5, 2]
    # p(b | <s> a) is there; p(c | a b) and p(</s> | b c) back off once
    expected = -0.5 - 0.1 + (-0.4 - 0.2) + (-0.05 - 0.3)
    assert model.sentence(["a", "b", "c"]) == pytest.approx(expected, abs=1e-6)
    # p(c | <s> a) backs off twice; p(a | a c) finds no context of two words
    expected = -0.5 + (-0.15 - 0.2 - 0.8) + (-0.3 - 0.6) + (-0.2 - 0.7)
    assert model.sentence(["a", "c", "a"]) == pytest.approx(expected, abs=1e-6)


def test_what_is_not_known_is_the_unknown_word(path):
    model = read_arpa(path)
    assert model.number("zebra") == model.number("<unk>")
    assert model.sentence(["zebra"]) == pytest.approx(-0.25 - 2.0 - 0.7, abs=1e-6)


def test_many_states_are_asked_at_once(path):
    model = read_arpa(path)
    sentences = [["a", "b"], ["c", "zebra"], ["b", "b"]]
    states, totals = model.start(3), torch.zeros(3)
    for words in zip(*sentences, strict=True):
        scores, states = model.score(states, model.numbers(words))
        totals = totals + scores
    totals = totals + model.finish(states)
    assert totals.tolist() == pytest.approx([model.sentence(words) for words in sentences])


def test_gzipped_files_are_known_by_their_content(path, tmp_path):
    zipped = tmp_path / "named.lm"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert read_arpa(zipped).sentence(["a", "b"]) == read_arpa(path).sentence(["a", "b"])


def test_a_head_before_the_data_and_spaces_are_skipped(path, tmp_path):
    other = tmp_path / "other.arpa"
    other.write_text(
        "\\2-grams:\nabout this file\n\n" + TRIGRAM.replace("\t", "  ").replace("<unk>", "<UNK>")
    )
    assert read_arpa(other).sentence(["a", "zebra"]) == read_arpa(path).sentence(["a", "zebra"])


def test_a_model_without_the_unknown_word_gets_one(tmp_path):
    lines = [line for line in TRIGRAM.replace("ngram 1=6", "ngram 1=5").splitlines() if "unk" not in line]
    (tmp_path / "lm.arpa").write_text("\n".join(lines))
    model = read_arpa(tmp_path / "lm.arpa")
    assert model.sentence(["a", "b", "c"]) == pytest.approx(-0.5 - 0.1 - 0.6 - 0.35, abs=1e-6)
    assert model.sentence(["zebra"]) == pytest.approx(-0.25 - 100.0 - 0.7)


@pytest.mark.parametrize("name", ["again.arpa", "again.arpa.gz"])
def test_what_is_written_reads_the_same(path, tmp_path, name):
    model = read_arpa(path)
    write_arpa(model, tmp_path / name)
    again = read_arpa(tmp_path / name)
    assert again.words == model.words
    for words in (["a", "b", "c"], ["c", "a"], []):
        assert again.sentence(words) == pytest.approx(model.sentence(words), abs=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", r"lm.arpa: no ARPA language model: \\data\\ is missing"),
        ("ngram 2=5", "ngrams 2=5", r"lm.arpa:3: expected 'ngram 2=COUNT', got 'ngrams 2=5'"),
        ("-0.8\tc\t", "zero\tc\t", r"lm.arpa:12: the log-probability is no number, got 'zero"),
        ("-0.8\tc\t", "0.8\tc\t", r"lm.arpa:12: the log-probability is above 0"),
        ("-0.8\tc\t", "nan\tc\t", r"lm.arpa:12: the log-probability is not finite"),
        ("-0.8\tc\t-0.3", "-0.8\tc\tx", r"lm.arpa:12: the back-off is no number"),
        ("-0.8\tc\t", "-0.8\tc\td\te\t", r"lm.arpa:12: expected a log-probability, 1 words and a back-off"),
        ("-0.8\tc\t", "-0.8\ta\t", r"lm.arpa:12: this word is there twice"),
        ("-0.2\tb c", "-0.2\tb d", r"lm.arpa:19: the word 'd' is no 1-gram"),
        ("-0.2\tb c", "-0.2\ta b", r"lm.arpa:19: this 2-gram is there twice"),
        ("-0.1\t<s> a b", "-0.1\tb a b", r"lm.arpa:22: this 3-gram begins with 2 words that are no 2-gram"),
        ("-0.1\t<s> a b", "-0.1\t<s> a b\t-0.2", r"lm.arpa:22: a 3-gram, the longest kind, has a back-off"),
        ("ngram 2=5", "ngram 2=6", r"lm.arpa:21: 6 2-grams are announced and 1 of them are missing"),
        ("ngram 2=5", "ngram 2=4", r"lm.arpa:19: expected \\3-grams: after as many n-grams as announced"),
        ("</s>", "</S>", r"lm.arpa: the language model has no </s>"),
    ],
)
def test_errors_have_their_line(path, old, new, message):
    path.write_text(TRIGRAM.replace(old, new))
    with pytest.raises(UserError, match=message):
        read_arpa(path)


def test_files_that_end_too_soon(path, tmp_path):
    text = path.read_bytes()
    path.write_bytes(text[: text.index(b"-0.2\tb c")])
    with pytest.raises(UserError, match=r"5 2-grams are announced and 1 of them are missing"):
        read_arpa(path)
    path.write_bytes(gzip.compress(text)[:-12])
    with pytest.raises(UserError, match="damaged or cut off gzip file"):
        read_arpa(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_arpa(tmp_path / "nowhere.arpa")
