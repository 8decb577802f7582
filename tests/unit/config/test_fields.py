"""How a value that someone wrote becomes one of its key's type."""

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.config.fields import coerce, type_name
from auricle.errors import UserError


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("1e-06", float, 1e-6),
        (3, float, 3.0),
        (3200000.0, int, 3_200_000),
        ("12", int, 12),
        ("true", bool, True),
        ("False", bool, False),
        (1, bool, True),
        ("(0.9,0.98)", tuple[float, float], (0.9, 0.98)),
        ([2, 0.5, "0.999995"], tuple[float, float, float], (2.0, 0.5, 0.999995)),
        (0.0005, tuple[float, ...], (0.0005,)),
        ("[1]", tuple[float, ...], (1.0,)),
        ("4", tuple[int, ...], (4,)),
        ('["a","b"]', tuple[str, ...], ("a", "b")),
        ("a", tuple[str, ...], ("a",)),
        (None, int | None, None),
        ("null", float | None, None),
        ("null", str | None, None),
        (5, str, "5"),
        ([[32, 10, 5]], str, "[[32, 10, 5]]"),
        ("static", Literal["static", "normal"], "static"),
        ("", Literal["", "espnet"], ""),
        ({"a": 1}, dict[str, Any] | None, {"a": 1}),
    ],
)
def test_accepts(value: object, annotation: Any, expected: object) -> None:
    result = coerce(value, annotation, "here")
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        ("many", int),
        (1.5, int),
        (float("inf"), int),
        (True, int),
        (True, float),
        (2, bool),
        ("maybe", bool),
        (None, int),
        (False, str),
        ({"a": 1}, str),
        ("median", Literal["static", "normal"]),
        ([1.0, 2.0], tuple[float, float, float]),
        ("__import__('os')", tuple[float, ...]),
        (["a"], tuple[float, ...]),
        ("text", dict[str, Any]),
    ],
)
def test_refuses_in_one_line(value: object, annotation: Any) -> None:
    with pytest.raises(UserError) as error:
        coerce(value, annotation, "group.key")
    assert str(error.value).startswith("group.key: expected ")
    assert "\n" not in str(error.value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_in_text_are_the_numbers(number: float) -> None:
    assert coerce(repr(number), float, "here") == number


@given(st.integers())
def test_whole_numbers_of_any_size_stay_exact(number: int) -> None:
    assert coerce(str(number), int, "here") == number


@given(st.text())
def test_text_is_left_alone(text: str) -> None:
    assert coerce(text, str, "here") == text


def test_types_are_named_in_words() -> None:
    assert type_name(tuple[float, ...] | None) == "list of float or null"
    assert type_name(Literal["", "espnet"]) == "'' | espnet"
    assert type_name(bool) == "true or false"
