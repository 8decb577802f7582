"""The objectives: pure functions from a model's output to a loss.

A loss is a sum, and comes with what it is to be divided by: so micro-batches and workers can be added
up before the division, and a batch means the same however it is cut (quirk 23).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from auricle.models.wav2vec import PredictionOutput
from auricle.models.wav2vec2 import PretrainingOutput

BLANK = 0
"""Index of the CTC blank: fairseq's `<s>`."""

PAD = 1
"""What fills up rows of labels: fairseq's `<pad>`."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss and what is worth knowing about it.

    Attributes:
        total: Scalar, the sum to differentiate.
        denominator: What to divide by (fairseq: sample_size): masked frames, utterances or labels.
        parts: Sums of the terms, by fairseq's names (`loss_0`, ...), in nats.
        means: Values that are averages already (perplexities, temperature).
        correct: Frames for which the positive is the likeliest candidate, and `counted` their number.
        symbols: Of text, how many `total` is the negative log-likelihood of, for a perplexity; else None.
    """

    total: Tensor
    denominator: Tensor
    parts: Mapping[str, Tensor]
    means: Mapping[str, Tensor]
    correct: Tensor | None = None
    counted: Tensor | None = None
    symbols: Tensor | None = None


def contrastive(output: PretrainingOutput) -> Tensor:
    """Sum over valid masked frames of -log softmax at the positive (wav2vec 2.0, equation 3)."""
    losses = F.cross_entropy(
        output.logits.flatten(0, 1),
        torch.zeros(output.logits.shape[:2].numel(), dtype=torch.int64, device=output.logits.device),
        reduction="none",
    )
    return (losses * output.valid.flatten()).sum()


def diversity(output: PretrainingOutput) -> Tensor:
    """Share of the codebooks' entries left unused, by the averaged softmax (equation 4)."""
    assert output.prob_perplexity is not None
    return (output.num_entries - output.prob_perplexity) / output.num_entries


def correct_predictions(output: PretrainingOutput | PredictionOutput) -> Tensor:
    """Frames whose positive beats every negative; a row of equal logits (collapse) is not one."""
    logits = output.logits
    best, worst = logits.argmax(-1) == 0, logits.argmin(-1) == 0
    return (best & ~worst & output.valid).sum()


def pretraining(output: PretrainingOutput, weights: tuple[float, ...], temperature: float) -> Loss:
    """Contrastive loss, diversity and feature penalty (section 3.2).

    Args:
        output: Of `Wav2Vec2Pretraining`.
        weights: Of the diversity loss and the feature penalty, in this order; each term is scaled by
            the number of masked frames (quirk 23). Missing weights are 0. Without a quantizer, the
            first is the feature penalty's.
        temperature: Of the Gumbel softmax, for the log.
    """
    denominator = output.valid.sum()
    terms = [output.feature_penalty]
    means: dict[str, Tensor] = {}
    if output.prob_perplexity is not None and output.code_perplexity is not None:
        terms.insert(0, diversity(output))
        means = {
            "prob_perplexity": output.prob_perplexity.detach(),
            "code_perplexity": output.code_perplexity.detach(),
            "temp": torch.tensor(temperature),
        }
    main = contrastive(output)
    total, parts = main, {"loss_0": main.detach()}
    for i, (weight, term) in enumerate(zip(weights, terms, strict=False), start=1):
        if weight != 0.0:
            scaled = weight * term.float() * denominator
            total, parts[f"loss_{i}"] = total + scaled, scaled.detach()
    return Loss(total, denominator, parts, means, correct_predictions(output), denominator)


def prediction(
    output: PredictionOutput,
    weights: tuple[float, ...],
    temperature: float,
    *,
    infonce: bool,
    distractor_weight: float = 1.0,
) -> Loss:
    """Prediction of coming frames, and what keeps codebooks in use (wav2vec 1.0; vq-wav2vec, section 3).

    Args:
        output: Of `Wav2Vec`.
        weights: Of the one penalty of a quantizer, which is scaled by the denominator: codebook entries left
            unused, not divided by their number as in wav2vec 2.0 (quirk 21), or the k-means loss. Without
            a weight there is none.
        temperature: Of the Gumbel softmax, for the log.
        infonce: Choose among the candidates; else decide on each of them (wav2vec 1.0, equation 1).
        distractor_weight: Of a distractor, where each is decided on.
    """
    denominator = output.valid.sum()
    main = _choices(output) if infonce else _decisions(output, distractor_weight)
    means = {
        "prob_perplexity": output.prob_perplexity,
        "code_perplexity": output.code_perplexity,
        "temp": None if output.prob_perplexity is None else torch.tensor(temperature),
        "kmeans_loss": output.kmeans_loss,
    }
    total, parts, penalty = main, dict[str, Tensor](), output.kmeans_loss
    if output.prob_perplexity is not None:
        penalty = output.num_entries - output.prob_perplexity
    if penalty is not None and weights and weights[0] != 0.0:
        scaled = weights[0] * penalty.float() * denominator
        total, parts = main + scaled, {"loss_0": main.detach(), "loss_1": scaled.detach()}
    logged = {name: mean.detach() for name, mean in means.items() if mean is not None}
    correct = correct_predictions(output) if infonce else None
    return Loss(total, denominator, parts, logged, correct, denominator if infonce else None)


