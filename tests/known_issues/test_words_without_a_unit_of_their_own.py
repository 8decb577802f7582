"""flashlight ends an unknown word with the second frame of a unit whose first ended another: a crash."""

import numpy as np
import pytest

from auricle.decode.hypothesis import WordSpan
from auricle.decode.traceback import Speller
from auricle.dictionary import Dictionary


def test_such_a_word_has_its_frame() -> None:
    dictionary = Dictionary(["|", "E"])
    speller = Speller(dictionary, dictionary.index("|"), ("<unk>",), "letter")
    path, labels = np.array([5, 5, 4]), np.array([0, 0, -1])
    found = speller.hypothesis(path, labels, np.log(np.full((3, 6), 0.5)), -1.0, 0.0)
    assert found.words == ("<unk>", "<unk>") and found.tokens == (5, 4)
    assert found.spans == (WordSpan(0, 2, pytest.approx(0.5)), WordSpan(1, 2, pytest.approx(0.5)))
