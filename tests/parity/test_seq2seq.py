"""The sequence-to-sequence recogniser against what fairseq recorded: frames, scores, losses, beams."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from auricle.decode.seq2seq import SearchOptions, search
from auricle.dictionary import Dictionary
from auricle.losses import cross_entropy
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.train.seq2seq import previous_and_targets
from golden import golden_cases, load_case, scalar
from recorded import ACTIVATIONS, LOSSES, assert_grad_norms, load_recorded, valid_lengths

CASES = golden_cases(where=lambda meta: {"prev_output_tokens", "encoder_out"} <= meta["arrays"].keys())
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def recogniser(case: Path) -> Wav2Vec2Seq2Seq:
    model = load_recorded(case).model
    assert isinstance(model, Wav2Vec2Seq2Seq)
    return model


@each_case
@torch.no_grad()
def test_frames_and_scores(case: Path) -> None:
    _, arrays = load_case(case)
    model, lengths = recogniser(case), valid_lengths(arrays["padding_mask"])
    memory = model.encode(arrays["source"], lengths)
    valid = ~arrays["encoder_padding_mask"]
    assert memory.mask is not None and torch.equal(memory.mask[:, 0, 0], valid)
    assert_close(memory.frames[valid], arrays["encoder_out"].transpose(0, 1)[valid], **ACTIVATIONS)
    logits = model(arrays["source"], lengths, arrays["prev_output_tokens"]).logits
    assert_close(logits, arrays["logits"], **ACTIVATIONS)
    assert_close(logits.double(), arrays["logits.f64"], **ACTIVATIONS)


@each_case
@torch.no_grad()
def test_label_by_label_is_the_same(case: Path) -> None:
    _, arrays = load_case(case)
    model, state, steps = recogniser(case), None, []
    memory = model.encode(arrays["source"], valid_lengths(arrays["padding_mask"]))
    for tokens in arrays["prev_output_tokens"].T:
        logits, state = model.decode(tokens[:, None], None if state else memory, state)
        steps.append(logits)
    assert_close(torch.cat(steps, 1), arrays["logits"], **ACTIVATIONS)


@each_case
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_losses_and_gradients(case: Path, mode: str) -> None:
    meta, arrays = load_case(case)
    model, criterion = recogniser(case).train(mode == "train"), meta["config"]["criterion"]
    logits = model(
        arrays["source"], valid_lengths(arrays["padding_mask"]), arrays["prev_output_tokens"]
    ).logits
    loss = cross_entropy(
        logits,
        arrays["target"],
        label_smoothing=criterion["label_smoothing"],
        sentence_avg=criterion["sentence_avg"],
    )
    assert_close(loss.total, arrays[f"{mode}.loss"], **LOSSES)
    logged = scalar(meta, f"{mode}.logging_output")
    assert float(loss.parts["nll_loss"]) == pytest.approx(logged["nll_loss"], rel=1e-5)
    assert int(loss.denominator) == scalar(meta, f"{mode}.sample_size")
    if mode == "train":
        loss.total.backward()  # type: ignore[no-untyped-call]
        assert_grad_norms(model, scalar(meta, "train.grad_norms"))


@each_case
def test_labels_become_the_recorded_inputs_and_targets(case: Path) -> None:
    meta, arrays = load_case(case)
    dictionary = Dictionary.load(case / "dict.ltr.txt")
    assert dictionary.symbols == scalar(meta, "dictionary")
    labels = [dictionary.encode(text) for text in scalar(meta, "target_text")]
    lengths = torch.tensor([len(label) for label in labels])
    padded = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=1)
    previous, targets = previous_and_targets(padded, lengths)
    assert torch.equal(targets, arrays["target"])
    valid = targets != Dictionary.pad_index
    assert torch.equal(previous[valid], arrays["prev_output_tokens"][valid])


@each_case
def test_beams(case: Path) -> None:
    meta, arrays = load_case(case)
    model = recogniser(case)
    for name in (name for name in meta["scalars"] if name.startswith("beam")):
        options = SearchOptions(beam=int(name.removeprefix("beam")), max_len_b=20)
        found = search(model, arrays["source"], valid_lengths(arrays["padding_mask"]), options)
        expected = scalar(meta, name)
        for ours, theirs in zip(found, expected, strict=True):
            assert [list(one.tokens) for one in ours] == [one["tokens"] for one in theirs]
            assert [one.score for one in ours] == pytest.approx([one["score"] for one in theirs], abs=1e-5)
            assert [sum(one.token_scores) / len(one.tokens) for one in ours] == pytest.approx(
                [one.score for one in ours]
            )
