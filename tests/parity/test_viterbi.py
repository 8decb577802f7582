"""Greedy decoding, blank weights and error counts against what fairseq recorded for its CTC models."""

import pytest
import torch

import auricle
from auricle.decode.emissions import check_recogniser, emit
from auricle.decode.report import count_errors
from auricle.decode.viterbi import viterbi
from auricle.dictionary import Dictionary
from auricle.losses import weigh_blank
from golden import golden_cases, load_case, scalar

CASES = golden_cases(where=lambda meta: "nopad.viterbi_tokens" in meta["scalars"])
WEIGHED = "ragged.logits_blank_"


def decode(case, kind):
    """Hypotheses of fairseq's own encoder output, `kind` "nopad" or "ragged"."""
    meta, arrays = load_case(case)
    logits = arrays[f"{kind}.encoder_out"].transpose(0, 1)
    lengths = torch.full(logits.shape[:1], logits.shape[1])
    if kind == "ragged":
        lengths = (~arrays["ragged.out_padding_mask"]).sum(-1)
    config = meta["config"]["model"]
    dictionary = Dictionary.load(case / "dict.ltr.txt")
    return (
        meta,
        dictionary,
        viterbi(
            logits,
            lengths,
            dictionary,
            blank_weight=config["blank_weight"],
            blank_mode=config["blank_mode"],
        ),
    )


@pytest.mark.parametrize("kind", ["nopad", "ragged"])
@pytest.mark.parametrize("case", CASES)
def test_tokens_scores_and_text(case, kind):
    meta, dictionary, hypotheses = decode(case, kind)
    assert dictionary.symbols == scalar(meta, "dictionary")
    assert [list(h.tokens) for h in hypotheses] == scalar(meta, f"{kind}.viterbi_tokens")
    assert [h.score for h in hypotheses] == pytest.approx(scalar(meta, f"{kind}.viterbi_scores"), rel=1e-5)
    # fairseq leaves two spaces between words where two word ends stand side by side
    assert [list(h.words) for h in hypotheses] == [
        text.split() for text in scalar(meta, f"{kind}.viterbi_text")
    ]


@pytest.mark.parametrize("case", CASES)
def test_error_counts_of_the_criterion(case):
    meta, dictionary, hypotheses = decode(case, "ragged")
    logged = scalar(meta, "eval.logging_output")
    counts = count_errors(scalar(meta, "target_text"), [dictionary.decode(h.tokens) for h in hypotheses])
    assert (counts.word_edits, counts.num_words) == (logged["w_errors"], logged["w_total"])
    assert (counts.unit_edits, counts.num_units) == (logged["c_errors"], logged["c_total"])


@pytest.mark.parametrize("case", CASES)
def test_blank_weights(case):
    _, arrays = load_case(case)
    valid = ~arrays["ragged.out_padding_mask"].T
    recorded = {name: array for name, array in arrays.items() if name.startswith(WEIGHED)}
    assert recorded
    for name, want in recorded.items():
        mode, weight = name.removeprefix(WEIGHED).split("_")
        got = weigh_blank(arrays["ragged.encoder_out"], float(weight), mode)
        assert torch.equal(got[valid], want[valid]), name


@pytest.mark.parametrize("case", CASES)
def test_from_waveforms_to_tokens(case):
    meta, arrays = load_case(case)
    loaded = auricle.load(case / "checkpoint.pt", dictionary=case / "dict.ltr.txt", reference_padding=True)
    model, dictionary = check_recogniser(loaded.model, loaded.dictionary)
    lengths = (~arrays["padding_mask"]).sum(-1)
    shortest = int(lengths.min())
    batches = {
        "ragged": (arrays["source"], lengths),
        "nopad": (arrays["source"][:, :shortest], lengths.clamp(max=shortest)),
    }
    for kind, batch in batches.items():
        emissions = emit(model, *batch)
        hypotheses = viterbi(emissions.log_probs, emissions.lengths, dictionary)
        assert [list(h.tokens) for h in hypotheses] == scalar(meta, f"{kind}.viterbi_tokens")
        assert [h.score for h in hypotheses] == pytest.approx(
            scalar(meta, f"{kind}.viterbi_scores"), rel=1e-4
        )
