"""What reading a checkpoint gives."""

from dataclasses import dataclass
from pathlib import Path

from auricle.dictionary import Dictionary
from auricle.models.build import Model
from auricle.models.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model and what goes with it.

    Attributes:
        model: In evaluation mode.
        dictionary: Of a recogniser; None where the checkpoint holds none and none was given.
        config: What the model was built from.
        num_updates: Updates that it was trained for.
        source: The file or folder that was read.
        rows: Of a recogniser that came from Hugging Face with its labels in another order than ours: which
            row of its output layer each label was there, -1 for none. Empty: all were where they are.
    """

    model: Model
    dictionary: Dictionary | None
    config: ModelConfig
    num_updates: int
    source: Path
    rows: tuple[int, ...] = ()
