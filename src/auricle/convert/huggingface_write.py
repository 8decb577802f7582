"""Folders that transformers opens: every file that it looks for, written without it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auricle.convert import huggingface_keys as keys
from auricle.convert.fitted import NO_DICTIONARY, Fitted, placeholders
from auricle.convert.huggingface import OWN_KEY
from auricle.convert.huggingface_card import model_card
from auricle.convert.huggingface_config import huggingface_config, huggingface_problems
from auricle.convert.huggingface_files import PREPROCESSOR_FILE, as_text
from auricle.convert.huggingface_names import NameTable, encoder_names
from auricle.convert.huggingface_vocabulary import (
    DICTIONARY_FILE,
    SPECIALS_FILE,
    TOKENIZER_FILE,
    VOCABULARY_FILE,
    special_tokens,
    tokenizer_config,
    vocabulary,
)
from auricle.convert.loaded import Loaded
from auricle.convert.own import CONFIG_FILE, WEIGHTS_FILE, content_of
from auricle.errors import UserError
from auricle.files import write_tensors
from auricle.models.config import CTCConfig, Wav2Vec2Config

_LARGEST_BASE = 1e9
"""Of a rotation; the published one is 10,000."""


def fit_huggingface(loaded: Loaded) -> Fitted:
    """The model as transformers' format can hold it, and what is to be said about the difference.

    Raises:
        UserError: It cannot hold it at all.
    """
    for problem in huggingface_problems(loaded.config):
        raise UserError(f"{loaded.source} cannot be written for Hugging Face: {problem}")
    _check_speeds(loaded)
    notices = []
    config = loaded.config
    if isinstance(config, CTCConfig) and loaded.dictionary is None:
        loaded = replace(loaded, dictionary=placeholders(config.num_labels))
        notices.append(NO_DICTIONARY)
    if isinstance(config, CTCConfig) and config.blank_weight:
        notices.append(f"transformers knows no blank_weight ({config.blank_weight:g}): it decodes without")
    return Fitted(loaded, tuple(notices))


def write_huggingface(folder: Path, fitted: Loaded) -> None:
    """Write a folder's files, plainly: the caller stands inside `auricle.files.atomic_folder`.

    Args:
        folder: An empty folder.
        fitted: What `fit_huggingface` made of a model.

    Raises:
        OSError: The disk is full or not writable.
    """
    state = dict(_renamed(fitted))
    config = huggingface_config(fitted.config) | {OWN_KEY: _own_part(fitted)}
    config |= _rotation_words(fitted)
    if isinstance(fitted.config, CTCConfig):
        assert fitted.dictionary is not None
        symbols = vocabulary(fitted.dictionary, fitted.rows)
        config |= _label_words(symbols, fitted, state)
        _write(folder / VOCABULARY_FILE, symbols)
        _write(folder / SPECIALS_FILE, special_tokens(symbols))
        _write(folder / TOKENIZER_FILE, tokenizer_config(symbols))
        fitted.dictionary.save(folder / DICTIONARY_FILE)
    spoken = _encoder(fitted)
    if not spoken.time_mask.prob and not spoken.channel_mask.prob and not _mask_vector(fitted).any():
        # A vector of zeros stands for none, which transformers builds where these are 0.
        config |= {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
        state = {name: tensor for name, tensor in state.items() if not name.endswith("masked_spec_embed")}
    _write(folder / CONFIG_FILE, config)
    _write(folder / PREPROCESSOR_FILE, _preprocessor(spoken))
    write_tensors(folder / WEIGHTS_FILE, state, {"format": "pt"})
    (folder / "README.md").write_text(model_card(fitted), encoding="utf-8")


def _own_part(fitted: Loaded) -> dict[str, Any]:
    """What transformers has no words for, and leaves alone."""
    return {**content_of(fitted.config), "num_updates": fitted.num_updates}


def _encoder(fitted: Loaded) -> Wav2Vec2Config:
    config = fitted.config.encoder if isinstance(fitted.config, CTCConfig) else fitted.config
    assert isinstance(config, Wav2Vec2Config)
    return config


def _preprocessor(config: Wav2Vec2Config) -> dict[str, Any]:
    return {
        "do_normalize": config.normalize,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        # The Base layout was trained on padding without a mask.
        "return_attention_mask": config.conv_norm == "layer",
        "sampling_rate": config.sample_rate,
    }


def _label_words(
    symbols: Mapping[str, int], fitted: Loaded, state: Mapping[str, Tensor]
) -> dict[str, int | None]:
    specials = special_tokens(symbols)
    words = ("pad_token", "bos_token", "eos_token")
    numbers = {f"{word}_id": symbols.get(specials[word] or "") for word in words}
    return {**numbers, "vocab_size": len(state["lm_head.weight"])}


def _rotation_words(fitted: Loaded) -> dict[str, int]:
    """The base whose powers are the speeds of a rotation, which our configuration does not know."""
    state = fitted.model.state_dict()
    speeds = next((tensor for name, tensor in state.items() if name.endswith(".inv_freq")), None)
    if speeds is None or len(speeds) < 2:
        return {}
    base = float(speeds[1].double().pow(-len(speeds)))
    return {"rotary_embedding_base": round(base)} if 1.0 < base < _LARGEST_BASE else {}


def _renamed(fitted: Loaded) -> Iterator[tuple[str, Tensor]]:
    """The weights under transformers' names."""
    config = _encoder(fitted)
    layer_type = config.encoder.layer_type
    table = encoder_names(config)
    heads = NameTable(keys.PRETRAINING_NAMES | keys.CTC_NAMES)
    alone = isinstance(fitted.config, Wav2Vec2Config) and not fitted.config.heads
    prefix = "" if alone else keys.PREFIXES[layer_type]
    speeds = keys.LAYER_ROTATION_SPEEDS.format(0)
    projects = False
    for name, tensor in fitted.model.state_dict().items():
        own = name.removeprefix("encoder.") if isinstance(fitted.config, CTCConfig) else name
        theirs = heads.theirs(name)
        if theirs is not None:
            yield theirs, _in_their_order(tensor, fitted.rows) if theirs.startswith("lm_head.") else tensor
        elif own.endswith(".rotary_emb.inv_freq"):
            if own == speeds:
                yield prefix + keys.ROTATION_SPEEDS, tensor
        else:
            projects = projects or own.startswith("post_extract_proj.")
            found = table.theirs(own)
            assert found is not None, own
            yield prefix + found, tensor
    if not projects:
        # transformers always projects the features: here, to themselves.
        yield f"{prefix}feature_projection.projection.weight", torch.eye(config.encoder.dim)
        yield f"{prefix}feature_projection.projection.bias", torch.zeros(config.encoder.dim)


def _in_their_order(tensor: Tensor, rows: tuple[int, ...]) -> Tensor:
    """Rows of the output layer where they were in the folder that they came from."""
    if not rows:
        return tensor
    ours = sorted((row, label) for label, row in enumerate(rows) if row >= 0)
    return tensor[torch.tensor([label for _, label in ours])]


def _mask_vector(fitted: Loaded) -> Tensor:
    name = "encoder.mask_emb" if isinstance(fitted.config, CTCConfig) else "mask_emb"
    vector: Tensor = fitted.model.state_dict()[name]
    return vector


def _check_speeds(loaded: Loaded) -> None:
    """There is one set of rotation speeds for all layers in transformers."""
    speeds = [tensor for name, tensor in loaded.model.state_dict().items() if name.endswith(".inv_freq")]
    if any(not torch.equal(tensor, speeds[0]) for tensor in speeds[1:]):
        raise UserError(
            f"{loaded.source} cannot be written for Hugging Face: its layers rotate at different speeds"
        )


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(as_text(content), encoding="utf-8")
