import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.convert.literals import MAX_ITEMS, LiteralError, read_literal

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(0.9,0.98)", (0.9, 0.98)),
        ("1e-06", 1e-06),
        (" [1] ", [1]),
        ("-3", -3),
        ("None", None),
        ("[(8, 10, 5)] + [(8, 3, 2)] * 2 + [(8,2,2)]", [(8, 10, 5), (8, 3, 2), (8, 3, 2), (8, 2, 2)]),
        ("2 * [(1, 2)]", [(1, 2), (1, 2)]),
        ("(1,) * 3", (1, 1, 1)),
        ("{'a': [1]}", {"a": [1]}),
    ],
)
def test_literals_of_recipes(text: str, value: object) -> None:
    assert read_literal(text) == value


@given(PLAIN)
def test_every_plain_value_is_read_back(value: object) -> None:
    spelled = repr(value)
    if len(spelled) < 10_000:
        assert read_literal(spelled) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "a",
        "[x for x in (1, 2)]",
        "().__class__",
        "2 ** 10",
        "'a' * 10",
        "[1] * 1.5",
        "[1] * True",
        "[1] + (2,)",
        "1 + 2",
        "-'a'",
        "{[1]: 2}",
        "{**{}}",
        "f'{1}'",
        "...",
        "b'x'",
        "lambda: 1",
        "",
        "1;2",
        "\0",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(LiteralError):
        read_literal(text)


@pytest.mark.parametrize(
    "text",
    [
        f"[0] * {MAX_ITEMS + 1}",
        "[0] * 10000000000000000000000",
        f"[0] * {MAX_ITEMS} + [0]",
        "(" * 5000 + ")" * 5000,
        "-" * 9000 + "1",
        "+".join(["[1]"] * 2000),
        "[" * 150 + "]" * 150,
        "1" * 9999,
        "1" * 20_000,
    ],
)
def test_what_would_take_too_much_is_refused(text: str) -> None:
    with pytest.raises(LiteralError):
        read_literal(text)


def test_messages_are_short_and_on_one_line() -> None:
    with pytest.raises(LiteralError) as caught:
        read_literal("a\n" * 4000)
    assert len(str(caught.value)) < 120 and "\n" not in str(caught.value)
