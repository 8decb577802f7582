"""``auricle phonemize`` as it is typed."""

from pathlib import Path

import pytest

from auricle.cli.main import main

WORDS = {"train.wrd": "THE CAT\n\nA CAT\n", "valid.wrd": "THE CAT\n"}
LEXICON = "THE DH AH\nA AH\nCAT K AE T\n"
BY_LEXICON = ["--backend", "phonetisaurus", "--lexicon", "lexicon.txt"]


@pytest.fixture(autouse=True)
def in_a_folder_with_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in WORDS.items():
        Path(name).write_text(text)
    Path("lexicon.txt").write_text(LEXICON)


def test_labels_and_one_dictionary_for_all() -> None:
    assert main(["phonemize", *WORDS, *BY_LEXICON]) == 0
    assert Path("train.phn").read_text() == "DH AH K AE T\n\nAH K AE T\n"
    assert Path("valid.phn").read_text() == "DH AH K AE T\n"
    assert [line.split()[0] for line in Path("dict.phn.txt").read_text().splitlines()] == [
        "AE",
        "AH",
        "K",
        "T",
        "DH",
    ]


def test_word_ends_and_another_folder() -> None:
    assert main(["phonemize", "valid.wrd", *BY_LEXICON, "--word-ends", "--output-dir", "there"]) == 0
    assert Path("there/valid.phn").read_text() == "DH AH | K AE T |\n"
    assert not Path("valid.phn").exists()


def test_espeak_is_the_default() -> None:
    pytest.importorskip("phonemizer")
    assert main(["phonemize", "valid.wrd"]) == 0
    assert Path("valid.phn").read_text() == "ð ə k æ t\n"


def test_a_dictionary_that_is_there_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    Path("dict.phn.txt").write_text("AH 1\nDH 1\n")
    assert main(["phonemize", "valid.wrd", *BY_LEXICON]) == 2
    assert "dict.phn.txt lacks AE K T: " in capsys.readouterr().err
    assert not Path("valid.phn").exists()
    assert main(["phonemize", "valid.wrd", *BY_LEXICON, "--new-dictionary"]) == 0
    assert "AE" in Path("dict.phn.txt").read_text()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere.wrd"], "nowhere.wrd"),
        (["valid.wrd", "--lexicon", "lexicon.txt"], "belong to --backend phonetisaurus"),
        (["valid.wrd", "--backend", "phonetisaurus"], "needs a --lexicon"),
        (["valid.wrd", "--backend", "phonetisaurus", "--g2p", "none.fst"], "none.fst"),
    ],
)
def test_mistakes(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phonemize", *words]) == 2
    err = capsys.readouterr().err
    assert complaint in err and err.count("\n") == 1
