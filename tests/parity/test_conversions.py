"""Every recorded checkpoint written in every format that can hold it, and read again: the same to the bit."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import forged
from auricle.convert import keys
from auricle.convert.conversion import convert
from auricle.convert.literals import read_literal
from auricle.convert.load import load
from auricle.convert.loaded import Loaded
from auricle.convert.torch_file import read
from auricle.errors import UserError
from golden import golden_cases

CHECKPOINTS = [path for case in golden_cases() for path in sorted(case.glob("checkpoint*.pt"))]
TODAYS = [path for path in CHECKPOINTS if path.stem == "checkpoint"]

every_checkpoint = pytest.mark.parametrize(
    "path", CHECKPOINTS, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
every_case = pytest.mark.parametrize("path", TODAYS, ids=lambda path: path.parent.name)


def opened(path: Path) -> Loaded:
    dictionary = next(path.parent.glob("dict.*"), None)
    return load(path, dictionary=dictionary if load(path).dictionary is None else None)


def assert_same(one: Loaded, other: Loaded) -> None:
    assert one.config == other.config and one.num_updates == other.num_updates
    assert one.dictionary == other.dictionary
    assert (one.dictionary is None) == (other.dictionary is None)
    if one.dictionary is not None and other.dictionary is not None:
        assert one.dictionary.counts == other.dictionary.counts
    theirs = other.model.state_dict()
    assert one.model.state_dict().keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in one.model.state_dict().items())


def is_mark(name: str) -> bool:
    """What fairseq keeps among the weights for no purpose, and never sets to anything."""
    return name.endswith("._float_tensor")


def tensors(path: Path) -> dict[str, Tensor]:
    return {name: tensor.load() for name, tensor in read(path)["model"].items()}


def assert_same_file(written: Path, recorded: Path) -> None:
    """Names, types, shapes and numbers of all that a checkpoint holds of its model."""
    expected, found = tensors(recorded), tensors(written)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert is_mark(name) or torch.equal(found[name], tensor), name


@every_checkpoint
def test_fairseq_to_ours_to_fairseq(path: Path, tmp_path: Path) -> None:
    source = opened(path)
    assert convert(source, tmp_path / "own", "auricle").difference == 0
    own = load(tmp_path / "own")
    assert_same(source, own)
    done = convert(own, tmp_path / "back.pt", "fairseq")
    assert done.difference == 0
    assert_same(source, load(tmp_path / "back.pt", dictionary=done.dictionary))
    assert_same_file(tmp_path / "back.pt", path.parent / "checkpoint.pt")


@every_checkpoint
def test_fairseq_to_hugging_face_to_fairseq(path: Path, tmp_path: Path) -> None:
    source = opened(path)
    try:
        done = convert(source, tmp_path / "x", "huggingface")
    except UserError as error:
        assert "cannot be written for Hugging Face" in str(error) and "\n" not in str(error)
        assert not list(tmp_path.iterdir())
        pytest.skip(str(error).partition("for Hugging Face: ")[2])
    assert done.difference == 0
    between = load(tmp_path / "x")
    assert_same(source, between)
    assert convert(between, tmp_path / "back.pt", "fairseq").difference == 0
    assert_same(source, load(tmp_path / "back.pt"))
    assert_same_file(tmp_path / "back.pt", path.parent / "checkpoint.pt")


@every_checkpoint
def test_without_a_dictionary(path: Path, tmp_path: Path) -> None:
    source = load(path)
    if source.dictionary is not None or not (path.parent / "dict.ltr.txt").exists():
        pytest.skip("it holds one, or needs none")
    for target, to in ((tmp_path / "x", "huggingface"), (tmp_path / "x.pt", "fairseq")):
        done = convert(source, target, to)  # type: ignore[arg-type]
        assert any("no dictionary" in notice for notice in done.notices)
        assert_same(source, load(target))


# What a training run sets, and no model is built from.
OF_THE_RUN = {"w2v_path", "ddp_backend", "freeze_finetune_updates", "update_alibi", "data", "w2v_args"}
# A text model without a length of its own takes that of the lines it was trained on.
LENGTHS = {"tokens_per_sample", "max_target_positions"}
# Of a namespace: all options of all groups, of which those of the model and the task are written.
OF_OTHER_GROUPS = ("audio_pretraining", "audio_finetuning", "language_modeling", "masked_lm")


def group(options: dict[str, Any], name: str) -> dict[str, Any]:
    found = options[name]
    return vars(found) if isinstance(found, argparse.Namespace) else found


def literal(value: object) -> object:
    return read_literal(value) if isinstance(value, str) and value.startswith("[(") else value


def is_number(value: object) -> bool:
    """Whether 0 and 0.0 are meant to be the same."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def assert_same_options(written: dict[str, Any], recorded: dict[str, Any], ignored: set[str]) -> None:
    for word, value in recorded.items():
        if word not in ignored:
            assert literal(written[word]) == literal(value), word
            assert type(written[word]) is type(value) or is_number(value), word


