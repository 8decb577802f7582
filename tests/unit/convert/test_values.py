from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.convert.values import as_type, check_config, path_type, with_values
from auricle.errors import UserError
from auricle.models.config import CTCConfig, EncoderConfig, QuantizerConfig, Wav2Vec2Config


def test_paths_reach_into_nested_values_and_leave_the_rest() -> None:
    before = CTCConfig()
    after = with_values(before, {"encoder.encoder.dim": 12, "encoder.final_dim": 3, "num_labels": 9})
    assert (after.encoder.encoder.dim, after.encoder.final_dim, after.num_labels) == (12, 3, 9)
    undone = with_values(after, {"encoder.encoder.dim": 768, "encoder.final_dim": 0, "num_labels": 32})
    assert undone == before == CTCConfig()


@pytest.mark.parametrize(
    ("path", "annotation"),
    [
        ("encoder.dim", int),
        ("quantizer.depth", int),
        ("quantizer", QuantizerConfig | None),
        ("encoder", EncoderConfig),
    ],
)
def test_types_of_paths(path: str, annotation: object) -> None:
    assert path_type(Wav2Vec2Config, path) == annotation


@pytest.mark.parametrize("path", ["nonesuch", "encoder.nonesuch"])
def test_there_is_no_type_of_a_path_that_is_not_there(path: str) -> None:
    with pytest.raises(KeyError):
        path_type(Wav2Vec2Config, path)


HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(10**400),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(HOSTILE, st.sampled_from(["encoder.dim", "normalize", "logit_temp", "conv_norm", "conv_layers"]))
def test_any_value_becomes_the_fields_type_or_a_mistake_in_one_line(value: Any, path: str) -> None:
    annotation = path_type(Wav2Vec2Config, path)
    try:
        result = as_type(value, annotation, "word")
    except UserError as error:
        assert str(error).startswith("word: ") and "\n" not in str(error) and len(str(error)) < 200
    else:
        assert isinstance(result, {int: int, bool: bool, float: float}.get(annotation, str | tuple))


@given(st.dictionaries(st.sampled_from(sorted(asdict(EncoderConfig()))), st.integers(0, 1100)))
def test_encoders_are_checked_without_a_crash(values: dict[str, int]) -> None:
    typed = {}
    for name, value in values.items():
        as_field = {bool: bool, int: int, float: float}.get(path_type(EncoderConfig, name), str)
        typed[f"encoder.{name}"] = as_field(value)
    config = with_values(Wav2Vec2Config(), typed)
    try:
        check_config(config)
    except UserError as error:
        assert str(error).startswith("no model can have this configuration: ")
    else:
        assert config.encoder.dim % config.encoder.num_heads == 0
