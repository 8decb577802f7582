"""``auricle models``: published checkpoints, by short names."""

import json
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Annotated

import typer

from auricle.cli.progress import Advance, progress
from auricle.errors import UserError
from auricle.zoo import Checked, Entry, copy_in_cache, download, entries, find, is_in_cache, verify
from auricle.zoo.cache import CACHE, OFFLINE, Place, cache_folder
from auricle.zoo.catalogue import MIRROR, UNKNOWN

_MIB = 2**20

application = typer.Typer(
    help=f"""Published checkpoints, by short names that stand for a path wherever a checkpoint is asked for.

    They are kept in the folder that {CACHE} names, else in auricle/ in your folder of caches. {OFFLINE}=1
    keeps this program from downloading anything; {MIRROR} names a server to ask in place of the publishers'.
    """,
)

_NAME = typer.Argument(metavar="NAME", help="As `auricle models list` has it.", show_default=False)


@application.command("list")
def list_models(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD]...", help="Show only those that have every word in what is shown."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An array with all that is known.")] = False,
) -> None:
    """List the published models: name, what it gives, labels, WER, licence.

    WER is LibriSpeech test-clean/test-other in percent without a language model, as published; a star says
    that we found it in a second source. A plus before a name says that the model is in the cache.
    """
    wanted = [word.lower() for word in words or []]
    shown = [
        entry for entry in entries().values() if all(word in " ".join(_row(entry)).lower() for word in wanted)
    ]
    if not shown:
        raise UserError(f"no published model has {' '.join(words or [])!r}: leave words out")
    if as_json:
        typer.echo(json.dumps([_facts(entry) for entry in shown], indent=2, ensure_ascii=False))
        return
    rows = [("", "NAME", "GIVES", "LABELS", "WER %", "LICENCE", "WHAT"), *map(_row, shown)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _row(entry: Entry) -> tuple[str, ...]:
    wer = entry.wer.get("no LM", "-")
    note = "" if entry.runs or entry.task == "dictionary" else " (not run here)"
    mark = "+" if is_in_cache(entry) else ""
    return mark, entry.name, entry.task, entry.labels, wer, entry.licence, entry.about + note


@application.command("show")
def show(name: Annotated[str, _NAME]) -> None:
    """Show all that is known of a model: addresses, labels, licence, published WER, what is in the cache."""
    for word, value in _facts(find(name)).items():
        if isinstance(value, dict):
            value = ", ".join(f"{part} {number}" for part, number in value.items()) or UNKNOWN
        for line in value if isinstance(value, list) else [value]:
            typer.echo(f"{word.replace('_', ' '):<16}{_said(line)}")
            word = ""


def _said(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "none"}[value]
    return str(value)


def _facts(entry: Entry) -> dict[str, object]:
    in_cache = is_in_cache(entry)
    return {
        "name": entry.name,
        "what": entry.about,
        "family": entry.family,
        "gives": entry.task,
        "audio": entry.data,
        "labels": entry.labels,
        "phonemizer": entry.phonemizer,
        "wer": dict(entry.wer),
        "wer_source": entry.wer_source,
        "licence": entry.licence,
        "licence_source": entry.licence_source,
        "addresses": [address for wanted in entry.files for address in wanted.addresses],
        "dictionary": entry.dictionary,
        "same_as": entry.same_as,
        "runs_here": entry.runs,
        "in_cache": str(Place.of(entry.name).files) if in_cache else None,
    }


@application.command("download")
def download_models(
    names: Annotated[list[str], _NAME],
    again: Annotated[bool, typer.Option("--again", help="Also what is in the cache already.")] = False,
    accept_new: Annotated[
        bool,
        typer.Option(
            "--accept-new", help="Record checksums anew where a file is another one than it was at first."
        ),
    ] = False,
) -> None:
    """Download models and their dictionaries into the cache; a download that broke off goes on.

    The sha256 of each file is recorded when it is first seen here, and checked ever after. Nobody publishes
    checksums of these files: it shows that a file is what it was then, not who made it.
    """
    found = [find(name) for name in names]
    for entry in found:
        copy = None if again or accept_new else copy_in_cache(entry)
        if copy is None:
            _say_licence(entry)
            with _Bars() as bars:
                copy = download(entry, watch=bars, again=again, accept_new=accept_new)
        typer.echo(copy.path)


def _say_licence(entry: Entry) -> None:
    print(f"{entry.name}: licence {entry.licence} ({entry.licence_source})", file=sys.stderr)


@application.command("verify")
def verify_models(names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None) -> None:
    """Read downloaded models in full, and compare them with the sha256 recorded at first use.

    All that were ever downloaded, where no name is given.
    """
    wanted = [find(name) for name in names] if names else list(entries().values())
    checked = [(entry, result) for entry in wanted for result in verify(entry)]
    for name in {entry.name for entry in wanted} - {entry.name for entry, _ in checked} if names else ():
        raise UserError(f"{name} was never downloaded here: `auricle models download {name}`")
    if not checked:
        raise UserError(f"nothing was downloaded to {cache_folder()} yet: see `auricle models list`")
    for entry, result in checked:
        typer.echo(f"{_verdict(result):<8}{result.record.sha256}  {entry.name}: {result.path.name}")
    typer.echo("sha256 as recorded at first use: it shows that a file is what it was then, not who made it")
    _refuse_changed(checked)


def _verdict(result: Checked) -> str:
    return "same" if result.is_same else "gone" if result.sha256 is None else "CHANGED"


def _refuse_changed(checked: Iterable[tuple[Entry, Checked]]) -> None:
    changed = {entry.name: result for entry, result in checked if not result.is_same}
    if changed:
        which = " ".join(changed)
        raise UserError(
            f"{len(changed)} of the models {'is' if len(changed) == 1 else 'are'} not as at first:"
            f" `auricle models download --again {which}`"
        )


class _Bars:
    """Progress of one file after another."""

    def __init__(self) -> None:
        self.file = ""
        self.done = 0
        self.advance: Advance | None = None
        self.stack = ExitStack()

    def __enter__(self) -> "_Bars":
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def __call__(self, file: str, done: int, total: int | None) -> None:
        """Moves the bar of the file in hand, in MiB."""
        if file != self.file or self.advance is None:
            self.stack.close()
            whole = None if total is None else -(-total // _MIB)
            self.advance = self.stack.enter_context(progress(f"MiB of {file}", whole))
            self.file, self.done = file, 0
        now = -(-done // _MIB)
        if now > self.done:
            self.advance(now - self.done)
            self.done = now
