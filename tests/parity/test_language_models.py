"""Language models against what fairseq recorded: log-probabilities, sentence scores, symbol by symbol."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import auricle
from auricle.convert.load import Loaded
from auricle.data.text import TextBatch
from auricle.dictionary import Dictionary
from auricle.models.language_model import TransformerLM
from auricle.train.draws import Position
from auricle.train.text import LanguageModelObjective
from golden import golden_cases, load_case, scalar
from recorded import ACTIVATIONS, LOSSES

CASES = golden_cases(where=lambda meta: {"src_tokens", "log_probs"} <= meta["arrays"].keys())
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
PAD = Dictionary.pad_index


def loaded(case: Path) -> Loaded:
    return auricle.load(case / "checkpoint.pt", dictionary=case / "dict.txt")


def language_model(case: Path) -> TransformerLM:
    model = loaded(case).model
    assert isinstance(model, TransformerLM)
    return model


def picked(log_probs: Tensor, target: Tensor) -> Tensor:
    """Log-probabilities of the targets, 0 at padding."""
    return log_probs.gather(2, target[..., None])[..., 0].masked_fill(target == PAD, 0.0)


@each_case
@torch.no_grad()
def test_log_probabilities(case: Path) -> None:
    _, arrays = load_case(case)
    log_probs = language_model(case)(arrays["src_tokens"])
    assert_close(log_probs, arrays["log_probs"], **ACTIVATIONS)
    assert_close(log_probs.double(), arrays["log_probs.f64"], **ACTIVATIONS)
    assert_close(log_probs.exp().sum(-1), torch.ones(log_probs.shape[:2]))


@each_case
@torch.no_grad()
def test_loss_and_scores_of_sentences(case: Path) -> None:
    meta, arrays = load_case(case)
    model, target = language_model(case), arrays["target"]
    scores = picked(model(arrays["src_tokens"]), target)
    assert scores.sum(1).tolist() == pytest.approx(scalar(meta, "sentence_logprob"), rel=1e-5)
    assert_close(-scores.sum(), arrays["loss"].squeeze(), **LOSSES)


@each_case
@torch.no_grad()
def test_the_loss_that_training_minimises(case: Path) -> None:
    meta, arrays = load_case(case)
    start = arrays["src_tokens"][:, :1]
    tokens = torch.cat([start, arrays["target"]], dim=1)
    objective = LanguageModelObjective(language_model(case))
    loss = objective.loss(TextBatch(torch.arange(len(tokens)), tokens), Position(1, 0))
    assert_close(loss.total, arrays["loss"].squeeze(), **LOSSES)
    recorded = scalar(meta, "logging_output")
    assert int(loss.denominator) == recorded["sample_size"] == recorded["ntokens"]


@each_case
@torch.no_grad()
def test_symbol_by_symbol_is_the_same(case: Path) -> None:
    _, arrays = load_case(case)
    model, state, steps = language_model(case), None, []
    for tokens in arrays["src_tokens"].T:
        log_probs, state = model.step(tokens, state)
        steps.append(log_probs)
    valid = arrays["target"] != PAD
    assert_close(torch.stack(steps, 1)[valid], arrays["log_probs"][valid], **ACTIVATIONS)


@each_case
@torch.no_grad()
def test_a_search_may_go_on_from_any_rows_of_a_state(case: Path) -> None:
    _, arrays = load_case(case)
    model, tokens = language_model(case), arrays["src_tokens"][:, :4]
    state = None
    for column in tokens[:, :3].T:
        _, state = model.step(column, state)
    assert state is not None
    rows = torch.tensor([2, 0, 2]) % len(tokens)
    after = torch.tensor([5, 6, 7])
    expected = model(torch.cat([tokens[rows, :3], after[:, None]], 1))[:, -1]
    for _ in range(2):  # a state is a value: going on from it does not use it up
        assert_close(model.step(after, state.select(rows))[0], expected, **ACTIVATIONS)


@each_case
def test_sentences_become_the_recorded_symbols(case: Path) -> None:
    meta, arrays = load_case(case)
    model, dictionary = loaded(case).model, loaded(case).dictionary
    assert isinstance(model, TransformerLM) and dictionary is not None
    assert dictionary.symbols == scalar(meta, "vocab")
    for row, sentence in zip(arrays["src_tokens"], scalar(meta, "sentences"), strict=True):
        words = dictionary.encode(sentence, unknown="unk")
        assert row[row != PAD].tolist() == [model.start_index, *words.tolist()]
