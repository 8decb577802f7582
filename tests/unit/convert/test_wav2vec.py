"""wav2vec 1.0 and vq-wav2vec: read from fairseq's words, written and read back, refused where impossible."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import auricle
from auricle.convert.fairseq_config import wav2vec_config_from_fairseq
from auricle.convert.own import read_model, write_model
from auricle.convert.values import check_config
from auricle.errors import UserError
from auricle.files import atomic_folder
from auricle.models.wav2vec_config import AggregatorConfig, CodebooksConfig, Wav2VecConfig
from wav2vec_models import LAYOUTS, PLAIN, model_of

WORDS: dict[str, Any] = {
    "_name": "wav2vec",
    "conv_feature_layers": "[(8, 10, 5), (8, 8, 4), (8, 4, 2), (8, 1, 1)]",
    "conv_aggregator_layers": "[(8, 2, 1)]",
    "skip_connections_agg": False,
    "project_features": "same",
    "prediction_steps": 3,
    "num_negatives": 4,
    "balanced_classes": True,
    "gru_dim": 512,
}
"""fairseq's words for the layout "same projection"."""


def test_silence_means_the_defaults_of_fairseq() -> None:
    assert wav2vec_config_from_fairseq({"_name": "wav2vec"}) == Wav2VecConfig()


def test_words_that_say_the_opposite_of_ours() -> None:
    config = wav2vec_config_from_fairseq({"no_conv_bias": True, "non_affine_group_norm": True})
    assert not config.aggregator.conv_bias and not config.norm_affine
    assert wav2vec_config_from_fairseq({"no_conv_bias": False}).aggregator.conv_bias


@pytest.mark.parametrize(("offset", "expected"), [("auto", 0), (None, 0), ("7", 7), (7, 7)])
def test_offsets(offset: object, expected: int) -> None:
    assert wav2vec_config_from_fairseq({"offset": offset}).offset == expected


@pytest.mark.parametrize("offset", ["0", 0, "-1", "soon", "9" * 5000, 1.5, True, [3]])
def test_other_offsets_are_refused(offset: object) -> None:
    with pytest.raises(UserError, match="offset: expected"):
        wav2vec_config_from_fairseq({"offset": offset})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_is_read(tmp_path: Path, layout: str) -> None:
    model = model_of(LAYOUTS[layout])
    with atomic_folder(tmp_path / "x") as partial:
        write_model(partial, model, model.config, None, {"num_updates": 5})
    loaded = read_model(tmp_path / "x")
    assert loaded.config == LAYOUTS[layout] and loaded.num_updates == 5
    ours, theirs = model.state_dict(), loaded.model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert read_model(tmp_path / "x", reference_padding=True).model.config.reference_padding


@pytest.mark.parametrize("era", ["cfg", "flat", "2019"])
def test_a_checkpoint_of_any_era(tmp_path: Path, era: str) -> None:
    model = model_of(LAYOUTS["same projection"])
    state = model.state_dict()
    # fairseq names an aggregator that is used twice twice.
    twice = {
        name.replace("feature_aggregator", "project_features"): tensor
        for name, tensor in state.items()
        if name.startswith("feature_aggregator")
    }
    content: dict[str, Any] = {"model": state | twice}
    if era == "cfg":
        content["cfg"] = {
            "model": WORDS | {"infonce": "${criterion.infonce}"},
            "criterion": {"_name": "wav2vec", "infonce": True},
        }
    else:
        arch = "wav2vec" if era == "flat" else "audio_cpc"
        content["args"] = {**WORDS, "arch": arch, "infonce": True, "criterion": "binary_cross_entropy"}
        del content["args"]["_name"]
    torch.save(content, tmp_path / "x.pt")
    loaded = auricle.load(tmp_path / "x.pt")
    assert loaded.config == replace(LAYOUTS["same projection"], infonce=True)
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.model.state_dict().items())


IMPOSSIBLE = {
    "no convolution": replace(PLAIN, conv_layers=()),
    "kernel or stride": replace(PLAIN, conv_layers=((8, 0, 1),)),
    "no convolution of the aggregator": replace(PLAIN, aggregator=AggregatorConfig(conv_layers=())),
    "with a stride": replace(PLAIN, aggregator=AggregatorConfig(conv_layers=((8, 2, 2),))),
    "gru_dim of 0": replace(PLAIN, aggregator=AggregatorConfig("gru", gru_dim=0)),
    "project_features with an aggregator 12 wide": replace(PLAIN, project_features="new"),
    "not a multiple of 3": replace(PLAIN, quantizer=CodebooksConfig("gumbel", 3)),
    "without codebooks": replace(PLAIN, quantizer=CodebooksConfig("kmeans", 0)),
    "vq_dim 4": replace(PLAIN, quantizer=CodebooksConfig("kmeans", dim=4)),
    "more than 1000 layers": replace(PLAIN, quantizer=CodebooksConfig("gumbel", depth=2000)),
    "dropout": replace(PLAIN, dropout_agg=1.5),
    "residual_scale": replace(PLAIN, residual_scale=-0.5),
    "prediction_steps": replace(PLAIN, prediction_steps=0),
    "no negatives": replace(PLAIN, num_negatives=0),
    "balanced_classes": replace(PLAIN, num_negatives=0, cross_sample_negatives=3, balanced_classes=True),
    "sample rate": replace(PLAIN, sample_rate=0),
}


@pytest.mark.parametrize("problem", IMPOSSIBLE)
def test_impossible_configurations_are_refused(problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        check_config(IMPOSSIBLE[problem])


def test_transcribing_with_one_says_what_it_is_not(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "x") as partial:
        write_model(partial, model_of(PLAIN), PLAIN, None, {})
    with pytest.raises(UserError, match="pre-trained only"):
        auricle.transcribe(["a.wav"], model=str(tmp_path / "x"))
