import gzip
import importlib.util
import shutil

import pytest

from auricle.cli.main import main
from auricle.decode.arpa import read_arpa
from auricle.decode.trie import read_lexicon
from auricle.dictionary import Dictionary
from language_models import made_up_text, made_up_words

WORDS = made_up_words(20, "etao")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(" ".join(words) + "\n" for words in made_up_text(WORDS, 200)))
    return path


def run(*words):
    return main(["lm", *map(str, words)])


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def test_text_becomes_a_model_and_a_lexicon(text, tmp_path, capsys):
    Dictionary(["|", *"ETA"]).save(tmp_path / "dict.txt")
    options = ("--order", 2, "--case", "upper", "--lexicon", tmp_path / "lexicon.txt")
    assert run(text, "-o", tmp_path / "lm.arpa.gz", *options, "--dictionary", tmp_path / "dict.txt") == 0
    said = capsys.readouterr().out
    assert "2-grams" in said and "words left out that have no spelling" in said
    model = read_arpa(tmp_path / "lm.arpa.gz")
    assert model.order == 2
    lexicon = read_lexicon(tmp_path / "lexicon.txt", Dictionary.load(tmp_path / "dict.txt"))
    assert set(lexicon.words) == {w.upper() for w in WORDS if "o" not in w} & set(model.words)


def test_label_files_and_gzipped_text_are_joined(tmp_path):
    (tmp_path / "train.ltr").write_text("H E | I T |\n")
    (tmp_path / "more.txt.gz").write_bytes(gzip.compress(b"HE RAN\n"))
    assert run(tmp_path / "train.ltr", tmp_path / "more.txt.gz", "-o", tmp_path / "lm.arpa") == 0
    assert set(read_arpa(tmp_path / "lm.arpa").words) == {"<unk>", "<s>", "</s>", "HE", "IT", "RAN"}


def test_a_lexicon_of_pronunciations(text, tmp_path):
    (tmp_path / "cmu.dict").write_text(f";;; head\n{WORDS[0]} AH B\n{WORDS[0]}(2) AH P\n{WORDS[1]} AH X\n")
    Dictionary(["AH", "B", "P"]).save(tmp_path / "dict.phn.txt")
    options = ("--pronunciations", tmp_path / "cmu.dict", "--dictionary", tmp_path / "dict.phn.txt")
    assert run(text, "--lexicon", tmp_path / "lexicon.txt", *options) == 0
    assert (tmp_path / "lexicon.txt").read_text() == f"{WORDS[0]}\tAH B\n{WORDS[0]}\tAH P\n"


@pytest.mark.parametrize("option", ["--pronunciations", "--dictionary"])
def test_what_spells_the_lexicon_is_looked_at_before_the_work(text, tmp_path, capsys, option):
    missing = (option, tmp_path / "missing.txt", "--lexicon", tmp_path / "lexicon.txt")
    assert run(text, "-o", tmp_path / "lm.arpa", *missing) == 2
    assert "missing.txt" in capsys.readouterr().err
    assert not (tmp_path / "lm.arpa").exists()


def test_a_lexicon_of_a_model_that_is_there(text, tmp_path):
    assert run(text, "-o", tmp_path / "lm.arpa") == 0
    assert run("--model", tmp_path / "lm.arpa", "--lexicon", tmp_path / "lexicon.txt") == 0
    first = (tmp_path / "lexicon.txt").read_text().splitlines()[0]
    assert first == f"{min(WORDS)}\t{' '.join(min(WORDS))} |"


