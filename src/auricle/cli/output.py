"""Where results go: asked before the work is done, not after it."""

import os
from pathlib import Path

from auricle.errors import UserError


def check_writable(folder: Path) -> None:
    """Makes the folder where it is missing.

    Raises:
        UserError: It cannot be made, or nothing can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}): choose another folder") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: not writable: choose another folder, or change its permissions")


def check_writable_file(path: Path) -> None:
    """Makes its folder where that is missing.

    Raises:
        UserError: It is a folder itself or a device, whose place the file would take, or see
            `check_writable`.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder: give the name of a file to write")
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no regular file: give the name of a file to write")
    check_writable(path.parent)
