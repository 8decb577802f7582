"""What a model is worth on a subset: loss, accuracy, error rates."""

from typing import Any

import torch

from auricle.data.loader import BatchLoader
from auricle.decode.report import ErrorCounts
from auricle.losses import Loss
from auricle.models.build import Model
from auricle.train.draws import VALIDATION_EPOCH, Position
from auricle.train.metrics import RunningMeans
from auricle.train.step import Step


def add_loss(means: RunningMeans, loss: Loss) -> None:
    """Add a loss to running means, in fairseq's units."""
    means.add_loss(loss.total, loss.denominator, loss.parts)
    if loss.correct is not None and loss.counted is not None:
        means.add("accuracy", loss.correct, loss.counted)
    if loss.symbols is not None:
        means.add_perplexity(loss.total, loss.symbols)
    for name, value in loss.means.items():
        means.add(name, value)


@torch.no_grad()
def validate(step: Step, model: Model, loader: BatchLoader[Any], num_updates: int) -> dict[str, float]:
    """Loss, and accuracy or error rates, over all of a subset; masks are the same every time."""
    model.eval()
    means, errors = RunningMeans(), ErrorCounts()
    for batch in loader.epoch(1):
        if len(batch):
            with step.autocast():
                loss, counts = step.objective.validate(batch, Position(VALIDATION_EPOCH, num_updates))
            add_loss(means, loss)
            errors += counts or ErrorCounts()
    rates = {"wer": errors.wer, "uer": errors.uer, "cer": errors.cer} if errors.num_utterances else {}
    return means.means() | rates
