"""Folders of transformers' Wav2Vec2 and Wav2Vec2Conformer made into models; transformers is not needed.

Read are the JSON files and the weights: safetensors, or torch's files by the reader that runs nothing.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auricle.convert import huggingface_keys as keys
from auricle.convert.huggingface_config import (
    Kind,
    ctc_config_from_huggingface,
    encoder_config_from_huggingface,
    huggingface_problems,
    kind_of,
    layer_type_of,
)
from auricle.convert.huggingface_files import PREPROCESSOR_FILE, read_json_files, weight_files
from auricle.convert.huggingface_names import NameTable, encoder_names
from auricle.convert.huggingface_vocabulary import DICTIONARY_FILE, NO_ROW, Labels, read_labels
from auricle.convert.literals import shortened
from auricle.convert.loaded import Loaded
from auricle.convert.own import CONFIG_FILE, config_of
from auricle.convert.storages import DamagedError
from auricle.convert.values import as_type
from auricle.convert.weights import TensorWeight, Weight, model_with_weights, with_reference_padding
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.config import CTCConfig, ModelConfig, Wav2Vec2Config

OWN_KEY = "auricle"
"""In a `config.json` that we wrote: what transformers has no words for."""

NEVER = -1e4
"""Bias of a label that the folder does not have: it has no weight, and is never written."""

Weights = Mapping[str, Weight]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder's content, but for its weights.

    Attributes:
        files: Of each JSON file that is there, by its name.
        own: The configuration and the number of updates that we wrote into it, if it was us.
    """

    files: Mapping[str, Any]
    own: tuple[ModelConfig | None, int]

    @property
    def config(self) -> dict[str, Any]:
        """Of `config.json`."""
        config: dict[str, Any] = self.files[CONFIG_FILE]
        return config


def read_huggingface(
    folder: Path, *, map_location: str | torch.device = "cpu", reference_padding: bool = False
) -> Loaded:
    """Read a folder; nothing in it is run.

    Args:
        folder: With `config.json`, weights, and for a recogniser a vocabulary.
        map_location: Where the weights go.
        reference_padding: Reproduce fairseq's arithmetic on padded batches.

    Raises:
        UserError: A file is missing or damaged, or the model is one that this version cannot build.
    """
    try:
        files = read_json_files(folder)
        content = _Folder(files, _own_part(files[CONFIG_FILE]))
        return _read(folder, content, weight_files(folder), map_location, reference_padding)
    except DamagedError as error:
        raise UserError(f"{folder} is damaged or cut off ({error}): download it again") from None
    except UserError as error:
        message = str(error)
        raise UserError(message if message.startswith(str(folder)) else f"{folder}: {message}") from None


def _read(
    folder: Path, content: _Folder, weights: Weights, device: str | torch.device, reference_padding: bool
) -> Loaded:
    layer_type = layer_type_of(content.config)
    weights = _without_prefix(_todays_names(weights), keys.PREFIXES[layer_type])
    kind = _kind(weights, content.config)
    base = content.own[0]
    labels = Labels(None)
    encoder = encoder_config_from_huggingface(content.config, kind, _encoder_of(base, kind, layer_type))
    encoder = replace(encoder, **_audio(content.files))
    encoder, found = _encoder_weights(encoder, weights, content.config)
    config: ModelConfig = encoder
    if kind == "ctc":
        labels = read_labels(content.files, content.config, _num_rows(weights))
        known = base if isinstance(base, CTCConfig) else None
        num_labels = len(labels.rows) or _num_rows(weights)
        config = ctc_config_from_huggingface(content.config, encoder, num_labels, known)
        found = {f"encoder.{name}": weight for name, weight in found.items()} | _head(weights, labels)
    elif kind == "pretraining":
        found |= _of_table(weights, NameTable(keys.PRETRAINING_NAMES))
    if reference_padding:
        config = with_reference_padding(config)
    return Loaded(
        model=model_with_weights(config, found, device),
        dictionary=_with_counts(labels.dictionary, folder / DICTIONARY_FILE),
        config=config,
        num_updates=content.own[1],
        source=folder,
        rows=labels.rows,
    )


def _with_counts(dictionary: Dictionary | None, path: Path) -> Dictionary | None:
    """The dictionary with the counts of a file beside it, if that is one of the same symbols."""
    if dictionary is None or not path.is_file():
        return dictionary
    counted = Dictionary.load(path)
    return counted if counted == dictionary else dictionary


def _own_part(config: Mapping[str, Any]) -> tuple[ModelConfig | None, int]:
    own = config.get(OWN_KEY)
    if not isinstance(own, dict):
        return None, 0
    return config_of(own), as_type(own.get("num_updates", 0), int, "num_updates")


def _encoder_of(base: ModelConfig | None, kind: Kind, layer_type: str) -> Wav2Vec2Config | None:
    """What we wrote about the encoder; nothing where the folder holds a model of another kind by now."""
    if base is None or kind_of(base) != kind or any(huggingface_problems(base)):
        return None
    encoder = base.encoder if isinstance(base, CTCConfig) else base
    assert isinstance(encoder, Wav2Vec2Config)
    return encoder if encoder.encoder.layer_type == layer_type else None


