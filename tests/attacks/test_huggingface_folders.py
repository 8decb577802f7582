"""Folders of Hugging Face that lie, lead elsewhere, or would take more room than they have."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import forged
from auricle.convert.conversion import convert
from auricle.convert.huggingface_write import write_huggingface
from auricle.convert.load import load
from auricle.errors import UserError

LIMITED = """
import resource, sys
from auricle.convert.load import load
from auricle.errors import UserError
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(sys.argv[2]),) * 2)
try:
    load(sys.argv[1])
except UserError:
    pass
"""
"""Opens what it is given in so many bytes of memory."""

VOCABULARY = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "E": 5, "T": 6, "A": 7}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small recogniser, honest so far."""
    path = tmp_path / "folder"
    path.mkdir()
    write_huggingface(path, load(forged.save(forged.ctc_checkpoint(), tmp_path / "x.pt")))
    return path


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(folder)
    message = str(caught.value)
    assert message.startswith(str(folder)) and message.isprintable() and len(message) < 600
    return message


def with_weights(folder: Path, **more: Tensor) -> None:
    """The weights as torch's file, and some more."""
    weights = dict(load(folder).model.state_dict())
    (folder / "model.safetensors").unlink()
    torch.save(weights | more, folder / "pytorch_model.bin")


def test_weights_that_are_one_storage_over_and_over(folder: Path) -> None:
    """Thousands of layers whose weights are all the same bytes: a megabyte would become gigabytes."""
    (folder / "model.safetensors").unlink()
    shared = torch.zeros(2**18)
    names = {f"wav2vec2.encoder.layers.{layer}.attention.q_proj.weight": shared for layer in range(900)}
    torch.save(names, folder / "pytorch_model.bin")
    assert (folder / "pytorch_model.bin").stat().st_size < 2**21
    assert "share numbers" in refused(folder)


@pytest.mark.parametrize("target", ["../outside.bin", "ABSOLUTE", "..", ".", "", "x/../../outside.bin"])
def test_an_index_that_leads_elsewhere(folder: Path, target: str) -> None:
    outside = folder.parent / "outside.bin"
    torch.save({"a": torch.zeros(1)}, outside)
    (folder / "model.safetensors").unlink()
    named = target.replace("ABSOLUTE", str(outside))
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": named}}))
    assert "no file beside it" in refused(folder)


def test_a_part_that_wants_something_run(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    call = forged.made(forged.name("posix", "mkdir"), forged.text(str(tmp_path / "marker")))
    forged.save_pickle(forged.program(forged.dictionary(a=call)), folder / "part.bin")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "part.bin"}}))
    assert "posix.mkdir" in refused(folder)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.json", "preprocessor_config.json"])
def test_links_to_devices_are_not_read(folder: Path, name: str) -> None:
    """An endless one is no file, and counts as missing."""
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    if name == "model.safetensors":
        assert "holds no weights" in refused(folder)
    else:
        load(folder)


def test_pipes_are_not_waited_for(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    refused(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**30},
        {"num_hidden_layers": 10**6},
        {"hidden_size": 2**40},
        {"hidden_size": -8},
        {"hidden_size": None},
        {"hidden_size": 10**7, "intermediate_size": 10**7},
        {"conv_dim": [10**7] * 1000, "conv_kernel": [10**7] * 1000, "conv_stride": [1] * 1000},
        {"conv_stride": [10**6, 10**6]},
        {"conv_stride": [2**62, 2]},
        {"conv_kernel": [10, 0]},
        {"num_attention_heads": 0},
        {"num_conv_pos_embeddings": 10**7},
        {"layerdrop": float("inf")},
        {"model_type": "wav2vec2\n\x1b[2J"},
        {"hidden_act": "\x1b[2J\n"},
        {"auricle": {"model": "wav2vec_ctc", "config": {"encoder": {"conv_layers": [[1, 1, 10**7]] * 9}}}},
    ],
)
def test_hostile_configurations(folder: Path, changes: dict[str, Any]) -> None:
    edit(folder / "config.json", **changes)
    refused(folder)


def test_the_name_of_a_class_cannot_drive_the_terminal(folder: Path) -> None:
    edit(folder / "config.json", architectures=["A\nB\x1b[2J" + "x" * 10**5])
    with_weights(folder, **{"classifier.weight": torch.zeros(1)})
    assert "is not supported" in refused(folder)


