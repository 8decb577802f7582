"""transformers' `config.json` made into our configurations, and back (tables: `huggingface_keys.py`)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from auricle.convert import huggingface_keys as keys
from auricle.convert.literals import shortened
from auricle.convert.values import as_type, check_config, path_type, value_at, with_values
from auricle.errors import UserError
from auricle.models.config import (
    CTCConfig,
    LanguageModelConfig,
    ModelConfig,
    QuantizerConfig,
    RobertaConfig,
    Seq2SeqConfig,
    Wav2Vec2Config,
    Wav2VecConfig,
)

Kind = Literal["pretraining", "ctc", "encoder"]

_UNMASKED_PROB = 0.05
"""Written where nothing is masked: only for a positive one, transformers has a vector of masked frames."""


_OTHERS: dict[type, str] = {
    Wav2VecConfig: "a wav2vec 1.0 or vq-wav2vec model",
    Seq2SeqConfig: "a recogniser that writes letters one by one",
    LanguageModelConfig: "a language model",
    RobertaConfig: "a RoBERTa over codes of vq-wav2vec",
}


def encoder_config_from_huggingface(
    content: Mapping[str, Any], kind: Kind, base: Wav2Vec2Config | None = None
) -> Wav2Vec2Config:
    """The encoder's configuration, with pre-training heads or without.

    Args:
        content: Of `config.json`; what is missing has transformers' default.
        kind: What stands on the encoder.
        base: What is known of it besides: it holds where transformers' words say nothing else.

    Raises:
        UserError: It is of another model, a value is of another type, the values do not fit together, or
            they ask for something that this version cannot build.
    """
    layer_type = layer_type_of(content)
    content = {**keys.DEFAULTS, **keys.LAYER_DEFAULTS[layer_type], **content}
    for word, only in keys.ONLY_VALUES.items():
        if content.get(word, only) != only:
            raise UserError(f"{word}: this version can only read models with {word}={only!r}")
    start = base or _start(layer_type, kind)
    known = huggingface_words(start)
    words = keys.WORDS[layer_type] | (keys.QUANTIZER_WORDS if start.quantizer is not None else {})
    values = dict(_changed(content, known, words, Wav2Vec2Config))
    if any(content[word] != known[word] for word in keys.CONVOLUTIONS):
        values["conv_layers"] = _convolutions(content)
    values |= _mask_probs(content)
    config: Wav2Vec2Config = with_values(start, values)
    if kind != "pretraining" and config.quantizer and config.quantizer.dim % config.quantizer.num_codebooks:
        config = replace(config, quantizer=None)  # transformers looks at these words in pre-training only
    check_config(config)
    return config


def ctc_config_from_huggingface(
    content: Mapping[str, Any], encoder: Wav2Vec2Config, num_labels: int, base: CTCConfig | None = None
) -> CTCConfig:
    """The configuration of a recogniser; arguments as above."""
    content = {**keys.DEFAULTS, **content}
    config = replace(base or CTCConfig(), encoder=encoder, num_labels=num_labels)
    known = _words_of(config, keys.CTC_WORDS) if base else {}
    values = dict(_changed(content, known, keys.CTC_WORDS, CTCConfig))
    config = with_values(config, values)
    check_config(config)
    return config


def layer_type_of(content: Mapping[str, Any]) -> str:
    """Our `layer_type` of what `config.json` describes.

    Raises:
        UserError: It describes a model of another family.
    """
    model_type = content.get("model_type")
    if not isinstance(model_type, str) or model_type not in keys.MODEL_TYPES:
        what = shortened(model_type) if isinstance(model_type, str) else "nothing"
        known = ", ".join(keys.MODEL_TYPES)
        raise UserError(f"model_type says {what}: models of it are not supported; these are: {known}")
    return keys.MODEL_TYPES[model_type]


def huggingface_words(config: Wav2Vec2Config) -> dict[str, Any]:
    """The words of transformers with the values of an encoder's configuration."""
    layer_type = config.encoder.layer_type
    described = replace(config, quantizer=config.quantizer or QuantizerConfig())
    assert described.quantizer is not None
    final_dim = config.final_dim or config.encoder.dim
    quantizer = replace(described.quantizer, dim=described.quantizer.dim or final_dim)
    described = replace(described, quantizer=quantizer, final_dim=final_dim)
    words = _words_of(described, keys.WORDS[layer_type] | keys.QUANTIZER_WORDS)
    convolutions = zip(*config.conv_layers, strict=True)
    words |= {w: list(values) for w, values in zip(keys.CONVOLUTIONS, convolutions, strict=True)}
    words["apply_spec_augment"] = max(config.time_mask.prob, config.channel_mask.prob) > 0
    if not words["apply_spec_augment"]:
        words["mask_time_prob"] = _UNMASKED_PROB
    if layer_type == "conformer":
        words["conformer_conv_dropout"] = config.encoder.dropout
    return words


