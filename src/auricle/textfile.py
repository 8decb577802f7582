"""Text files that people write: read with errors a person can act on."""

import os
from collections.abc import Iterator
from typing import Literal

from auricle.errors import UserError


def read_lines(
    path: str | os.PathLike[str],
    *,
    undecodable: Literal["strict", "surrogateescape"] = "strict",
    max_bytes: int | None = None,
) -> list[str]:
    """Read the lines of a UTF-8 file, blank ones too, without their ends.

    Args:
        path: The file.
        undecodable: What bytes that are not UTF-8 do: raise, or come through as surrogate escapes, as Python
            has them in file names.
        max_bytes: Of files that come from others, and are small.

    Raises:
        UserError: The file is missing, cannot be read, is too large, or is not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            content = file.read() if max_bytes is None else file.read(max_bytes + 1)
        if max_bytes is not None and len(content) > max_bytes:
            raise UserError(f"{path}: larger than {max_bytes // 2**20} MiB: it is no such file")
        text = content.decode("utf-8-sig", errors=undecodable)
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