def test_a_model_in_another_case(text, tmp_path, capsys):
    assert run(text, "-o", tmp_path / "lm.arpa") == 0
    assert run("--model", tmp_path / "lm.arpa", "--case", "upper", "-o", tmp_path / "UP.arpa") == 0
    lower, upper = read_arpa(tmp_path / "lm.arpa"), read_arpa(tmp_path / "UP.arpa")
    for words in (WORDS[:3], WORDS[4:6]):
        assert upper.sentence([word.upper() for word in words]) == pytest.approx(
            lower.sentence(words), abs=1e-4
        )
    (tmp_path / "both.txt").write_text("a A\n")
    assert run(tmp_path / "both.txt", "-o", tmp_path / "both.arpa") == 0
    capsys.readouterr()
    assert run("--model", tmp_path / "both.arpa", "--case", "upper", "-o", tmp_path / "UP.arpa") == 2
    assert "A is there in more than one case" in one_line(capsys)


def test_pruning_and_a_vocabulary(text, tmp_path):
    (tmp_path / "words.txt").write_text("\n".join(WORDS[:5]))
    options = ("--prune", "0 0 2", "--vocabulary", tmp_path / "words.txt")
    assert run(text, "-o", tmp_path / "lm.arpa", *options) == 0
    assert set(read_arpa(tmp_path / "lm.arpa").words) == {"<unk>", "<s>", "</s>", *WORDS[:5]}


@pytest.mark.skipif(
    importlib.util.find_spec("phonetisaurus") is None, reason="phonetisaurus is not installed"
)
def test_mitlm_estimates_alike(text, tmp_path):
    for estimator in ("own", "mitlm"):
        assert run(text, "-o", tmp_path / f"{estimator}.arpa", "--estimator", estimator, "--order", 2) == 0
    own, other = (read_arpa(tmp_path / f"{name}.arpa") for name in ("own", "mitlm"))
    for words in made_up_text(WORDS, 5, seed=9):
        assert own.sentence(words) == pytest.approx(other.sentence(words), rel=0.1)


def test_models_are_pruned_by_what_n_grams_are_worth(text, tmp_path):
    assert run(text, "-o", tmp_path / "whole.arpa") == 0
    assert run(text, "-o", tmp_path / "less.arpa", "--entropy-prune", "1e-4") == 0
    assert (
        run("--model", tmp_path / "whole.arpa", "-o", tmp_path / "later.arpa", "--entropy-prune", "1e-4") == 0
    )
    whole, less, later = (read_arpa(tmp_path / f"{name}.arpa") for name in ("whole", "less", "later"))
    assert [len(table) for table in less.tables] == [len(table) for table in later.tables]
    assert sum(map(len, less.tables)) < 0.9 * sum(map(len, whole.tables))
    assert less.words == whole.words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["text.txt", "-o", "lm.arpa", "--entropy-prune", "-1"], "'--entropy-prune'"),
        (["--output", "lm.arpa"], "give the text to estimate from, or a model with --model"),
        (["text.txt"], "nothing to write"),
        (["text.txt", "-o", "lm.arpa", "--case", "title"], "--case title: choose one of keep, lower, upper"),
        (["text.txt", "-o", "lm.arpa", "--estimator", "srilm"], "--estimator srilm: choose one of"),
        (["text.txt", "-o", "lm.arpa", "--prune", "none"], "--prune 'none': give whole numbers"),
        (["nowhere.txt", "-o", "lm.arpa"], "nowhere.txt: cannot be read"),
        (["empty.txt", "-o", "lm.arpa"], "there is no text"),
        (["text.txt", "--lexicon", "l.txt", "--dictionary", "dict.txt"], "set --case upper or lower"),
    ],
)
def test_mistakes_are_one_line(text, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("")
    Dictionary(["|", *"ETAO"]).save(tmp_path / "dict.txt")
    assert run(*words) == 2
    assert message in one_line(capsys)
    assert not (tmp_path / "lm.arpa").exists()


@pytest.mark.skipif(shutil.which("build_binary") is not None, reason="KenLM's build_binary is installed")
def test_binaries_need_the_tool(text, tmp_path, capsys):
    assert run(text, "-o", tmp_path / "lm.arpa", "--binary", tmp_path / "lm.bin") == 2
    assert "build_binary" in one_line(capsys)