def huggingface_config(config: ModelConfig) -> dict[str, Any]:
    """All of `config.json` that follows from a configuration."""
    encoder = config.encoder if isinstance(config, CTCConfig) else config
    assert isinstance(encoder, Wav2Vec2Config)
    layer_type = encoder.encoder.layer_type
    model_type = next(theirs for theirs, ours in keys.MODEL_TYPES.items() if ours == layer_type)
    words = {**keys.DEFAULTS, **keys.LAYER_DEFAULTS[layer_type], **huggingface_words(encoder)}
    if isinstance(config, CTCConfig):
        words |= _words_of(config, keys.CTC_WORDS) | {"vocab_size": config.num_labels}
    architecture = keys.CLASSES[layer_type] + keys.HEADS[kind_of(config)]
    return {"architectures": [architecture], "model_type": model_type, "dtype": "float32", **words}


def huggingface_problems(config: ModelConfig) -> Iterator[str]:
    """What transformers' models cannot be, of a configuration."""
    encoder = config.encoder if isinstance(config, CTCConfig) else config
    if not isinstance(encoder, Wav2Vec2Config):
        yield f"it is {_OTHERS[type(encoder)]}, and transformers has none"
        return
    yield from _encoder_problems(encoder)
    if kind_of(config) != "pretraining":
        return
    if encoder.quantizer is None:
        yield "transformers always quantizes the targets of pre-training (quantize_targets)"
    elif encoder.quantizer.depth > 1:
        yield "transformers knows quantizers of one layer alone (quantizer_depth)"
    if encoder.target_glu:
        yield "transformers knows no gated targets (target_glu)"


def _encoder_problems(config: Wav2Vec2Config) -> Iterator[str]:
    encoder = config.encoder
    if encoder.layer_type not in keys.LAYER_NAMES:
        yield "transformers knows no adapters of this kind (layer_type=trf_adp)"
    elif encoder.layer_type == "conformer":
        if encoder.attention != "espnet" or encoder.positions == "abs":
            yield "transformers knows no Conformer with positions but rope and rel_pos (pos_enc_type)"
        if not encoder.pre_norm:
            yield "transformers knows no Conformer without a norm at its end (layer_norm_first)"
    activations = (encoder.activation, encoder.conformer_activation)
    if not set(activations) <= set(keys.VALUES["hidden_act"].values()):
        yield f"transformers knows no activation {' or '.join(activations)}"
    if encoder.pos_conv_depth > 1:
        yield "transformers takes positions from one convolution alone (pos_conv_depth)"
    if config.input_quantizer is not None:
        yield "transformers never quantizes an encoder's input (quantize_input)"
    if config.crop_seq_to_multiple > 1:
        yield "transformers leaves no frames out (crop_seq_to_multiple)"


def kind_of(config: ModelConfig) -> Kind:
    """What stands on the encoder."""
    if isinstance(config, CTCConfig):
        return "ctc"
    return "pretraining" if isinstance(config, Wav2Vec2Config) and config.heads else "encoder"


def _mask_probs(content: Mapping[str, Any]) -> dict[str, float]:
    masks = as_type(content["apply_spec_augment"], bool, "apply_spec_augment")
    words = {"mask_time_prob": "time_mask.prob", "mask_feature_prob": "channel_mask.prob"}
    return {path: as_type(content[word], float, word) if masks else 0.0 for word, path in words.items()}


def _start(layer_type: str, kind: Kind) -> Wav2Vec2Config:
    """What transformers' models are, whatever their words say: only these can be told apart by them."""
    start = Wav2Vec2Config(heads=kind != "encoder")
    values: dict[str, Any] = {"encoder.layer_type": layer_type}
    if layer_type == "conformer":
        values |= {"encoder.pre_norm": True, "encoder.attention": "espnet", "encoder.positions": "rel_pos"}
    config: Wav2Vec2Config = with_values(start, values)
    return config


def _changed(
    content: Mapping[str, Any], known: Mapping[str, Any], words: Mapping[str, str], config: type
) -> Iterator[tuple[str, Any]]:
    """Our paths with the values that differ from what is known."""
    for word, path in words.items():
        value = content[word]
        if word in known and value == known[word] and type(value) is type(known[word]):
            continue
        if word in keys.VALUES:
            value = _named(value, word)
        yield path, as_type(value, path_type(config, path), word)


def _named(value: object, word: str) -> str:
    ours = keys.VALUES[word]
    if isinstance(value, str):
        value = keys.SAME_VALUES.get(value, value)
    if not (value is None or isinstance(value, str)) or value not in ours:
        shown = shortened(value) if isinstance(value, str) else "another value"
        raise UserError(f"{word}: this version knows {', '.join(map(str, ours))}, and not {shown}")
    return ours[value]


def _words_of(config: Any, words: Mapping[str, str]) -> dict[str, Any]:
    values = {word: value_at(config, path) for word, path in words.items()}
    for word in keys.VALUES.keys() & values.keys():
        values[word] = next(theirs for theirs, ours in keys.VALUES[word].items() if ours == values[word])
    return values


def _convolutions(content: Mapping[str, Any]) -> Any:
    columns = [as_type(content[word], tuple[int, ...], word) for word in keys.CONVOLUTIONS]
    if len({len(column) for column in columns}) != 1:
        raise UserError(f"{', '.join(keys.CONVOLUTIONS)} are lists of different lengths")
    return tuple(zip(*columns, strict=True))
