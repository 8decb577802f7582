"""What is published, by a short name: `catalogue.toml`, which ships with the package, read and typed."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from auricle.errors import UserError

MAX_WEIGHTS_BYTES = 64 * 2**30
"""Of a checkpoint; the largest published ones have some 25 GB."""

MAX_TEXT_BYTES = 64 * 2**20
"""Of a dictionary or a configuration."""

MIRROR = "AURICLE_MIRROR"
"""The environment variable that names a server to ask in place of the publishers', for the same paths."""

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of a model.

    Attributes:
        addresses: Where it is; of several, each a file of its own, the first that exists will do.
        max_bytes: Larger ones are refused.
        required: Whether the model is nothing without it.
    """

    addresses: tuple[str, ...]
    max_bytes: int
    required: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A published model.

    Attributes:
        name: What stands for it wherever a checkpoint is asked for.
        about: What it is.
        family: Its architecture.
        task: What it was trained to give.
        data: What audio it was trained on.
        labels: What labels it was fine-tuned with.
        licence: And `licence_source` says where that is written.
        files: What is downloaded; the first one is the checkpoint, unless `is_folder`.
        dictionary: The name of the dictionary among the files.
        phonemizer: What made its phonemes; loading it needs no phonemizer.
        wer: LibriSpeech test-clean/test-other in percent, by the language model used.
        wer_source: Who published it.
        same_as: The entry of the same model in fairseq's format.
        is_folder: Whether the files together are the checkpoint.
        runs: Whether this program can load it.
    """

    name: str
    about: str
    family: str
    task: str
    data: str
    labels: str
    licence: str
    licence_source: str
    files: tuple[Wanted, ...]
    dictionary: str | None = None
    phonemizer: str | None = None
    wer: Mapping[str, str] = field(default_factory=dict)
    wer_source: str = UNKNOWN
    same_as: str | None = None
    is_folder: bool = False
    runs: bool = True


def file_name(address: str) -> str:
    """What a file of the catalogue is called in the cache: the last part of its address."""
    return urlsplit(address).path.rpartition("/")[2]


@cache
def entries() -> Mapping[str, Entry]:
    """Every entry of the catalogue, by its name."""
    content = tomllib.loads((files("auricle") / "zoo" / "catalogue.toml").read_text(encoding="utf-8"))
    source = content["wer"]["source"]
    found = {}
    for model in content["fairseq"]["models"]:
        found[model["name"]] = _fairseq(model, content["fairseq"], source)
    for model in content["huggingface"]["models"]:
        found[model["name"]] = _huggingface(model, content["huggingface"], found[model["same_as"]])
    return found


def find(name: str) -> Entry:
    """The entry of a name.

    Raises:
        UserError: There is none; it names similar ones.
    """
    if name not in entries():
        hint = f"there is {similar}" if (similar := nearest(name)) else "`auricle models list` shows all"
        raise UserError(f"no published model is called {name[:80]!r}; {hint}")
    return entries()[name]


def nearest(name: str) -> str:
    """The most similar name of the catalogue, or nothing where none is similar."""
    similar = difflib.get_close_matches(name[:80], entries(), n=1, cutoff=0.75)
    return similar[0] if similar else ""


def mirrored(address: str) -> str:
    """The address to ask for a file: its publisher's, or the same path of a mirror."""
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    return mirror + urlsplit(address).path if mirror else address


def _fairseq(model: dict[str, Any], defaults: dict[str, Any], wer_source: str) -> Entry:
    values = dict(model)
    limit = MAX_TEXT_BYTES if values["family"] == "dictionary" else MAX_WEIGHTS_BYTES
    wanted = [Wanted((values.pop("address"),), limit)]
    if dictionary := values.pop("dictionary", None):
        wanted.append(Wanted((dictionary,), MAX_TEXT_BYTES))
        values["dictionary"] = file_name(dictionary)
    return Entry(
        files=tuple(wanted),
        wer_source=wer_source if "wer" in values else UNKNOWN,
        **_licence(defaults),
        **values,
    )


def _huggingface(model: dict[str, Any], defaults: dict[str, Any], same: Entry) -> Entry:
    base = f"{defaults['address']}{model['name']}/resolve/main/"
    wanted = [Wanted((base + name,), MAX_TEXT_BYTES) for name in defaults["files"]]
    wanted.append(Wanted(tuple(base + name for name in defaults["weights"]), MAX_WEIGHTS_BYTES))
    wanted += [Wanted((base + name,), MAX_TEXT_BYTES, required=False) for name in defaults["others"]]
    return Entry(
        name=model["name"],
        about=f"{same.about}, for Transformers",
        family=same.family,
        task=same.task,
        data=same.data,
        labels=same.labels,
        files=tuple(wanted),
        phonemizer=same.phonemizer,
        wer=same.wer,
        wer_source=same.wer_source,
        same_as=same.name,
        is_folder=True,
        **_licence(defaults),
    )


def _licence(defaults: dict[str, Any]) -> dict[str, Any]:
    return {word: defaults[word] for word in ("licence", "licence_source")}
