"""What a folder of embeddings or codes was made with, so that a run goes on with the same or not at all."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from auricle.errors import UserError
from auricle.extract.clips import Clip
from auricle.files import atomic_write_text

FORMAT_VERSION = 1


def fingerprint(model: nn.Module) -> str:
    """A number of the weights, the same wherever they are read from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def list_fingerprint(clips: Sequence[Clip]) -> str:
    """A number of a list of recordings in its order."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(clip.path.encode(errors="surrogateescape") + b"\n")
    return digest.hexdigest()[:16]


def read_record(path: Path) -> dict[str, object] | None:
    """A record, or None where there is none.

    Raises:
        UserError: It is damaged.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): remove it together with what it describes"
        ) from error
    if not isinstance(record, dict):
        raise UserError(f"{path} is no record of ours: remove it together with what it describes")
    return record


def write_record(path: Path, settings: Mapping[str, object], source: Path) -> None:
    """Writes what the results beside it are made with.

    Args:
        path: The record.
        settings: What has to be the same when a run goes on.
        source: Where the model was read; for people, as it may move.
    """
    record = {"format_version": FORMAT_VERSION, **settings, "model": str(source)}
    atomic_write_text(path, json.dumps(record, indent=2) + "\n")


def difference(record: Mapping[str, object], settings: Mapping[str, object]) -> str | None:
    """What a record says otherwise than these settings, in words; None where they agree."""
    for name, value in {"format_version": FORMAT_VERSION, **settings}.items():
        if record.get(name) != value:
            return f"{name} was {record.get(name)}, now {value}"
    return None
