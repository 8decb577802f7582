"""The recogniser against what fairseq recorded: scores, losses, gradients, statistics."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from auricle.data.collate import Batch
from auricle.losses import Loss, ctc, weigh_blank
from auricle.models.ctc import CTCOutput, Wav2Vec2CTC
from auricle.train.draws import VALIDATION_EPOCH, Position, SeededDraws
from auricle.train.objective import CTCObjective
from golden import Meta, golden_cases, load_case, scalar
from recorded import ACTIVATIONS, LOSSES, assert_grad_norms, load_recorded, valid_lengths

CASES = golden_cases(
    where=lambda meta: {"ragged.encoder_out", "target", "eval.loss"} <= meta["arrays"].keys()
)
MASKED = golden_cases(where=lambda meta: {"masked.loss", "target"} <= meta["arrays"].keys())
ENDLESS = golden_cases(where=lambda meta: "inf.target" in meta["arrays"])
each_case = pytest.mark.parametrize("case", CASES)


def recogniser(case: Path) -> Wav2Vec2CTC:
    model = load_recorded(case).model
    assert isinstance(model, Wav2Vec2CTC)
    return model


def padded_output(case: Path, model: Wav2Vec2CTC, **masks: Tensor) -> CTCOutput:
    _, arrays = load_case(case)
    output: CTCOutput = model(arrays["source"], valid_lengths(arrays["padding_mask"]), **masks)
    return output


def loss_of(meta: Meta, model: Wav2Vec2CTC, output: CTCOutput, *labels: Tensor, **options: bool) -> Loss:
    config, criterion = model.config, meta["config"]["criterion"]
    logits = weigh_blank(output.logits, config.blank_weight, config.blank_mode)
    options = {name: criterion[name] for name in ("zero_infinity", "sentence_avg")} | options
    return ctc(logits, output.lengths, *labels, **options)


@each_case
@torch.no_grad()
def test_scores_of_a_whole_batch(case: Path) -> None:
    model = recogniser(case).eval()
    meta, arrays = load_case(case)
    shortest = min(scalar(meta, "lengths"))
    logits = model(arrays["source"][:, :shortest]).logits.transpose(0, 1)
    assert_close(logits, arrays["nopad.encoder_out"], **ACTIVATIONS)
    weighed = weigh_blank(logits, model.config.blank_weight, model.config.blank_mode)
    assert_close(weighed, arrays["nopad.logits"], **ACTIVATIONS)
    assert_close(weighed.double(), arrays["nopad.logits.f64"], **ACTIVATIONS)


@each_case
@torch.no_grad()
def test_scores_of_a_padded_batch(case: Path) -> None:
    model = recogniser(case).eval()
    _, arrays = load_case(case)
    output, valid = padded_output(case, model), ~arrays["ragged.out_padding_mask"]
    assert output.lengths.tolist() == valid.sum(-1).tolist()
    expected = arrays["ragged.encoder_out"].transpose(0, 1)
    assert_close(output.logits[valid], expected[valid], **ACTIVATIONS)
    weighed = weigh_blank(output.logits, model.config.blank_weight, model.config.blank_mode)
    assert_close(weighed[valid], arrays["ragged.logits"].transpose(0, 1)[valid], **ACTIVATIONS)


@each_case
@pytest.mark.parametrize("mode", ["eval", "train"])
@torch.no_grad()
def test_losses(case: Path, mode: str) -> None:
    model = recogniser(case).train(mode == "train")
    meta, arrays = load_case(case)
    loss = loss_of(meta, model, padded_output(case, model), arrays["target"], arrays["target_lengths"])
    assert_close(loss.total, arrays[f"{mode}.loss"], **LOSSES)
    assert_close(loss.total.double(), arrays[f"{mode}.loss.f64"], **LOSSES)
    assert int(loss.denominator) == scalar(meta, f"{mode}.sample_size")


@pytest.mark.parametrize("case", MASKED)
@torch.no_grad()
def test_losses_with_masks(case: Path) -> None:
    model = recogniser(case).train()
    meta, arrays = load_case(case)
    masks = {
        ours: arrays[f"masked.{theirs}"]
        for ours, theirs in (("span_mask", "mask_indices"), ("channel_mask", "mask_channel_indices"))
        if f"masked.{theirs}" in arrays
    }
    output = padded_output(case, model, **masks)
    loss = loss_of(meta, model, output, arrays["target"], arrays["target_lengths"])
    assert_close(loss.total, arrays["masked.loss"], **LOSSES)


@each_case
def test_gradients(case: Path) -> None:
    model = recogniser(case).train()
    meta, arrays = load_case(case)
    output = padded_output(case, model)
    loss_of(meta, model, output, arrays["target"], arrays["target_lengths"]).total.backward()
    assert_grad_norms(model, scalar(meta, "train.grad_norms"))


@pytest.mark.parametrize("case", ENDLESS)
@pytest.mark.parametrize("zero_infinity", [True, False])
@torch.no_grad()
def test_labels_that_do_not_fit(case: Path, zero_infinity: bool) -> None:
    model = recogniser(case).eval()
    meta, arrays = load_case(case)
    labels = (arrays["inf.target"], arrays["inf.target_lengths"])
    loss = loss_of(meta, model, padded_output(case, model), *labels, zero_infinity=zero_infinity)
    expected = float(scalar(meta, f"inf.loss_zero_infinity_{zero_infinity}"))
    assert float(loss.total) == pytest.approx(expected, rel=1e-5)


@each_case
@torch.no_grad()
def test_validation_counts_the_errors_that_were_logged(case: Path) -> None:
    loaded = load_recorded(case)
    assert isinstance(loaded.model, Wav2Vec2CTC) and loaded.dictionary is not None
    meta, arrays = load_case(case)
    criterion = meta["config"]["criterion"]
    batch = Batch(
        ids=torch.arange(len(arrays["source"])),
        waveforms=arrays["source"],
        lengths=valid_lengths(arrays["padding_mask"]),
        targets=arrays["target"],
        target_lengths=arrays["target_lengths"],
    )
    objective = CTCObjective(
        loaded.model.eval(),
        SeededDraws(1),
        loaded.dictionary,
        zero_infinity=criterion["zero_infinity"],
        sentence_avg=criterion["sentence_avg"],
    )
    loss, errors = objective.validate(batch, Position(VALIDATION_EPOCH, loaded.num_updates))
    logged = scalar(meta, "eval.logging_output")
    assert float(loss.total) == pytest.approx(logged["loss"], rel=1e-5)
    assert int(loss.denominator) == logged["sample_size"]
    assert (errors.word_edits, errors.num_words) == (logged["w_errors"], logged["w_total"])
    assert (errors.unit_edits, errors.num_units) == (logged["c_errors"], logged["c_total"])
