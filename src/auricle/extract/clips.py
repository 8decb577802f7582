"""What there is to read: files, folders and manifests, each clip with a name for what is made of it."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from auricle.errors import UserError
from auricle.manifest import extensions_in, find, read_manifest

_SLICE = re.compile(r"(?P<archive>.+):(?P<offset>\d+):(?P<length>\d+)")
_NO_FOLDERS = frozenset(["/", "..", "."])


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording.

    Attributes:
        key: What it is called in the output: a path without extension, under the output folder.
        path: Where it is, as `auricle.audio.read` takes it.
    """

    key: str
    path: str


def clips_in(source: str, extensions: Sequence[str]) -> list[Clip]:
    """The recordings that a word of the command line stands for.

    Args:
        source: A file, an `archive.zip:offset:length` slice, a folder, or a manifest (`.tsv`).
        extensions: What is taken from a folder, such as "wav".

    Raises:
        UserError: There is no such file or folder, no audio in it, or the manifest is damaged.
    """
    if source.lower().endswith(".tsv"):
        manifest = read_manifest(source)
        if not manifest.entries:
            raise UserError(f"{source}: lists no recordings")
        if not manifest.root.is_dir() and not os.path.isabs(manifest.entries[0].path):
            raise UserError(f"{source}:1: there is no folder {manifest.root}: write there where the audio is")
        return [Clip(key_of(entry.path), manifest.full_path(entry)) for entry in manifest.entries]
    if os.path.isdir(source):
        return _clips_in_folder(source, extensions)
    member = None if os.path.exists(source) else _SLICE.fullmatch(source)
    if not os.path.exists(member["archive"] if member else source):
        raise UserError(f"{source}: no such file or folder: check the path")
    return [Clip(key_of(os.path.basename(source)), source)]


def _clips_in_folder(folder: str, extensions: Sequence[str]) -> list[Clip]:
    paths = find(folder, extensions)
    if not paths:
        wanted = " or ".join(f".{extension.lstrip('.')}" for extension in extensions)
        found = extensions_in(folder).most_common(5)
        there = ", ".join(f"{count} {name or 'without one'}" for name, count in found)
        raise UserError(f"{folder}: no {wanted} file (found by extension: {there or 'no file'})")
    return [Clip(key_of(path), os.path.join(folder, path)) for path in paths]


def key_of(path: str) -> str:
    """A path without its extension that never leaves the folder it is put under.

    A slice of an archive becomes `archive/offset_length`.
    """
    if member := _SLICE.fullmatch(path):
        archive = os.path.splitext(member["archive"])[0]
        path = f"{archive}/{member['offset']}_{member['length']}.member"
    parts = [part for part in PurePosixPath(path).parts if part not in _NO_FOLDERS]
    return str(PurePosixPath(*parts).with_suffix("")) if parts else "clip"


def check_unique(clips: Iterable[Clip]) -> None:
    """Refuses two clips that would be written to one place.

    Raises:
        UserError: It names the two.
    """
    paths: dict[str, str] = {}
    for clip in clips:
        if (other := paths.setdefault(clip.key, clip.path)) != clip.path:
            raise UserError(
                f"{other} and {clip.path} would both be written as {clip.key}: choose one kind of file with"
                " --ext, or take them one after the other into folders of their own"
            )
