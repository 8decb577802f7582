"""The command's promises: quick help, verbs found by name, one line and exit code 2 for a user's mistake."""

import errno
import logging
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Annotated

import pytest
import typer

from auricle.cli import main as cli
from auricle.errors import UserError


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a command of the test's own under the verb `probe`."""

    def add(command: Callable[..., object], stray: bool = False) -> None:
        module = ModuleType("auricle.cli.probe")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "auricle.cli.probe", module)
        monkeypatch.setitem(cli.VERBS, "probe", cli.Verb("probe", "Probes.", stray=stray))

    return add


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def test_help_lists_every_verb_without_importing_torch() -> None:
    code = "import sys; from auricle.cli.main import main; main(['-h']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in cli.VERBS)


def test_no_words_at_all_ask_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "transcribe" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("auricle 0.")


def test_a_verb_gets_its_options_and_gives_its_exit_code(verb: Callable[..., None]) -> None:
    seen = []

    def command(name: str, count: Annotated[int, typer.Option()] = 1) -> int:
        seen.append((name, count))
        return 3

    verb(command)
    assert cli.main(["probe", "a", "--count", "2"]) == 3
    assert seen == [("a", 2)]


def test_stray_words_reach_a_verb_that_asks_for_them(verb: Callable[..., None]) -> None:
    seen = []

    def command(context: typer.Context, config_name: Annotated[str, typer.Option()] = "") -> None:
        seen.append((config_name, context.args))

    verb(command, stray=True)
    words = ["probe", "task.data=D", "+a.b=1", "--config-name", "base", "--attn-type", "rope", "-x"]
    assert cli.main(words) == 0
    assert seen == [("base", ["task.data=D", "+a.b=1", "--attn-type", "rope", "-x"])]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prob"], "No such command 'prob'"),
        (["probe", "--cuont", "2"], "No such option: --cuont"),
        (["probe", "--count", "two"], "Invalid value for '--count'"),
        (["probe"], "Missing argument 'name'"),
    ],
)
def test_mistakes_on_the_command_line_take_one_line(
    words: list[str], said: str, verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def command(name: str, count: Annotated[int, typer.Option()] = 1) -> None:
        raise AssertionError("must not run")

    verb(command)
    assert cli.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert said in shown.err
    assert "--help`" in shown.err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("train.tsv:3: two\ncolumns; give 3"), "auricle: train.tsv:3: two columns; give 3\n"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.wav"), "auricle: x.wav: No such file\n"),
        (OSError(errno.ENOSPC, "No space left on device"), "auricle: No space left on device\n"),
    ],
)
def test_a_users_mistake_takes_one_line_and_exit_code_2(
    error: Exception, line: str, verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    verb(raising(error))
    assert cli.main(["probe"]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(line) and shown.err.count("\n") == 1 and shown.out == ""


@pytest.mark.parametrize("error", [ValueError("a fault of ours"), OSError(errno.EIO, "Input/output error")])
def test_a_fault_of_ours_keeps_its_traceback(error: Exception, verb: Callable[..., None]) -> None:
    verb(raising(error))
    with pytest.raises(type(error)):
        cli.main(["probe"])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_an_interrupt_leaves_with_130(error: BaseException, verb: Callable[..., None]) -> None:
    verb(raising(error))
    assert cli.main(["probe"]) == 130


def test_notices_go_to_standard_error(verb: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        logging.getLogger("auricle.audio").info("resampling 8000 Hz to 16000 Hz")
        print("result")

    verb(command)
    assert cli.main(["probe"]) == 0
    assert tuple(capsys.readouterr()) == ("result\n", "auricle: resampling 8000 Hz to 16000 Hz\n")
