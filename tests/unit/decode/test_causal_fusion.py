"""Causal models of transformers in a search: what it gives a sentence is what the model gives it at once."""

from itertools import pairwise

import pytest
import torch

from auricle.decode.beam import BeamSearch
from auricle.decode.causal_fusion import CausalFusion
from auricle.decode.decoder import BeamOptions
from auricle.decode.neural_lm import rescore
from auricle.decode.trie import read_lexicon
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.causal_lm import CausalLM
from language_models import noisy_emissions, scores_of_sentences, write_lexicon

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

WORDS = ["a", "b", "c", "ab", "cab"]
LETTERS = Dictionary(["|", "a", "b", "c"])
MARKS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}


def fast(tokenizer):
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **MARKS)


def of_words(*words):
    """Each word a piece, but for one that is not known."""
    pieces = ["<s>", "</s>", "<unk>", *(words or ("a", "b", "c", "ab"))]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return fast(tokenizer)


def of_letters():
    """Each letter a piece, and the space too."""
    vocabulary = {piece: number for number, piece in enumerate(["<s>", "</s>", "<unk>", "a", "b", "c", " "])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    return fast(tokenizer)


def of_bytes():
    """Pieces of words as GPT-2 has them: a space belongs to the word after it."""
    vocabulary = {"<s>": 0, "</s>": 1, "<unk>": 2, "a": 3, "b": 4, "c": 5, "\u0120": 6, "ab": 7, "\u0120c": 8}
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocabulary, [("a", "b"), ("\u0120", "c")], unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return fast(tokenizer)


TOKENIZERS = {"words": of_words, "letters": of_letters, "bytes": of_bytes}


def gpt2(size=9, positions=48):
    config = transformers.GPT2Config(
        vocab_size=size, n_positions=positions, n_embd=8, n_layer=2, n_head=2, initializer_range=0.6
    )
    return transformers.GPT2LMHeadModel(config)


def llama(size=9):
    """Rotary positions, and fewer keys than queries."""
    config = transformers.LlamaConfig(
        vocab_size=size,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.4,
    )
    return transformers.LlamaForCausalLM(config)


@pytest.fixture(params=[gpt2, llama], ids=["gpt2", "llama"])
def network(request):
    torch.manual_seed(3)
    return request.param()


@pytest.fixture(params=TOKENIZERS)
def model(request, network):
    return CausalLM(network, TOKENIZERS[request.param]())


def test_words_of_any_pieces_add_up_to_their_sentence(model):
    fusion = CausalFusion(model)
    sentences = [["a"], ["b", "c", "a", "ab"], ["cab", "a", "cab"], [], ["b", "c"], ["ab"] * 4]
    assert scores_of_sentences(fusion, sentences) == pytest.approx(model.sentence_scores(sentences), abs=1e-4)


def test_many_states_are_asked_at_once(model):
    fusion = CausalFusion(model)
    numbers = fusion.numbers(["a", "ab", "cab"])
    _, first = fusion.score(fusion.start(3), numbers)
    again, _ = fusion.score(first[[2, 0, 1, 2]], numbers[[0, 1, 2, 2]])
    sentences = [["cab", "a"], ["a", "ab"], ["ab", "cab"], ["cab", "cab"]]
    once = fusion.score(fusion.start(4), numbers[[2, 0, 1, 2]])[0]
    ends = fusion.finish(fusion.score(first[[2, 0, 1, 2]], numbers[[0, 1, 2, 2]])[1])
    assert (once + again + ends).tolist() == pytest.approx(model.sentence_scores(sentences), abs=1e-4)


def test_a_search_scores_hypotheses_as_the_model_does(model, tmp_path):
    lexicon = read_lexicon(write_lexicon(tmp_path / "l.txt", WORDS), LETTERS)
    emissions = noisy_emissions(["ab c", "cab", "a b a c", "b"], LETTERS, noise=2.0)
    options = BeamOptions(beam=30, lm_weight=0.6, word_score=0.5, nbest=4)
    found = BeamSearch(LETTERS, options, lexicon=lexicon, lm=CausalFusion(model)).decode(emissions)
    for hypotheses in found:
        texts = [one.words for one in hypotheses]
        assert [one.lm_score for one in hypotheses] == pytest.approx(model.sentence_scores(texts), abs=1e-4)
        for one, following in pairwise(hypotheses):
            assert one.score == pytest.approx(
                one.acoustic_score + 0.6 * one.lm_score + 0.5 * len(one.words), abs=1e-4
            )
            assert one.score >= following.score


def test_a_wide_search_finds_what_ranking_everything_finds(model, tmp_path):
    lexicon = read_lexicon(write_lexicon(tmp_path / "l.txt", WORDS), LETTERS)
    emissions = noisy_emissions(["ab c", "a b"], LETTERS, noise=2.0)
    wide = BeamOptions(beam=2000, beam_threshold=1e4, lm_weight=0.8, word_score=0.2, nbest=1000)
    fused = BeamSearch(LETTERS, wide, lexicon=lexicon, lm=CausalFusion(model)).decode(emissions)
    plain = BeamOptions(beam=2000, beam_threshold=1e4, lm_weight=0.0, word_score=0.2, nbest=1000)
    lists = BeamSearch(LETTERS, plain, lexicon=lexicon).decode(emissions)
    for one, other in zip(fused, rescore(lists, model, 0.8), strict=True):
        assert one[0].words == other[0].words
        assert one[0].score == pytest.approx(other[0].score, abs=1e-3)


def test_units_stand_for_words_without_a_lexicon(network):
    fusion = CausalFusion(CausalLM(network, of_words("a", "b", "c", "|")))
    fusion.check_units(["|", "a", "b", "c"])
    options = BeamOptions(beam=20, lm_weight=0.3)
    (found,) = BeamSearch(LETTERS, options, lm=fusion).decode(noisy_emissions(["ab c"], LETTERS))
    assert found[0].score == pytest.approx(found[0].acoustic_score + 0.3 * found[0].lm_score, abs=1e-4)


@pytest.mark.parametrize("kind", ["letters", "bytes"])
def test_other_pieces_need_a_lexicon(kind):
    fusion = CausalFusion(CausalLM(gpt2(), TOKENIZERS[kind]()))
    with pytest.raises(UserError, match=r"without --lexicon .* give a lexicon of words"):
        fusion.check_units(["a", "b", "c"])


def test_memory_of_a_search_is_given_back(tmp_path):
    lexicon = read_lexicon(write_lexicon(tmp_path / "l.txt", WORDS), LETTERS)
    fusion = CausalFusion(CausalLM(gpt2(), of_letters()))
    search = BeamSearch(LETTERS, BeamOptions(beam=10), lexicon=lexicon, lm=fusion)
    for seed in range(4):
        search.decode(noisy_emissions(["ab c a b"], LETTERS, seed=seed))
    assert len(fusion._entries) <= 80 and fusion._answers.shape[0] <= 256


def test_pieces_over_the_ends_of_words_are_refused():
    vocabulary = {"<s>": 0, "</s>": 1, "<unk>": 2, "a": 3, "b": 4, " ": 5, "a ": 6}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [("a", " ")], unk_token="<unk>"))
    fusion = CausalFusion(CausalLM(gpt2(), fast(tokenizer)))
    with pytest.raises(UserError, match="pieces of 'a b' are not those of its words: rank lists with it"):
        fusion.numbers(["a", "b"])


