"""Live parity with transformers: its folders opened here, and ours opened there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

pytest.importorskip("transformers")

import transformers

import huggingface_models as theirs
from auricle.convert.conversion import convert
from auricle.convert.load import load
from auricle.convert.loaded import Loaded
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, QuantizerConfig, Wav2Vec2Config
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.wav2vec2 import Wav2Vec2, Wav2Vec2Pretraining

TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}

each_model = pytest.mark.parametrize(
    ("layout", "head", "seed"),
    [
        pytest.param(layout, head, seed, marks=[pytest.mark.slow] if seed else [])
        for layout in theirs.LAYOUTS
        for head in theirs.HEADS
        for seed in range(4)
    ],
)


def waveforms(model: Any) -> Tensor:
    strides = torch.tensor(model.config.conv_stride).prod()
    return torch.randn(2, int(strides) * 20 + 50, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def ours(loaded: Loaded, signal: Tensor) -> Tensor:
    model = loaded.model
    if isinstance(model, Wav2Vec2CTC):
        return model(signal).logits  # type: ignore[no-any-return]
    assert isinstance(model, Wav2Vec2)
    context = model.extract_features(signal).context
    return model.final_proj(context) if isinstance(model, Wav2Vec2Pretraining) else context


@each_model
def test_there_and_back(tmp_path: Path, layout: str, head: str, seed: int) -> None:
    """Opened here, it answers the same; through every format and back in transformers, it is the same."""
    model = theirs.build(layout, head, seed)
    source, signal = load(theirs.save(model, tmp_path / "x")), waveforms(model)
    expected = theirs.answers(model, signal)
    assert_close(ours(source, signal), expected, **TOLERANCE)
    assert source.dictionary is None and not source.model.training

    assert convert(source, tmp_path / "own", "auricle").difference == 0
    own = load(tmp_path / "own")
    assert own.config == source.config
    assert convert(own, tmp_path / "y", "huggingface").difference == 0
    back = theirs.read_back(type(model), tmp_path / "y")
    theirs.assert_same_state(model, back)
    assert torch.equal(expected, theirs.answers(back, signal))
    again = load(tmp_path / "y")
    assert again.config == source.config and again.num_updates == source.num_updates

    if layout == "none":
        with pytest.raises(UserError, match="no Conformer without positions"):
            convert(source, tmp_path / "x.pt", "fairseq")
        assert not list(tmp_path.glob("x.pt*"))
        return
    done = convert(source, tmp_path / "x.pt", "fairseq")
    changed = layout in ("rotary", "relative") and model.config.hidden_act != "swish"
    assert done.difference == 0 and any("swish" in notice for notice in done.notices) == changed
    convert(load(tmp_path / "x.pt"), tmp_path / "z", "huggingface")
    back = theirs.read_back(type(model), tmp_path / "z")
    theirs.assert_same_state(model, back)
    assert torch.equal(expected, theirs.answers(back, signal)) != changed


@pytest.mark.parametrize("layout", theirs.LAYOUTS)
def test_features_as_wide_as_the_encoder(tmp_path: Path, layout: str) -> None:
    """transformers projects them nevertheless."""
    width = theirs.their_config(layout, 0).hidden_size
    num_layers = len(theirs.their_config(layout, 0).conv_dim)
    model = theirs.build(layout, "ForCTC", 0, conv_dim=(width,) * num_layers)
    loaded = load(theirs.save(model, tmp_path / "x"))
    assert_close(ours(loaded, waveforms(model)), theirs.answers(model, waveforms(model)), **TOLERANCE)
    convert(loaded, tmp_path / "own", "auricle")
    convert(load(tmp_path / "own"), tmp_path / "y", "huggingface")
    theirs.assert_same_state(model, theirs.read_back(type(model), tmp_path / "y"))
    if layout != "none":
        with pytest.raises(UserError, match="fairseq has no such layer"):
            convert(loaded, tmp_path / "x.pt", "fairseq")


@pytest.mark.parametrize("head", theirs.HEADS)
def test_older_files(tmp_path: Path, head: str) -> None:
    """`pytorch_model.bin`, with the names that a weight norm had."""
    model = theirs.build("base", head, 1)
    theirs.save(model, tmp_path / "x")
    (tmp_path / "x" / "model.safetensors").unlink()
    g, v = (f"pos_conv_embed.conv.parametrizations.weight.original{i}" for i in (0, 1))
    old = {
        name.replace(g, "pos_conv_embed.conv.weight_g").replace(v, "pos_conv_embed.conv.weight_v"): tensor
        for name, tensor in model.state_dict().items()
    }
    torch.save(old, tmp_path / "x" / "pytorch_model.bin")
    for path in (tmp_path / "x", tmp_path / "x" / "pytorch_model.bin"):
        loaded = load(path)
        assert_close(ours(loaded, waveforms(model)), theirs.answers(model, waveforms(model)), **TOLERANCE)
    torch.save(old, tmp_path / "x" / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert torch.equal(ours(load(tmp_path / "x"), waveforms(model)), ours(loaded, waveforms(model)))


def test_weights_in_several_files(tmp_path: Path) -> None:
    model = theirs.build("large", "ForPreTraining", 2)
    model.save_pretrained(tmp_path / "x", max_shard_size="10KB")
    assert not (tmp_path / "x" / "model.safetensors").exists()
    loaded = load(tmp_path / "x")
    assert_close(ours(loaded, waveforms(model)), theirs.answers(model, waveforms(model)), **TOLERANCE)


def test_rotation_speeds_that_are_not_in_the_file(tmp_path: Path) -> None:
    model = theirs.build("rotary", "Model", 0, rotary_embedding_base=500)
    state = {name: t for name, t in model.state_dict().items() if not name.endswith("inv_freq")}
    theirs.save(model, tmp_path / "x")
    (tmp_path / "x" / "model.safetensors").unlink()
    torch.save(state, tmp_path / "x" / "pytorch_model.bin")
    loaded = load(tmp_path / "x")
    assert_close(ours(loaded, waveforms(model)), theirs.answers(model, waveforms(model)), **TOLERANCE)
    convert(loaded, tmp_path / "y", "huggingface")
    assert theirs.read_back(type(model), tmp_path / "y").config.rotary_embedding_base == 500


LETTERS = ["|", "E", "T", "A", "ö", "'", "N"]


def processor_of(folder: Path, symbols: dict[str, int], **tokens: str) -> Any:
    """A processor as transformers writes it, of any vocabulary."""
    folder.mkdir(exist_ok=True)
    (folder / "letters.json").write_text(json.dumps(symbols), encoding="utf-8")
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(folder / "letters.json"), **tokens)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    processor = transformers.Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)
    (folder / "letters.json").unlink()
    processor.save_pretrained(folder)
    return processor


PUBLISHED = {symbol: i for i, symbol in enumerate(["<pad>", "<s>", "</s>", "<unk>", *LETTERS])}
BLANK_LAST = {symbol: i for i, symbol in enumerate([*LETTERS, "[UNK]", "[PAD]", "<s>", "</s>"])}
NO_SENTENCES = {symbol: i for i, symbol in enumerate([*LETTERS, "X", "Y", "[UNK]", "[PAD]"])}
OWN_NAMES = {"unk_token": "[UNK]", "pad_token": "[PAD]"}


@pytest.mark.parametrize(
    ("symbols", "tokens"),
    [(PUBLISHED, {}), (BLANK_LAST, OWN_NAMES), (NO_SENTENCES, OWN_NAMES)],
    ids=["as published", "blank last", "no <s>"],
)
def test_vocabularies(tmp_path: Path, symbols: dict[str, int], tokens: dict[str, str]) -> None:
    """Whatever their order: the same text from the same logits, there, here, and there again."""
    processor = processor_of(tmp_path / "x", symbols, **tokens)
    blank = processor.tokenizer.pad_token_id
    model = theirs.build("base", "ForCTC", 3, vocab_size=len(symbols), pad_token_id=blank)
    theirs.save(model, tmp_path / "x")
    loaded = load(tmp_path / "x")
    assert loaded.config.normalize and loaded.dictionary is not None
    signal = waveforms(model)
    expected = processor.batch_decode(theirs.answers(model, signal).argmax(-1))
    assert [greedy(row, loaded.dictionary) for row in ours(loaded, signal).argmax(-1)] == expected
    assert any(expected)

    convert(loaded, tmp_path / "own", "auricle")
    own = load(tmp_path / "own")
    assert own.rows == loaded.rows and own.dictionary == loaded.dictionary
    convert(own, tmp_path / "y", "huggingface")
    back = theirs.read_back(type(model), tmp_path / "y")
    theirs.assert_same_state(model, back)
    again = transformers.Wav2Vec2Processor.from_pretrained(tmp_path / "y")
    assert again.tokenizer.pad_token_id == back.config.pad_token_id == blank
    assert again.batch_decode(theirs.answers(back, signal).argmax(-1)) == expected
    assert load(tmp_path / "y").dictionary == loaded.dictionary


@pytest.mark.parametrize(
    ("symbols", "tokens"), [(BLANK_LAST, OWN_NAMES), (NO_SENTENCES, OWN_NAMES)], ids=["all", "no <s>"]
)
def test_vocabularies_of_another_order_through_fairseq(
    tmp_path: Path, symbols: dict[str, int], tokens: dict[str, str]
) -> None:
    """fairseq's format has one order; the text stays the same."""
    processor = processor_of(tmp_path / "x", symbols, **tokens)
    model = theirs.build("base", "ForCTC", 3, vocab_size=len(symbols))
    loaded = load(theirs.save(model, tmp_path / "x"))
    done = convert(loaded, tmp_path / "x.pt", "fairseq")
    assert any("fairseq's order" in notice for notice in done.notices)
    convert(load(tmp_path / "x.pt"), tmp_path / "y", "huggingface")
    again = transformers.Wav2Vec2Processor.from_pretrained(tmp_path / "y")
    back = theirs.read_back(type(model), tmp_path / "y")
    signal = waveforms(model)
    assert again.batch_decode(theirs.answers(back, signal).argmax(-1)) == processor.batch_decode(
        theirs.answers(model, signal).argmax(-1)
    )


