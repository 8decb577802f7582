"""What goes wrong in training, noticed from the log's values and said in words: what was seen, what to try.

Everything here judges numbers that the run has anyway; it draws nothing, changes nothing and waits for no
device. Each kind of trouble is said once a sitting.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor

from auricle.data.collate import Batch
from auricle.data.loader import AnyBatch, Samples
from auricle.losses import Loss
from auricle.models.config import ModelConfig, Wav2Vec2Config
from auricle.models.wav2vec_config import CodebooksConfig, Wav2VecConfig
from auricle.train.metrics import RunLog
from auricle.train.speed import Use, Waits
from auricle.train.step import LossScale, UpdateResult

WINDOW_UPDATES = 10
"""Log lines are judged together until they cover so many updates: single batches differ too much."""

SETTLING_UPDATES = 20
"""Gradients of the first updates are not yet what later ones are measured by."""

EXPLODED = 100.0
"""How many times its usual norm a gradient has when it explodes."""

LOUDEST_SAMPLE = 1000.0
"""Audio is in [-1, 1], or has variance 1 where it is normalised: no sample of a recording comes near."""

LARGEST_WEIGHT = 1e4
"""No weight of a network that learns comes near."""

_LOST, _LEARNT, _RISEN = 0.9, 0.6, 3.0  # shares of the first loss
_FIRST_UPDATES = 3
_FEW_ENTRIES, _FEW_ENTRIES_A_CODEBOOK = 0.02, 1.25
_TOO_GOOD = 0.95
_SHOWN = 3
_NOT_AUDIO, _GROWN = "not audio", "the weights have grown"


@dataclass
class Watch:
    """Looks at a run as it goes; what it finds comes back as text.

    Attributes:
        num_codebooks: Of the quantizer whose choices are the targets; 0 where there is none.
        num_entries: Of each codebook.
    """

    num_codebooks: int = 0
    num_entries: int = 0
    _said: set[str] = field(default_factory=set)
    _window: list[Mapping[str, float]] = field(default_factory=list)
    _window_start: int = 0
    _from_scratch: bool = True
    _losses: list[float] = field(default_factory=list)
    _first_loss: float = 0.0
    _best_loss: float = math.inf
    _most_perplexity: float = 0.0
    _log_norm: float = 0.0
    _norms: int = 0

    def update(
        self, num_updates: int, loss: float, grad_norm: float, lr: float, names: Sequence[str]
    ) -> list[str]:
        """Judge one update.

        Args:
            num_updates: Done, this one included.
            loss: In any unit, the same every time.
            grad_norm: Finite.
            lr: Its learning rate.
            names: The utterances that it was made from.
        """
        if self._norms == 0:
            self._window_start = num_updates - 1  # of a run that goes on, not 0
            self._from_scratch = num_updates == 1
        self._norms += 1
        return [
            *self._exploded(num_updates, grad_norm, lr, names),
            *self._diverged(num_updates, loss, lr, names),
        ]

    def _exploded(self, num_updates: int, grad_norm: float, lr: float, names: Sequence[str]) -> list[str]:
        log_norm, usual = math.log(max(grad_norm, 1e-30)), self._log_norm
        if self._norms <= SETTLING_UPDATES or log_norm <= usual + math.log(EXPLODED):
            # the mean of logarithms: one large norm does not hide the next
            self._log_norm += (log_norm - usual) / min(self._norms, SETTLING_UPDATES)
            return []
        return self._once(
            "gradient",
            f"the gradient's norm is {grad_norm:.3g} at update {num_updates}, "
            f"{grad_norm / math.exp(usual):,.0f} times its usual {math.exp(usual):.3g}; "
            f"in the batch: {shown(names)}; if the loss rises from here, lower optimization.lr "
            f"(now {lr:.3g}) or set optimization.clip_norm; if it comes with these utterances only, "
            "listen to them",
        )

    def line(self, num_updates: int, values: Mapping[str, float], names: Sequence[str]) -> list[str]:
        """Judge what was logged of training.

        Args:
            num_updates: Done.
            values: Means since the last line, under the log's names.
            names: The utterances of the last update.
        """
        self._window.append(values)
        if num_updates - self._window_start < WINDOW_UPDATES:
            return []
        means = _means(self._window)
        self._window, self._window_start = [], num_updates
        return self._collapsed(num_updates, means, names)

    def validated(self, subset: str, values: Mapping[str, float]) -> list[str]:
        """Judge what was measured on a subset: a CTC model that writes nothing at all."""
        if not (values.get("uer") == 100.0 and values.get("wer") == 100.0):
            return []
        return self._once(
            "blank",
            f"every hypothesis of {subset} is empty: the model writes only blanks. CTC begins like this, "
            "since most frames are blank; it usually ends after some hundred to thousand updates. If it does "
            "not: train longer at the full learning rate (optimization.lr, lr_scheduler), mask less "
            "(model.mask_prob), start from a pre-trained encoder (model.w2v_path), and see with "
            "`auricle data check` whether labels and audio belong together",
        )

    def _diverged(self, num_updates: int, loss: float, lr: float, names: Sequence[str]) -> list[str]:
        """Judge the losses of some updates together: those of long and of short utterances differ."""
        jumped = bool(self._first_loss) and loss > EXPLODED * self._first_loss
        if self._norms <= _FIRST_UPDATES and not jumped:
            self._first_loss = max(self._first_loss, loss)
        self._losses.append(loss)
        if len(self._losses) < WINDOW_UPDATES and not jumped:
            return []
        middle, self._losses = loss if jumped else median(self._losses), []
        first, best = self._first_loss, self._best_loss
        self._best_loss = min(best, middle)
        # what was learnt shows only beside the loss of random weights: later, batches differ as much
        lost = self._from_scratch and best < _LEARNT * first and middle > _LOST * first
        if first <= 0 or not (lost or middle > _RISEN * first):
            return []
        at_best = f", after {best:.4g} at its best" if math.isfinite(best) else ""
        return self._once(
            "diverged",
            f"the run diverges: the loss is {middle:.4g} at update {num_updates}{at_best} and {first:.4g} at "
            f"the start; the learning rate ({lr:.3g}) is probably too high: go back to an earlier "
            "checkpoint, lower optimization.lr three to ten times, lengthen the warm-up (lr_scheduler), or "
            f"set optimization.clip_norm; in the last batch: {shown(names)}",
        )

    def _collapsed(self, num_updates: int, means: Mapping[str, float], names: Sequence[str]) -> list[str]:
        perplexity = means.get("code_perplexity")
        if perplexity is None or self.num_codebooks == 0:
            return []
        possible = self.num_codebooks * self.num_entries
        most = self._most_perplexity = max(self._most_perplexity, perplexity)
        floor = max(_FEW_ENTRIES_A_CODEBOOK * self.num_codebooks, _FEW_ENTRIES * possible)
        accuracy = means.get("accuracy", 0.0)
        few = perplexity < floor and (most > 2 * floor or accuracy > _TOO_GOOD)
        too_good = accuracy > _TOO_GOOD and perplexity < most / 2
        if not (few or too_good):
            return []
        return self._once(
            "collapsed",
            f"the codebooks collapse: code_perplexity is {perplexity:.3g} of {possible} possible at update "
            f"{num_updates} (it was {most:.3g}), accuracy {accuracy:.1%}: the targets are nearly all alike, "
            "so that there is nothing to tell apart. Go back to an earlier checkpoint; raise the weight of "
            "the diversity term (the first of criterion.loss_weights), keep model.latent_temp higher for "
            f"longer, lower optimization.lr, or give an update more audio; in the last batch: {shown(names)}",
        )

    def _once(self, kind: str, text: str) -> list[str]:
        if kind in self._said:
            return []
        self._said.add(kind)
        return [text]


@dataclass
class Watcher:
    """The hook of a run: gives `Watch` what it looks at, and says what it finds.

    Attributes:
        watch: The judge.
        device_seconds: What the arithmetic of a batch of (rows, samples) would take the device at its
            fastest; None where that is not known.
        waits: Seconds that the run waited for batches.
    """

    watch: Watch = field(default_factory=Watch)
    device_seconds: Callable[[int, int], float] | None = None
    waits: Waits = field(default_factory=Waits)

    def use(self, batches: Sequence[AnyBatch]) -> Use:
        """How well this worker used the machine for an update, as far as its batches show."""
        sounds = [batch for batch in batches if isinstance(batch, Batch)]
        padded = sum(batch.waveforms.numel() / batch.sample_rate for batch in sounds)
        cost = self.device_seconds
        busy = None if cost is None else sum(cost(*batch.waveforms.shape) for batch in sounds)
        heard = sum(batch.amount for batch in sounds)
        return Use(heard, padded, self.waits.take(), busy)

    def update(
        self,
        num_updates: int,
        result: UpdateResult,
        lr: float,
        names: Sequence[str],
        line: Mapping[str, float] | None,
        log: RunLog,
    ) -> None:
        """Look at an update that was made, and at the line of the log where one was due."""
        if not result.losses:  # another worker had it all
            return
        # the step has waited for its gradient's norm: reading the loss waits no more
        total = float(sum(loss.total for loss in result.losses))
        denominator = float(sum(loss.denominator for loss in result.losses))
        loss = total / max(1.0, denominator) / math.log(2)
        found = self.watch.update(num_updates, loss, result.grad_norm, lr, names)
        found += self.watch.line(num_updates, line, names) if line else []
        _say(found, log)

    def validated(self, subset: str, values: Mapping[str, float], log: RunLog) -> None:
        """Look at a validation."""
        _say(self.watch.validated(subset, values), log)


def _say(found: Sequence[str], log: RunLog) -> None:
    for text in found:
        log.say(f"warning: {text}")


def watcher_of(config: ModelConfig, device_seconds: Callable[[int, int], float] | None = None) -> Watcher:
    """The watcher of a model's run."""
    quantizer = config.quantizer if isinstance(config, Wav2Vec2Config | Wav2VecConfig) else None
    if quantizer is None or (isinstance(quantizer, CodebooksConfig) and quantizer.kind == "none"):
        return Watcher(Watch(), device_seconds)
    return Watcher(Watch(quantizer.num_codebooks, quantizer.num_entries), device_seconds)


