"""Checkpoints of every layout, forged: what is read from them, and what is said of those that cannot be."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

import forged
from auricle.convert import storages
from auricle.convert.fairseq import read_fairseq
from auricle.convert.storages import Source
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.wav2vec2 import Wav2Vec2Pretraining

LAYOUTS = {
    "today": lambda content: content,
    "omegaconf": lambda content: {**content, "cfg": OmegaConf.create(content["cfg"])},
    "namespace": forged.flat,
}
EVERY_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)
EVERY_FILE = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])


@EVERY_LAYOUT
@EVERY_FILE
def test_pretraining_models(tmp_path: Path, layout: str, zipped: bool) -> None:
    content = forged.pretraining_checkpoint()
    loaded = read_fairseq(forged.save(LAYOUTS[layout](content), tmp_path / "x.pt", zipped=zipped))
    assert isinstance(loaded.model, Wav2Vec2Pretraining)
    assert loaded.config == loaded.model.config == forged.ENCODER
    assert (loaded.dictionary, loaded.num_updates, loaded.source) == (None, 7, tmp_path / "x.pt")
    assert_same_weights(loaded.model.state_dict(), content["model"])


@EVERY_LAYOUT
@EVERY_FILE
def test_recognisers(tmp_path: Path, layout: str, zipped: bool) -> None:
    content = forged.ctc_checkpoint()
    loaded = read_fairseq(forged.save(LAYOUTS[layout](content), tmp_path / "x.pt", zipped=zipped))
    assert isinstance(loaded.model, Wav2Vec2CTC)
    assert loaded.config == loaded.model.config == forged.FINETUNED
    assert loaded.dictionary == (None if layout == "namespace" else Dictionary(forged.SYMBOLS))
    assert_same_weights(loaded.model.encoder.state_dict(), content["model"], "w2v_encoder.w2v_model.")
    assert_same_weights(loaded.model.proj.state_dict(), content["model"], "w2v_encoder.proj.")


def assert_same_weights(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> None:
    assert ours and all(torch.equal(tensor, theirs[prefix + name]) for name, tensor in ours.items())


def test_the_model_can_be_used_and_trained_further(tmp_path: Path) -> None:
    model = read_fairseq(forged.save(forged.ctc_checkpoint(), tmp_path / "x.pt")).model
    assert isinstance(model, Wav2Vec2CTC) and not model.training
    assert all(p.requires_grad and p.is_leaf and p.device.type == "cpu" for p in model.parameters())
    model.train()(torch.zeros(1, 100)).logits.sum().backward()
    assert model.proj.weight.grad is not None


def test_counts_of_symbols_are_kept(tmp_path: Path) -> None:
    loaded = read_fairseq(forged.save(forged.ctc_checkpoint(), tmp_path / "x.pt"))
    assert loaded.dictionary is not None and loaded.dictionary.counts == [1, 1, 1, 1, 4, 3, 2, 1]


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    content = forged.pretraining_checkpoint()
    content["model"] = {name: tensor.half() for name, tensor in content["model"].items()}
    model = read_fairseq(forged.save(content, tmp_path / "x.pt")).model
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.equal(model.state_dict()["mask_emb"], content["model"]["mask_emb"].float())


def test_heads_of_pretraining_in_a_recogniser_are_left_out(tmp_path: Path) -> None:
    content = forged.ctc_checkpoint()
    content["model"]["w2v_encoder.w2v_model.quantizer.vars"] = torch.zeros(3)
    content["model"]["w2v_encoder.w2v_model.final_proj.weight"] = torch.zeros(3)
    assert read_fairseq(forged.save(content, tmp_path / "x.pt")).config == forged.FINETUNED


def test_only_the_model_is_loaded_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    read_into = Source.read_into
    monkeypatch.setattr(
        Source, "read_into", lambda self, buffer, at: (taken.append(len(buffer)), read_into(self, buffer, at))
    )
    content = forged.pretraining_checkpoint()
    content["last_optimizer_state"] = {"state": {0: {"exp_avg": torch.zeros(10**5)}}}
    read_fairseq(forged.save(content, tmp_path / "x.pt"))
    assert sum(taken) == sum(tensor.nbytes for tensor in content["model"].values())


def test_reference_padding(tmp_path: Path) -> None:
    pretraining = forged.save(forged.pretraining_checkpoint(), tmp_path / "p.pt")
    assert read_fairseq(pretraining, reference_padding=True).model.config.reference_padding
    recogniser = forged.save(forged.ctc_checkpoint(), tmp_path / "c.pt")
    model = read_fairseq(recogniser, reference_padding=True).model
    assert isinstance(model, Wav2Vec2CTC) and model.encoder.config.reference_padding
    assert model.encoder.feature_extractor.reference_padding


def test_options_linked_to_another_group_are_taken_from_there(tmp_path: Path) -> None:
    content = forged.ctc_checkpoint(normalize="${task.normalize}")
    content["cfg"] = OmegaConf.create(content["cfg"])
    assert read_fairseq(forged.save(content, tmp_path / "x.pt")).config == forged.FINETUNED


def test_a_model_group_that_is_a_namespace(tmp_path: Path) -> None:
    content = forged.pretraining_checkpoint()
    content["cfg"]["model"] = argparse.Namespace(**content["cfg"]["model"])
    assert read_fairseq(forged.save(content, tmp_path / "x.pt")).config == forged.ENCODER


@pytest.mark.parametrize("history", [None, [], [{}], [{"num_updates": "many"}], [{"num_updates": -1}], [[]]])
def test_updates_that_are_not_told_are_0(tmp_path: Path, history: object) -> None:
    content = {**forged.pretraining_checkpoint(), "optimizer_history": history}
    assert read_fairseq(forged.save(content, tmp_path / "x.pt")).num_updates == 0


def changed(content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**content, **changes}


def without(content: dict[str, Any], name: str) -> dict[str, Any]:
    return changed(content, model={k: v for k, v in content["model"].items() if k != name})


def with_dictionary(**state: object) -> dict[str, Any]:
    content = forged.ctc_checkpoint()
    vars(content["task_state"]["target_dictionary"]).update(state)
    return content


PRETRAINING = forged.pretraining_checkpoint()
RECOGNISER = forged.ctc_checkpoint()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "holds no model"),
        ({"model": []}, "holds no model"),
        (changed(PRETRAINING, cfg=None), "does not say what its model is"),
        (changed(PRETRAINING, cfg={"model": {"_name": 3}}), "does not say what its model is"),
        (forged.pretraining_checkpoint(_name="hubert"), "family 'hubert' are not supported; these are"),
        (forged.pretraining_checkpoint(_name="roberta_base"), "it has no table embed_positions"),
        (forged.pretraining_checkpoint(_name="wav2vec_seq2seq"), "does not say what its encoder is"),
        (forged.pretraining_checkpoint(_name="transformer_lm"), "it has no table decoder.embed_tokens"),
        (forged.pretraining_checkpoint(layer_type="lstm"), "layer_type: expected one of"),
        (
            forged.pretraining_checkpoint(encoder_layers=2),
            "weights are missing.*encoder.layers.1.*and 13 more",
        ),
        (forged.pretraining_checkpoint(encoder_layers=0), "no use for some.*encoder.layers.0"),
        (
            forged.pretraining_checkpoint(encoder_embed_dim=16),
            r"is of shape \(.*where its configuration makes it",
        ),
        (
            forged.pretraining_checkpoint(encoder_embed_dim="wide"),
            "encoder_embed_dim: expected a whole number",
        ),
        (without(PRETRAINING, "mask_emb"), "weights are missing.*'mask_emb'$"),
        (
            changed(PRETRAINING, model={**PRETRAINING["model"], "extra": torch.zeros(1)}),
            "no use for.*'extra'",
        ),
        (changed(PRETRAINING, model={**PRETRAINING["model"], "extra": 1}), "no table of named tensors"),
        (
            changed(PRETRAINING, model={**PRETRAINING["model"], 1: torch.zeros(1)}),
            "no table of named tensors",
        ),
        (
            changed(
                PRETRAINING, model={**PRETRAINING["model"], "mask_emb": torch.zeros(8, dtype=torch.int64)}
            ),
            "mask_emb holds torch.int64",
        ),
        (without(RECOGNISER, "w2v_encoder.proj.weight"), "no output layer"),
        (forged.ctc_checkpoint(w2v_args=None), "does not say what its encoder is"),
        (
            forged.ctc_checkpoint(w2v_args={"model": {"_name": "hubert"}}),
            "family that is not supported: 'hubert'",
        ),
        (forged.ctc_checkpoint(normalize=False, mask_prob="x"), "mask_prob"),
        (forged.ctc_checkpoint(symbols=["a", "a", "b", "c"]), "'a' is in the dictionary twice"),
        (with_dictionary(symbols=None), "its dictionary holds no symbols"),
        (with_dictionary(symbols=[1] * 8), "its dictionary holds no symbols"),
        (with_dictionary(count=["1"] * 8), "its dictionary holds no counts"),
        (with_dictionary(count=[-1] * 8), "its dictionary holds no counts"),
        (with_dictionary(count=[2**200] * 8), "its dictionary holds no counts"),
        (with_dictionary(count=[1]), "lacks counts"),
        (with_dictionary(symbols=list("abcdefgh")), "does not begin with <s> <pad> </s> <unk>"),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path: Path, content: object, message: str) -> None:
    path = forged.save(content, tmp_path / "x.pt")
    with pytest.raises(UserError, match=message) as caught:
        read_fairseq(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_normalize_that_differs_from_pretraining_is_a_mistake(tmp_path: Path) -> None:
    content = forged.ctc_checkpoint()
    content["cfg"]["task"] = {**content["cfg"]["task"], "normalize": False}
    with pytest.raises(UserError, match=r"set task\.normalize=true"):
        read_fairseq(forged.save(content, tmp_path / "x.pt"))


def test_tensors_that_share_numbers_take_no_more_than_twice_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = torch.zeros(20_000)
    content = {**PRETRAINING, "model": {f"w{i}": shared for i in range(4)}}
    with pytest.raises(UserError, match="share numbers"):
        read_fairseq(forged.save(content, tmp_path / "x.pt"))
    monkeypatch.setattr(storages, "MAX_SHARING", 5)
    with pytest.raises(UserError, match="weights are missing"):
        read_fairseq(tmp_path / "x.pt")
