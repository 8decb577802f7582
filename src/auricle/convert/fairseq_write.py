"""Checkpoints that fairseq opens: layout, names and types as its own trainer writes them."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auricle.convert import keys
from auricle.convert.fairseq_words import fairseq_options
from auricle.convert.fitted import NO_DICTIONARY, Fitted, placeholders, rebuilt
from auricle.convert.loaded import Loaded
from auricle.convert.pickle_values import Global, StandIn
from auricle.convert.torch_write import write
from auricle.dictionary import MASK, SPECIALS, Dictionary
from auricle.errors import UserError
from auricle.models.config import (
    CTCConfig,
    LanguageModelConfig,
    ModelConfig,
    RobertaConfig,
    Seq2SeqConfig,
    Wav2Vec2Config,
    Wav2VecConfig,
)

_DICTIONARY = Global("fairseq.data.dictionary", "Dictionary")
_CRITERIA = {
    "wav2vec": "Wav2vecCriterion",
    "ctc": "CtcCriterion",
    "label_smoothed_cross_entropy": "LabelSmoothedCrossEntropyCriterion",
    "cross_entropy": "CrossEntropyCriterion",
    "adaptive_loss": "AdaptiveLoss",
    "masked_lm": "MaskedLmLoss",
}
_TEXT_VERSION = 3.0
"""By which fairseq knows that a stack of layers may end with a norm."""


def write_fairseq(path: Path, fitted: Loaded) -> None:
    """Write a checkpoint, plainly: the caller sees to it that no half of one stays behind.

    Args:
        path: A new file.
        fitted: What `fit_fairseq` made of a model.

    Raises:
        OSError: The disk is full or not writable.
    """
    options = fairseq_options(fitted.config)
    content = {
        "args": None,
        "cfg": options,
        "model": fairseq_state(fitted.config, fitted.model.state_dict()),
        "criterion": None,
        "optimizer_history": [
            {
                "criterion_name": _CRITERIA[options["criterion"]["_name"]],
                "optimizer_name": "FairseqAdam",
                "lr_scheduler_state": {"best": None},
                "num_updates": fitted.num_updates,
            }
        ],
        "task_state": _task_state(fitted),
        "extra_state": {
            "metrics": OrderedDict(),
            "previous_training_time": 0.0,
            "train_iterator": {"version": 2, "epoch": 1, "iterations_in_epoch": 0, "shuffle": True},
            "val_loss": None,
        },
        "last_optimizer_state": None,
    }
    write(path, content)


def fit_fairseq(loaded: Loaded) -> Fitted:
    """The model as fairseq's format can hold it, and what is to be said about the difference.

    Raises:
        UserError: It cannot hold it at all.
    """
    notices: list[str] = []
    encoder = loaded.config.encoder if isinstance(loaded.config, CTCConfig | Seq2SeqConfig) else loaded.config
    if isinstance(encoder, Wav2Vec2Config):
        for problem in _problems(encoder):
            raise UserError(f"{loaded.source} cannot be written for fairseq: {problem}")
        loaded = _swish(loaded, encoder, notices)
    loaded = _without_reference_padding(loaded)
    if isinstance(loaded.config, Wav2Vec2Config) and not loaded.config.heads:
        notices.append("it is an encoder alone: the pre-training heads that fairseq demands are all zeros")
    if isinstance(loaded.config, CTCConfig | Seq2SeqConfig) and loaded.dictionary is None:
        loaded = replace(loaded, dictionary=placeholders(loaded.config.num_labels))
        notices.append(NO_DICTIONARY)
    if loaded.rows:
        notices.append("its labels are written in fairseq's order, the blank first")
    return Fitted(replace(loaded, rows=()), tuple(notices))


def fairseq_state(config: ModelConfig, state: Mapping[str, Tensor]) -> "OrderedDict[str, Tensor]":
    """A network's state under fairseq's names, with all that fairseq keeps in it besides.

    What stands in it under two names, being tied, is one tensor, and takes its room in the file once.
    """
    match config:
        case CTCConfig():
            return OrderedDict(_renamed(state, keys.CTC_STATE_PREFIXES))
        case Seq2SeqConfig():
            return OrderedDict(_renamed(state, keys.SEQ2SEQ_STATE_PREFIXES))
        case LanguageModelConfig():
            return _language_model_state(config, state)
        case RobertaConfig():
            named = OrderedDict(_renamed(state, keys.ROBERTA_STATE_PREFIXES))
            named["encoder.sentence_encoder.version"] = torch.tensor([_TEXT_VERSION])
            if not config.untie_weights:
                named["encoder.lm_head.weight"] = named["encoder.sentence_encoder.embed_tokens.weight"]
            return named
        case Wav2Vec2Config(heads=False):
            return OrderedDict({**state, **_blank_heads(config)})
        case Wav2VecConfig(project_features="same"):
            part = "feature_aggregator."
            again = {n: tensor for n, tensor in state.items() if n.startswith(part)}
            again = {"project_features." + n.removeprefix(part): tensor for n, tensor in again.items()}
            return OrderedDict({**state, **again})
        case _:
            return OrderedDict(state)


def _renamed(state: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    """`fairseq._renamed`, backwards: of our prefixes that fit, the longest is meant."""
    theirs = sorted(((ours, theirs) for theirs, ours in prefixes.items()), key=lambda pair: -len(pair[0]))
    for name, tensor in state.items():
        ours, prefix = next(pair for pair in theirs if name.startswith(pair[0]))
        yield prefix + name.removeprefix(ours), tensor


def _language_model_state(
    config: LanguageModelConfig, state: Mapping[str, Tensor]
) -> "OrderedDict[str, Tensor]":
    named = OrderedDict(_renamed(state, keys.LANGUAGE_MODEL_STATE_PREFIXES))
    named["decoder.version"] = torch.tensor([_TEXT_VERSION])
    table, softmax = "decoder.embed_tokens", "decoder.adaptive_softmax"
    if config.tie_embeddings:
        named["decoder.output_projection.weight"] = named[f"{table}.weight"]
    if config.input_cutoffs:
        named[f"{table}._float_tensor"] = torch.zeros(1)
    if config.softmax_cutoffs:
        named[f"{softmax}.version"] = torch.tensor([1])
    if config.tie_adaptive_weights:
        named[f"{softmax}.head._float_tensor"] = torch.zeros(1)
        named[f"{softmax}.head.word_proj.weight"] = named[f"{table}.embeddings.0.0.weight"]
        for i in range(len(config.softmax_cutoffs)):
            band = f"{table}.embeddings.{i + 1}"
            named[f"{softmax}.tail.{i}.2.weight"] = named[f"{band}.0.weight"]
            if config.tie_adaptive_proj:
                named[f"{softmax}.tail.{i}.0.weight"] = named[f"{band}.1.weight"]
    return named


def _problems(config: Wav2Vec2Config) -> Iterator[str]:
    channels, encoder = config.conv_layers[-1][0], config.encoder
    if config.always_projects and channels == encoder.dim:
        yield f"it projects features of {channels} channels to as many, and fairseq has no such layer"
    if encoder.layer_type == "conformer" and encoder.positions == "none":
        yield "fairseq has no Conformer without positions"
    quantizers = {config.quantizer, config.input_quantizer} - {None}
    if len(quantizers) > 1:
        yield "its quantizers of targets and of inputs differ, and fairseq has one set of options for both"


def _swish(loaded: Loaded, encoder: Wav2Vec2Config, notices: list[str]) -> Loaded:
    """Conformers of fairseq know no activation but swish, whatever their options say (quirk 18)."""
    activation = encoder.encoder.conformer_activation
    if encoder.encoder.layer_type != "conformer" or activation == "swish":
        return loaded
    notices.append(
        f"its Conformer layers compute with {activation} and fairseq's know swish alone: the weights are the"
        " same, the answers are not, unless it is trained further"
    )
    path = "encoder.conformer_activation"
    inside = "" if encoder is loaded.config else "encoder."
    return rebuilt(loaded, {inside + path: "swish"})


def _without_reference_padding(loaded: Loaded) -> Loaded:
    """The format has no word for it: fairseq itself knows no other padding, and we read files without."""
    match loaded.config:
        case CTCConfig() | Seq2SeqConfig():
            return rebuilt(loaded, {"encoder.reference_padding": False})
        case Wav2Vec2Config() | Wav2VecConfig():
            return rebuilt(loaded, {"reference_padding": False})
        case _:
            return loaded


def _blank_heads(config: Wav2Vec2Config) -> dict[str, Tensor]:
    """The heads that fairseq demands of an encoder: of zeros, by which reading knows that there are none."""
    final_dim, channels = config.final_dim or config.encoder.dim, config.conv_layers[-1][0]
    return {
        "project_q.weight": torch.zeros(final_dim, channels),
        "project_q.bias": torch.zeros(final_dim),
        "final_proj.weight": torch.zeros(final_dim, config.encoder.dim),
        "final_proj.bias": torch.zeros(final_dim),
    }


def _task_state(fitted: Loaded) -> dict[str, Any]:
    if fitted.dictionary is None or not isinstance(fitted.config, CTCConfig | Seq2SeqConfig):
        return {}
    return {"target_dictionary": _pickled(fitted.dictionary)}


def _pickled(dictionary: Dictionary) -> StandIn:
    """What pickling fairseq's class of dictionaries gives."""
    names = dict(zip(("bos", "pad", "eos", "unk"), SPECIALS, strict=True))
    state = {
        **{f"{name}_word": symbol for name, symbol in names.items()},
        "symbols": list(dictionary.symbols),
        "count": list(dictionary.counts),
        "indices": {symbol: index for index, symbol in enumerate(dictionary.symbols)},
        **{f"{name}_index": index for index, name in enumerate(names)},
        "nspecial": len(SPECIALS),
    }
    return StandIn(_DICTIONARY, (), state)


def dictionary_beside(fitted: Loaded) -> Dictionary | None:
    """A text model's dictionary, which fairseq looks for in its data folder; without the `<mask>` it adds."""
    if fitted.dictionary is None or not isinstance(fitted.config, LanguageModelConfig | RobertaConfig):
        return None
    symbols, counts = fitted.dictionary.symbols, fitted.dictionary.counts
    end = len(symbols) - (isinstance(fitted.config, RobertaConfig) and symbols[-1] == MASK)
    return Dictionary(symbols[len(SPECIALS) : end], counts[len(SPECIALS) : end])
