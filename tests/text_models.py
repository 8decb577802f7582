"""Tiny text models, and checkpoints of them as fairseq writes them."""

import argparse
from pathlib import Path
from typing import Any

import torch

import forged
from auricle.convert import keys
from auricle.models.build import build_model
from auricle.models.config import (
    DecoderConfig,
    LanguageModelConfig,
    ModelConfig,
    RobertaConfig,
    Seq2SeqConfig,
)

SYMBOLS = ["a", "b", "c", "d"]

LANGUAGE_MODEL = LanguageModelConfig(
    num_symbols=8,
    decoder=DecoderConfig(
        num_layers=1, dim=8, ffn_dim=12, num_heads=2, pre_norm=True, max_positions=16, dropout=0.2
    ),
    input_dim=8,
    output_dim=8,
    input_cutoffs=(5, 6),
    input_factor=2.0,
    softmax_cutoffs=(5, 6),
    softmax_factor=2.0,
    tie_adaptive_weights=True,
    tie_adaptive_proj=True,
)

LANGUAGE_MODEL_WORDS: dict[str, Any] = {
    "_name": "transformer_lm",
    "decoder_layers": 1,
    "decoder_embed_dim": 8,
    "decoder_input_dim": 8,
    "decoder_output_dim": 8,
    "decoder_ffn_embed_dim": 12,
    "decoder_attention_heads": 2,
    "decoder_normalize_before": True,
    "dropout": 0.2,
    "tokens_per_sample": 16,
    "adaptive_input": True,
    "adaptive_input_cutoff": "5,6",
    "adaptive_input_factor": 2.0,
    "adaptive_softmax_cutoff": "5,6",
    "adaptive_softmax_factor": 2.0,
    "tie_adaptive_weights": True,
    "tie_adaptive_proj": True,
}
"""fairseq's words for `LANGUAGE_MODEL`."""

ROBERTA = RobertaConfig(num_symbols=9, max_positions=10, num_layers=1, dim=8, ffn_dim=12, num_heads=2)

ROBERTA_WORDS: dict[str, Any] = {
    "_name": "roberta_base",
    "encoder_layers": 1,
    "encoder_embed_dim": 8,
    "encoder_ffn_embed_dim": 12,
    "encoder_attention_heads": 2,
}
"""fairseq's words for `ROBERTA`."""

SEQ2SEQ = Seq2SeqConfig(
    encoder=forged.ENCODER,
    decoder=DecoderConfig(num_layers=1, dim=6, ffn_dim=10, num_heads=2, max_positions=20),
    num_labels=4 + len(forged.SYMBOLS),
)

ALL: dict[str, ModelConfig] = {
    "language model": LANGUAGE_MODEL,
    "roberta": ROBERTA,
    "sequence to sequence": SEQ2SEQ,
}


def state(config: ModelConfig) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return build_model(config).state_dict()


def language_model_checkpoint(**words: Any) -> dict[str, Any]:
    """A checkpoint of `LANGUAGE_MODEL`, tied weights under both of their names."""
    theirs = {
        f"decoder.{name.removeprefix('decoder.')}": tensor for name, tensor in state(LANGUAGE_MODEL).items()
    }
    theirs["decoder.version"] = torch.tensor([3.0])
    theirs["decoder.embed_tokens._float_tensor"] = torch.zeros(1)
    for band in range(3):
        table, widening = (theirs[f"decoder.embed_tokens.embeddings.{band}.{i}.weight"] for i in (0, 1))
        if band == 0:
            theirs["decoder.adaptive_softmax.head.word_proj.weight"] = table
        else:
            theirs[f"decoder.adaptive_softmax.tail.{band - 1}.0.weight"] = widening
            theirs[f"decoder.adaptive_softmax.tail.{band - 1}.2.weight"] = table
    return checkpoint(theirs, {**LANGUAGE_MODEL_WORDS, **words})


def roberta_checkpoint(*, year: int = 2021, **words: Any) -> dict[str, Any]:
    """A checkpoint of `ROBERTA` with the names of a year."""
    theirs: dict[str, torch.Tensor] = {}
    for name, tensor in state(ROBERTA).items():
        where = name if name.startswith("lm_head.") else f"sentence_encoder.{name}"
        theirs[f"encoder.{where}"] = tensor
    theirs["encoder.lm_head.weight"] = theirs["encoder.sentence_encoder.embed_tokens.weight"]
    if year == 2019:
        for name in [name for name in theirs if ".q_proj." in name]:
            parts = [theirs.pop(name.replace(".q_proj.", f".{kind}_proj.")) for kind in "qkv"]
            theirs[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
        theirs = {
            name.replace("encoder.", "decoder.", 1).replace("layernorm_embedding", "emb_layer_norm"): tensor
            for name, tensor in theirs.items()
        }
        options = {word: value for word, value in ROBERTA_WORDS.items() if word != "_name"}
        args = argparse.Namespace(arch="roberta_base", task="masked_lm", **options, **words)
        return {"args": args, "model": theirs, "optimizer_history": [{"num_updates": 7}]}
    return checkpoint(theirs, {**ROBERTA_WORDS, **words})


def checkpoint(theirs: dict[str, torch.Tensor], model: dict[str, Any]) -> dict[str, Any]:
    task = {"_name": "language_modeling"}
    return {"cfg": {"model": model, "task": task}, "model": theirs, "optimizer_history": [{"num_updates": 7}]}


def seq2seq_checkpoint(**words: Any) -> dict[str, Any]:
    """A checkpoint of `SEQ2SEQ`; as fairseq's, it does not say what its encoder is unless told."""
    theirs = {}
    for name, tensor in state(SEQ2SEQ).items():
        to, prefix = next(
            (to, prefix)
            for prefix, to in keys.SEQ2SEQ_STATE_PREFIXES.items()
            if name.startswith(to) and (to != "decoder." or name != "embed_out")
        )
        theirs[prefix + name.removeprefix(to)] = tensor
    model = {
        "_name": "wav2vec_seq2seq",
        "decoder_layers": 1,
        "decoder_embed_dim": 6,
        "decoder_ffn_embed_dim": 10,
        "decoder_attention_heads": 2,
        "max_target_positions": 20,
        "autoregressive": True,
        **words,
    }
    content = checkpoint(theirs, model)
    content["cfg"]["task"] = {**forged.TASK_WORDS, "_name": "audio_finetuning"}
    content["task_state"] = {"target_dictionary": forged.Dictionary(forged.SYMBOLS)}
    return content


def dictionary_file(folder: Path, symbols: list[str] = SYMBOLS) -> Path:
    path = folder / "dict.txt"
    path.write_text("".join(f"{symbol} 1\n" for symbol in symbols))
    return path
