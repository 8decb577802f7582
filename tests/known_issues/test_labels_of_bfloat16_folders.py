"""A bfloat16 recogniser without `</s>` could be read and not written: its bias for that was rounded."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import forged
from auricle.convert.conversion import convert
from auricle.convert.huggingface_write import write_huggingface
from auricle.convert.load import load

SYMBOLS = {"a": 0, "b": 1, "|": 2, "c": 3, "d": 4, "e": 5, "<unk>": 6, "<pad>": 7}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_there_and_back(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    write_huggingface(folder, load(forged.save(forged.ctc_checkpoint(), tmp_path / "x.pt")))
    weights = {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "vocab.json").write_text(json.dumps(SYMBOLS))
    convert(load(folder), tmp_path / "ours", "auricle")
    convert(load(tmp_path / "ours"), tmp_path / "again", "huggingface")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert again.keys() == weights.keys()
    assert [name for name in again if not torch.equal(again[name], weights[name].float())] == []
