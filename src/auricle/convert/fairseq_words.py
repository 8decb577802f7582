"""Configurations put into fairseq's words: `fairseq_config.py` and `text_config.py`, read backwards.

The words and values that no network of ours depends on are fairseq's defaults, of `fairseq_options.json`.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from auricle.convert import keys
from auricle.convert.pickle_values import Global, StandIn
from auricle.convert.values import value_at
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

Words = dict[str, Any]

_NAMESPACE = Global("argparse", "Namespace")
_OURS_ALONE = ("reference_padding",)
_WITHOUT_SETTINGS = ("scoring", "bpe", "tokenizer")


def fairseq_options(config: ModelConfig) -> Words:
    """A checkpoint's `cfg`: all groups of options, as fairseq writes them."""
    match config:
        case CTCConfig():
            return _recogniser(config, config.encoder, keys.CTC_WORDS, "wav2vec_ctc", "ctc")
        case Seq2SeqConfig():
            criterion = "label_smoothed_cross_entropy"
            return _recogniser(config, config.encoder, keys.SEQ2SEQ_WORDS, "wav2vec_seq2seq", criterion)
        case Wav2VecConfig():
            return _wav2vec(config)
        case LanguageModelConfig():
            return _language_model(config)
        case RobertaConfig():
            return _roberta(config)
        case Wav2Vec2Config():
            return _pretraining(config)


def words_of(config: Any, words: Mapping[str, str]) -> Words:
    """The words of fairseq with a configuration's values: `fairseq_config.translated`, read backwards."""
    return {
        word: _written(word, value_at(config, path))
        for word, path in words.items()
        if word not in _OURS_ALONE
    }


def _written(word: str, value: Any) -> Any:
    if word in keys.VALUES:
        return next(theirs for theirs, ours in keys.VALUES[word].items() if ours == value)
    if word in keys.UNSET and not value:
        return keys.UNSET[word]
    if isinstance(value, tuple):  # of layers, which fairseq evaluates, or of numbers
        return str(list(value)) if value and isinstance(value[0], tuple) else list(value)
    return value


def _pretraining(config: Wav2Vec2Config) -> Words:
    # One set of words describes both quantizers; without any, they are there all the same.
    described = replace(config, quantizer=config.quantizer or config.input_quantizer or QuantizerConfig())
    words = words_of(described, keys.PRETRAINING_WORDS)
    words["quantize_targets"] = config.heads and config.quantizer is not None
    words["target_glu"] = config.heads and config.target_glu
    words["quantize_input"] = config.input_quantizer is not None
    task = {word: words.pop(word) for word in keys.TASK_WORDS}
    criterion = {"infonce": True, "loss_weights": [0.1, 10.0]}
    criterion["log_keys"] = ["prob_perplexity", "code_perplexity", "temp"]
    return _groups(("wav2vec2", words), ("audio_pretraining", task), ("wav2vec", criterion))


def _wav2vec(config: Wav2VecConfig) -> Words:
    words = words_of(config, keys.WAV2VEC_WORDS)
    for word in keys.NEGATIONS:
        words[word] = not words[word]
    words["offset"] = str(config.offset or "auto")
    words["sample_distance"] = config.sample_distance or None
    task = {word: words.pop(word) for word in keys.TASK_WORDS}
    criterion = {"infonce": config.infonce}
    return _groups(("wav2vec", words), ("audio_pretraining", task), ("wav2vec", criterion))


def _recogniser(
    config: CTCConfig | Seq2SeqConfig,
    encoder: Wav2Vec2Config,
    own_words: Mapping[str, str],
    family: str,
    criterion: str,
) -> Words:
    words = words_of(encoder, keys.FINETUNING_WORDS) | words_of(config, own_words)
    if encoder.encoder.layer_type == "trf_adp":
        words |= words_of(encoder, keys.ADDED_ADAPTER_WORDS)
    words["apply_mask"] = max(encoder.time_mask.prob, encoder.channel_mask.prob) > 0
    if not words["apply_mask"]:  # their defaults, which then mean nothing
        del words["mask_prob"], words["mask_channel_prob"]
    words["normalize"] = encoder.normalize
    words["w2v_args"] = _pretraining(encoder) | {"criterion": None, "lr_scheduler": None}
    task: Words = {"normalize": encoder.normalize, "sample_rate": encoder.sample_rate}
    if isinstance(config, Seq2SeqConfig):
        words["autoregressive"] = task["autoregressive"] = True
        words["decoder_learned_pos"] = config.decoder.positions == "learned"
        words["no_token_positional_embeddings"] = config.decoder.positions == "none"
    return _groups((family, words), ("audio_finetuning", task), (criterion, {}))


def _language_model(config: LanguageModelConfig) -> Words:
    decoder = config.decoder
    words = words_of(config, keys.LANGUAGE_MODEL_WORDS)
    words |= {
        "decoder_learned_pos": decoder.positions == "learned",
        "no_token_positional_embeddings": decoder.positions == "none",
        "no_decoder_final_norm": not decoder.final_norm,
        "no_scale_embedding": not decoder.scale_embedding,
        "adaptive_input": bool(config.input_cutoffs),
        "adaptive_input_cutoff": _cutoffs(config.input_cutoffs),
        "adaptive_softmax_cutoff": _cutoffs(config.softmax_cutoffs),
    }
    task: Words = {"add_bos_token": config.add_bos_token}
    task |= dict.fromkeys(("tokens_per_sample", "max_target_positions"), decoder.max_positions)
    words["tokens_per_sample"] = decoder.max_positions
    criterion = "adaptive_loss" if config.softmax_cutoffs else "cross_entropy"
    return _groups(("transformer_lm", words), ("language_modeling", task), (criterion, {}))


def _roberta(config: RobertaConfig) -> Words:
    words = words_of(config, keys.ROBERTA_WORDS)
    words |= {
        "layernorm_embedding": config.norm_embedding,
        "no_scale_embedding": not config.scale_embedding,
        "max_positions": config.max_positions,
        "max_source_positions": config.max_positions,
    }
    task = {"tokens_per_sample": config.max_positions}
    options = _groups(("roberta", words), ("masked_lm", task), ("masked_lm", {}))
    # The one family whose options are no group of their own in fairseq, but everything in one.
    flat = options["task"] | options["model"] | {"task": "masked_lm", "criterion": "masked_lm"}
    return {**options, "model": StandIn(_NAMESPACE, (), flat | {"_name": flat["arch"]})}


def _cutoffs(cutoffs: tuple[int, ...]) -> str | None:
    return ",".join(map(str, cutoffs)) or None


def _groups(model: tuple[str, Words], task: tuple[str, Words], criterion: tuple[str, Words]) -> Words:
    """All groups; each of the three is a name and the words that differ from its defaults."""
    defaults = copy.deepcopy(_defaults())
    named = {
        "model": {"_name": model[0], **defaults["models"][model[0]], **model[1]},
        "task": {"_name": task[0], **defaults["tasks"][task[0]], **task[1]},
        "criterion": {"_name": criterion[0], **defaults["criteria"][criterion[0]], **criterion[1]},
        "optimizer": defaults["optimizer"],
        "lr_scheduler": defaults["lr_scheduler"],
    }
    last = {"ema": defaults["groups"].pop("ema")}
    return {"_name": None, **defaults["groups"], **named, **dict.fromkeys(_WITHOUT_SETTINGS), **last}


@cache
def _defaults() -> dict[str, Any]:
    """Every option of fairseq that a checkpoint holds, with its default."""
    path = Path(__file__).with_name("fairseq_options.json")
    defaults: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return defaults