def _choices(output: PredictionOutput) -> Tensor:
    """Sum over predictions of -log softmax at the frame that came."""
    logits = output.logits.float()
    losses = torch.logsumexp(logits, dim=-1) - logits[..., 0]
    return (losses * output.valid).sum()


def _decisions(output: PredictionOutput, distractor_weight: float) -> Tensor:
    """Sum over predictions and candidates of -log sigmoid, for distractors of the negated score."""
    logits = output.logits.float()
    losses = F.softplus(-logits[..., 0]) + distractor_weight * F.softplus(logits[..., 1:]).sum(-1)
    return (losses * output.valid).sum()


def weigh_blank(logits: Tensor, weight: float, mode: Literal["add", "set"]) -> Tensor:
    """Logits [..., V] with the blank's raised by `weight`, or replaced by it (quirk 26).

    A weight of 0 does nothing in either mode, as in fairseq.
    """
    if weight == 0.0:
        return logits
    blank = logits[..., :1] + weight if mode == "add" else torch.full_like(logits[..., :1], weight)
    return torch.cat([blank, logits[..., 1:]], dim=-1)


def ctc(
    logits: Tensor,
    lengths: Tensor,
    targets: Tensor,
    target_lengths: Tensor,
    *,
    zero_infinity: bool = False,
    sentence_avg: bool = False,
) -> Loss:
    """Connectionist temporal classification (Graves et al. 2006), summed.

    Args:
        logits: [B, N, V], the blank weighed already.
        lengths: int64 [B], valid frames.
        targets: int64 [B, S], anything past `target_lengths`.
        target_lengths: int64 [B].
        zero_infinity: Count an utterance with more labels than frames as 0 instead of infinity.
        sentence_avg: Divide by utterances instead of labels.
    """
    log_probs = F.log_softmax(logits, dim=-1, dtype=torch.float32).transpose(0, 1)
    total = F.ctc_loss(
        log_probs, targets, lengths, target_lengths, BLANK, reduction="sum", zero_infinity=zero_infinity
    )
    num_labels = target_lengths.sum()
    denominator = torch.full_like(num_labels, len(target_lengths)) if sentence_avg else num_labels
    return Loss(total, denominator, {}, {})


def cross_entropy(
    logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, sentence_avg: bool = False
) -> Loss:
    """Label-smoothed cross-entropy over the targets that are no padding, summed, as fairseq computes it.

    Args:
        logits: [..., V].
        targets: int64 [...]; `<pad>` is not predicted.
        label_smoothing: Share of the target's probability that all other labels have instead.
        sentence_avg: Divide by rows instead of labels.

    Returns:
        With `nll_loss`, the loss without smoothing, among its parts.
    """
    counted = targets != PAD
    log_probs = F.log_softmax(logits, dim=-1, dtype=torch.float32)
    nll = -log_probs.gather(-1, targets[..., None])[..., 0].masked_fill(~counted, 0.0).sum()
    total, parts = nll, dict[str, Tensor]()
    if label_smoothing > 0.0:
        each = label_smoothing / (logits.shape[-1] - 1)
        everything = -log_probs.sum(-1).masked_fill(~counted, 0.0).sum()
        total = (1.0 - label_smoothing - each) * nll + each * everything
        parts["nll_loss"] = nll.detach()
    num_labels = counted.sum()
    denominator = torch.full_like(num_labels, len(targets)) if sentence_avg else num_labels
    correct = ((logits.argmax(-1) == targets) & counted).sum()
    return Loss(total, denominator, parts, {}, correct, num_labels)


def masked_symbols(logits: Tensor, targets: Tensor) -> Loss:
    """Cross-entropy of the symbols that were masked (BERT, section 3.1), summed.

    Args:
        logits: [P, V], of the masked positions only.
        targets: int64 [P].
    """
    loss = cross_entropy(logits, targets)
    return replace(loss, symbols=loss.denominator)


def likelihood(log_probs: Tensor, targets: Tensor, *, sentence_avg: bool = False) -> Loss:
    """Negative log-likelihood of text, summed: fairseq's `cross_entropy` and `adaptive_loss`.

    Args:
        log_probs: [B, S] float32, of the targets, in nats; unspecified where these are `<pad>`.
        targets: int64 [B, S].
        sentence_avg: Divide by samples instead of symbols.
    """
    counted = targets != PAD
    total = -log_probs.masked_fill(~counted, 0.0).sum()
    num_symbols = counted.sum()
    denominator = torch.full_like(num_symbols, len(targets)) if sentence_avg else num_symbols
    return Loss(total, denominator, {}, {}, symbols=num_symbols)
