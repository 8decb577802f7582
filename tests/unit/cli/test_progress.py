import io
import sys

import pytest

from auricle.cli import progress as module
from auricle.cli.progress import progress


def test_short_work_is_silent_where_there_is_no_terminal(capsys):
    with progress("files", 2) as advance:
        advance()
        advance()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("total", "line"), [(9, "3 of 9 files\n"), (None, "3 files\n")])
def test_long_work_says_a_line_now_and_then(monkeypatch, capsys, total, line):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    with progress("files", total) as advance:
        advance(3)
    assert capsys.readouterr().err == line


def test_a_terminal_gets_a_bar_and_standard_output_stays_itself(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal, output = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setenv("TERM", "xterm")
    with progress("files", 2) as advance:
        print("a transcript")
        advance(2)
    assert output.getvalue() == "a transcript\n"
    assert "files" in terminal.getvalue() and "transcript" not in terminal.getvalue()
