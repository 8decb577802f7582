"""A folder with a label called `<label9>` and a nameless one in row 9 was refused: two of one name."""

from auricle.convert.huggingface_vocabulary import read_labels

SYMBOLS = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "<label6>": 5}


def test_a_nameless_label_gets_a_name_that_is_free() -> None:
    labels = read_labels({"vocab.json": SYMBOLS}, {}, num_rows=8)
    assert labels.dictionary is not None
    assert labels.dictionary.symbols[4:] == ["|", "<label6>", "<label6_>", "<label7>"]