def greedy(labels: Tensor, dictionary: Dictionary) -> str:
    """As transformers' tokenizer writes the best path: its special symbols and all."""
    kept = [int(label) for label in torch.unique_consecutive(labels) if label != 0]
    names = {1: "<s>", 2: "</s>", 3: "[UNK]" if "X" in dictionary else "<unk>"}
    text = "".join(names.get(label, dictionary[label]) for label in kept)
    return text.replace("|", " ").strip()


@pytest.mark.parametrize("seed", range(2))
def test_a_blank_that_only_the_configuration_names(tmp_path: Path, seed: int) -> None:
    model = theirs.build("base", "ForCTC", seed, pad_token_id=theirs.NUM_LABELS - 1)
    loaded = load(theirs.save(model, tmp_path / "x"))
    logits = theirs.answers(model, waveforms(model))
    assert_close(ours(loaded, waveforms(model))[..., 0], logits[..., -1], **TOLERANCE)
    assert_close(ours(loaded, waveforms(model))[..., 1:], logits[..., :-1], **TOLERANCE)
    convert(loaded, tmp_path / "y", "huggingface")
    back = theirs.read_back(type(model), tmp_path / "y")
    theirs.assert_same_state(model, back)
    assert back.config.pad_token_id == theirs.NUM_LABELS - 1
    assert load(tmp_path / "y").dictionary is None


