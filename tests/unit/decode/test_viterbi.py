import math

import pytest
import torch

from auricle.decode.hypothesis import units_to_words
from auricle.decode.viterbi import log_probs, viterbi
from auricle.dictionary import Dictionary

DICTIONARY = Dictionary(["|", "A", "B"])  # 4, 5, 6


def peaked(*paths: list[int], height: float = 20.0) -> torch.Tensor:
    """Logits [B, N, V] whose best path is `paths`, rows padded with the letter B."""
    frames = max(map(len, paths))
    rows = [path + [6] * (frames - len(path)) for path in paths]
    return (
        torch.nn.functional.one_hot(torch.tensor(rows, dtype=torch.int64), len(DICTIONARY)).float() * height
    )


def decode(*paths: list[int], **options):
    return viterbi(peaked(*paths), torch.tensor([len(p) for p in paths]), DICTIONARY, **options)


def test_repeats_collapse_and_blanks_separate():
    (hypothesis,) = decode([0, 5, 5, 0, 5, 4, 4, 6, 0])
    assert hypothesis.tokens == (5, 5, 4, 6)
    assert hypothesis.timesteps == (1, 4, 5, 7)
    assert hypothesis.words == ("AA", "B")
    assert hypothesis.text == "AA B"


def test_spans_reach_from_the_first_to_the_last_frame_of_a_word():
    (hypothesis,) = decode([0, 5, 5, 0, 5, 4, 4, 6, 0])
    assert [(span.start, span.end) for span in hypothesis.spans] == [(1, 5), (7, 8)]
    assert all(span.score == pytest.approx(1.0) for span in hypothesis.spans)


def test_score_of_a_word_is_the_mean_probability_of_its_frames():
    probabilities = torch.full((1, 3, 7), 0.01)
    probabilities[0, 0, 5], probabilities[0, 1, 5], probabilities[0, 2, 4] = 0.94, 0.54, 0.94
    probabilities[0, 1, 6] = 0.41
    (hypothesis,) = viterbi(probabilities.log(), torch.tensor([3]), DICTIONARY)
    assert hypothesis.spans[0].score == pytest.approx((0.94 + 0.54) / 2, abs=1e-6)
    assert hypothesis.score == pytest.approx(2 * math.log(0.94) + math.log(0.54), abs=1e-5)


def test_padded_frames_never_count():
    together = decode([5, 4], [5, 4, 6, 0, 5])
    alone = decode([5, 4])
    assert together[0] == alone[0]


def test_no_frames_give_an_empty_hypothesis():
    (hypothesis,) = decode([])
    assert (hypothesis.tokens, hypothesis.words, hypothesis.score) == ((), (), 0.0)


def test_only_blanks_give_no_words():
    (hypothesis,) = decode([0, 0, 0])
    assert hypothesis.text == "" and hypothesis.timesteps == ()


def test_word_ends_in_a_row_make_no_empty_words():
    assert decode([4, 0, 4, 5, 4, 0, 4])[0].words == ("A",)


def test_each_unit_is_a_word_without_post_processing():
    assert decode([5, 6, 0, 6], post_process="none")[0].words == ("A", "B", "B")


def test_end_of_sentence_spells_nothing():
    (hypothesis,) = decode([5, 2, 6])
    assert hypothesis.tokens == (5, 2, 6) and hypothesis.words == ("AB",)


def test_words_are_those_of_the_written_units():
    everything = [0, 1, 4, 2, 5, 5, 3, 4, 4, 0, 4, 6, 1, 2, 0]
    (hypothesis,) = decode(everything)
    assert hypothesis.text == units_to_words(DICTIONARY.decode(hypothesis.tokens)) == "<pad> A<unk> B<pad>"


def test_log_probabilities_decode_like_their_logits():
    logits = torch.randn(2, 9, 7, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([9, 4])
    for one, other in zip(
        viterbi(logits, lengths, DICTIONARY),
        viterbi(logits.log_softmax(-1), lengths, DICTIONARY),
        strict=True,
    ):
        assert one.tokens == other.tokens and one.score == pytest.approx(other.score, abs=1e-5)


def test_a_heavy_blank_silences_everything():
    assert viterbi(peaked([5, 6]), torch.tensor([2]), DICTIONARY, blank_weight=99.0)[0].tokens == ()
    assert (
        viterbi(peaked([5]), torch.tensor([1]), DICTIONARY, blank_weight=99.0, blank_mode="set")[0].tokens
        == ()
    )


def test_half_precision_is_normalised_in_float32():
    probabilities = log_probs(torch.randn(4, 7, dtype=torch.bfloat16))
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.exp().sum(-1), torch.ones(4))
