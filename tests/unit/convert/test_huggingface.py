"""Folders of Hugging Face, forged: what is read from them, and what is said of those that cannot be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import forged
from auricle.convert.conversion import convert
from auricle.convert.fairseq import read_fairseq
from auricle.convert.huggingface import read_huggingface
from auricle.convert.load import load
from auricle.errors import UserError
from auricle.models.config import CTCConfig


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `convert` wrote."""
    folder = tmp_path_factory.mktemp("x")
    convert(read_fairseq(forged.save(forged.ctc_checkpoint(), folder / "x.pt")), folder / "hf", "huggingface")
    return folder / "hf"


@pytest.fixture
def folder(recogniser: Path, tmp_path: Path) -> Path:
    for file in recogniser.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def edit(folder: Path, name: str = "config.json", **values: object) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | values))


def without(folder: Path, *words: str) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({w: v for w, v in content.items() if w not in words}))


def test_all_that_transformers_looks_for_is_there(folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == {
        *("config.json", "model.safetensors", "preprocessor_config.json", "README.md"),
        *("vocab.json", "tokenizer_config.json", "special_tokens_map.json", "dict.ltr.txt"),
    }
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["Wav2Vec2ForCTC"] and config["vocab_size"] == 8
    assert (config["pad_token_id"], config["bos_token_id"], config["eos_token_id"]) == (0, 1, 2)
    assert json.loads((folder / "preprocessor_config.json").read_text())["do_normalize"] is True
    page = (folder / "README.md").read_text()
    assert page.startswith("---\nlibrary_name: transformers\n") and "Wav2Vec2Processor" in page


def test_what_transformers_has_no_words_for_is_kept(folder: Path) -> None:
    loaded = load(folder)
    assert loaded.config == forged.FINETUNED and loaded.num_updates == 7
    assert loaded.dictionary is not None and loaded.dictionary.counts == [1, 1, 1, 1, 4, 3, 2, 1]


def test_what_is_changed_there_is_changed_here(folder: Path) -> None:
    edit(folder, hidden_dropout=0.25, mask_time_prob=0.4, final_dropout=0.5)
    edit(folder, "preprocessor_config.json", do_normalize=False, sampling_rate=8000)
    config = load(folder).config
    assert isinstance(config, CTCConfig)
    encoder = config.encoder
    assert (encoder.encoder.dropout, encoder.time_mask.prob, config.final_dropout) == (0.25, 0.4, 0.5)
    assert (encoder.normalize, encoder.sample_rate, config.blank_weight) == (False, 8000, 2.0)
    edit(folder, apply_spec_augment=False)
    assert load(folder).config.encoder.time_mask.prob == 0.0  # type: ignore[union-attr]


def test_without_our_part_of_the_configuration(folder: Path) -> None:
    without(folder, "auricle")
    (folder / "preprocessor_config.json").unlink()
    loaded = load(folder)
    assert isinstance(loaded.config, CTCConfig) and loaded.config.normalize  # transformers' default
    assert loaded.config.encoder.encoder == forged.FINETUNED.encoder.encoder
    assert loaded.num_updates == 0


def test_our_part_of_another_model_is_not_believed(folder: Path) -> None:
    own = json.loads((folder / "config.json").read_text())["auricle"]
    own["config"]["encoder"]["encoder"]["layer_type"] = "conformer"
    edit(folder, auricle=own)
    assert load(folder).config.encoder.encoder.layer_type == "transformer"  # type: ignore[union-attr]


def test_half_precision_becomes_float32(folder: Path) -> None:
    weights = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    assert {p.dtype for p in load(folder).model.parameters()} == {torch.float32}


def test_paths_of_its_files_stand_for_the_folder(folder: Path) -> None:
    assert (
        load(folder / "config.json").config
        == load(folder / "model.safetensors").config
        == load(folder).config
    )


def test_reference_padding(folder: Path) -> None:
    assert read_huggingface(folder, reference_padding=True).model.encoder.config.reference_padding  # type: ignore[union-attr]


def drop(folder: Path, name: str) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({n: t for n, t in weights.items() if n != name}, folder / "model.safetensors")


def put(folder: Path, name: str, tensor: torch.Tensor) -> None:
    save_file({**load_file(folder / "model.safetensors"), name: tensor}, folder / "model.safetensors")


def shards(folder: Path, index: object) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: edit(f, model_type="hubert"), "model_type says 'hubert': models of it are not supported"),
        (lambda f: edit(f, model_type=3), "model_type says nothing"),
        (
            lambda f: edit(f, add_adapter=True),
            "add_adapter: this version can only read models with add_adapter=F",
        ),
        (lambda f: edit(f, adapter_attn_dim=16), "adapter_attn_dim: this version can only read"),
        (lambda f: edit(f, layer_norm_eps=1e-3), "layer_norm_eps: this version can only read"),
        (lambda f: edit(f, feat_extract_activation="relu"), "feat_extract_activation: this version"),
        (
            lambda f: edit(f, hidden_act="gelu_new"),
            "hidden_act: this version knows gelu, relu.*not 'gelu_new'",
        ),
        (lambda f: edit(f, hidden_act=["gelu"]), "hidden_act: .*not another value"),
        (lambda f: edit(f, hidden_size="wide"), "hidden_size: expected a whole number"),
        (lambda f: edit(f, hidden_size=10**12), "hidden_size: expected a whole number from 0"),
        (lambda f: edit(f, num_attention_heads=0), "head count"),
        (lambda f: edit(f, conv_dim=[4]), "lists of different lengths"),
        (lambda f: edit(f, conv_dim=3), "conv_dim: expected a list"),
        (lambda f: edit(f, num_hidden_layers=2), "weights are missing"),
        (lambda f: edit(f, auricle={"model": "x"}), "'model' is none of"),
        (lambda f: edit(f, "preprocessor_config.json", do_normalize="yes"), "do_normalize: expected true"),
        (lambda f: drop(f, "wav2vec2.masked_spec_embed"), "weights are missing.*'encoder.mask_emb'"),
        (lambda f: put(f, "wav2vec2.extra", torch.zeros(1)), "no use for some.*'encoder.extra'"),
        (
            lambda f: put(f, "classifier.bias", torch.zeros(1)),
            "'Wav2Vec2ForCTC' is not supported: only encoders",
        ),
        (lambda f: put(f, "lm_head.weight", torch.zeros(8)), "lm_head.weight is no output layer"),
        (lambda f: put(f, "lm_head.weight", torch.zeros(9, 8)), r"proj.bias is of shape \(8,\)"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 40), "damaged or cut off"),
        (lambda f: (f / "model.safetensors").unlink(), "holds no weights"),
        (lambda f: (f / "vocab.json").write_text("{"), "vocab.json is damaged, it is no JSON"),
        (lambda f: (f / "vocab.json").write_text("[" * 10**5), "vocab.json is damaged, it is no JSON"),
        (lambda f: (f / "vocab.json").write_bytes(b"\xff\xfe"), "vocab.json is damaged, it is no JSON"),
        (lambda f: shards(f, []), "lists no files"),
        (lambda f: shards(f, {"weight_map": {"a": "../../etc/passwd"}}), "which is no file beside it"),
        (lambda f: shards(f, {"weight_map": {"a": "missing.safetensors"}}), "which is no file beside it"),
        (
            lambda f: (shards(f, {"weight_map": {"a": "x.bin"}}), (f / "x.bin").write_bytes(b"x")),
            "not a checkpoint",
        ),
    ],
)
def test_mistakes_are_named_in_one_line(folder: Path, change: Callable[[Path], object], message: str) -> None:
    change(folder)
    with pytest.raises(UserError, match=message) as caught:
        load(folder)
    assert str(caught.value).startswith(str(folder)) and "\n" not in str(caught.value)


def test_a_table_that_is_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auricle.convert.huggingface_files.MAX_JSON_BYTES", 10_000)
    (folder / "vocab.json").write_text(json.dumps({str(i): i for i in range(2000)}))
    with pytest.raises(UserError, match=r"vocab\.json is too large"):
        load(folder)


def test_no_weight_of_a_torch_file_is_anything_but_a_tensor(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    for content in ([], {"a": 1}, {1: torch.zeros(1)}):
        torch.save(content, folder / "pytorch_model.bin")
        with pytest.raises(UserError, match="no table of named tensors"):
            load(folder)


def test_edited_rows_of_our_own_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    convert(load(folder), tmp_path / "own", "auricle")
    for rows in ([0], "rows", [0.5] * 8, [0] * 8, [-2, *range(7)]):
        edit(tmp_path / "own", huggingface_rows=rows)
        with pytest.raises(UserError, match="huggingface_rows: "):
            load(tmp_path / "own")
