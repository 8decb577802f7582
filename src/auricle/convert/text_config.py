"""fairseq's words for models of text and for decoders, made into configurations (tables: `keys.py`)."""

from collections.abc import Mapping
from typing import Any

from auricle.convert import keys
from auricle.convert.fairseq_config import finetuned_encoder_config, or_default, translated
from auricle.convert.values import as_type, check_config, with_values
from auricle.errors import UserError
from auricle.models.config import (
    DecoderConfig,
    LanguageModelConfig,
    RobertaConfig,
    Seq2SeqConfig,
    Wav2Vec2Config,
)


def seq2seq_config_from_fairseq(
    options: Mapping[str, Any], pretrained: Wav2Vec2Config, num_labels: int
) -> Seq2SeqConfig:
    """The configuration of a recogniser that writes labels one by one.

    Args:
        options: fairseq's `model` group; `normalize` may stand among them.
        pretrained: What its encoder was pre-trained with.
        num_labels: Size of the dictionary, its four special symbols included.

    Raises:
        UserError: As in `finetuned_encoder_config`.
    """
    if not _flag(options, "autoregressive", True):
        raise UserError(
            "autoregressive=False: a sequence-to-sequence model looks at what it has written: set"
            " task.autoregressive=true"
        )
    config = Seq2SeqConfig(encoder=finetuned_encoder_config(pretrained, options), num_labels=num_labels)
    config = with_values(config, translated(options, keys.SEQ2SEQ_WORDS, Seq2SeqConfig))
    config = with_values(config, {"decoder.positions": _positions(options)})
    check_config(config)
    return config


def language_model_config_from_fairseq(options: Mapping[str, Any], num_symbols: int) -> LanguageModelConfig:
    """The configuration of a `transformer_lm`.

    Args:
        options: fairseq's `model` group, or the flat options of 2019 and 2020.
        num_symbols: Size of the dictionary, its special symbols and any padding included.

    Raises:
        UserError: An option has a value of another type, does not fit the others, or asks for something that
            this version cannot build.
    """
    _refuse_unknown_values(options)
    # Until a model has positions of its own, it is given as many as the sentences it was trained on.
    lengths = {"max_target_positions": options.get("tokens_per_sample")}
    given = {word: value for word, value in options.items() if value is not None}
    base = LanguageModelConfig(num_symbols=num_symbols, decoder=DecoderConfig())
    config: LanguageModelConfig = with_values(
        base, translated({**lengths, **given}, keys.LANGUAGE_MODEL_WORDS, LanguageModelConfig)
    )
    values: dict[str, Any] = {
        "decoder.positions": _positions(options),
        "decoder.final_norm": not _flag(options, "no_decoder_final_norm", False),
        "decoder.scale_embedding": not _flag(options, "no_scale_embedding", False),
        "softmax_cutoffs": _cutoffs(options, "adaptive_softmax_cutoff"),
    }
    if _flag(options, "adaptive_input", False):
        values["input_cutoffs"] = _cutoffs(options, "adaptive_input_cutoff")
    config = with_values(config, values)
    check_config(config)
    return config


def roberta_config_from_fairseq(
    options: Mapping[str, Any], num_symbols: int, max_positions: int, norm_embedding: bool
) -> RobertaConfig:
    """The configuration of a masked language model.

    Args:
        options: fairseq's options, of 2019 or later.
        num_symbols: Size of the dictionary, special symbols and `<mask>` included.
        max_positions: Length of its table of positions.
        norm_embedding: Whether it normalises its embeddings; the options of 2019 do not say.

    Raises:
        UserError: As in `language_model_config_from_fairseq`.
    """
    _refuse_unknown_values(options)
    if not _flag(options, "encoder_learned_pos", True) or _flag(
        options, "no_token_positional_embeddings", False
    ):
        raise UserError("this version can only build RoBERTa with a learnt table of positions")
    config = RobertaConfig(num_symbols=num_symbols, max_positions=max_positions)
    config = with_values(config, translated(options, keys.ROBERTA_WORDS, RobertaConfig))
    values = {
        "norm_embedding": norm_embedding,
        "scale_embedding": not _flag(options, "no_scale_embedding", True),
    }
    config = with_values(config, values)
    check_config(config)
    return config


def _positions(options: Mapping[str, Any]) -> str:
    if _flag(options, "no_token_positional_embeddings", False):
        return "none"
    return "learned" if _flag(options, "decoder_learned_pos", False) else "sinusoidal"


def _flag(options: Mapping[str, Any], word: str, default: bool) -> bool:
    value: bool = as_type(or_default(options, word, default), bool, word)
    return value


def _cutoffs(options: Mapping[str, Any], word: str) -> tuple[int, ...]:
    """Where bands begin, from the text "6,14" or the list [6, 14]; nothing gives none."""
    value = or_default(options, word, ())
    if isinstance(value, str):
        value = f"[{value.strip().strip('[]()')}]"
    cutoffs: tuple[int, ...] = as_type(value, tuple[int, ...], word)
    return cutoffs


def _refuse_unknown_values(options: Mapping[str, Any]) -> None:
    for word, known in keys.ONLY_TEXT_VALUES.items():
        if or_default(options, word, known) != known:
            raise UserError(f"{word}: this version can only build models with {word}={known!r}")
