"""The ``auricle`` command: one verb each, found by name and imported only when asked for."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

import typer

from auricle.errors import UserError


@dataclass(frozen=True, slots=True)
class Verb:
    """One command of the program.

    Attributes:
        module: the module under ``auricle.cli`` that holds it.
        summary: its line in ``auricle --help``.
        function: the function of that module that is the command.
        stray: whether words and flags it does not declare are handed to it in ``Context.args``.
        more_help: the function of that module that gives what its ``--help`` says after the options.
    """

    module: str
    summary: str
    function: str = "command"
    stray: bool = False
    more_help: str = ""


VERBS: dict[str, Verb] = {
    "manifest": Verb("manifest", "List the audio of a folder in train.tsv and valid.tsv."),
    "labels": Verb("labels", "Write .ltr, .wrd and dict.ltr.txt from a table of transcripts."),
    "libri-labels": Verb("libri_labels", "Write .ltr and .wrd from LibriSpeech's transcript files."),
    "phonemize": Verb("phonemize", "Write .phn and dict.phn.txt from the words of utterances."),
    "data": Verb("data", "Look a corpus through: data check CORPUS."),
    "shard": Verb("shard", "Pack the audio of a corpus into zip archives that manifests address."),
    "lm": Verb("lm", "Estimate an n-gram language model from text, and write a lexicon."),
    "train": Verb("train", "Pre-train or fine-tune a model with a recipe.", stray=True, more_help="keys"),
    "evaluate": Verb("evaluate", "Decode a labelled subset and measure its error rates.", stray=True),
    "infer": Verb("evaluate", "Another name for evaluate.", stray=True),
    "tune": Verb("tune", "Find the language model weight and word score that make the fewest errors."),
    "transcribe": Verb("transcribe", "Turn audio files, folders or standard input into text."),
    "align": Verb("align", "Find out when each word of a known text is said."),
    "featurize": Verb("featurize", "Write what a model's layers make of audio: HDF5, npy, Parquet."),
    "tokenize": Verb("tokenize", "Write audio as the codes of a model's quantizer, and their dictionary."),
    "convert": Verb("convert", "Write a checkpoint in the format of fairseq, Hugging Face or this package."),
    "models": Verb("models", "List, download and verify published checkpoints.", "application"),
    "export": Verb("export", "Write a model as an ONNX file, for onnxruntime and OpenVINO."),
    "report": Verb("report", "Write the page of a run: curves, error rates, audio to listen to."),
    "bench": Verb("bench", "Measure how fast a recogniser is here, stage by stage."),
    "demo": Verb("demo", "Pre-train, fine-tune and transcribe on the bundled speech in minutes."),
}

_HELP = {"-h", "--help"}

# What stops a command when the machine, not the program, is at fault: said in a line, without a traceback.
_MACHINE_ERRORS = frozenset(
    [
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
        *(errno.EACCES, errno.EPERM, errno.EROFS),
        *(errno.ENOSPC, errno.EDQUOT),
    ]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program and gives its exit code, for ``sys.exit``.

    Args:
        arguments: the words after the program's name; those of the process when None.

    Returns:
        0 when all went well, 2 after a mistake of the user's (one line on standard error says which
        and what to do), 130 after Ctrl-C. A fault of ours is no exit code: its exception passes through.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    wanted = next((word for word in words if not word.startswith("-")), None)
    _log_to_stderr()
    try:
        result = _application(wanted)(words, prog_name="auricle", standalone_mode=False)
        if wanted in VERBS and VERBS[wanted].more_help and not _HELP.isdisjoint(words):
            print(_function(VERBS[wanted], VERBS[wanted].more_help)(), flush=True)
    except typer.TyperException as error:
        program = f"auricle {wanted}" if wanted in VERBS else "auricle"
        return _complain(f"{error.format_message().rstrip('.')} (see `{program} --help`)")
    except UserError as error:
        return _complain(str(error))
    except BrokenPipeError:  # who reads, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _MACHINE_ERRORS:
            raise
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
    except (KeyboardInterrupt, typer.Abort):
        return 130
    return result if isinstance(result, int) else 0


def _application(wanted: str | None) -> typer.Typer:
    """The typer application, with only the wanted verb's module imported: help must not wait for torch."""
    application = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": sorted(_HELP)},
    )
    application.callback()(_callback)
    for name, verb in VERBS.items():
        if name == wanted and isinstance(group := _function(verb), typer.Typer):
            application.add_typer(group, name=name, short_help=verb.summary)
            continue
        application.command(
            name,
            short_help=verb.summary,
            context_settings={"allow_extra_args": verb.stray, "ignore_unknown_options": verb.stray},
        )(_function(verb) if name == wanted else _not_wanted)
    return application


def _function(verb: Verb, name: str | None = None) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(import_module(f"auricle.cli.{verb.module}"), name or verb.function)
    return function


def _not_wanted() -> None:
    """Stands for the verbs that this run does not use."""


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"auricle {metadata.version('auricle')}")
        raise typer.Exit


def _callback(
    version: bool = typer.Option(
        False, "--version", help="Print the version and leave.", callback=_print_version, is_eager=True
    ),
) -> None:
    """Learns speech representations from unlabelled audio and turns them into speech recognisers."""


def _complain(message: str) -> int:
    print(f"auricle: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _log_to_stderr() -> None:
    """Sends the package's notices to standard error: standard output belongs to results."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("auricle: %(message)s"))
    logger = logging.getLogger("auricle")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
