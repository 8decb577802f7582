"""Words of the command line: overrides, flags, the data folder."""

import pytest

from auricle.config.overrides import Flag, flag_change, read_override, sort_words
from auricle.config.schema import GROUPS
from auricle.errors import UserError

CTC = {
    "common": GROUPS["common"][""],
    "task": GROUPS["task"]["audio_finetuning"],
    "dataset": GROUPS["dataset"][""],
    "distributed_training": GROUPS["distributed_training"][""],
    "criterion": GROUPS["criterion"]["ctc"],
    "optimization": GROUPS["optimization"][""],
    "optimizer": GROUPS["optimizer"]["adam"],
    "lr_scheduler": GROUPS["lr_scheduler"]["tri_stage"],
    "model": GROUPS["model"]["wav2vec_ctc"],
    "checkpoint": GROUPS["checkpoint"][""],
}


def test_words_are_told_apart() -> None:
    words = sort_words(
        ["--fp16", "corpus", "--lr", "-1", "a.b=1", "--max-tokens=5", "~model.mask_prob", "--seed", "3"]
    )
    assert words.data == "corpus"
    assert words.overrides == ("a.b=1", "~model.mask_prob")
    assert words.flags == (Flag("fp16", None), Flag("lr", "-1"), Flag("max_tokens", "5"), Flag("seed", "3"))


def test_a_folder_with_an_equals_sign_is_a_folder() -> None:
    assert sort_words(["/data/lang=en"]).data == "/data/lang=en"


def test_two_folders_are_a_mistake() -> None:
    with pytest.raises(UserError, match="one data folder is taken, not one and two"):
        sort_words(["one", "two"])


@pytest.mark.parametrize("words", [["--lr"], ["--lr", "--fp16"]])
def test_a_flag_without_its_value_is_a_mistake(words: list[str]) -> None:
    with pytest.raises(UserError, match="--lr needs a value"):
        sort_words(words)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a.b=1e-6", "a.b", 1e-6),
        ("+a.b=[64]", "a.b", [64]),
        ("++a.b=null", "a.b", None),
        ("a.b='(0.9,0.98)'", "a.b", "(0.9,0.98)"),
        ("a.b=(0.9,0.98)", "a.b", "(0.9,0.98)"),
        ("a.b=~/corpus (1)", "a.b", "~/corpus (1)"),
        ("a.b={c: 1}", "a.b", {"c": 1}),
        ("a.b=true", "a.b", True),
        ("a.b=x=y", "a.b", "x=y"),
        ("a.b=", "a.b", ""),
        ("group=variant", "group", "variant"),
    ],
)
def test_overrides(text: str, key: str, value: object) -> None:
    change = read_override(text)
    assert (change.key, change.value, change.deleted) == (key, value, False)
    assert text in change.origin


@pytest.mark.parametrize("text", ["~a.b", "~a.b=1"])
def test_deletion(text: str) -> None:
    assert read_override(text).deleted


@pytest.mark.parametrize("text", ["a.b=1,2", "a.b=choice(1,2)", "a.b=range(1,5)"])
def test_a_sweep_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"a run takes one; a list is written \["):
        read_override(text)


@pytest.mark.parametrize("text", ["dataset.max_tokens", "a b=1", ""])
def test_what_is_no_override(text: str) -> None:
    with pytest.raises(UserError, match="is no override"):
        read_override(text)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("mask_prob", "model.mask_prob"),
        ("max_tokens", "dataset.max_tokens"),
        ("lr", "optimization.lr"),
        ("seed", "common.seed"),
        ("normalize", "task.normalize"),
        ("fp16", "common.fp16"),
        ("max_update", "optimization.max_update"),
        ("sentence_avg", "optimization.sentence_avg"),
        ("max_sentences", "dataset.batch_size"),
        ("arch", "model._name"),
        ("lr_scheduler", "lr_scheduler._name"),
    ],
)
def test_flags_set_the_key_of_their_name(name: str, key: str) -> None:
    assert flag_change(Flag(name, "1"), CTC).key == key


def test_the_models_key_comes_before_others() -> None:
    chosen = CTC | {"model": GROUPS["model"]["wav2vec2"]}
    assert (
        flag_change(Flag("required_seq_len_multiple", "4"), chosen).key == "model.required_seq_len_multiple"
    )


def test_an_ambiguous_flag_lists_the_candidates() -> None:
    chosen = dict.fromkeys(("one", "two"), CTC["optimization"])
    with pytest.raises(UserError, match=r"--clip-norm may stand for one\.clip_norm or two\.clip_norm"):
        flag_change(Flag("clip_norm", "1"), chosen)


def test_an_unknown_flag_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown flag --mask-prop .did you mean --mask-prob"):
        flag_change(Flag("mask_prop", "1"), CTC)


def test_a_flag_of_another_variant_says_so() -> None:
    with pytest.raises(UserError, match="unknown flag --vq-type: only model wav2vec has such a key"):
        flag_change(Flag("vq_type", "gumbel"), CTC)
