"""What of a recipe asks for a language model in validation."""

from pathlib import Path

import pytest

from auricle.config.load import load_recipe
from auricle.config.schema import Recipe
from auricle.config.word_decoder import WordDecoding, word_decoder, word_decoding
from auricle.dictionary import Dictionary
from auricle.errors import UserError


def recipe(*changes: str) -> Recipe:
    return load_recipe("small_ctc", overrides=["task.data=corpus", *changes])


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("lm.bin", "lexicon.lst"):
        Path(name).write_text("")


def test_four_in_one_as_documented() -> None:
    assert word_decoding(recipe("+criterion.wer_args=[lm.bin, lexicon.lst, 2, -1]")) == WordDecoding(
        Path("lm.bin"), Path("lexicon.lst"), 2.0, -1.0, 0.0
    )


def test_single_keys() -> None:
    keys = ["wer_kenlm_model=lm.bin", "wer_lexicon=lexicon.lst", "wer_lm_weight=1.5", "wer_sil_weight=-1"]
    found = word_decoding(recipe(*(f"criterion.{key}" for key in keys)))
    assert found == WordDecoding(Path("lm.bin"), Path("lexicon.lst"), 1.5, -1.0, -1.0)


def test_nothing_asked_for_is_greedy_decoding() -> None:
    assert word_decoding(recipe()) is None
    assert word_decoder(recipe(), Dictionary(["|"])) is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (["criterion.wer_args=[no.bin, lexicon.lst, 2, -1]"], "no.bin: there is no such language model"),
        (["criterion.wer_args=[lm.bin, no.lst, 2, -1]"], "no.lst: there is no such lexicon"),
        (["criterion.wer_kenlm_model=lm.bin"], "set criterion.wer_lexicon"),
    ],
)
def test_mistakes(changes: list[str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        word_decoding(recipe(*changes))
