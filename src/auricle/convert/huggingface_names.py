"""Names of weights, between transformers' and ours, by the tables of `huggingface_keys.py`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from auricle.convert import huggingface_keys as keys
from auricle.models.config import Wav2Vec2Config

Pattern = re.Pattern[str]


@dataclass(frozen=True)
class NameTable:
    """Names in two languages: in their patterns, `#` is a number and a final `*` whatever follows.

    Attributes:
        pairs: Their patterns -> ours.
    """

    pairs: Mapping[str, str]

    def ours(self, theirs: str) -> str | None:
        """Our name of one of theirs; None where the table has none."""
        return _translated(theirs, self._from_theirs)

    def theirs(self, ours: str) -> str | None:
        """Their name of one of ours."""
        return _translated(ours, self._from_ours)

    @cached_property
    def _from_theirs(self) -> list[tuple[Pattern, str]]:
        return [(_pattern(theirs), ours) for theirs, ours in self.pairs.items()]

    @cached_property
    def _from_ours(self) -> list[tuple[Pattern, str]]:
        return [(_pattern(ours), theirs) for theirs, ours in self.pairs.items()]


def encoder_names(config: Wav2Vec2Config) -> NameTable:
    """Of an encoder's weights, without what stands before them where there is a head."""
    layers = keys.LAYER_NAMES[config.encoder.layer_type]
    return NameTable(keys.ENCODER_NAMES | keys.CONV_NORM_NAMES[config.conv_norm] | layers)


def _pattern(name: str) -> Pattern:
    return re.compile(re.escape(name).replace(r"\#", r"(\d+)").replace("#", r"(\d+)").replace(r"\*", "(.+)"))


def _translated(name: str, table: list[tuple[Pattern, str]]) -> str | None:
    for pattern, template in table:
        if match := pattern.fullmatch(name):
            return re.sub("[#*]", "{}", template).format(*match.groups())
    return None
