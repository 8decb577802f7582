"""Saving a run, and taking it up again; in a run of several workers the first writes, and all read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from auricle.convert.loaded import Loaded
from auricle.convert.own import read_model
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.files import resolve_folder
from auricle.models.build import Model
from auricle.models.config import SpeechConfig
from auricle.train.checkpoint import (
    BEST,
    LAST,
    TrainingState,
    copy_checkpoint,
    load_training_state,
    remove_old_updates,
    save_checkpoint,
    update_name,
)
from auricle.train.step import LossScale, Step


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps the checkpoints of a run.

    Attributes:
        folder: Where they are.
        model: Being trained.
        dictionary: Of its labels, or None.
        step: Whose optimizer, loss scale and workers they are.
        keep_updates: How many ``update_N`` are kept; 0 or less: all.
    """

    folder: Path
    model: Model
    dictionary: Dictionary | None
    step: Step
    keep_updates: int

    def save(self, num_updates: int, values: Mapping[str, Any], *, best: bool, keep: bool) -> None:
        """Save `last`, and `best` and ``update_N`` where asked for; all workers together.

        Raises:
            UserError: It cannot be written; what was there before is kept.
        """
        engine = self.step.engine
        weights = {name: engine.to_save(tensor) for name, tensor in self.model.state_dict().items()}
        moments = self.step.optimizer.named_state(self.model.named_parameters(), engine.to_save)
        if self.step.loss_scale:
            values = {**values, "loss_scale": asdict(self.step.loss_scale)}
        with engine.together():
            if engine.first:
                self._write(weights, TrainingState(num_updates, moments, values), best=best, keep=keep)

    def _write(self, weights: Mapping[str, Tensor], state: TrainingState, *, best: bool, keep: bool) -> None:
        kept = [update_name(state.num_updates)] if keep else []
        # `last` comes last: a run killed in between goes on from the one before, and does all of it again.
        first, *others = (*kept, *([BEST] if best else []), LAST)
        save_checkpoint(self.folder / first, weights, self.model.config, self.dictionary, state)
        for name in others:
            copy_checkpoint(self.folder / first, self.folder / name)
        if keep:
            remove_old_updates(self.folder, self.keep_updates)

    def restore(self) -> Mapping[str, Any]:
        """Go on from `last`, where there is one; gives the values that were saved with it.

        Raises:
            UserError: It is damaged, or of another run than the recipe describes.
        """
        folder = resolve_folder(self.folder / LAST)
        if not folder.exists():
            return {}
        try:
            loaded, state = read_model(folder), load_training_state(folder)
        except UserError as error:
            raise UserError(
                f"{error}, which you copy to {folder}, or choose another run folder (checkpoint.save_dir)"
            ) from None
        self._take_over(loaded)
        self.step.optimizer.load_named_state(
            self.model.named_parameters(), state.tensors, self.step.engine.part
        )
        if self.step.loss_scale and "loss_scale" in state.values:
            self.step.loss_scale = LossScale(**state.values["loss_scale"])
        return state.values

    def _take_over(self, loaded: Loaded) -> None:
        """Give the model the weights of a checkpoint of this run.

        Raises:
            UserError: The recipe has become another since.
        """
        advice = (
            "go on with the recipe and the data it was begun with, or choose another run folder "
            "(checkpoint.save_dir)"
        )
        if self.dictionary is not None and loaded.dictionary is not None:
            self.dictionary.check_same(loaded.dictionary, "the dictionary of the labels", advice)
        now, old = self.model.config, loaded.config
        if isinstance(now, SpeechConfig) and isinstance(old, SpeechConfig) and now.normalize != old.normalize:
            trained = str(old.normalize).lower()
            raise UserError(f"{loaded.source} was trained with task.normalize={trained}: {advice}")
        try:
            self.step.engine.load(self.model, loaded.model.state_dict())
        except RuntimeError:
            raise UserError(
                f"{loaded.source} holds another model than the recipe describes: {advice}"
            ) from None
