"""Who speaks in the utterances of a subset."""

from pathlib import Path, PurePosixPath

from auricle.errors import UserError
from auricle.manifest import Manifest
from auricle.textfile import read_lines

FOLDER, TOP = "folder", "top"


def read_speakers(source: str | None, manifest: Manifest) -> list[str] | None:
    """The speaker of each utterance, in manifest order.

    Args:
        source: "folder": the name of the folder that a clip is in; "top": of the first folder of its path, as
            in LibriSpeech; else a file of one name a line. None: `SUBSET.spk` beside the manifest, if there.
        manifest: The subset's.

    Returns:
        None where nothing is known.

    Raises:
        UserError: The file is missing or has another number of lines, or a path has no folder.
    """
    beside = manifest.source.with_suffix(".spk")
    if source in (FOLDER, TOP):
        return [_folder_of(entry.path, manifest, first=source == TOP) for entry in manifest.entries]
    if source is None and not beside.is_file():
        return None
    path = Path(source) if source else beside
    names = ["_".join(line.split()) for line in read_lines(path)]
    if len(names) != len(manifest):
        raise UserError(
            f"{path}: {len(names)} speakers for the {len(manifest)} utterances of {manifest.source}"
        )
    return names


def _folder_of(path: str, manifest: Manifest, *, first: bool) -> str:
    folders = PurePosixPath(path).parts[:-1]
    if not folders:
        raise UserError(f"{manifest.source}: {path} is in no folder that could name its speaker: give a file")
    return folders[0] if first else folders[-1]
