import numpy as np
import pytest
import torch

from auricle.decode.transcript import Clock, timed_words
from auricle.decode.viterbi import viterbi
from auricle.dictionary import Dictionary

LETTERS = Dictionary("|ABC")
CLOCK = Clock(1600, 320, 16000)


def emissions(path, certain=0.9):
    """Frames in which these symbols are likely; `-` is the blank."""
    numbers = [0 if symbol == "-" else LETTERS.index(symbol) for symbol in path]
    probabilities = np.full((len(path), len(LETTERS)), (1 - certain) / (len(LETTERS) - 1), dtype=np.float32)
    probabilities[np.arange(len(path)), numbers] = certain
    return torch.from_numpy(np.log(probabilities))


def words(path, post_process="letter"):
    log_probs = emissions(path)
    (hypothesis,) = viterbi(log_probs[None], torch.tensor([len(path)]), LETTERS, post_process=post_process)
    return timed_words(hypothesis, CLOCK, log_probs.numpy(), LETTERS, post_process)


def test_letters_last_as_long_as_they_are_best():
    first, second = words("-AA-B||-C-CC")
    assert (first.text, second.text) == ("AB", "CC")
    spans = [(x.text, x.start_seconds, x.end_seconds) for x in (*first.letters, *second.letters)]
    at = [0.1 + 0.02 * frame for frame in range(13)]
    expected = [("A", at[1], at[3]), ("B", at[4], at[5]), ("C", at[8], at[9]), ("C", at[10], at[12])]
    for found, wanted in zip(spans, expected, strict=True):
        assert found == pytest.approx(wanted)
    assert all(letter.score == pytest.approx(0.9) for letter in first.letters)
    assert first.start_seconds == first.letters[0].start_seconds
    assert first.end_seconds == first.letters[-1].end_seconds


def test_units_that_are_words_have_themselves_as_letters():
    assert [[letter.text for letter in word.letters] for word in words("A-|B", "none")] == [
        ["A"],
        ["|"],
        ["B"],
    ]


def test_without_emissions_words_have_no_letters():
    log_probs = emissions("AB")
    (hypothesis,) = viterbi(log_probs[None], torch.tensor([2]), LETTERS)
    (word,) = timed_words(hypothesis, CLOCK)
    assert word.letters == () and word.start_seconds == 0.1