@pytest.mark.parametrize(
    "content", [b'{"a": ' + b"9" * 5000 + b"}", b"[" * 10**6, b"\xff", b"{", b'{"a": 1e5}']
)
def test_hostile_vocabularies(folder: Path, content: bytes) -> None:
    (folder / "vocab.json").write_bytes(content)
    refused(folder)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts address space as Linux does")
@pytest.mark.parametrize("size", [2**21 - 100, 2**24 - 100])
def test_json_of_millions_of_empty_things(folder: Path, size: int) -> None:
    """Each of two characters takes 64 bytes or more, and six files are held at once."""
    names = (
        "added_tokens.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "preprocessor_config.json",
    )
    for name in names:
        (folder / name).write_text('{"a": [' + "{}," * (size // 3) + "{}]}")
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(768 * 2**20)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr


def test_numbers_of_symbols_that_no_output_has(folder: Path) -> None:
    edit(folder / "vocab.json", far=2**70, below=-1)
    assert load(folder).dictionary == load(folder.parent / "x.pt").dictionary


def test_two_symbols_of_one_number(folder: Path) -> None:
    edit(folder / "vocab.json", again=5)
    assert "the number of another symbol" in refused(folder)


@pytest.mark.parametrize("to", ["auricle", "fairseq", "huggingface"])
def test_half_a_character_is_a_label_without_a_name(folder: Path, tmp_path: Path, to: Any) -> None:
    """JSON can spell halves of surrogate pairs, which no file in UTF-8 can hold."""
    vocabulary = {symbol: row for symbol, row in VOCABULARY.items() if row != 7}
    (folder / "vocab.json").write_text(json.dumps({**vocabulary, "\ud800": 7}))
    loaded = load(folder)
    assert loaded.dictionary is not None and loaded.dictionary[7] == "<label7>"
    convert(loaded, tmp_path / "there", to)
    assert load(tmp_path / "there").dictionary == loaded.dictionary


def header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "entry",
    [
        b'"shape":[2.0],"data_offsets":[0,8]',
        b'"shape":[true,2],"data_offsets":[false,8]',
        b'"shape":[0,4611686018427387904,4611686018427387904],"data_offsets":[0,0]',
        b'"shape":[' + b"1," * 100_000 + b'2],"data_offsets":[0,8]',
        b'"shape":[2],"data_offsets":[0,8,8]',
        b'"shape":[2],"data_offsets":[-8,0]',
        b'"shape":[2],"data_offsets":[0,1e1]',
        b'"shape":[2],"data_offsets":[0,' + b"9" * 5000 + b"]",
    ],
)
def test_hostile_headers(folder: Path, entry: bytes) -> None:
    (folder / "model.safetensors").write_bytes(header(b'{"a":{"dtype":"F32",' + entry + b"}}") + bytes(8))
    refused(folder)


BOMBS: dict[str, Callable[[], dict[str, Any]]] = {
    "strides": lambda: {"conv_feature_layers": "[(4, 10, 5000000), (4, 3, 10000000)]"},
    "strides behind many channels": lambda: {"conv_feature_layers": "[(1000, 1, 1), (4, 3, 10000)]"},
    "a multiple to pad to": lambda: {"required_seq_len_multiple": 10**7},
    "a multiple to crop to": lambda: {"crop_seq_to_multiple": 10**7},
}


@pytest.mark.parametrize("of", BOMBS)
def test_numbers_that_no_weight_depends_on(tmp_path: Path, of: str) -> None:
    """They cost a file nothing, and would make the test signal of a conversion larger than any memory."""
    path = forged.save(forged.pretraining_checkpoint(**BOMBS[of]()), tmp_path / "x.pt")
    with pytest.raises(UserError, match="no model can have this configuration"):
        load(path)


def test_half_a_character_in_a_pickled_dictionary(tmp_path: Path) -> None:
    whole = forged.pickled(forged.ctc_checkpoint(["|", "E", "T", "QQQ"]))
    path = forged.save(forged.ctc_checkpoint(["|", "E", "T", "QQQ"]), tmp_path / "x.pt")
    content = path.read_bytes()
    assert whole.count(b"QQQ") and content.count(b"QQQ")
    path.write_bytes(content.replace(b"QQQ", b"\xed\xa0\x80"))  # sums of members are not looked at
    with pytest.raises(UserError, match="half a character") as caught:
        load(path)
    assert str(caught.value).startswith(str(path)) and str(caught.value).isprintable()
