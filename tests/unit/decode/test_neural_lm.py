"""Transformers in decoding: the table of a search against whole sentences, lists ranked anew."""

import pytest
import torch

from auricle.decode.beam import BeamSearch
from auricle.decode.decoder import BeamOptions
from auricle.decode.hypothesis import Hypothesis
from auricle.decode.neural_lm import TransformerFusion, TransformerScorer, rescore
from auricle.decode.trie import read_lexicon
from auricle.dictionary import Dictionary
from auricle.models.config import DecoderConfig, LanguageModelConfig
from auricle.models.language_model import TransformerLM
from language_models import noisy_emissions, scores_of_sentences, write_lexicon
from text_models import LANGUAGE_MODEL

WORDS = ["a", "b", "c", "ab", "cab"]
LETTERS = Dictionary(["|", "a", "b", "c"])
SYMBOLS = Dictionary(WORDS[:4])
PLAIN = LanguageModelConfig(
    num_symbols=8,
    decoder=DecoderConfig(
        num_layers=2, dim=8, ffn_dim=12, num_heads=2, max_positions=40, positions="learned"
    ),
    input_dim=8,
    output_dim=8,
)


@pytest.fixture(params=[LANGUAGE_MODEL, PLAIN], ids=["adaptive", "plain"])
def model(request):
    torch.manual_seed(5)
    return TransformerLM(request.param).eval()


def sentence(model, words):
    """The score of one sentence, by the model alone."""
    rows = [SYMBOLS.index(word) for word in words]
    with torch.no_grad():
        log_probs = model(torch.tensor([[model.start_index, *rows]]))[0]
    return float(log_probs[range(len(rows) + 1), [*rows, 2]].double().sum())


def test_states_of_any_lengths_are_asked_together(model):
    fusion = TransformerFusion(model, SYMBOLS)
    sentences = [["a"], ["b", "c", "a", "ab"], ["zebra", "a"], [], ["b", "c"]]
    expected = [sentence(model, words) for words in sentences]
    assert scores_of_sentences(fusion, sentences) == pytest.approx(expected, abs=1e-5)


def test_a_search_scores_words_as_the_model_does(model, tmp_path):
    lexicon = read_lexicon(write_lexicon(tmp_path / "l.txt", WORDS), LETTERS)
    emissions = noisy_emissions(["ab c", "cab", "a b a c", "b"], LETTERS)
    options = BeamOptions(beam=30, lm_weight=0.6, word_score=0.5, nbest=4)
    fusion = TransformerFusion(model, SYMBOLS)
    found = BeamSearch(LETTERS, options, lexicon=lexicon, lm=fusion).decode(emissions)
    for hypotheses in found:
        for one in hypotheses:
            assert one.lm_score == pytest.approx(sentence(model, one.words), abs=1e-4)
            expected = one.acoustic_score + 0.6 * one.lm_score + 0.5 * len(one.words)
            assert one.score == pytest.approx(expected, abs=1e-4)


class Eager(TransformerFusion):
    """Is asked about everything, as a cheap model is."""

    costly = False


def test_asking_only_about_what_may_survive_changes_nothing(model, tmp_path):
    lexicon = read_lexicon(write_lexicon(tmp_path / "l.txt", WORDS), LETTERS)
    emissions = noisy_emissions(["ab c", "cab", "a b a c", "b"], LETTERS, noise=2.5)
    options = BeamOptions(beam=8, lm_weight=0.6, nbest=3)
    lazy, eager = (
        BeamSearch(LETTERS, options, lexicon=lexicon, lm=kind(model, SYMBOLS)).decode(emissions)
        for kind in (TransformerFusion, Eager)
    )
    for some, others in zip(lazy, eager, strict=True):
        assert [one.words for one in some] == [one.words for one in others]
        assert [one.score for one in some] == pytest.approx([one.score for one in others], abs=1e-4)


def test_over_letters_without_a_lexicon(model):
    fusion = TransformerFusion(model, LETTERS)
    options = BeamOptions(beam=20, lm_weight=0.3, nbest=2)
    (found,) = BeamSearch(LETTERS, options, lm=fusion).decode(noisy_emissions(["ab c"], LETTERS))
    assert found[0].score == pytest.approx(found[0].acoustic_score + 0.3 * found[0].lm_score, abs=1e-4)


def test_memory_of_a_search_is_given_back(model, tmp_path):
    lexicon = read_lexicon(write_lexicon(tmp_path / "l.txt", WORDS), LETTERS)
    fusion = TransformerFusion(model, SYMBOLS)
    search = BeamSearch(LETTERS, BeamOptions(beam=10), lexicon=lexicon, lm=fusion)
    for seed in range(4):
        search.decode(noisy_emissions(["ab c a b"], LETTERS, seed=seed))
    assert len(fusion._entries) <= 25 and fusion._answers.shape[0] <= 64


def test_sentences_are_scored_in_any_batches(model):
    sentences = [["a"], [], ["b", "c", "a"], ["zebra"], ["ab"] * 6]
    expected = [sentence(model, words) for words in sentences]
    for size in (1, 8, 4096):
        scores = TransformerScorer(model, SYMBOLS, size).sentence_scores(sentences)
        assert scores == pytest.approx(expected, abs=1e-5)


class Fixed:
    def sentence_scores(self, sentences):
        return [-float(len(words)) for words in sentences]


def test_lists_are_ranked_anew():
    long = Hypothesis((), ("a", "b"), -1.0, (), (), -0.5, -0.2)
    short = Hypothesis((), ("c",), -1.6, (), (), -1.5, -0.1)
    (ranked,) = rescore([[long, short]], Fixed(), weight=1.0)
    assert [one.words for one in ranked] == [("c",), ("a", "b")]
    assert [one.score for one in ranked] == [-2.6, -3.0]
    assert ranked[0].acoustic_score == -1.5
    (ranked,) = rescore([[long, short]], Fixed(), weight=1.0, word_score=1.0)
    assert [one.words for one in ranked] == [("a", "b"), ("c",)]


def test_a_causal_model_of_transformers_scores_sentences():
    transformers = pytest.importorskip("transformers")
    from auricle.models.causal_lm import CausalLM

    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=9, n_positions=32, n_embd=8, n_layer=1, n_head=2)

    class Letters:
        bos_token_id, eos_token_id = 0, 1

        def __call__(self, text, add_special_tokens):
            return {"input_ids": [2 + "ab c".index(letter) for letter in text]}

    lm = CausalLM(transformers.GPT2LMHeadModel(config), Letters())
    sentences = [["a"], ["ab", "c"], [], ["c"] * 5]
    for words, score in zip(sentences, lm.sentence_scores(sentences), strict=True):
        pieces = [0, *(2 + "ab c".index(letter) for letter in " ".join(words)), 1]
        with torch.no_grad():
            log_probs = lm.model(torch.tensor([pieces])).logits[0].log_softmax(-1)
        expected = sum(float(log_probs[i, piece]) for i, piece in enumerate(pieces[1:]))
        assert score == pytest.approx(expected, abs=1e-4)
