"""fairseq's words for a model, of a checkpoint or a recipe, made into configurations (tables: `keys.py`)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from auricle.convert import keys
from auricle.convert.values import as_type, check_config, path_type, with_values
from auricle.errors import UserError
from auricle.models.config import CTCConfig, Wav2Vec2Config, Wav2VecConfig

_DIGITS = 10
"""Of numbers that are out of bounds in any case."""


def config_from_fairseq(options: Mapping[str, Any]) -> Wav2Vec2Config:
    """The configuration of a pre-training model.

    Args:
        options: fairseq's `model` group; `normalize`, `sample_rate` (of its `task` group) and our
            `reference_padding` may stand among them. What is missing or None has fairseq's default, and
            what is not about the network is ignored.

    Raises:
        UserError: An option has a value that is of another type, does not fit the others, or asks for
            something that this version cannot build.
    """
    config = with_values(Wav2Vec2Config(), translated(options, keys.PRETRAINING_WORDS, Wav2Vec2Config))
    config = replace(
        config,
        quantizer=config.quantizer if _switch(options, "quantize_targets") else None,
        input_quantizer=config.quantizer if _switch(options, "quantize_input") else None,
    )
    check_config(config)
    return config


def wav2vec_config_from_fairseq(options: Mapping[str, Any]) -> Wav2VecConfig:
    """The configuration of a wav2vec 1.0 or vq-wav2vec model; arguments and errors as above."""
    options = {**options, "offset": _offset(options.get("offset"))}
    for word in keys.NEGATIONS:
        if options.get(word) is not None:
            options[word] = not as_type(options[word], bool, word)
    config: Wav2VecConfig = with_values(
        Wav2VecConfig(), translated(options, keys.WAV2VEC_WORDS, Wav2VecConfig)
    )
    check_config(config)
    return config


def finetuned_encoder_config(pretrained: Wav2Vec2Config, options: Mapping[str, Any]) -> Wav2Vec2Config:
    """The configuration that a pre-trained encoder has while and after it is fine-tuned (quirk 27).

    Args:
        pretrained: What it was pre-trained with.
        options: fairseq's `model` group of the fine-tuned model; `normalize` may stand among them.

    Returns:
        `pretrained` with the dropouts, masks, LayerDrop and feature_grad_mult of fine-tuning; without
        `apply_mask`, nothing is masked. With `layer_type=trf_adp`, with adapters; any other leaves the layers
        as they were pre-trained (fairseq takes them for Transformer layers then, and fails).

    Raises:
        UserError: As in `config_from_fairseq`, and where `normalize` differs from the pre-trained model's.
    """
    _check_normalize(pretrained.normalize, options)
    config: Wav2Vec2Config = with_values(pretrained, keys.FINETUNING_DEFAULTS)
    config = with_values(config, translated(options, keys.FINETUNING_WORDS, Wav2Vec2Config))
    if options.get("layer_type") == "trf_adp":
        if pretrained.encoder.layer_type == "conformer":
            raise UserError("layer_type=trf_adp: a Conformer takes no adapters; choose another checkpoint")
        config = with_values(config, translated(options, keys.ADDED_ADAPTER_WORDS, Wav2Vec2Config))
    if not _switch(options, "apply_mask"):
        config = with_values(config, {"time_mask.prob": 0.0, "channel_mask.prob": 0.0})
    check_config(config)
    return config


def ctc_config_from_fairseq(
    options: Mapping[str, Any], pretrained: Wav2Vec2Config, num_labels: int
) -> CTCConfig:
    """The configuration of a CTC model.

    Args:
        options: fairseq's `model` group of the CTC model; `normalize` may stand among them.
        pretrained: What its encoder was pre-trained with.
        num_labels: Size of the dictionary, its four special symbols included.

    Raises:
        UserError: As in `finetuned_encoder_config`.
    """
    config = CTCConfig(encoder=finetuned_encoder_config(pretrained, options), num_labels=num_labels)
    config = with_values(config, translated(options, keys.CTC_WORDS, CTCConfig))
    check_config(config)
    return config


def translated(options: Mapping[str, Any], words: Mapping[str, str], config: type) -> dict[str, Any]:
    """Our paths with the values that `options` has for them, each of its field's type."""
    values = {}
    for word, path in words.items():
        value = options.get(word)
        if value is None or (word in keys.UNSET and value == keys.UNSET[word]):
            continue
        if word in keys.VALUES:
            value = _translated_value(value, word)
        values[path] = as_type(value, path_type(config, path), word)
    return values


def _translated_value(value: object, word: str) -> str:
    ours = keys.VALUES[word]
    if not isinstance(value, str) or value not in ours:
        shown = repr(value[:60]) if isinstance(value, str) else "another value"
        raise UserError(f"{word}: expected one of {', '.join(ours)}, got {shown}")
    return ours[value]


def or_default(options: Mapping[str, Any], word: str, default: object) -> Any:
    """The value of an option; the default where it is missing or None."""
    value = options.get(word)
    return default if value is None else value


def _offset(value: object) -> int:
    """The number in fairseq's text for it; "auto" is our 0, a 0 would predict what is there already."""
    if value is None or value == "auto":
        return 0
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < _DIGITS else value
    if (offset := as_type(number, int, "offset")) == 0:
        raise UserError("offset: expected auto, or a whole number from 1")
    return offset  # type: ignore[no-any-return]


def _switch(options: Mapping[str, Any], word: str) -> bool:
    """An option that is off unless it is there."""
    return as_type(or_default(options, word, False), bool, word)  # type: ignore[no-any-return]


def _check_normalize(pretrained: bool, options: Mapping[str, Any]) -> None:
    asked = or_default(options, "normalize", pretrained)
    if as_type(asked, bool, "normalize") != pretrained:
        raise UserError(
            f"normalize={asked} does not go with a model that was pre-trained with normalize={pretrained}: "
            f"set task.normalize={str(pretrained).lower()}"
        )
