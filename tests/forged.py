"""Checkpoint files made on the spot: honest ones as fairseq and torch write them, and hostile ones."""

import argparse
import io
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from auricle.convert.keys import CTC_STATE_PREFIXES
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, QuantizerConfig, SpanMaskConfig, Wav2Vec2Config

SYMBOLS = ["|", "E", "T", "A"]

ENCODER = Wav2Vec2Config(
    conv_layers=((4, 10, 5), (4, 3, 2)),
    encoder=EncoderConfig(num_layers=1, dim=8, ffn_dim=12, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2),
    final_dim=4,
    quantizer=QuantizerConfig(num_entries=3),
    normalize=True,
)

MODEL_WORDS: dict[str, Any] = {
    "_name": "wav2vec2",
    "conv_feature_layers": "[(4, 10, 5)] + [(4, 3, 2)]",
    "encoder_layers": 1,
    "encoder_embed_dim": 8,
    "encoder_ffn_embed_dim": 12,
    "encoder_attention_heads": 2,
    "conv_pos": 4,
    "conv_pos_groups": 2,
    "final_dim": 4,
    "quantize_targets": True,
    "latent_vars": 3,
    "latent_temp": "(2, 0.5, 0.999995)",
}
"""fairseq's words for `ENCODER`."""

TASK_WORDS = {"_name": "audio_pretraining", "normalize": True, "sample_rate": 16000}

CTC_WORDS: dict[str, Any] = {
    "_name": "wav2vec_ctc",
    "apply_mask": True,
    "mask_prob": 0.3,
    "mask_channel_prob": 0.2,
    "dropout": 0.05,
    "final_dropout": 0.15,
    "blank_weight": 2.0,
    "blank_mode": "set",
}


class Dictionary:
    """Pickled under the name of fairseq's class; no such package is there to read it with."""

    def __init__(self, symbols: list[str]) -> None:
        self.symbols = ["<s>", "<pad>", "</s>", "<unk>", *symbols]
        self.count = [1] * 4 + list(range(len(symbols), 0, -1))
        self.indices = {symbol: index for index, symbol in enumerate(self.symbols)}
        self.nspecial = 4


Dictionary.__module__ = "fairseq.data.dictionary"


def pretraining_checkpoint(**words: Any) -> dict[str, Any]:
    """The content of a pre-training checkpoint; `words` go on top of the model's options."""
    torch.manual_seed(1)
    return _checkpoint(build_model(ENCODER).state_dict(), {**MODEL_WORDS, **words}, TASK_WORDS)


def ctc_checkpoint(symbols: list[str] = SYMBOLS, **words: Any) -> dict[str, Any]:
    """The content of a fine-tuned checkpoint."""
    torch.manual_seed(2)
    ours = build_model(CTCConfig(encoder=ENCODER, num_labels=4 + len(SYMBOLS))).state_dict()
    theirs = {to: prefix for prefix, to in CTC_STATE_PREFIXES.items()}
    heads_and_tails = ((name.partition("."), tensor) for name, tensor in ours.items())
    state = {theirs[f"{head}."] + tail: tensor for (head, _, tail), tensor in heads_and_tails}
    options = {**CTC_WORDS, "w2v_args": {"model": MODEL_WORDS, "task": TASK_WORDS}, **words}
    content = _checkpoint(state, options, {**TASK_WORDS, "_name": "audio_finetuning"})
    content["task_state"] = {"target_dictionary": Dictionary(symbols)}
    return content