def names_of(batches: Sequence[AnyBatch], dataset: Samples[Any]) -> list[str]:
    """The utterances of batches, as their manifest has them; of text, where they begin."""
    return [dataset.name(index) for batch in batches for index in batch.ids.tolist()]


def shown(names: Sequence[str]) -> str:
    """The first few of many names."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def why_not_finite(
    weights: Iterable[Tensor],
    batches: Sequence[AnyBatch],
    names: Sequence[str],
    losses: Sequence[Loss],
    lr: float,
    loss_scale: LossScale | None = None,
) -> str:
    """What is known of an update whose gradient is not finite: which utterances, or which weights.

    Args:
        weights: As they are, the update left out; of several workers', those that this one holds.
        batches: Of the update.
        names: Of their utterances, in the order of the batches.
        losses: One a batch; may be fewer.
        lr: The learning rate.
        loss_scale: In fp16; None in other precisions.
    """
    peaks = zip(names, _peaks(batches), strict=True)
    loud = [(name, peak) for name, peak in peaks if not peak < LOUDEST_SAMPLE]
    if loud:
        listed = ", ".join(f"{name} (samples up to {peak:.3g})" for name, peak in loud[:_SHOWN])
        advice = "take it out of the manifest, or write it anew (see `auricle data check`)"
        return f"{_NOT_AUDIO}: {listed}: {advice}"
    weight = max((float(part.detach().abs().max()) for part in weights if part.numel()), default=0.0)
    if not weight < LARGEST_WEIGHT:
        return (
            f"{_GROWN} to {weight:.3g}: the run has diverged, the learning rate ({lr:.3g}) is "
            f"too high: lower optimization.lr, go back to an earlier checkpoint; in the batch: {shown(names)}"
        )
    if loss_scale is not None:
        return (
            f"an overflow of float16 at a loss scale that is now {loss_scale.value:g}: usual now and "
            f"then; in the batch: {shown(names)}"
        )
    infinite = [i for i, loss in enumerate(losses) if not bool(torch.isfinite(loss.total))]
    what = "the loss itself is not finite" if infinite else "the loss is finite, its gradient is not"
    return (
        f"{what}; in the batch: {shown(names)}; if it comes with these only, look into them; "
        f"else lower optimization.lr (now {lr:.3g}) or set optimization.clip_norm"
    )


def most_telling(reasons: Sequence[str]) -> str:
    """Of what workers know of such an update, what explains it best."""
    return next(
        (one for words in (_NOT_AUDIO, _GROWN) for one in reasons if one.startswith(words)), reasons[0]
    )


def _peaks(batches: Sequence[AnyBatch]) -> list[float]:
    """The largest sample of each utterance, without its sign; NaN where one is not a number; 0 of text."""
    peaks: list[float] = []
    for batch in batches:
        sounds = batch.waveforms if isinstance(batch, Batch) else torch.zeros(len(batch), 1)
        peaks += [float(row.abs().max()) for row in sounds]
    return peaks


def _means(lines: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(line.get(name, 0.0) for line in lines) / len(lines) for name in lines[-1]}
