"""Emissions kept on disk: to decode again, with other weights, without running the model again."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from auricle.decode.emissions import Emissions
from auricle.dictionary import SPECIALS, Dictionary
from auricle.errors import UserError
from auricle.files import atomic_folder, atomic_write_text, read_tensors, resolve_folder, write_tensors

FORMAT = 1
INDEX_FILE, TENSORS_FILE = "emissions.json", "emissions.safetensors"


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance.

    Attributes:
        index: Position in the manifest.
        path: The audio.
        seconds: Its length.
    """

    index: int
    path: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SavedEmissions:
    """What a model heard in a subset.

    Attributes:
        model: Where it was.
        subset: Name of the subset.
        dictionary: Of the model's units.
        clips: One an utterance.
        log_probs: One a clip, [N, V] float32.
        set_aside: Clips that could not be read: name and reason.
    """

    model: str
    subset: str
    dictionary: Dictionary
    clips: tuple[Clip, ...]
    log_probs: tuple[Tensor, ...]
    set_aside: tuple[dict[str, str], ...] = ()

    def batches(self, max_frames: int = 5000) -> Iterator[tuple[list[int], Emissions]]:
        """Clips of like length together: their places, and what was heard."""
        from auricle.decode.emissions import length_batches

        lengths = [len(rows) for rows in self.log_probs]
        for places in length_batches(lengths, max_frames):
            rows = pad_sequence([self.log_probs[place] for place in places], batch_first=True)
            yield places, Emissions(rows, torch.tensor([lengths[place] for place in places]))


def check_place(folder: str | os.PathLike[str]) -> None:
    """Make sure that a folder for emissions takes the place of nothing else: what is there is replaced.

    Raises:
        UserError: Something else is there.
    """
    place = Path(folder)
    if place.is_dir() and ((place / INDEX_FILE).is_file() or not any(place.iterdir())):
        return
    if place.exists():
        raise UserError(f"{place} is there and holds no emissions: choose a new folder for them")


def save_emissions(folder: str | os.PathLike[str], saved: SavedEmissions) -> None:
    """Writes a folder, all of it or nothing; emissions that are there are replaced.

    Raises:
        UserError: Something else is there, or the disk is full or not writable.
    """
    check_place(folder)
    index = {
        "format_version": FORMAT,
        "model": saved.model,
        "subset": saved.subset,
        "dictionary": saved.dictionary.symbols[len(SPECIALS) :],
        "clips": [asdict(clip) for clip in saved.clips],
        "set_aside": list(saved.set_aside),
    }
    tensors = {str(clip.index): rows for clip, rows in zip(saved.clips, saved.log_probs, strict=True)}
    with atomic_folder(folder) as partial:
        write_tensors(partial / TENSORS_FILE, tensors)
        atomic_write_text(partial / INDEX_FILE, json.dumps(index, indent=1) + "\n")


def load_emissions(folder: str | os.PathLike[str]) -> SavedEmissions:
    """Reads what `save_emissions` wrote.

    Raises:
        UserError: The folder holds no emissions, damaged ones, or those of a newer version.
    """
    place = resolve_folder(Path(folder))
    try:
        index = json.loads((place / INDEX_FILE).read_text(encoding="utf-8"))
        if index["format_version"] > FORMAT:
            raise UserError(f"{place}: written by a newer version: upgrade, or save the emissions again")
        saved = _read(index, read_tensors(place / TENSORS_FILE))
    except FileNotFoundError:
        raise UserError(
            f"{place} holds no emissions: make them with auricle evaluate --save-emissions"
        ) from None
    except OSError as error:
        raise UserError(f"{place}: cannot be read ({error.strerror}): check the path") from None
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{place}: damaged ({error!r}): save the emissions again") from None
    if problem := _problem(saved):
        raise UserError(f"{place}: damaged ({problem}): save the emissions again")
    return saved


def _read(index: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SavedEmissions:
    try:
        dictionary = Dictionary(index["dictionary"])
    except UserError as error:
        raise ValueError(str(error)) from None
    clips = tuple(Clip(int(one["index"]), str(one["path"]), float(one["seconds"])) for one in index["clips"])
    log_probs: Sequence[Tensor] = [tensors[str(clip.index)] for clip in clips]
    if any(rows.ndim != 2 or rows.shape[1] != len(dictionary) for rows in log_probs):
        raise ValueError("emissions of another dictionary")
    return SavedEmissions(
        str(index["model"]),
        str(index["subset"]),
        dictionary,
        clips,
        tuple(log_probs),
        tuple(index["set_aside"]),
    )


def _problem(saved: SavedEmissions) -> str | None:
    """What is wrong with emissions of the right shape."""
    if not saved.clips:
        return "no utterance"
    if len({clip.index for clip in saved.clips}) < len(saved.clips):
        return "an utterance is there twice"
    for clip, rows in zip(saved.clips, saved.log_probs, strict=True):
        if not (math.isfinite(clip.seconds) and clip.seconds >= 0):
            return f"utterance {clip.index} lasts {clip.seconds} s"
        if not rows.is_floating_point() or not bool((rows < math.inf).all()):  # -inf may be
            return f"utterance {clip.index} holds what is no log-probability"
    return None
