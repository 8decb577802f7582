"""Text files that people write: read with errors a person can act on."""

import os
from pathlib import Path

from auricle.errors import UserError


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Read the lines of a UTF-8 file, without their ends; blank lines after the last one are left out.

    File names that are not UTF-8 keep their bytes (as surrogate escapes), so that manifests can hold them.

    Raises:
        UserError: The file is missing or cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path") from None
    # not splitlines(): it would also cut at U+2028 and other characters that transcripts may hold
    return [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")] if text.strip() else []
