"""The files of a Hugging Face folder: its JSON, and its weights, in one file or in several."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auricle.convert.huggingface_vocabulary import ADDED_FILE, SPECIALS_FILE, TOKENIZER_FILE, VOCABULARY_FILE
from auricle.convert.literals import shortened
from auricle.convert.own import CONFIG_FILE, WEIGHTS_FILE
from auricle.convert.safetensors_file import read_safetensors
from auricle.convert.storages import StoredTensor, check_sharing
from auricle.convert.torch_file import read
from auricle.convert.weights import Weight
from auricle.errors import UserError

TORCH_FILE = "pytorch_model.bin"
PREPROCESSOR_FILE = "preprocessor_config.json"

MAX_JSON_BYTES = 2 * 2**20
"""Of a file, of which up to six are held at once, each in some 30 times its size; the largest vocabularies
have some hundred kilobytes."""

MAX_SHARDS = 1_000
"""Of a model's weights; the largest models in use have some five."""

_OPTIONAL = (VOCABULARY_FILE, ADDED_FILE, TOKENIZER_FILE, SPECIALS_FILE, PREPROCESSOR_FILE)


def is_huggingface(folder: Path) -> bool:
    """Whether a folder looks like one of transformers' models, whatever its family."""
    config = folder / CONFIG_FILE
    if not config.is_file():
        return False
    try:
        content = _read_json(config)
    except UserError:
        return False
    return isinstance(content, dict) and "model_type" in content and "format_version" not in content


def read_json_files(folder: Path) -> dict[str, Any]:
    """The content of each JSON file that is there, by its name.

    Raises:
        UserError: One is damaged, or `config.json` is missing or no table.
    """
    files = {CONFIG_FILE: _read_json(folder / CONFIG_FILE)}
    files |= {name: _read_json(folder / name) for name in _OPTIONAL if (folder / name).is_file()}
    if not isinstance(files[CONFIG_FILE], dict):
        raise UserError(f"{folder / CONFIG_FILE} is no table of values: choose another folder")
    return files


def weight_files(folder: Path) -> dict[str, Weight]:
    """The folder's weights by their names, not loaded yet.

    Args:
        folder: With `model.safetensors` or `pytorch_model.bin`, or an index of several of the kind.

    Raises:
        UserError: There are none, or one is damaged or missing.
    """
    for name in (WEIGHTS_FILE, TORCH_FILE):
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return _weights(folder / name)
        if index.is_file():
            weights: dict[str, Weight] = {}
            for shard in _shards(index):
                weights |= _weights(folder / shard)
            return weights
    raise UserError(f"{folder} holds no weights: it has neither {WEIGHTS_FILE} nor {TORCH_FILE}")


def _weights(path: Path) -> dict[str, Weight]:
    if path.name.endswith(".safetensors"):
        return dict(read_safetensors(path))
    content = read(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no table of named tensors: download it again")
    weights: dict[str, StoredTensor] = {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise UserError(f"{path} holds no table of named tensors: download it again")
        weights[name] = tensor
    check_sharing(weights.values())
    return dict(weights)


def _shards(index: Path) -> list[str]:
    """The names of the files that an index lists; none may lead out of the folder."""
    content = _read_json(index)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise UserError(f"{index} lists no files: download it again")
    shards = sorted(set(names.values()))
    for shard in shards:
        if Path(shard).name != shard or not (index.parent / shard).is_file():
            raise UserError(f"{index} names {shortened(shard)}, which is no file beside it")
    if len(shards) > MAX_SHARDS:
        raise UserError(f"{index} names more than {MAX_SHARDS} files")
    return shards


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise UserError(f"{path} is too large for what it should be: choose another folder")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged, it is no JSON: download it again") from None


def as_text(content: Mapping[str, Any]) -> str:
    """A JSON file as transformers writes it."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
