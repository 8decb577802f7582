"""RoBERTa over codes against what fairseq recorded."""

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import auricle
from auricle.convert.load import Loaded
from auricle.data.text import TextBatch
from auricle.dictionary import Dictionary
from auricle.losses import cross_entropy
from auricle.models.roberta import Roberta
from auricle.train.draws import Position
from auricle.train.text import MaskedLMObjective
from auricle.train.text_draws import SymbolMasks
from golden import golden_cases, load_case, scalar
from recorded import ACTIVATIONS, LOSSES

CASES = golden_cases(where=lambda meta: {"tokens", "inner_states"} <= meta["arrays"].keys())
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
PAD = Dictionary.pad_index


def loaded(case: Path) -> Loaded:
    return auricle.load(case / "checkpoint.pt", dictionary=case / "dict.txt")


def roberta(case: Path) -> Roberta:
    model = loaded(case).model
    assert isinstance(model, Roberta)
    return model


@each_case
@torch.no_grad()
def test_logits_and_features(case: Path) -> None:
    _, arrays = load_case(case)
    model, tokens = roberta(case), arrays["tokens"]
    valid = tokens != PAD
    assert_close(model(tokens)[valid], arrays["logits"][valid], **ACTIVATIONS)
    assert_close(model(tokens)[valid].double(), arrays["logits.f64"][valid], **ACTIVATIONS)
    assert_close(model.extract_features(tokens)[valid], arrays["features"][valid], **ACTIVATIONS)
    assert_close(model(tokens, masked=valid), arrays["logits"][valid], **ACTIVATIONS)


@each_case
@torch.no_grad()
def test_every_layer(case: Path) -> None:
    _, arrays = load_case(case)
    model, tokens = roberta(case), arrays["tokens"]
    for i, expected in enumerate(arrays["inner_states"][1:]):
        features = model.extract_features(tokens, layer=i)
        assert_close(features[tokens != PAD], expected.transpose(0, 1)[tokens != PAD], **ACTIVATIONS)


@each_case
@torch.no_grad()
def test_masked_language_model_loss(case: Path) -> None:
    meta, arrays = load_case(case)
    model, target = roberta(case), arrays["loss_target"]
    loss = cross_entropy(model(arrays["tokens"], masked=target != PAD), target[target != PAD])
    assert_close(loss.total, arrays["loss"], **LOSSES)
    assert int(loss.denominator) == scalar(meta, "sample_size")


@dataclass
class RecordedMasks:
    """What fairseq asked for: the targets, with the true symbols as input."""

    target: Tensor

    def masks(self, tokens: Tensor, ids: Sequence[int], position: Position) -> SymbolMasks:
        return SymbolMasks(tokens, self.target != PAD)


@each_case
@torch.no_grad()
def test_the_loss_that_training_minimises(case: Path) -> None:
    meta, arrays = load_case(case)
    tokens, target = arrays["tokens"], arrays["loss_target"]
    assert torch.equal(tokens[target != PAD], target[target != PAD])
    draws: Any = RecordedMasks(target)
    batch = TextBatch(torch.arange(len(tokens)), tokens)
    loss = MaskedLMObjective(roberta(case), draws).loss(batch, Position(1, 0))
    assert_close(loss.total, arrays["loss"], **LOSSES)
    assert int(loss.denominator) == scalar(meta, "sample_size")


@each_case
def test_code_lines_become_the_recorded_symbols(case: Path) -> None:
    meta, arrays = load_case(case)
    dictionary = loaded(case).dictionary
    assert dictionary is not None and dictionary.symbols == scalar(meta, "vocab")
    assert dictionary.index("<mask>") == scalar(meta, "mask_index")
    for i, (row, line) in enumerate(zip(arrays["tokens"], scalar(meta, "sentences"), strict=True)):
        tokens = [0, *dictionary.encode(line, unknown="unk").tolist(), 2]
        if i == 0:
            tokens[3] = dictionary.index("<mask>")
        assert row[row != PAD].tolist() == tokens


@each_case
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_the_archive_with_its_dictionary(case: Path, mode: str, tmp_path: Path) -> None:
    expected = loaded(case)
    path = tmp_path / "codes.tar"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(case / "checkpoint.pt", "codes/codes.pt")
        archive.add(case / "dict.txt", "codes/dict.txt")
        archive.addfile(tarfile.TarInfo("codes/README"), io.BytesIO())
    found = auricle.load(path)
    assert found.dictionary == expected.dictionary and found.config == expected.config
    assert found.source == path
    ours, theirs = found.model.state_dict(), expected.model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
