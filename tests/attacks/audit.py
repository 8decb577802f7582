"""An audit hook for a process of its own: it ends that at anything but reading the files it was given."""

import os
import subprocess
import sys
from pathlib import Path

HOOK = """
watching = True


def watch(event, args):
    if not watching:
        return
    if event == "open":
        path, _, flags = args
        fine = str(path) in allowed_files and not flags & 0x3  # neither O_WRONLY nor O_RDWR
    elif event == "compile":
        fine = args[1] == b"<unknown>" or args[1] == "<unknown>"  # ast.parse, of options that hold literals
    elif event == "builtins.id":
        fine = True
    else:
        fine = event.split(".")[0] not in {
            "import", "exec", "os", "subprocess", "socket", "ctypes", "shutil", "pickle", "marshal", "code",
            "builtins", "tempfile", "glob", "urllib", "webbrowser", "sys", "mmap", "object",
        }
    if not fine:
        print("event", event, str(args)[:200], file=sys.stderr, flush=True)
        import posix
        posix._exit(13)
"""
"""Expects `sys` and `allowed_files`, a set of paths, and defines `watch` and `watching`."""


def run(script: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """A script in a fresh process; 13 is the code that the hook ends it with."""
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
    )
