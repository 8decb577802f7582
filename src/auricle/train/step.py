"""One update: forward and backward over its micro-batches, scaling, clipping, the optimizer.

Gradients are summed over all micro-batches and divided once by the summed denominators, so that an update
means the same however its utterances are cut (quirk 23).
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from auricle.data.loader import AnyBatch
from auricle.errors import UserError
from auricle.losses import Loss
from auricle.train.draws import Position
from auricle.train.objective import Objective
from auricle.train.optim import Adam, scale_and_clip

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
        losses: Of each micro-batch, detached.
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
        seed: Dropout of update n depends on (seed, n) alone, so that a resumed run repeats it.
        precision: Of matrix products and convolutions; parameters stay float32.
        clip_norm: 0 does not clip.
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
    ) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.seed = seed
        self.precision = precision
        self.clip_norm = clip_norm
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.loss_scale = (loss_scale or LossScale()) if precision == "fp16" else None

    def autocast(self) -> AbstractContextManager[None]:
        """The context that computes in `precision`."""
        return torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "float32")

    def update(self, batches: Sequence[AnyBatch], epoch: int, num_updates: int, lr: float) -> UpdateResult:
        """Make update `num_updates` + 1 from the micro-batches of one update."""
        torch.manual_seed(self.seed + num_updates)
        self.optimizer.zero_grad(set_to_none=True)
        scale = self.loss_scale.value if self.loss_scale else 1.0
        losses = []
        for i, batch in enumerate(batches):
            with self.autocast():
                loss = self.objective.loss(batch, Position(epoch, num_updates, i))
            (loss.total * scale).backward()  # type: ignore[no-untyped-call]
            losses.append(detached(loss))
        denominator = sum((loss.denominator for loss in losses), torch.zeros((), device=self.device))
        norm = scale_and_clip(self.parameters, 1.0 / (denominator.clamp(min=1) * scale), self.clip_norm)
        grad_norm = float(norm)
        applied = math.isfinite(grad_norm)
        if applied:
            self.optimizer.set_lr(lr)
            self.optimizer.step()
        if self.loss_scale:
            self.loss_scale.update(overflow=not applied)
        return UpdateResult(tuple(losses), grad_norm, applied)


def detached(loss: Loss) -> Loss:
    """A loss without its graph."""
    return replace(loss, total=loss.total.detach())