def _audio(files: Mapping[str, Any]) -> dict[str, Any]:
    """`normalize` and `sample_rate`; without a file, transformers' defaults."""
    if PREPROCESSOR_FILE not in files:
        logger.warning(
            "the folder has no %s: its audio is taken to be normalised, at 16 kHz, transformers' defaults",
            PREPROCESSOR_FILE,
        )
    content = files.get(PREPROCESSOR_FILE, {})
    if not isinstance(content, dict):
        raise UserError(f"{PREPROCESSOR_FILE} is no table of values")
    return {
        "normalize": as_type(content.get("do_normalize", True), bool, "do_normalize"),
        "sample_rate": as_type(content.get("sampling_rate", 16000), int, "sampling_rate"),
    }


def _todays_names(weights: Weights) -> dict[str, Weight]:
    renamed = {}
    for name, weight in weights.items():
        old = next((end for end in keys.OLD_NAMES if name.endswith(end)), None)
        renamed[name if old is None else name.removesuffix(old) + keys.OLD_NAMES[old]] = weight
    return renamed


def _without_prefix(weights: Weights, prefix: str) -> dict[str, Weight]:
    return {name.removeprefix(prefix): weight for name, weight in weights.items()}


def _kind(weights: Weights, config: Mapping[str, Any]) -> Kind:
    """What stands on the encoder: the weights say, not the name of a class.

    Raises:
        UserError: Something that this version does not know.
    """
    unknown = sorted({name.partition(".")[0] for name in weights} & {"projector", "classifier", "tdnn"})
    if unknown:
        architectures = config.get("architectures")
        named = architectures[0] if isinstance(architectures, list) and architectures else unknown[0]
        raise UserError(
            f"{shortened(str(named))} is not supported: only encoders, pre-training models and CTC are"
        )
    if "lm_head.weight" in weights:
        return "ctc"
    return "pretraining" if "quantizer.codevectors" in weights else "encoder"


def _encoder_weights(
    config: Wav2Vec2Config, weights: Weights, content: Mapping[str, Any]
) -> tuple[Wav2Vec2Config, dict[str, Weight]]:
    """The encoder's weights under our names, and its configuration with what only weights can tell."""
    heads = NameTable(keys.PRETRAINING_NAMES | keys.CTC_NAMES)
    own = {name: weight for name, weight in weights.items() if heads.ours(name) is None}
    speeds = own.pop(keys.ROTATION_SPEEDS, None)
    table = encoder_names(config)
    # What the table does not know keeps its name, to be complained about.
    found = {table.ours(name) or name: weight for name, weight in own.items()}
    dim = config.encoder.dim
    if config.encoder.layer_type == "conformer" and config.encoder.positions == "rope":
        speeds = speeds or TensorWeight(_rotation_speeds(config, content))
        names = (keys.LAYER_ROTATION_SPEEDS.format(layer) for layer in range(config.encoder.num_layers))
        found |= dict.fromkeys(names, speeds)
    if "mask_emb" not in found and not (content.get("mask_time_prob") or content.get("mask_feature_prob")):
        found["mask_emb"] = TensorWeight(torch.zeros(dim))  # a model that never masks has none
    if config.conv_layers[-1][0] == dim:
        if _is_identity(found):
            found = {n: w for n, w in found.items() if not n.startswith("post_extract_proj.")}
        config = replace(config, always_projects="post_extract_proj.weight" in found)
    return config, found


def _rotation_speeds(config: Wav2Vec2Config, content: Mapping[str, Any]) -> Tensor:
    """Speeds of a file from before they were saved, as transformers computes them."""
    base = as_type(content.get("rotary_embedding_base", 10000), int, "rotary_embedding_base")
    width = config.encoder.dim // config.encoder.num_heads
    return torch.pow(base, torch.arange(0, width, 2).float() / width).reciprocal()


def _is_identity(found: Weights) -> bool:
    """Whether the features are projected to themselves: fairseq has no such layer, transformers always."""
    weight, bias = found.get("post_extract_proj.weight"), found.get("post_extract_proj.bias")
    if weight is None or bias is None or len(weight.shape) != 2 or weight.shape[0] != weight.shape[1]:
        return False
    return bool(torch.equal(weight.load(), torch.eye(weight.shape[0]))) and not bool(bias.load().any())


def _of_table(weights: Weights, table: NameTable) -> dict[str, Weight]:
    """The weights that the table names, under our names."""
    return {ours: weight for name, weight in weights.items() if (ours := table.ours(name)) is not None}


def _num_rows(weights: Weights) -> int:
    shape = weights["lm_head.weight"].shape
    if len(shape) != 2:
        raise UserError("lm_head.weight is no output layer")
    return shape[0]


def _head(weights: Weights, labels: Labels) -> dict[str, Weight]:
    """The output layer, its rows in our order."""
    head = _of_table(weights, NameTable(keys.CTC_NAMES))
    if not labels.rows:
        return head
    rows = torch.tensor(labels.rows)
    reordered: dict[str, Weight] = {}
    for name, weight in head.items():
        tensor = weight.load()
        if tensor.is_floating_point():
            tensor = tensor.float()  # as the network holds it: NEVER is another number in bfloat16
        chosen = tensor[rows.clamp(min=0)]
        chosen[rows == NO_ROW] = NEVER if tensor.dim() == 1 else 0.0
        reordered[name] = TensorWeight(chosen)
    return reordered
