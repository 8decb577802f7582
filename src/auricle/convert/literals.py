"""Text that holds a Python literal, as fairseq's options do, read without evaluating anything.

Besides what a literal may be, sums and repetitions of lists are understood, for that is how
convolution stacks are written: "[(512, 10, 5)] + [(512, 3, 2)] * 4".
"""

import ast
from typing import Any

MAX_CHARACTERS = 10_000
"""Of the text; the longest in use has some 200."""

MAX_ITEMS = 10_000
"""Of a list made by a sum or a repetition: a short text could otherwise stand for a very long one."""

MAX_DEPTH = 50
"""Of brackets, signs and operators inside one another."""


class LiteralError(ValueError):
    """The text is not a literal."""


def read_literal(text: str) -> Any:
    """The value that `text` spells.

    Args:
        text: Numbers, strings, True, False, None, and lists, tuples and dictionaries of them; `+`
            between two lists or two tuples, `*` between one of those and a whole number.

    Returns:
        The value, of plain Python types.

    Raises:
        LiteralError: It is something else: a name, a call, an attribute, any other operator.
    """
    if len(text) > MAX_CHARACTERS:
        raise LiteralError(f"{len(text)} characters are too many for a literal (at most {MAX_CHARACTERS})")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # the parser's own limits are among them
        raise LiteralError(f"not a literal: {shortened(text)}") from None
    return _value(tree.body, text, MAX_DEPTH)


def shortened(text: str, limit: int = 60) -> str:
    """`text` quoted, cut to a length that fits in a message."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def _value(node: ast.expr, text: str, depth: int) -> Any:
    if depth == 0:
        raise LiteralError(f"nested more than {MAX_DEPTH} deep: {shortened(text)}")
    depth -= 1
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.List(elts=items):
            return [_value(item, text, depth) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item, text, depth) for item in items)
        case ast.Dict(keys=keys, values=values):
            return _dictionary(keys, values, text, depth)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            return _signed(sign, _value(operand, text, depth), text)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _sum(_value(left, text, depth), _value(right, text, depth), text)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _repetition(_value(left, text, depth), _value(right, text, depth), text)
    raise LiteralError(f"only numbers, strings, lists and tuples are read: {shortened(text)}")


def _dictionary(keys: list[ast.expr | None], values: list[ast.expr], text: str, depth: int) -> dict[Any, Any]:
    result = {}
    for key_node, value_node in zip(keys, values, strict=True):
        key = None if key_node is None else _value(key_node, text, depth)
        if not isinstance(key, str | int | float):
            raise LiteralError(f"keys are numbers and strings: {shortened(text)}")
        result[key] = _value(value_node, text, depth)
    return result


def _signed(sign: ast.unaryop, value: Any, text: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LiteralError(f"a sign belongs before a number: {shortened(text)}")
    return -value if isinstance(sign, ast.USub) else value


def _sum(left: Any, right: Any, text: str) -> Any:
    if type(left) is not type(right) or not isinstance(left, list | tuple):
        raise LiteralError(f"'+' joins two lists or two tuples: {shortened(text)}")
    _check_size(len(left) + len(right), text)
    return left + right


def _repetition(left: Any, right: Any, text: str) -> Any:
    items, times = (right, left) if isinstance(left, int) else (left, right)
    if isinstance(times, bool) or not isinstance(times, int) or not isinstance(items, list | tuple):
        raise LiteralError(f"'*' repeats a list or a tuple a whole number of times: {shortened(text)}")
    _check_size(len(items) * times, text)
    return items * times


def _check_size(size: int, text: str) -> None:
    if size > MAX_ITEMS:
        raise LiteralError(f"a list of more than {MAX_ITEMS} items: {shortened(text)}")
