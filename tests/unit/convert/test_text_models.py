"""fairseq's models of text and its sequence-to-sequence recognisers, of several years."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

import forged
import text_models
from auricle.convert.load import load
from auricle.convert.own import read_model, write_model
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.build import build_model
from auricle.models.config import LanguageModelConfig, ModelConfig, RobertaConfig, Seq2SeqConfig


def opened(content: dict[str, Any], tmp_path: Path, **how: Any) -> Any:
    return load(forged.save(content, tmp_path / "checkpoint.pt"), **how)


def assert_same(model: torch.nn.Module, config: ModelConfig) -> None:
    ours, theirs = text_models.state(config), model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("kind", text_models.ALL)
def test_what_is_written_is_read(kind: str, tmp_path: Path) -> None:
    config = text_models.ALL[kind]
    torch.manual_seed(3)
    dictionary = Dictionary(["a", "<mask>"])
    write_model(tmp_path, build_model(config), config, dictionary, {"num_updates": 5})
    found = read_model(tmp_path)
    assert (found.config, found.num_updates, found.dictionary) == (config, 5, dictionary)
    assert_same(found.model, config)


def test_language_models(tmp_path: Path) -> None:
    found = opened(text_models.language_model_checkpoint(), tmp_path)
    assert found.config == text_models.LANGUAGE_MODEL
    assert found.dictionary is None and found.num_updates == 7
    assert_same(found.model, text_models.LANGUAGE_MODEL)


def test_language_models_before_2018_end_without_a_norm(tmp_path: Path) -> None:
    content = text_models.language_model_checkpoint()
    for name in ("version", "layer_norm.weight", "layer_norm.bias"):
        del content["model"][f"decoder.{name}"]
    assert not opened(content, tmp_path).config.decoder.final_norm


def test_the_output_layer_of_2019_has_another_name(tmp_path: Path) -> None:
    plain = LanguageModelConfig(
        num_symbols=8, decoder=text_models.LANGUAGE_MODEL.decoder, input_dim=8, output_dim=8
    )
    theirs = {
        name if name.startswith("decoder.") else "decoder.embed_out": tensor
        for name, tensor in text_models.state(plain).items()
    }
    words = {word: value for word, value in text_models.LANGUAGE_MODEL_WORDS.items() if "adapt" not in word}
    content = text_models.checkpoint(theirs | {"decoder.version": torch.tensor([3.0])}, words)
    found = opened(content, tmp_path)
    assert found.config == plain
    assert_same(found.model, plain)


def test_a_missing_norm_is_an_error_today(tmp_path: Path) -> None:
    content = text_models.language_model_checkpoint()
    del content["model"]["decoder.layer_norm.weight"]
    with pytest.raises(UserError, match="weights are missing"):
        opened(content, tmp_path)


@pytest.mark.parametrize("year", [2019, 2021])
def test_roberta_of_every_year(year: int, tmp_path: Path) -> None:
    content = text_models.roberta_checkpoint(year=year)
    content["model"]["encoder.classification_heads.x.dense.weight"] = torch.zeros(2, 2)
    found = opened(content, tmp_path, dictionary=text_models.dictionary_file(tmp_path))
    assert found.config == text_models.ROBERTA
    assert found.dictionary.symbols[-2:] == ["d", "<mask>"]
    assert_same(found.model, text_models.ROBERTA)


def test_a_dictionary_that_has_the_mask_keeps_it(tmp_path: Path) -> None:
    given = Dictionary(text_models.SYMBOLS).extended(["<mask>"])
    assert opened(text_models.roberta_checkpoint(), tmp_path, dictionary=given).dictionary == given


@pytest.mark.parametrize("make", [text_models.roberta_checkpoint, text_models.language_model_checkpoint])
def test_a_dictionary_of_another_model(make: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has [67] symbols"):
        opened(make(), tmp_path, dictionary=text_models.dictionary_file(tmp_path, ["a", "b"]))


def test_sequence_to_sequence_with_the_options_of_its_encoder(tmp_path: Path) -> None:
    inner = {"model": forged.MODEL_WORDS, "task": forged.TASK_WORDS}
    found = opened(text_models.seq2seq_checkpoint(w2v_args=inner), tmp_path)
    assert isinstance(found.config, Seq2SeqConfig)
    assert found.config.encoder.conv_layers == forged.ENCODER.conv_layers
    assert found.config.decoder.max_positions == 20 and found.config.normalize
    assert found.dictionary == Dictionary(forged.SYMBOLS)
    assert_same(found.model, text_models.SEQ2SEQ)


def test_a_path_that_a_checkpoint_names_is_not_opened(tmp_path: Path) -> None:
    named = tmp_path / "pretrained.pt"
    named.write_bytes(b"whatever stands here would be an error, were it read")
    found = opened(text_models.seq2seq_checkpoint(w2v_path=str(named)), tmp_path)
    assert_same(found.model, text_models.SEQ2SEQ)


def test_sequence_to_sequence_by_its_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = text_models.seq2seq_checkpoint(w2v_path="gone.pt")
    with caplog.at_level(logging.WARNING, logger="auricle.convert.infer"):
        found = opened(content, tmp_path)
    assert "does not say what its encoder is" in caplog.text
    assert found.config.encoder.conv_layers == forged.ENCODER.conv_layers
    assert_same(found.model, text_models.SEQ2SEQ)


def test_an_encoder_that_is_none(tmp_path: Path) -> None:
    content = text_models.seq2seq_checkpoint()
    content["model"] = {n: t for n, t in content["model"].items() if "fc1" not in n}
    with pytest.raises(UserError, match="does not say what its encoder is"):
        opened(content, tmp_path)


REFUSED = {
    "character_embeddings": (True, "can only build models with character_embeddings=False"),
    "autoregressive": (False, "autoregressive=True|task.autoregressive=true"),
    "decoder_layers": ("many", "decoder_layers: expected a whole number"),
    "decoder_attention_heads": (3, "not a multiple of 3 attention heads"),
    "adaptive_input_cutoff": ("6,5", "cutoffs"),
    "tie_adaptive_weights": (False, "tie_adaptive_proj without"),
    "adaptive_softmax_cutoff": ("5", "cut differently"),
    "activation_fn": ("mish", "activation 'mish'"),
    "dropout": (2.0, "dropout outside 0 to 1"),
    "decoder_ffn_embed_dim": (0, "a width, head count"),
}


@pytest.mark.parametrize("word", REFUSED)
def test_options_that_cannot_be(word: str, tmp_path: Path) -> None:
    value, message = REFUSED[word]
    make = (
        text_models.seq2seq_checkpoint if word == "autoregressive" else text_models.language_model_checkpoint
    )
    with pytest.raises(UserError, match=message):
        opened(make(**{word: value}), tmp_path)


def test_models_without_a_table(tmp_path: Path) -> None:
    content = text_models.roberta_checkpoint()
    del content["model"]["encoder.sentence_encoder.embed_positions.weight"]
    with pytest.raises(UserError, match=r"no table embed_positions\.weight"):
        opened(content, tmp_path)
    with pytest.raises(UserError, match="learnt table of positions"):
        opened(text_models.roberta_checkpoint(encoder_learned_pos=False), tmp_path)


@pytest.mark.parametrize("cutoffs", ["5,6", "[5, 6]", [5, 6], (5, 6)])
def test_spellings_of_cutoffs(cutoffs: Any, tmp_path: Path) -> None:
    content = text_models.language_model_checkpoint(
        adaptive_input_cutoff=cutoffs, adaptive_softmax_cutoff=cutoffs
    )
    config = opened(content, tmp_path).config
    assert isinstance(config, LanguageModelConfig) and config.input_cutoffs == (5, 6)


def test_reference_padding_means_nothing_to_text(tmp_path: Path) -> None:
    found = opened(text_models.roberta_checkpoint(), tmp_path, reference_padding=True)
    assert isinstance(found.config, RobertaConfig)
