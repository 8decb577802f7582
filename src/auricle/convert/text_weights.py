"""The weights of fairseq's text models under our names: renamed, untied, freed of what is no weight."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from auricle.convert import keys
from auricle.convert.storages import StoredTensor
from auricle.convert.text_config import language_model_config_from_fairseq, roberta_config_from_fairseq
from auricle.errors import UserError
from auricle.models.config import LanguageModelConfig, RobertaConfig
from auricle.models.decoder import PAD

Weights = Mapping[str, StoredTensor]

_BAND = re.compile(r"decoder\.embed_tokens\.embeddings\.\d+\.0\.weight")
_MARKS = ("version", "_float_tensor")
_HEADS = ("classification_heads.", "encoder.classification_heads.", "decoder.classification_heads.")
_LANGUAGE_MODEL_PREFIXES = keys.OLD_LANGUAGE_MODEL_STATE_PREFIXES | keys.LANGUAGE_MODEL_STATE_PREFIXES
_ROBERTA_PREFIXES = keys.OLD_ROBERTA_STATE_PREFIXES | keys.ROBERTA_STATE_PREFIXES
_IN_PROJ = re.compile(r"(.*\.)in_proj_(weight|bias)$")


def language_model_from_fairseq(
    options: Mapping[str, Any], weights: Weights
) -> tuple[LanguageModelConfig, Weights]:
    """Configuration and weights of a `transformer_lm`.

    Raises:
        UserError: They are not of such a model, or of one that this version cannot build.
    """
    ends_with_norm = _ends_with_norm(weights)
    weights = _with_names_of_today(weights, _LANGUAGE_MODEL_PREFIXES)
    bands = [name for name in weights if _BAND.fullmatch(name)]
    tables = bands or ["decoder.embed_tokens.weight"]
    num_symbols = sum(_shape(weights, name)[0] for name in tables)
    config = language_model_config_from_fairseq(options, num_symbols)
    config = replace(
        config, decoder=replace(config.decoder, final_norm=config.decoder.final_norm and ends_with_norm)
    )
    if config.decoder.positions == "learned":
        table = _shape(weights, "decoder.embed_positions.weight")
        config = replace(config, decoder=replace(config.decoder, max_positions=max(1, table[0] - PAD - 1)))
    tied = [
        (config.tie_embeddings, r"output_projection\.weight"),
        (config.tie_adaptive_weights, r"adaptive_softmax\.(head\.word_proj|tail\.\d+\.2)\.weight"),
        (config.tie_adaptive_proj, r"adaptive_softmax\.tail\.\d+\.0\.weight"),
    ]
    return config, _without(weights, [pattern for is_tied, pattern in tied if is_tied])


def roberta_from_fairseq(options: Mapping[str, Any], weights: Weights) -> tuple[RobertaConfig, Weights]:
    """Configuration and weights of a RoBERTa, of 2019 or later.

    Raises:
        UserError: They are not of such a model, or of one that this version cannot build.
    """
    weights = _with_names_of_today(weights, _ROBERTA_PREFIXES)
    num_positions = _shape(weights, "embed_positions.weight")[0]
    config = roberta_config_from_fairseq(
        options,
        num_symbols=_shape(weights, "embed_tokens.weight")[0],
        max_positions=max(1, num_positions - PAD - 1),
        norm_embedding="layernorm_embedding.weight" in weights,
    )
    return config, weights if config.untie_weights else _without(weights, [r"lm_head\.weight"])


def _ends_with_norm(weights: Weights) -> bool:
    """Whether the file is of 2018 or later: before, no stack of layers ended with a norm."""
    version = weights.get("decoder.version")
    return version is not None and version.num_elements > 0 and float(version.load().flatten()[0]) > 2


def without_marks(weights: Weights) -> Weights:
    """The weights without what fairseq keeps among them that is none."""
    return {name: weight for name, weight in weights.items() if name.rpartition(".")[2] not in _MARKS}


def _shape(weights: Weights, name: str) -> tuple[int, ...]:
    if name not in weights or len(weights[name].shape) != 2:
        raise UserError(f"it has no table {name}")
    return weights[name].shape


def _without(weights: Weights, patterns: list[str]) -> Weights:
    """The weights except those that are the same as others, whose names match."""
    return {
        name: weight
        for name, weight in weights.items()
        if not any(re.fullmatch(pattern, name) for pattern in patterns)
    }


def _with_names_of_today(weights: Weights, prefixes: Mapping[str, str]) -> Weights:
    """Weights under our names, whatever year they are of; without versions and other marks."""
    renamed: dict[str, StoredTensor] = {}
    for name, weight in without_marks(weights).items():
        if name.startswith(_HEADS):
            continue  # of a model that was fine-tuned to sort sentences
        theirs = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
        ours = prefixes.get(theirs, "") + name.removeprefix(theirs)
        renamed.update(_split(ours, weight))
    return renamed


def _split(name: str, weight: StoredTensor) -> dict[str, StoredTensor]:
    """Attention's three projections, which stood in one matrix until 2019, one by one."""
    match = _IN_PROJ.fullmatch(name)
    if match is None or not weight.shape or weight.shape[0] % 3:
        return {name: weight}
    size = weight.shape[0] // 3
    return {
        f"{match[1]}{projection}.{match[2]}": replace(
            weight, offset=weight.offset + i * size * weight.strides[0], shape=(size, *weight.shape[1:])
        )
        for i, projection in enumerate(("q_proj", "k_proj", "v_proj"))
    }
