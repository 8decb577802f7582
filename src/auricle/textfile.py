"""Text files that people write: read with errors a person can act on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from auricle.errors import UserError


def read_lines(
    path: str | os.PathLike[str], *, undecodable: Literal["strict", "surrogateescape"] = "strict"
) -> list[str]:
    """Read the lines of a UTF-8 file, blank ones too, without their ends.

    Args:
        path: The file.
        undecodable: What bytes that are not UTF-8 do: raise, or come through as surrogate escapes, as Python
            has them in file names.

    Raises:
        UserError: The file is missing, cannot be read, or is not UTF-8.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig", errors=undecodable)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8 text: convert the file, with iconv for example") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path") from None
    # not splitlines(): it would also cut at U+2028 and other characters that transcripts may hold
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def iterate_lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """The same lines one by one, of a file that need not fit into memory.

    Raises:
        UserError: As in `read_lines`, where the fault is met.
    """
    number = 0
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                yield text.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UserError(
            f"{path}:{number}: not UTF-8 text: convert the file, with iconv for example"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path") from None
