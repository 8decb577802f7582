"""Files of one JSON object a line, read as far as they can be."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Parsed = TypeVar("Parsed")

_NAMED_LINES = 5


def read_json_lines(
    path: Path, parse: Callable[[dict[str, object]], Parsed]
) -> tuple[list[Parsed], list[str]]:
    """Read every line that can be read; say which ones cannot.

    A kill can cut the last line of a log short, and a resumed run goes on after it: a damaged line is
    therefore left out wherever it stands, and the others are used.

    Args:
        path: the file, UTF-8.
        parse: makes a value of one object; raises `ValueError` where it does not hold what it should.

    Returns:
        The values in file order, and at most one notice.

    Raises:
        OSError: The file cannot be read.
    """
    values: list[Parsed] = []
    damaged: list[int] = []
    with open(path, "rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                values.append(parse(parse_object(line)))
            except (ValueError, OverflowError):
                damaged.append(number)
    return values, [_notice(path.name, damaged, len(values))] if damaged else []


def parse_object(text: bytes) -> dict[str, object]:
    """One JSON object from UTF-8 text.

    Raises:
        ValueError: It is not JSON, not UTF-8, nested beyond reason, or not an object.
    """
    try:
        value = json.loads(text.decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def finite_numbers(line: dict[str, object]) -> tuple[dict[str, float], list[str]]:
    """The numbers of an object (true and false are none), and the names of those that are NaN or infinite.

    The log says null where a number was not finite, as JSON has no word for it.

    Raises:
        OverflowError: A whole number is beyond every float.
    """
    numbers = {
        key: math.nan if value is None else float(value)
        for key, value in line.items()
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    }
    finite = {key: number for key, number in numbers.items() if math.isfinite(number)}
    return finite, sorted(numbers.keys() - finite.keys())


def _notice(name: str, damaged: list[int], num_read: int) -> str:
    named = ", ".join(map(str, damaged[:_NAMED_LINES])) + (", …" if len(damaged) > _NAMED_LINES else "")
    lines = f"line {named} is" if len(damaged) == 1 else f"lines {named} ({len(damaged)} in all) are"
    return f"{name}: {lines} damaged and left out; the other {num_read} are used."
