"""A language model in validation: what of a recipe asks for it, what it finds, in one process and in two."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.config.schema import Recipe
from auricle.config.word_decoder import WordDecoding, word_decoder, word_decoding
from auricle.decode.decoder import BeamOptions
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.train.engine import Engine
from corpora import TINY_CTC, write_corpus
from gloo import run_workers
from language_models import write_lexicon, write_trigram
from recognisers import LETTERS

LM = "+criterion.wer_args=[lm.arpa, lexicon.txt, 2, -1]"


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


def test_a_search_as_wide_as_that_of_fairseq() -> None:
    asked = word_decoding(recipe("criterion.wer_args=[lm.bin, lexicon.lst, 1.5, -0.5]"))
    assert asked is not None
    assert asked.options(32) == BeamOptions(50, 32, 32.0, lm_weight=1.5, word_score=-0.5)
    assert asked.options(300) == BeamOptions(50, 50, 50.0, lm_weight=1.5, word_score=-0.5)


def spoken(units: str, dictionary: Dictionary, doubt: float) -> torch.Tensor:
    """Log-probabilities [N, V] of a unit a frame, each with a little doubt in favour of all others."""
    logits = torch.zeros(len(units), len(dictionary))
    for row, unit in zip(logits, units, strict=True):
        row[dictionary.index("<s>" if unit == "-" else unit)] = doubt
    return logits.log_softmax(-1)


def test_words_are_those_of_the_lexicon_that_the_language_model_likes() -> None:
    dictionary = Dictionary(["|", "a", "b", "c"])
    write_lexicon(Path("lexicon.txt"), ["a", "b", "c"])
    write_trigram(Path("lm.arpa"))
    decoder = word_decoder(recipe(LM), dictionary)
    assert decoder is not None
    rows = [spoken("a|b|c|", dictionary, 9.0), spoken("a|b|c|", dictionary, 9.0), torch.zeros(6, 8)]
    rows[1][4] = spoken("b", dictionary, 9.0).logaddexp(spoken("a", dictionary, 9.5))[0]  # a word of doubt
    assert decoder(torch.stack(rows), torch.tensor([6, 6, 0])) == ["a b c", "a b b", ""]


@pytest.mark.parametrize(
    ("lexicon", "lm", "complaint"),
    [
        ("a\tA |\n", None, "lexicon.txt:1: 'A' in the spelling of 'a' is not in the model's dictionary"),
        ("", None, "lexicon.txt: no words"),
        ("B\tb |\n", None, "lm.arpa: the language model knows none of lexicon.txt, such as 'B'"),
        ("a\ta |\n", "words\n", "lm.arpa"),
    ],
)
def test_files_that_do_not_go_together(lexicon: str, lm: str | None, complaint: str) -> None:
    Path("lexicon.txt").write_text(lexicon)
    write_trigram(Path("lm.arpa"))
    if lm is not None:
        Path("lm.arpa").write_text(lm)
    with pytest.raises(UserError, match=complaint):
        word_decoder(recipe(LM), Dictionary(["|", "a", "b", "c"]))


def train(engine: Engine | None, folder: str, *changes: str) -> list[dict[str, Any]]:
    """A run; what it logs of its validations."""
    changes = ("task.data=corpus", "task.normalize=false", f"checkpoint.save_dir={folder}", *changes)
    build_run(load_recipe("small_ctc", overrides=[*TINY_CTC, *changes]), engine=engine).run()
    lines = map(json.loads, Path(folder, "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["split"] == "valid"]


def test_a_run_logs_both_rates_whatever_the_number_of_its_workers() -> None:
    corpus = write_corpus(Path("corpus"), num_utterances=5)
    said = [line.replace(" ", "").rstrip("|") for line in (corpus / "valid.ltr").read_text().splitlines()]
    write_lexicon(Path("lexicon.txt"), [*said, *LETTERS[1:]])
    words = "".join(f"-1.0\t{word}\n" for word in ("<s>", "</s>", "<unk>", *said))
    Path("lm.arpa").write_text(
        f"\\data\\\nngram 1={len(said) + 3}\n\n\\1-grams:\n{words}\n\\end\\\n", encoding="utf-8"
    )
    small = ("dataset.max_tokens_valid=16000", "distributed_training.distributed_world_size=2")
    (greedy,) = train(None, "greedy", *small)
    (one,) = train(None, "one", *small, LM)
    run_workers(2, train, "two", *small, LM)
    (two,) = (json.loads(line) for line in Path("two/log.jsonl").read_text().splitlines() if "wer" in line)
    rates = ("wer", "raw_wer", "uer", "cer")
    assert "raw_wer" not in greedy
    assert {name: one[name] for name in rates} == {name: two[name] for name in rates}
    assert (one["raw_wer"], one["uer"], one["loss"]) == (greedy["wer"], greedy["uer"], greedy["loss"])
    assert one["wer"] != one["raw_wer"]