def _checkpoint(state: Mapping[str, Any], model: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    return {
        "args": None,
        "cfg": {"model": model, "task": task},
        "model": dict(state),
        "optimizer_history": [{"num_updates": 7}],
        "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(50)}}},
    }


def flat(content: dict[str, Any]) -> dict[str, Any]:
    """The same content as the files of 2020 have it: all options in one Namespace, no dictionary."""
    model = dict(content["cfg"]["model"])
    if "w2v_args" in model:
        inner = model["w2v_args"]
        model["w2v_args"] = _namespace(inner["model"], inner["task"])
    rest = {key: value for key, value in content.items() if key not in ("cfg", "args", "task_state")}
    return {"args": _namespace(model, content["cfg"]["task"]), **rest}


def _namespace(model: dict[str, Any], task: dict[str, Any]) -> argparse.Namespace:
    words = {**task, **model, "arch": model["_name"]}
    del words["_name"]
    return argparse.Namespace(**words)


def save(content: Any, path: Path, *, zipped: bool = True) -> Path:
    """Write with torch, as a zip archive or in the layout before that."""
    with _fairseq_importable():
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


class _fairseq_importable:
    """pickle insists on importing a class before it writes its name."""

    names = ("fairseq", "fairseq.data", "fairseq.data.dictionary")

    def __enter__(self) -> None:
        sys.modules.update({name: types.ModuleType(name) for name in self.names})
        sys.modules["fairseq.data.dictionary"].Dictionary = Dictionary  # type: ignore[attr-defined]

    def __exit__(self, *_: object) -> None:
        for name in self.names:
            del sys.modules[name]


def save_pickle(pickled: bytes, path: Path, storages: Mapping[str, bytes] | None = None) -> Path:
    """A zip archive as torch writes it, around any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for name, numbers in (storages or {}).items():
            archive.writestr(f"archive/data/{name}", numbers)
    return path


def legacy_head(magic: int = 0x1950A86A20F9469CFC6C, little_endian: bool = True) -> bytes:
    """The three pickles that the layout before torch 1.6 begins with."""
    system = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {}}
    return b"".join(pickle.dumps(value, 2) for value in (magic, 1001, system))


def save_legacy_pickle(pickled: bytes, path: Path, storages: Mapping[str, tuple[int, bytes]]) -> Path:
    """The layout before torch 1.6 around any pickle; storages are (count, bytes)."""
    with open(path, "wb") as file:
        file.write(legacy_head() + pickled + pickle.dumps(list(storages), 2))
        for count, numbers in storages.values():
            file.write(struct.pack("<q", count) + numbers)
    return path


# Instructions of the pickle machine, for what no honest pickler writes.


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    encoded = value.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + encoded


def name(module: str, of: str) -> bytes:
    return f"c{module}\n{of}\n".encode()


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def made(what: bytes, *args: bytes) -> bytes:
    return what + tuple_of(*args) + b"R"


def dictionary(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def program(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


def storage(count: int, key: str = "0", kind: str = "FloatStorage") -> bytes:
    return tuple_of(text("storage"), name("torch", kind), text(key), text("cpu"), number(count)) + b"Q"


def tensor(of: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    return made(
        name("torch._utils", "_rebuild_tensor_v2"),
        of,
        number(offset),
        tuple_of(*map(number, shape)),
        tuple_of(*map(number, strides)),
        b"\x89",
        made(name("collections", "OrderedDict")),
    )


def pickled(content: Any) -> bytes:
    """The pickle inside of what torch writes for `content`."""
    with _fairseq_importable():
        buffer = io.BytesIO()
        torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return archive.read(next(entry for entry in archive.namelist() if entry.endswith("data.pkl")))


FINETUNED = CTCConfig(
    encoder=Wav2Vec2Config(
        conv_layers=ENCODER.conv_layers,
        feature_grad_mult=0.0,
        encoder=EncoderConfig(
            num_layers=1,
            dim=8,
            ffn_dim=12,
            num_heads=2,
            pos_conv_kernel=4,
            pos_conv_groups=2,
            dropout=0.05,
            attention_dropout=0.0,
        ),
        final_dim=4,
        quantizer=ENCODER.quantizer,
        time_mask=SpanMaskConfig(prob=0.3),
        channel_mask=SpanMaskConfig(prob=0.2),
        normalize=True,
    ),
    num_labels=4 + len(SYMBOLS),
    final_dropout=0.15,
    blank_weight=2.0,
    blank_mode="set",
)
"""What `ctc_checkpoint` says it is."""