def test_phonemes(tmp_path: Path) -> None:
    """A dictionary without a word delimiter: its symbols are written with spaces between them."""
    model = theirs.build("large", "ForCTC", 1)
    symbols = Dictionary(["a", "tʃ", "ɔː", "b", "ts", "e", "i"])
    loaded = replace(load(theirs.save(model, tmp_path / "x")), dictionary=symbols)
    convert(loaded, tmp_path / "y", "huggingface")
    processor = transformers.Wav2Vec2Processor.from_pretrained(tmp_path / "y")
    assert processor.batch_decode([[0, 5, 5, 0, 4, 6]]) == ["tʃ a ɔː"]
    assert processor.tokenizer.pad_token_id == 0 and len(processor.tokenizer) == theirs.NUM_LABELS
    assert load(tmp_path / "y").dictionary == symbols


def test_fairseqs_features_that_are_as_wide_as_the_encoder(tmp_path: Path) -> None:
    """fairseq does not project them; transformers does, to themselves."""
    encoder = EncoderConfig(
        num_layers=2, dim=8, ffn_dim=12, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2
    )
    config = Wav2Vec2Config(
        ((8, 10, 5), (8, 3, 2)), encoder=encoder, final_dim=4, quantizer=QuantizerConfig(2, 3)
    )
    for number, whole in enumerate(
        (config, replace(config, heads=False), CTCConfig(config, theirs.NUM_LABELS))
    ):
        model = build_model(whole).eval()
        theirs.randomise(model)
        source = Loaded(model, None, whole, 0, tmp_path)
        assert convert(source, tmp_path / f"{number}", "huggingface").difference == 0
        back = load(tmp_path / f"{number}")
        assert back.config == whole and back.model.state_dict().keys() == model.state_dict().keys()
        other = theirs.read_back(
            theirs.their_class("base", theirs.HEADS[(0, 2, 1)[number]]), tmp_path / f"{number}"
        )
        signal = waveforms(other)
        assert_close(ours(source, signal), theirs.answers(other, signal), **TOLERANCE)
