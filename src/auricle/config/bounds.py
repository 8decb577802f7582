"""Values of a recipe that are of the right type and make no sense: said before a run is begun.

Nothing is refused that fairseq takes and that somebody may mean: shares of masks above 1, rates of 0.
"""

import re
from collections.abc import Iterator

from auricle.config.fields import keys_of
from auricle.config.schema import Recipe
from auricle.config.schema_model import FineTuningKeys, Wav2Vec2Keys, Wav2VecKeys
from auricle.errors import UserError

_DROPS = re.compile(".*(dropout|layerdrop).*")
_LAYERS = ("encoder_layers", "decoder_layers")
_MASKED = ("mask_prob", "mask_channel_prob")


def check_bounds(recipe: Recipe) -> None:
    """See that numbers are some that a run can count to, divide by or draw with.

    Raises:
        UserError: one is not; the line names its key, and what it may be.
    """
    for name, value, least in _counts(recipe):
        if value < least:
            raise UserError(f"{name}: expected {least} or more, got {value:g}")
    speeds = getattr(recipe.task, "speed_perturbation", 0.0)
    if not 0 <= speeds <= 0.5:
        raise UserError(f"task.speed_perturbation: expected a share from 0 to 0.5, got {speeds:g}")
    model = recipe.model
    _check_model("model", model)
    if isinstance(model, FineTuningKeys) and model.w2v_args is not None:
        _check_model("model.w2v_args.model", model.w2v_args.model)
    if isinstance(model, Wav2Vec2Keys | Wav2VecKeys):
        codebook = model.codebook_negatives if isinstance(model, Wav2Vec2Keys) else 0
        if model.num_negatives + model.cross_sample_negatives + codebook < 1:
            raise UserError("model.num_negatives: expected 1 or more, or distractors of another kind, got 0")


def _counts(recipe: Recipe) -> Iterator[tuple[str, float, int]]:
    """Name and value of numbers, and the least that they may be."""
    common, optimization = recipe.common, recipe.optimization
    yield "common.seed", common.seed, 0
    yield "common.log_interval", common.log_interval, 1
    yield "dataset.num_workers", recipe.dataset.num_workers, 0
    yield "dataset.required_batch_size_multiple", recipe.dataset.required_batch_size_multiple, 1
    yield "optimization.update_freq", min(optimization.update_freq, default=0), 1
    yield "optimization.lr", min(optimization.lr, default=0), 0
    yield "optimizer.weight_decay", recipe.optimizer.weight_decay, 0


def _check_model(path: str, keys: object) -> None:
    for name, key in keys_of(type(keys)).items():
        value, where = getattr(keys, name), f"{path}.{name}"
        if key.inert or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if _DROPS.fullmatch(name) and not 0 <= value < 1:
            raise UserError(f"{where}: expected a share from 0 to below 1, got {value:g}")
        if name in _MASKED and value < 0:
            raise UserError(f"{where}: expected 0, which masks nothing, or more, got {value:g}")
        if name in _LAYERS and value < 1:
            raise UserError(f"{where}: expected 1 or more, got {value:g}")
