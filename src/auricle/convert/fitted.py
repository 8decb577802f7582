"""A model made fit for a format that cannot say everything about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from auricle.convert.loaded import Loaded
from auricle.convert.values import with_values
from auricle.convert.weights import TensorWeight, model_with_weights
from auricle.dictionary import SPECIALS, Dictionary

NO_DICTIONARY = "it has no dictionary: its labels are called after their numbers (or give --dictionary)"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a format can hold of a model.

    Attributes:
        loaded: The model; what is written and read again must give its answers.
        notices: A sentence for each thing in which it differs from the one that was asked for.
    """

    loaded: Loaded
    notices: tuple[str, ...] = ()


def rebuilt(loaded: Loaded, values: Mapping[str, Any]) -> Loaded:
    """The model with some values of its configuration replaced, by their dotted paths, and its weights."""
    config = with_values(loaded.config, values)
    weights = {name: TensorWeight(tensor) for name, tensor in loaded.model.state_dict().items()}
    return replace(loaded, config=config, model=model_with_weights(config, weights))


def placeholders(num_labels: int) -> Dictionary:
    """A dictionary for a recogniser that has none: its labels are called after their numbers."""
    return Dictionary(f"<label{number}>" for number in range(len(SPECIALS), num_labels))


def without_placeholders(loaded: Loaded) -> Loaded:
    """A dictionary of nothing but placeholders is none."""
    dictionary = loaded.dictionary
    if dictionary is None or len(dictionary) <= len(SPECIALS) or dictionary != placeholders(len(dictionary)):
        return loaded
    return replace(loaded, dictionary=None)
