"""From a recipe to the learning rate of each update."""

from auricle.config.schema import Recipe
from auricle.config.schema_task import CosineKeys, FixedKeys, InverseSqrtKeys, PolynomialKeys, TriStageKeys
from auricle.errors import UserError
from auricle.train.schedule import Cosine, Fixed, InverseSqrt, PolynomialDecay, Schedule, TriStage


def schedule(recipe: Recipe) -> Schedule:
    """The learning-rate schedule of a recipe.

    Raises:
        UserError: its phases or its length are not given, or there are several rates.
    """
    keys = recipe.lr_scheduler
    if len(keys.lr) != 1:
        raise UserError(
            f"optimization.lr={list(keys.lr)}: give one learning rate, as in optimization.lr=[0.0005]"
        )
    lr = keys.lr[0]
    match keys:
        case PolynomialKeys():
            total = _limit(keys.total_num_update)
            return PolynomialDecay(lr, total, keys.warmup_updates, keys.end_learning_rate, keys.power)
        case TriStageKeys(phase_ratio=None):
            return TriStage(
                lr,
                keys.warmup_steps,
                keys.hold_steps,
                keys.decay_steps,
                keys.init_lr_scale,
                keys.final_lr_scale,
            )
        case TriStageKeys(phase_ratio=ratio):
            return TriStage.from_phase_ratio(
                lr, keys.max_update, ratio or (), keys.init_lr_scale, keys.final_lr_scale
            )
        case CosineKeys():
            return _cosine(keys, lr)
        case InverseSqrtKeys():
            return InverseSqrt(lr, keys.warmup_updates, max(keys.warmup_init_lr, 0.0))
        case FixedKeys():
            return Fixed(lr, keys.warmup_updates)


def _cosine(keys: CosineKeys, lr: float) -> Cosine:
    period = keys.lr_period_updates
    return Cosine(
        lr,
        period_updates=period if period > 0 else keys.max_update - keys.warmup_updates,
        warmup_updates=keys.warmup_updates,
        warmup_init_lr=None if keys.warmup_init_lr < 0 else keys.warmup_init_lr,
        min_lr=keys.min_lr,
        period_mult=keys.t_mult,
        shrink=keys.lr_shrink,
    )


def _limit(updates: float) -> float:
    if updates <= 0:
        raise UserError("the learning rate falls until optimization.max_update: set it above 0")
    return updates
