"""``auricle shard``: the audio of manifests, packed into zip archives."""

import re
from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.options import CorpusArgument, SubsetOption, manifests_of
from auricle.cli.output import check_writable
from auricle.cli.progress import progress
from auricle.data.shards import Plan, pack, plan
from auricle.errors import UserError
from auricle.files import atomic_copy
from auricle.manifest import Manifest, read_labels, read_manifest, write_manifest

_BESIDE = ("ltr", "wrd", "phn", "spk")
"""Files with a line an utterance, that go with a manifest."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def command(
    corpus: CorpusArgument,
    dest: Annotated[
        Path, typer.Option(help="Folder of the archives and of their manifests.", show_default=False)
    ],
    subset: SubsetOption = None,
    shard_size: Annotated[
        str | None,
        typer.Option(help="Audio in an archive, at most, in bytes or as 500M, 2G.", show_default="1G"),
    ] = None,
    num_shards: Annotated[
        int | None,
        typer.Option(min=1, help="Archives of each manifest, of about equal size, in place of --shard-size."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Archives written at a time.")] = 4,
) -> None:
    """Pack the audio of a corpus into zip archives, and write the manifests that address it there.

    A few large files take the place of many small ones, which shared file systems are slow with. Members are
    stored as they are, not compressed: training, fairseq's too, reads `archive.zip:offset:length`. Labels
    (.ltr, .wrd, .phn, .spk) and dictionaries beside the manifests are copied along: the folder is trained on.

    The same files give the same archives. When it was stopped, the same command goes on: an archive is there
    whole or not at all, and the manifest is written last.
    """
    if shard_size is not None and num_shards is not None:
        raise UserError("--shard-size and --num-shards exclude each other: give one of them")
    num_bytes = None if num_shards else _bytes(shard_size or "1G")
    manifests = [read_manifest(path) for path in manifests_of(corpus, subset)]
    labels = [_labels(manifest) for manifest in manifests]
    for manifest, beside in zip(manifests, labels, strict=True):
        _check(manifest, beside, dest)
    check_writable(dest)
    plans = [plan(one, dest, shard_bytes=num_bytes, num_shards=num_shards) for one in manifests]
    with progress("files", sum(len(shard.recordings) for one in plans for shard in one.shards)) as advance:
        for one, beside in zip(plans, labels, strict=True):
            entries, kept = pack(one, num_workers=workers, on_progress=advance)
            for path in beside:
                atomic_copy(path, dest / path.name)
            write_manifest(dest / one.manifest.source.name, dest.resolve(), entries)
            typer.echo(_summary(one, dest, kept, beside))


def _check(manifest: Manifest, beside: list[Path], dest: Path) -> None:
    """See that nothing is lost when the new manifest is written, and what goes with it."""
    if not manifest.entries:
        raise UserError(f"{manifest.source}: no utterances, so there is nothing to pack")
    written, ours = dest / manifest.source.name, f"{manifest.source.stem}-"
    there = read_manifest(written).entries if written.exists() else ()
    if any(not (entry.path.startswith(ours) and ".zip:" in entry.path) for entry in there):
        raise UserError(f"{written} is a manifest of other files, which would be lost: choose another --dest")
    for path in beside:
        other = dest / path.name
        if other.exists() and other.read_bytes() != path.read_bytes():
            raise UserError(f"{other} differs from {path}: delete it, or choose another --dest")


def _bytes(text: str) -> int:
    given = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)B?", text.strip().upper())
    count = int(float(given[1]) * _UNITS[given[2]]) if given else 0
    if not count:
        raise UserError(f"--shard-size {text}: give a number of bytes, or one such as 500M or 2G")
    return count


def _labels(manifest: Manifest) -> list[Path]:
    """Labels of the manifest, and all dictionaries of its folder."""
    labels = [path for suffix in _BESIDE if (path := manifest.source.with_suffix(f".{suffix}")).is_file()]
    for path in labels:
        read_labels(path, manifest)  # a line an utterance, or it would be of another list
    return [*labels, *sorted(manifest.source.parent.glob("dict.*.txt"))]


def _summary(plan: Plan, dest: Path, kept: int, copied: list[Path]) -> str:
    megabytes = sum(shard.num_bytes for shard in plan.shards) / 1e6
    there = f", {kept} of them there already" if kept else ""
    along = f"; copied along: {', '.join(path.name for path in copied)}" if copied else ""
    return (
        f"{dest / plan.manifest.source.name}: {len(plan.manifest)} utterances, {megabytes:.1f} MB in "
        f"{len(plan.shards)} archive{'s' if len(plan.shards) > 1 else ''}{there}{along}"
    )
