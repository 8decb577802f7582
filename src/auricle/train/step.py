"""One update: forward and backward over its micro-batches, scaling, clipping, the optimizer.

Gradients are summed over all micro-batches of all workers and divided once by the summed denominators, so
that an update means the same however its micro-batches are dealt out (quirk 23).
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from auricle.data.collate import silence
from auricle.data.loader import AnyBatch
from auricle.errors import UserError
from auricle.losses import Loss
from auricle.models.dropout import layers_drawn_from
from auricle.train.draws import Position
from auricle.train.engine import Engine
from auricle.train.objective import Objective
from auricle.train.optim import Adam, scale_and_clip
from auricle.train.statistics import BatchStatistics

Precision = Literal["float32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass
class LossScale:
    """fairseq's dynamic loss scaling for fp16: halved on overflow, doubled after `window` good updates."""

    value: float = 128.0
    window: int = 2**14
    smallest: float = 1e-4
    good_updates: int = 0

    def update(self, overflow: bool) -> None:
        """Take note of one update.

        Raises:
            UserError: The scale fell below `smallest`: the loss itself is not finite.
        """
        if overflow:
            self.value, self.good_updates = self.value / 2, 0
            if self.value < self.smallest:
                raise UserError(
                    f"the fp16 loss scale fell below {self.smallest:g}: gradients stay infinite; "
                    "lower optimization.lr, set optimization.clip_norm, or train with common.bf16=true"
                )
            return
        self.good_updates += 1
        if self.good_updates % self.window == 0:
            self.value *= 2


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What one update did.

    Attributes:
        losses: Of each micro-batch of all workers, in their order, detached.
        grad_norm: L2 norm of the gradient after division by the denominator, before clipping.
        applied: False where the gradient was not finite and the parameters were left alone.
    """

    losses: tuple[Loss, ...]
    grad_norm: float
    applied: bool


class Step:
    """Makes updates.

    Args:
        model: Whose parameters are updated.
        objective: Gives the loss of a micro-batch.
        optimizer: Its learning rate is set for every update.
        seed: Dropout depends on (seed, update, micro-batch) alone and LayerDrop on (seed, update), so that
            a resumed run repeats them, and so does one of another number of workers.
        precision: Of matrix products and convolutions; parameters stay float32.
        clip_norm: 0 does not clip.
        engine: The workers that make the updates together; by default, there is one.
        stand_in: What a worker without a micro-batch computes meanwhile; by default, silence.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizer: Adam,
        *,
        seed: int,
        precision: Precision = "float32",
        clip_norm: float = 0.0,
        loss_scale: LossScale | None = None,
        engine: Engine | None = None,
        stand_in: AnyBatch | None = None,
    ) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.seed = seed
        self.precision = precision
        self.clip_norm = clip_norm
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.loss_scale = (loss_scale or LossScale()) if precision == "fp16" else None
        self.engine = engine or Engine(self.device)
        self.stand_in: AnyBatch = stand_in or silence(self.parameters[0].dtype)
        self.statistics = BatchStatistics(model, self.engine)

    def autocast(self) -> AbstractContextManager[None]:
        """The context that computes in `precision`."""
        return torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "float32")

    def update(self, batches: Sequence[AnyBatch], epoch: int, num_updates: int, lr: float) -> UpdateResult:
        """Make update `num_updates` + 1.

        Args:
            batches: This worker's micro-batches of it, some of which may be empty; every k-th of the update,
                equally many for each of the k workers.
            epoch: From 1.
            num_updates: Updates done before.
            lr: Its learning rate.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self.statistics.begin()
        scale = self.loss_scale.value if self.loss_scale else 1.0
        losses: list[Loss | None] = []
        for i, batch in enumerate(batches):
            number = i * self.engine.num_workers + self.engine.rank
            place = Position(epoch, num_updates, number)
            losses.append(self._add_gradients(batch, place, scale, last=i == len(batches) - 1))
        self.statistics.finish()
        made = shared_losses(losses, self.engine)
        denominator = sum((loss.denominator for loss in made), torch.zeros((), device=self.device))
        factor = self.engine.gradient_weight / (denominator.clamp(min=1) * scale)
        grad_norm = float(scale_and_clip(self.parameters, factor, self.clip_norm, self.engine.whole))
        applied = math.isfinite(grad_norm)
        if applied:
            self.optimizer.set_lr(lr)
            self.optimizer.step()
        if self.loss_scale:
            self.loss_scale.update(overflow=not applied)
        return UpdateResult(tuple(made), grad_norm, applied)

    def _add_gradients(self, batch: AnyBatch, place: Position, scale: float, *, last: bool) -> Loss | None:
        """Forward and backward over one micro-batch; gives its loss, if there is anything in it.

        A worker without one takes part all the same, with one that weighs nothing: the others wait for it.
        """
        counts = len(batch) > 0
        if not counts and self.engine.num_workers == 1:
            return None
        torch.manual_seed(mixed(self.seed, place.update, place.micro_batch))
        with self.autocast(), layers_drawn_from(mixed(self.seed, place.update)):
            loss = self.engine.loss(self.objective, batch if counts else self.stand_in, place, last=last)
        (loss.total * (scale if counts else 0.0)).backward()  # type: ignore[no-untyped-call]
        self.statistics.note(counts)
        return detached(loss) if counts else None


def mixed(*numbers: int) -> int:
    """A seed of 64 bits from several numbers, none of them negative."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def detached(loss: Loss) -> Loss:
    """A loss without its graph."""
    return replace(loss, total=loss.total.detach())


def shared_losses(losses: Sequence[Loss | None], engine: Engine) -> list[Loss]:
    """The losses of all workers' micro-batches in the order of the update; those of this worker are given."""
    if engine.num_workers == 1:
        return [loss for loss in losses if loss is not None]
    told = engine.gather([None if loss is None else _numbers(loss) for loss in losses])
    in_order = (numbers for step in zip(*told, strict=True) for numbers in step)
    return [_loss(numbers) for numbers in in_order if numbers is not None]


def _numbers(loss: Loss) -> dict[str, Any]:
    """A loss as JSON has it; floats are exact."""
    return {
        "total": loss.total.item(),
        "denominator": loss.denominator.item(),
        "parts": {name: part.item() for name, part in loss.parts.items()},
        "means": {name: mean.item() for name, mean in loss.means.items()},
        "correct": None if loss.correct is None else loss.correct.item(),
        "counted": None if loss.counted is None else loss.counted.item(),
        "symbols": None if loss.symbols is None else loss.symbols.item(),
    }


def _loss(numbers: dict[str, Any]) -> Loss:
    def tensor(value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else torch.int64)

    return Loss(
        tensor(numbers["total"]),
        tensor(numbers["denominator"]),
        {name: tensor(value) for name, value in numbers["parts"].items()},
        {name: tensor(value) for name, value in numbers["means"].items()},
        None if numbers["correct"] is None else tensor(numbers["correct"]),
        None if numbers["counted"] is None else tensor(numbers["counted"]),
        None if numbers["symbols"] is None else tensor(numbers["symbols"]),
    )
