"""``auricle data check``: is a corpus fit to train on."""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from auricle.cli.options import CorpusArgument, SubsetOption, manifests_of
from auricle.cli.output import check_writable
from auricle.cli.progress import progress
from auricle.data.check import KINDS, Finding, Subset, check_corpus, check_subset, speakers_by
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.manifest import read_manifest
from auricle.report.data_check import summary, write_data_check

_NAMED = 3
_KNOWN_LABELS = ("ltr", "phn", "wrd")


def command(
    action: Annotated[
        Literal["check"], typer.Argument(metavar="check", help="What to do; there is this one action.")
    ],
    corpus: CorpusArgument,
    subset: SubsetOption = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Suffix of the labels to check, or none.",
            show_default=f"the first of {', '.join(_KNOWN_LABELS)} that is there",
        ),
    ] = None,
    dictionary: Annotated[
        Path | None,
        typer.Option(help="Of the labels.", show_default="dict.LABELS.txt in the folder, where it is there"),
    ] = None,
    speakers: Annotated[
        str,
        typer.Option(
            help="How a path tells the speaker: auto, folder, none, or a regular expression with a group."
        ),
    ] = "auto",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the reports.")] = Path(
        "data_check"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Files read at a time.")] = 4,
    strict: Annotated[
        bool, typer.Option("--strict", help="Leave with exit code 2 where errors were found.")
    ] = False,
) -> None:
    """Read a whole corpus and say what is wrong with it: before a run finds out.

    Found are files that cannot be read, silence, clipping, wrong scales, copies (equal or nearly so, within
    and between splits), labels that are missing, empty, too long for CTC or hold symbols that the dictionary
    lacks, and speakers that are in two splits.

    A summary goes to standard output; data_check.json holds all of it, data_check.html shows it.
    """
    manifests = manifests_of(corpus, subset)
    check_writable(output)
    paths = [entry.path for manifest in manifests for entry in read_manifest(manifest).entries]
    speaker_of = speakers_by(speakers, paths)
    suffix = _suffix(manifests, labels)
    symbols = _dictionary(manifests[0].parent, suffix, dictionary)
    with progress("files", len(paths)) as advance:
        subsets = [
            check_subset(
                manifest,
                labels=suffix,
                dictionary=symbols,
                speaker_of=speaker_of,
                num_workers=workers,
                on_progress=advance,
            )
            for manifest in manifests
        ]
    findings = [finding for one in subsets for finding in one.findings] + check_corpus(subsets)
    for line in _lines(subsets, findings):
        typer.echo(line)
    written = write_data_check(output, str(corpus), subsets, findings)
    typer.echo(f"written: {written[0]}, {written[1]}")
    if speaker_of is None and speakers == "auto":
        print("speakers are not known from the paths: see --speakers", file=sys.stderr)
    errors = sum(KINDS[finding.kind][0] == "error" for finding in findings)
    if strict and errors:
        raise UserError(f"{errors} errors were found: see {written[1]}")


def _suffix(manifests: list[Path], labels: str | None) -> str | None:
    if labels is not None:
        return None if labels == "none" else labels
    return next(
        (
            suffix
            for suffix in _KNOWN_LABELS
            if any(path.with_suffix(f".{suffix}").exists() for path in manifests)
        ),
        None,
    )


def _dictionary(folder: Path, suffix: str | None, given: Path | None) -> Dictionary | None:
    if given is not None:
        return Dictionary.load(given)
    path = folder / f"dict.{suffix}.txt"
    return Dictionary.load(path) if suffix is not None and path.exists() else None


def _lines(subsets: list[Subset], findings: list[Finding]) -> list[str]:
    """The summary: a line a subset, then a line for each kind of trouble with the first few examples."""
    lines = []
    for subset in subsets:
        figures = summary(subset)
        of_speakers = f", {figures['speakers']} speakers" if figures["speakers"] else ""
        lines.append(
            f"{subset.name}: {figures['utterances']} utterances, {figures['hours']:.2f} h{of_speakers}; "
            f"{figures['seconds_min']:.2f} to {figures['seconds_max']:.2f} s, "
            f"median {figures['seconds_median']:.2f} s"
        )
    counts = Counter(finding.kind for finding in findings)
    for kind, (severity, meaning) in KINDS.items():
        if counts[kind]:
            mine = [finding for finding in findings if finding.kind == kind]
            named = "; ".join(f"{one.path or one.subset}: {one.detail}" for one in mine[:_NAMED])
            more = f"; and {counts[kind] - _NAMED} more" if counts[kind] > _NAMED else ""
            lines.append(f"{severity}: {counts[kind]} x {kind} ({meaning}): {named}{more}")
    return lines if findings else [*lines, "nothing was found"]
