import math
from pathlib import Path

import pytest

from auricle.report.jsonlines import finite_numbers, parse_object, read_json_lines


def read(path: Path, content: bytes) -> tuple[list[dict[str, object]], list[str]]:
    path.write_bytes(content)
    return read_json_lines(path, lambda line: line)


def test_reads_every_line_in_order(tmp_path: Path) -> None:
    values, notices = read(tmp_path / "log.jsonl", b'{"a": 1}\n\n{"a": 2}')
    assert values == [{"a": 1}, {"a": 2}]
    assert notices == []


@pytest.mark.parametrize(
    "damaged",
    [b'{"a": 1', b"\xff\xfe", b"[1]", b"null", b"\x00" * 40, b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"],
    ids=["cut", "not utf-8", "list", "null", "zeros", "nested", "number"],
)
def test_leaves_a_damaged_line_out_and_says_which(tmp_path: Path, damaged: bytes) -> None:
    values, notices = read(tmp_path / "log.jsonl", b'{"a": 1}\n' + damaged + b'\n{"a": 2}\n')
    assert values == [{"a": 1}, {"a": 2}]
    assert notices == ["log.jsonl: line 2 is damaged and left out; the other 2 are used."]


def test_names_only_the_first_of_many_damaged_lines(tmp_path: Path) -> None:
    _, (notice,) = read(tmp_path / "log.jsonl", b"x\n" * 20)
    assert (
        notice
        == "log.jsonl: lines 1, 2, 3, 4, 5, … (20 in all) are damaged and left out; the other 0 are used."
    )


def test_a_number_is_no_bool_and_no_text() -> None:
    numbers, not_finite = finite_numbers({"a": 1, "b": 2.5, "c": True, "d": "3", "e": math.inf, "f": None})
    assert numbers == {"a": 1.0, "b": 2.5}
    assert not_finite == ["e", "f"]


def test_parse_object_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="not an object"):
        parse_object(b"3")
