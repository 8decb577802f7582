"""KenLM's models through its module, beside our own reader: ARPA, and what its build_binary makes of it."""

import shutil
import subprocess

import pytest
import torch

from auricle.cli.main import main
from auricle.decode import lexicon
from auricle.decode.arpa import read_arpa
from auricle.decode.beam import BeamSearch
from auricle.decode.decoder import BeamOptions
from auricle.decode.lexicon import KenLMModel
from auricle.decode.ngram_file import open_ngram
from auricle.decode.trie import read_lexicon
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from language_models import noisy_emissions, write_lexicon, write_trigram

pytest.importorskip("kenlm", reason="ufal-kenlm is not installed")

LETTERS = Dictionary(["|", "a", "b", "c"])


BUILDER = shutil.which("build_binary")
needs_builder = pytest.mark.skipif(BUILDER is None, reason="KenLM's build_binary is not on the PATH")


@pytest.fixture
def path(tmp_path):
    return write_trigram(tmp_path / "lm.arpa")


@pytest.fixture(
    params=["arpa", *(pytest.param(kind, marks=needs_builder) for kind in ("probing", "trie", "trie -q 8"))]
)
def model(request, path):
    """The same model in each of KenLM's formats; quantised probabilities are exact where they are few."""
    if request.param == "arpa":
        return path
    binary = path.with_name("lm.bin")
    kind, *options = request.param.split()
    subprocess.run([BUILDER, *options, kind, path, binary], check=True, capture_output=True)
    assert lexicon.is_kenlm_binary(binary)
    return binary


def test_questions_get_the_same_answers(path, model):
    own, other = read_arpa(path), KenLMModel(model)
    words = ["a", "b", "c", "zebra", "b"]
    mine, theirs = own.start(1), other.start(1)
    for a, b in zip(own.numbers(words), other.numbers(words), strict=True):
        expected, mine = own.score(mine, a[None])
        found, theirs = other.score(theirs, b[None])
        assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
        assert other.finish(theirs).tolist() == pytest.approx(own.finish(mine).tolist(), abs=1e-5)
    assert "a" in other and "zebra" not in other


def test_a_search_finds_the_same(path, model, tmp_path, monkeypatch):
    monkeypatch.setattr(lexicon, "FORGET_AT", 20)
    words = read_lexicon(write_lexicon(tmp_path / "l.txt", ["a", "b", "c", "ab", "cab"]), LETTERS)
    emissions = noisy_emissions(["ab c", "cab", "a b a c"], LETTERS, noise=2.0)
    found = [
        BeamSearch(LETTERS, BeamOptions(nbest=3, beam=20), lexicon=words, lm=lm).decode(emissions)
        for lm in (read_arpa(path), KenLMModel(model))
    ]
    for mine, theirs in zip(*found, strict=True):
        assert [one.words for one in mine] == [one.words for one in theirs]
        assert [one.score for one in mine] == pytest.approx([one.score for one in theirs], abs=1e-4)


def test_damaged_models_are_one_line(tmp_path):
    (tmp_path / "lm").write_bytes(lexicon.KENLM_MAGIC + b"\0" * 50)
    with pytest.raises(UserError, match="lm: KenLM cannot read it"):
        KenLMModel(tmp_path / "lm")


def test_states_that_live_are_not_forgotten(path, monkeypatch):
    monkeypatch.setattr(lexicon, "FORGET_AT", 2)
    lm = KenLMModel(path)
    numbers = lm.numbers(["a", "b", "c"])
    _, states = lm.score(lm.start(3), numbers)
    lm.keep(states[:1])
    scores, _ = lm.score(states[:1], numbers[1:2])
    assert scores.tolist() == pytest.approx([-0.1], abs=1e-5)
    assert torch.equal(lm.start(1), torch.zeros(1, 1, dtype=torch.int64))


@needs_builder
def test_binaries_that_lm_writes_are_read(path, tmp_path):
    files = ("--model", path, "-o", tmp_path / "again.arpa", "--binary", tmp_path / "lm.bin")
    assert main(["lm", *map(str, files)]) == 0
    own, other = read_arpa(path), open_ngram(tmp_path / "lm.bin")
    assert isinstance(other, KenLMModel)
    words = ["a", "b", "b"]
    for one in (own, other):
        state = one.start(1)
        scores = []
        for number in one.numbers(words):
            score, state = one.score(state, number[None])
            scores.append(float(score))
        assert scores == pytest.approx([-0.5, -0.1, -0.85], abs=1e-5)


@needs_builder
def test_a_binary_cut_off_is_one_line(path, tmp_path):
    binary = tmp_path / "lm.bin"
    subprocess.run([BUILDER, "trie", path, binary], check=True, capture_output=True)
    binary.write_bytes(binary.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"lm\.bin: KenLM cannot read it"):
        KenLMModel(binary)
