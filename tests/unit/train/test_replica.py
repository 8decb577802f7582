"""Which models may leave weights without gradient: what is said of them is what they do."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import text_models
import wav2vec_models
from auricle.data.collate import silence
from auricle.data.text import TextBatch, unknowns
from auricle.dictionary import MASK, Dictionary
from auricle.models.build import build_model
from auricle.models.config import NegativesConfig, QuantizerConfig, Seq2SeqConfig, SpanMaskConfig
from auricle.train.draws import Position
from auricle.train.objective import Objective
from auricle.train.replica import may_leave_weights_out
from auricle.train.text import LanguageModelObjective, MaskedLMObjective
from auricle.train.text_draws import SymbolDraws, SymbolMaskConfig
from tiny_runs import CONFIG, DICTIONARY, batch_of, ctc_model, objective_of, pretraining_model, without_chance

PLAIN = without_chance()
SMALL = QuantizerConfig(num_codebooks=2, num_entries=4)


def layers(**options: Any) -> Any:
    return replace(PLAIN, encoder=replace(PLAIN.encoder, **options))


def seq2seq(encoder: Any = PLAIN, layerdrop: float = 0.0, **options: Any) -> Objective:
    decoder = replace(text_models.SEQ2SEQ.decoder, layerdrop=layerdrop)
    model = build_model(Seq2SeqConfig(encoder=encoder, decoder=decoder, num_labels=len(DICTIONARY)))
    return objective_of(model, **options)


def language_model(**options: Any) -> Objective:
    config = replace(text_models.LANGUAGE_MODEL, **options)
    return LanguageModelObjective(build_model(config))  # type: ignore[arg-type]


def roberta(**options: Any) -> Objective:
    draws = SymbolDraws(SymbolMaskConfig(prob=0.5), Dictionary([*text_models.SYMBOLS, MASK]), 4)
    return MaskedLMObjective(build_model(replace(text_models.ROBERTA, **options)), draws)  # type: ignore[arg-type]


def pretraining(config: Any = PLAIN, **options: Any) -> Objective:
    return objective_of(pretraining_model(replace(config, **options)))


def ctc(config: Any = PLAIN, **options: Any) -> Objective:
    return objective_of(ctc_model(config), **options)


ALL_WEIGHTS: dict[str, Callable[[], Objective]] = {
    "pre-training": pretraining,
    "no quantizer": lambda: pretraining(quantizer=None),
    "quantized input": lambda: pretraining(input_quantizer=SMALL),
    "one quantizer for both": lambda: pretraining(
        quantizer=SMALL, input_quantizer=SMALL, same_quantizer=True
    ),
    "target_glu": lambda: pretraining(target_glu=True),
    "negatives from everywhere": lambda: pretraining(
        negatives=NegativesConfig(3, cross_sample=2, codebook=2, from_everywhere=True)
    ),
    "layer norms": lambda: pretraining(conv_norm="layer", conv_bias=True, feature_grad_mult=0.1),
    "channels masked": lambda: pretraining(channel_mask=SpanMaskConfig(prob=0.5, length=2)),
    "conformer": lambda: pretraining(layers(layer_type="conformer", conv_kernel=3)),
    "espnet": lambda: pretraining(layers(layer_type="conformer", conv_kernel=3, attention="espnet")),
    "adapters": lambda: pretraining(layers(layer_type="trf_adp", num_adapters=3, adapter_dim=4)),
    "checkpointed": lambda: pretraining(layers(checkpoint_activations=True)),
    "CTC": ctc,
    "sequence to sequence": seq2seq,
    "roberta": roberta,
    "language model": lambda: language_model(
        input_cutoffs=(), softmax_cutoffs=(), tie_adaptive_weights=False, tie_adaptive_proj=False
    ),
}
NOT_ALL: dict[str, Callable[[], Objective]] = {
    "LayerDrop": lambda: pretraining(CONFIG),
    "frozen convolutions": lambda: ctc(replace(PLAIN, feature_grad_mult=0.0)),
    "rope": lambda: pretraining(
        layers(layer_type="conformer", conv_kernel=3, attention="espnet", positions="rope")
    ),
    "no masks": lambda: ctc(replace(PLAIN, time_mask=SpanMaskConfig())),
    "frozen encoder": lambda: ctc(freeze_updates=1),
    "LayerDrop of the decoder": lambda: seq2seq(layerdrop=0.1),
    "frozen encoder of a decoder": lambda: seq2seq(freeze_updates=1),
    "LayerDrop of roberta": lambda: roberta(layerdrop=0.1),
    "bands": language_model,
    "wav2vec": lambda: objective_of(wav2vec_models.model_of(wav2vec_models.LAYOUTS["k-means"])),
}


def without_gradient(objective: Objective, batch: Any) -> list[str]:
    objective.model.train().zero_grad()
    objective.loss(batch, Position(1, 0)).total.backward()  # type: ignore[no-untyped-call]
    return [name for name, parameter in objective.model.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("make", ALL_WEIGHTS.values(), ids=list(ALL_WEIGHTS))
def test_models_that_leave_nothing_out(make: Callable[[], Objective]) -> None:
    """Neither of a batch, nor of what stands in where a worker has none."""
    objective = make()
    assert not may_leave_weights_out(objective)
    batch = replace(batch_of([1, 2], labels=True), corpus_keys=torch.tensor([0, 0]))
    batches: list[Any] = [batch, silence()]
    if isinstance(objective, LanguageModelObjective | MaskedLMObjective):
        batches = [TextBatch(torch.tensor([1]), torch.tensor([[2, 5, 4, 6, 2]])), unknowns()]
    for batch in batches:
        assert without_gradient(objective, batch) == []


@pytest.mark.parametrize("make", NOT_ALL.values(), ids=list(NOT_ALL))
def test_models_that_may_leave_something_out(make: Callable[[], Objective]) -> None:
    assert may_leave_weights_out(make())


def test_what_is_left_out_has_no_gradient() -> None:
    assert without_gradient(ctc(replace(PLAIN, time_mask=SpanMaskConfig())), batch_of([1], labels=True)) == [
        "encoder.mask_emb"
    ]
