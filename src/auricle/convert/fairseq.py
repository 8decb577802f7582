"""fairseq's checkpoints of every era made into models.

2020: an `argparse.Namespace` of flat options under `args`. 2021: groups of options under `cfg`, as
omegaconf's objects. Since then the same groups as plain dictionaries. A fine-tuned model holds all options of
its pre-trained encoder once more, under `w2v_args`, in any of these forms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from auricle.convert import keys
from auricle.convert.fairseq_config import (
    config_from_fairseq,
    ctc_config_from_fairseq,
    wav2vec_config_from_fairseq,
)
from auricle.convert.infer import encoder_options
from auricle.convert.literals import shortened
from auricle.convert.loaded import Loaded
from auricle.convert.pickle_values import MAX_TEXT
from auricle.convert.storages import DamagedError, StoredTensor, check_sharing
from auricle.convert.text_config import seq2seq_config_from_fairseq
from auricle.convert.text_weights import language_model_from_fairseq, roberta_from_fairseq, without_marks
from auricle.convert.torch_file import read
from auricle.convert.unpickle import StandIn
from auricle.convert.weights import model_with_weights, with_reference_padding
from auricle.dictionary import MAX_DIGITS, SPECIALS, Dictionary
from auricle.errors import UserError
from auricle.models.config import ModelConfig, Wav2Vec2Config

_COUNTS = range(10**MAX_DIGITS)
_MAX_WRAPPERS = 8
_SEQ2SEQ_ENCODER = "encoder.w2v_model."

Weights = Mapping[str, StoredTensor]


@dataclass(frozen=True, slots=True)
class Options:
    """A checkpoint's options that concern its model.

    Attributes:
        family: fairseq's name of the architecture.
        words: The options of the model, and of the task those that say what audio it takes.
    """

    family: str
    words: Mapping[str, Any]


def read_fairseq(
    path: Path,
    *,
    map_location: str | torch.device = "cpu",
    reference_padding: bool = False,
) -> Loaded:
    """Read a checkpoint that fairseq wrote; nothing in it is run.

    Args:
        path: The file.
        map_location: Where the weights go.
        reference_padding: Reproduce fairseq's arithmetic on padded batches.

    Raises:
        UserError: It cannot be read, is no such file, or is of a family that this version does not know.
    """
    content = read(path)
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise UserError(f"{path} is not a fairseq checkpoint, it holds no model: choose another file")
    try:
        options = _options(content)
        config, weights = _family(options.family)(options, _weights(content["model"]))
        if reference_padding:
            config = with_reference_padding(config)
        return Loaded(
            model=model_with_weights(config, weights, map_location),
            dictionary=_dictionary(content),
            config=config,
            num_updates=_num_updates(content),
            source=path,
        )
    except DamagedError as error:
        raise UserError(f"{path} is damaged or cut off ({error}): copy or download it again") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _pretraining(options: Options, weights: Weights) -> tuple[ModelConfig, Weights]:
    config = config_from_fairseq(options.words)
    if config.quantizer is None and _are_blank(weights):
        rest = {name: w for name, w in weights.items() if not name.startswith(keys.PRETRAINING_HEADS)}
        return replace(config, heads=False), rest
    return config, weights


def _are_blank(weights: Weights) -> bool:
    """Whether the pre-training heads are all zeros, which is how an encoder alone is written for fairseq."""
    heads = [weight for name, weight in weights.items() if name.startswith(keys.PRETRAINING_HEADS)]
    return bool(heads) and not any(weight.load().any() for weight in heads)


def _wav2vec(options: Options, weights: Weights) -> tuple[ModelConfig, Weights]:
    config = wav2vec_config_from_fairseq(options.words)
    if config.project_features == "same":  # fairseq names the aggregator twice
        weights = {name: w for name, w in weights.items() if not name.startswith("project_features.")}
    return config, weights


def _ctc(options: Options, weights: Weights) -> tuple[ModelConfig, Weights]:
    pretrained = _pretrained_encoder(options)
    num_labels = _num_rows(weights, "w2v_encoder.proj.weight", "output layer")
    config = ctc_config_from_fairseq(options.words, pretrained, num_labels)
    return config, _renamed(weights, keys.CTC_STATE_PREFIXES)


def _seq2seq(options: Options, weights: Weights) -> tuple[ModelConfig, Weights]:
    if _options_of(options.words.get("w2v_args")):
        pretrained = _pretrained_encoder(options)
    else:
        audio = {word: options.words.get(word) for word in keys.TASK_WORDS}
        pretrained = config_from_fairseq(encoder_options(weights, _SEQ2SEQ_ENCODER) | audio)
    num_labels = _num_rows(weights, "decoder.embed_tokens.weight", "table of labels")
    config = seq2seq_config_from_fairseq(options.words, pretrained, num_labels)
    return config, _renamed(without_marks(weights), keys.SEQ2SEQ_STATE_PREFIXES)


def _language_model(options: Options, weights: Weights) -> tuple[ModelConfig, Weights]:
    return language_model_from_fairseq(options.words, weights)


def _roberta(options: Options, weights: Weights) -> tuple[ModelConfig, Weights]:
    return roberta_from_fairseq(options.words, weights)


def _pretrained_encoder(options: Options) -> Wav2Vec2Config:
    pretrained = _options_of(options.words.get("w2v_args"))
    if pretrained is None:
        raise UserError("it does not say what its encoder is (w2v_args): it was saved unfinished")
    if pretrained.family != "wav2vec2":
        raise UserError(f"its encoder is of a family that is not supported: {shortened(pretrained.family)}")
    return config_from_fairseq(pretrained.words)


def _num_rows(weights: Weights, name: str, what: str) -> int:
    if name not in weights or len(weights[name].shape) != 2:
        raise UserError(f"it has no {what} ({name.removesuffix('.weight')})")
    return weights[name].shape[0]


_FAMILIES: dict[str, Callable[[Options, Weights], tuple[ModelConfig, Weights]]] = {
    "wav2vec": _wav2vec,
    "wav2vec2": _pretraining,
    "wav2vec_ctc": _ctc,
    "wav2vec_seq2seq": _seq2seq,
    "transformer_lm": _language_model,
    "roberta": _roberta,
}

# Their architectures have names of their own, as transformer_lm_gbw or roberta_base; the options say it all.
_FAMILIES_OF_MANY_NAMES = ("transformer_lm", "roberta")


def _family(name: str) -> Callable[[Options, Weights], tuple[ModelConfig, Weights]]:
    family = next((many for many in _FAMILIES_OF_MANY_NAMES if name.startswith(f"{many}_")), name)
    if family not in _FAMILIES:
        known = ", ".join(_FAMILIES)
        raise UserError(f"models of the family {shortened(name)} are not supported; these are: {known}")
    return _FAMILIES[family]


def _renamed(weights: Weights, prefixes: Mapping[str, str]) -> Weights:
    """The weights under our names, without the heads that only pre-training uses."""
    renamed = {}
    for name, weight in weights.items():
        theirs = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
        rest = name.removeprefix(theirs)
        if not (theirs and rest.startswith(keys.PRETRAINING_HEADS)):
            renamed[prefixes.get(theirs, "") + rest] = weight
    return renamed


def _weights(state: Mapping[Any, Any]) -> Weights:
    """A state dict, checked to be one."""
    weights = {}
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise UserError("its model is no table of named tensors")
        weights[name] = tensor
    check_sharing(weights.values())
    return weights


def _options(content: Mapping[Any, Any]) -> Options:
    options = _options_of(content.get("cfg")) or _options_of(content.get("args"))
    if options is None:
        raise UserError(
            "it does not say what its model is (neither cfg nor args): choose a checkpoint that fairseq saved"
        )
    return options


def _options_of(value: Any) -> Options | None:
    """Options as groups, or all of them flat in one; None where there are none."""
    everything = _mapping(value)
    model = _mapping(everything.get("model")) or everything
    task = _mapping(everything.get("task")) or everything
    family = model.get("_name") or model.get("arch")
    if not isinstance(family, str):
        return None
    audio = {word: task[word] for word in keys.TASK_WORDS if task.get(word) is not None}
    criterion = _mapping(everything.get("criterion")) or everything
    words = {"infonce": criterion.get("infonce")} | {w: v for w, v in model.items() if v is not None}
    return Options(keys.OLD_FAMILIES.get(family, family), {**words, **audio})


def _mapping(value: Any) -> dict[str, Any]:
    """A dictionary of options, whatever it was pickled as; an empty one where there is none."""
    value = _plain(value)
    if not isinstance(value, dict):
        return {}
    return {word: _plain(option) for word, option in value.items() if isinstance(word, str)}


def _plain(value: Any) -> Any:
    """An option without the objects it was wrapped in: of argparse, of omegaconf, or a member of an enum."""
    for _ in range(_MAX_WRAPPERS):
        if not isinstance(value, StandIn):
            break
        value = _unwrapped(value)
    if isinstance(value, list):
        return [_unwrapped(item) if isinstance(item, StandIn) else item for item in value]
    is_reference = isinstance(value, str) and value.startswith("${")
    return None if is_reference else value  # to an option of another group, whose value we take from there


def _unwrapped(value: StandIn) -> Any:
    state = value.state if isinstance(value.state, dict) else {}
    kind = str(value.kind)
    if kind == "argparse.Namespace":
        return state
    if kind.startswith("omegaconf."):
        return state.get("_content", state.get("_val"))
    return value.args[0] if len(value.args) == 1 else None


def _dictionary(content: Mapping[Any, Any]) -> Dictionary | None:
    """The dictionary that a fine-tuned model was trained with; files of 2020 hold none."""
    task = content.get("task_state")
    pickled = task.get("target_dictionary") if isinstance(task, dict) else None
    if not isinstance(pickled, StandIn) or not isinstance(pickled.state, dict):
        return None
    symbols, counts = pickled.state.get("symbols"), pickled.state.get("count")
    if not isinstance(symbols, list) or not all(isinstance(s, str) and len(s) <= MAX_TEXT for s in symbols):
        raise UserError("its dictionary holds no symbols")
    if not isinstance(counts, list) or not all(type(count) is int and count in _COUNTS for count in counts):
        raise UserError("its dictionary holds no counts")
    if tuple(symbols[: len(SPECIALS)]) != SPECIALS or len(counts) != len(symbols):
        raise UserError(f"its dictionary does not begin with {' '.join(SPECIALS)}, or lacks counts")
    return Dictionary(symbols[len(SPECIALS) :], counts[len(SPECIALS) :])


def _num_updates(content: Mapping[Any, Any]) -> int:
    """Updates that the model was trained for; 0 where the file does not say."""
    history = content.get("optimizer_history")
    last = history[-1] if isinstance(history, list) and history else None
    count = last.get("num_updates") if isinstance(last, dict) else None
    return count if isinstance(count, int) and count >= 0 else 0
