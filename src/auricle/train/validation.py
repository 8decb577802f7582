"""What a model is worth on a subset: loss, accuracy, error rates. Several workers share its batches."""

from dataclasses import asdict
from typing import Any

import torch

from auricle.data.batching import deal
from auricle.data.collate import SetAside
from auricle.data.loader import BatchLoader
from auricle.decode.report import ErrorCounts
from auricle.errors import UserError
from auricle.losses import Loss
from auricle.models.build import Model
from auricle.train.draws import VALIDATION_EPOCH, Position
from auricle.train.metrics import RunningMeans
from auricle.train.step import Step, shared_losses


@torch.no_grad()
def validate(step: Step, model: Model, loader: BatchLoader[Any], num_updates: int) -> dict[str, float]:
    """Loss, and accuracy or error rates, over all of a subset; masks are the same every time.

    Raises:
        UserError: No utterance of it can be read.
    """
    model.eval()
    engine = step.engine
    whole = len(loader)
    (mine,) = deal(0, whole, whole, engine.num_workers, engine.rank)
    losses: list[Loss | None] = []
    errors, set_aside = ErrorCounts(), list[SetAside]()
    with engine.entire(model):
        for batch in loader.read(1, [number for number in mine if number is not None]):
            set_aside += batch.set_aside
            losses.append(None)
            if len(batch):
                with step.autocast():
                    losses[-1], counts = step.objective.validate(
                        batch, Position(VALIDATION_EPOCH, num_updates)
                    )
                errors += counts or ErrorCounts()
    made = shared_losses([*losses, *[None] * (len(mine) - len(losses))], engine)
    if not made:
        raise UserError(loader.nothing_left(set_aside))
    means = RunningMeans()
    for loss in made:
        add_loss(means, loss)
    errors = sum((ErrorCounts(**counts) for counts in engine.gather(asdict(errors))), ErrorCounts())
    return means.means() | _rates(errors)


def _rates(errors: ErrorCounts) -> dict[str, float]:
    """In percent, under fairseq's names; those of greedy words besides, where others were found."""
    if not errors.num_utterances:
        return {}
    raw = {"raw_wer": errors.raw_wer} if errors.num_raw_words else {}
    return {"wer": errors.wer, **raw, "uer": errors.uer, "cer": errors.cer}


def add_loss(means: RunningMeans, loss: Loss) -> None:
    """Add a loss to running means, in fairseq's units."""
    means.add_loss(loss.total, loss.denominator, loss.parts)
    if loss.correct is not None and loss.counted is not None:
        means.add("accuracy", loss.correct, loss.counted)
    if loss.symbols is not None:
        means.add_perplexity(loss.total, loss.symbols)
    for name, value in loss.means.items():
        means.add(name, value)