def test_a_model_that_keeps_no_state_is_refused(monkeypatch):
    network = gpt2()
    whole = network.forward

    def forgetful(input_ids, attention_mask, past_key_values=None, position_ids=None, **options):
        attention_mask[:, : attention_mask.shape[1] - input_ids.shape[1]] = 0
        return whole(
            input_ids, past_key_values, attention_mask=attention_mask, position_ids=position_ids, **options
        )

    monkeypatch.setattr(network, "forward", forgetful)
    with pytest.raises(UserError, match="goes on from a state that it kept: rank lists with it"):
        CausalFusion(CausalLM(network, of_words()))
    monkeypatch.setattr(network, "forward", lambda input_ids, attention_mask: whole(input_ids))
    with pytest.raises(UserError, match="keeps no state that a search could go on from"):
        CausalFusion(CausalLM(network, of_words()))


def test_a_sentence_that_is_too_long_is_one_line():
    fusion = CausalFusion(CausalLM(gpt2(positions=5), of_words()))
    state = fusion.start(1)
    with pytest.raises(UserError, match="the language model takes 5 pieces, and an utterance has more"):
        for number in fusion.numbers(["a"] * 6):
            _, state = fusion.score(state, number[None])


def test_a_tokenizer_of_another_model_is_one_line(tmp_path):
    gpt2(size=4).save_pretrained(tmp_path)
    of_words().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="the tokenizer has 7 pieces, the model 4: they are not of one model"):
        CausalLM.load(tmp_path)
