"""Lines as they stand in a file."""

from pathlib import Path

import pytest

from auricle.errors import UserError
from auricle.textfile import read_lines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"a\n\n", ["a", ""]),
        (b"\n", [""]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        ("a\u2028b\x85c\n".encode(), ["a\u2028b\x85c"]),
    ],
)
def test_lines(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert read_lines(path) == lines


def test_bytes_that_are_not_utf8_are_named_by_line_or_let_through(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\ncaf\xe9\n")
    with pytest.raises(UserError, match=r"x:2: not UTF-8"):
        read_lines(path)
    assert read_lines(path, undecodable="surrogateescape") == ["a", "caf\udce9"]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing: cannot be read"):
        read_lines(tmp_path / "nothing")