@pytest.fixture
def their_class() -> Any:
    with forged._fairseq_importable():
        yield


@every_case
def test_torch_reads_what_fairseq_expects(path: Path, tmp_path: Path, their_class: None) -> None:
    """All keys, groups and words of a recorded file, with values of their types."""
    convert(opened(path), tmp_path / "x.pt", "fairseq")
    written: dict[str, Any] = torch.load(tmp_path / "x.pt", weights_only=False)
    recorded: dict[str, Any] = torch.load(path, weights_only=False)
    assert list(written) == list(recorded)
    for key in ("args", "criterion", "optimizer_history"):
        assert written[key] == recorded[key], key
    assert type(written["model"]) is type(recorded["model"])
    assert written["extra_state"].keys() >= recorded["extra_state"].keys()
    theirs, ours = recorded["cfg"], written["cfg"]
    assert set(theirs) - set(ours) <= {"simul_type"}
    assert type(ours["model"]) is type(theirs["model"])
    assert group(ours, "model").keys() <= group(theirs, "model").keys()
    if isinstance(ours["model"], dict):
        assert ours["model"].keys() == theirs["model"].keys()
    shared = {word: value for word, value in group(theirs, "model").items() if word in group(ours, "model")}
    family = group(ours, "model")["_name"]
    table = keys.ROBERTA_WORDS if family.startswith("roberta") else shared
    assert_same_options(
        group(ours, "model"), {w: v for w, v in shared.items() if w in table}, OF_THE_RUN | LENGTHS
    )
    for name in theirs:
        if isinstance(theirs[name], dict) and name not in ("scoring", "bpe", "tokenizer"):
            assert ours[name].keys() >= theirs[name].keys() - {"tpu"} or name in ("criterion", "lr_scheduler")
    for word in ("_name", "normalize", "sample_rate", "labels", "autoregressive"):
        assert ours["task"].get(word) == theirs["task"].get(word)
    assert ours["criterion"]["_name"] == theirs["criterion"]["_name"]


@every_case
def test_a_recogniser_holds_the_options_of_its_encoder(path: Path, tmp_path: Path, their_class: None) -> None:
    recorded: dict[str, Any] = torch.load(path, weights_only=False)["cfg"]
    if "w2v_args" not in group(recorded, "model"):
        pytest.skip("it is no recogniser")
    convert(opened(path), tmp_path / "x.pt", "fairseq")
    written = torch.load(tmp_path / "x.pt", weights_only=False)
    inner, theirs = written["cfg"]["model"]["w2v_args"], group(recorded, "model")["w2v_args"]
    assert inner["criterion"] is None and inner["lr_scheduler"] is None
    if theirs is not None:
        assert inner.keys() == theirs.keys()
        masks = {word for word in theirs["model"] if word in keys.FINETUNING_WORDS}  # where they are replaced
        assert_same_options(inner["model"], theirs["model"], masks)
    dictionaries = [
        vars(content["task_state"]["target_dictionary"])
        for content in (written, torch.load(path, weights_only=False))
    ]
    assert dictionaries[0] == dictionaries[1] and list(dictionaries[0]["indices"].values()) == list(
        range(len(dictionaries[0]["symbols"]))
    )


@every_case
def test_tied_weights_stand_in_the_file_once(path: Path, tmp_path: Path) -> None:
    convert(opened(path), tmp_path / "x.pt", "fairseq")
    recorded, written = read(path)["model"], read(tmp_path / "x.pt")["model"]

    def twins(stored: dict[str, Any]) -> set[tuple[str, ...]]:
        names: dict[int | None, list[str]] = {}
        for name, tensor in stored.items():
            names.setdefault(tensor.storage.position, []).append(name)
        return {tuple(sorted(group)) for group in names.values() if len(group) > 1}

    assert twins(written) == twins(recorded)
