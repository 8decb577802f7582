"""Our own checkpoints: folders of `model.safetensors`, `config.json` and, for recognisers, a dictionary."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import torch
from torch import Tensor, nn

from auricle.convert.literals import shortened
from auricle.convert.loaded import Loaded
from auricle.convert.safetensors_file import read_safetensors
from auricle.convert.storages import DamagedError
from auricle.convert.values import as_type, check_config, dataclass_in, path_type, with_values
from auricle.convert.weights import model_with_weights, with_reference_padding
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.files import write_tensors
from auricle.models.build import Model
from auricle.models.config import (
    CTCConfig,
    LanguageModelConfig,
    ModelConfig,
    RobertaConfig,
    Seq2SeqConfig,
    Wav2Vec2Config,
    Wav2VecConfig,
)

FORMAT_VERSION = 1
"""Of `config.json`; files of an older version keep loading."""

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
DICTIONARY_FILE = "dictionary.txt"

ROWS = "huggingface_rows"
"""In `config.json`: `Loaded.rows`."""

MAX_CONFIG_BYTES = 10**6
"""Of `config.json`; it has some 2,000."""

_KINDS: dict[str, type[ModelConfig]] = {
    "wav2vec2": Wav2Vec2Config,
    "wav2vec_ctc": CTCConfig,
    "wav2vec": Wav2VecConfig,
    "wav2vec_seq2seq": Seq2SeqConfig,
    "transformer_lm": LanguageModelConfig,
    "roberta": RobertaConfig,
}


def write_model(
    folder: Path,
    model: nn.Module,
    config: ModelConfig,
    dictionary: Dictionary | None,
    extra: Mapping[str, Any],
) -> None:
    """Write a model's files, plainly: the caller stands inside `auricle.files.atomic_folder`.

    Args:
        folder: An empty folder.
        model: Built from `config`.
        config: Goes into `config.json`.
        dictionary: None where the model has none.
        extra: What else `config.json` shall say: `num_updates`, as a rule, and `ROWS`.

    Raises:
        OSError: The disk is full or not writable.
        UserError: The model was opened to run only (see `convert.load.load`).
    """
    write_weights(folder, model.state_dict(), config, dictionary, extra)


def write_weights(
    folder: Path,
    weights: Mapping[str, Tensor],
    config: ModelConfig,
    dictionary: Dictionary | None,
    extra: Mapping[str, Any],
) -> None:
    """As `write_model`, of a model whose state is given."""
    content = {"format_version": FORMAT_VERSION, **content_of(config), **extra}
    (folder / CONFIG_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    write_tensors(folder / WEIGHTS_FILE, weights, {"format": "pt"})
    if dictionary is not None:
        dictionary.save(folder / DICTIONARY_FILE)


def content_of(config: ModelConfig) -> dict[str, Any]:
    """What `config.json` says of the model."""
    kind = next(name for name, config_type in _KINDS.items() if type(config) is config_type)
    return {"model": kind, "config": asdict(config)}


def is_own(folder: Path) -> bool:
    """Whether a folder looks like one of ours."""
    return (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()


def read_model(
    folder: Path, *, map_location: str | torch.device = "cpu", reference_padding: bool = False
) -> Loaded:
    """Read what `write_model` wrote.

    Args:
        folder: With the files.
        map_location: Where the weights go.
        reference_padding: Reproduce fairseq's arithmetic on padded batches; False leaves it to `config.json`.

    Raises:
        UserError: A file is missing, damaged, or of a later version.
    """
    content = _read_json(folder / CONFIG_FILE)
    try:
        config = config_of(content)
        if reference_padding:
            config = with_reference_padding(config)
        num_updates = as_type(content.get("num_updates", 0), int, "num_updates")
        rows = _rows(content.get(ROWS, []), config)
    except UserError as error:
        raise UserError(f"{folder / CONFIG_FILE}: {error}") from None
    dictionary = folder / DICTIONARY_FILE
    return Loaded(
        model=_read_weights(folder / WEIGHTS_FILE, config, map_location),
        dictionary=Dictionary.load(dictionary) if dictionary.is_file() else None,
        config=config,
        num_updates=num_updates,
        source=folder,
        rows=rows,
    )


def _rows(value: object, config: ModelConfig) -> tuple[int, ...]:
    """Where the labels of a folder of Hugging Face were; see `Loaded.rows`."""
    if value == []:
        return ()
    if not isinstance(value, list) or not all(type(row) is int and row >= -1 for row in value):
        raise UserError(f"{ROWS}: expected a list of whole numbers")
    found = sorted(row for row in value if row >= 0)
    if (
        not isinstance(config, CTCConfig)
        or len(value) != config.num_labels
        or found != list(range(len(found)))
    ):
        raise UserError(f"{ROWS}: these are not the rows of its output layer")
    return tuple(value)


def _read_weights(path: Path, config: ModelConfig, device: str | torch.device) -> Model:
    weights = read_safetensors(path)
    try:
        return model_with_weights(config, weights, device)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except DamagedError as error:
        raise UserError(f"{path} is damaged or cut off ({error}): use another checkpoint") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise UserError(f"{path} is no configuration of a model: it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged, it is no JSON: use another checkpoint") from None
    return checked_version(content, path)


def checked_version(content: Any, path: Path) -> dict[str, Any]:
    """What was read from `path`, sure to be of a version that this program knows.

    Raises:
        UserError: It is not.
    """
    if not isinstance(content, dict) or type(content.get("format_version")) is not int:
        raise UserError(f"{path} is no configuration of this program: it has no format_version")
    if content["format_version"] > FORMAT_VERSION:
        raise UserError(f"{path} was written by a later version of auricle: update the package")
    return content


def config_of(content: Mapping[str, Any]) -> ModelConfig:
    """`content_of`, read.

    Raises:
        UserError: It is damaged, or of a later version.
    """
    kind = content.get("model")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise UserError(f"'model' is none of {', '.join(_KINDS)}: this version cannot build it")
    config_type = _KINDS[kind]
    values = dict(_flattened(content.get("config"), config_type))
    config: ModelConfig = with_values(config_type(), values)
    check_config(config)
    return config


def _flattened(values: Any, config_type: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted paths of nested values, each with a value of its field's type."""
    if not isinstance(values, dict):
        raise UserError(f"{prefix.rstrip('.') or 'config'}: expected a table of values")
    for name, value in values.items():
        path = prefix + name
        try:
            annotation = path_type(config_type, path)
        except KeyError:
            raise UserError(f"unknown value {shortened(path)}: a later version of auricle wrote it") from None
        if dataclass_in(annotation) is None:
            yield path, as_type(value, annotation, path)
        elif value is None and NoneType in get_args(annotation):
            yield path, None
        else:
            yield from _flattened(value, config_type, path + ".")
