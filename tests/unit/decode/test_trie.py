import math

import pytest

from auricle.decode.trie import Lexicon, build_trie, read_lexicon
from auricle.dictionary import Dictionary
from auricle.errors import UserError

LETTERS = Dictionary(["|", "A", "B"])


def test_lexicons_are_read_as_fairseq_writes_them(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text("AB\tA B |\n\nA A |\nAB\tA B B |\nAB\tA B |\n")
    lexicon = read_lexicon(path, LETTERS)
    assert lexicon.words == ("AB", "A")
    assert lexicon.spellings == ((0, (5, 6, 4)), (1, (5, 4)), (0, (5, 6, 6, 4)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "A\ta |\n",
            r"lexicon.txt:1: 'a' in the spelling of 'A' is not in the model's dictionary, which has 'A'",
        ),
        (
            "A\tA |\nC\tC |\n",
            r"lexicon.txt:2: 'C' in the spelling of 'C' is not in the model's dictionary: make",
        ),
        ("A\n", "lexicon.txt:1: the word 'A' has no spelling"),
        ("\n", "no words"),
    ],
)
def test_mistakes_have_their_line(tmp_path, text, message):
    (tmp_path / "lexicon.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_lexicon(tmp_path / "lexicon.txt", LETTERS)


def test_each_node_has_the_best_score_below_it():
    lexicon = Lexicon(("ab", "a", "b", "ba"), ((0, (5, 6)), (1, (5,)), (2, (6,)), (3, (6,))))
    trie = build_trie(lexicon, 7, [-1.0, -3.0, -2.0, -2.5])
    assert trie.first_edge.tolist() == [0, 2, 3, 3, 3]
    assert trie.edge_unit.tolist() == [5, 6, 6] and trie.edge_child.tolist() == [1, 3, 2]
    assert trie.first_label.tolist() == [0, 0, 1, 2, 4] and trie.labels.tolist() == [1, 0, 2, 3]
    both = math.log(math.exp(-2.0) + math.exp(-2.5))  # two words at one node count together, as in flashlight
    assert trie.best.tolist() == pytest.approx([0.0, -1.0, -1.0, both])
