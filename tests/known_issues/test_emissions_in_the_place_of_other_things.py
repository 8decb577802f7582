"""`--save-emissions` took the place of whatever had that name, and damaged emissions were decoded."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from auricle.cli.evaluation import Options, evaluate
from auricle.decode.saved import Clip, SavedEmissions, check_place, load_emissions, save_emissions
from auricle.dictionary import Dictionary
from auricle.errors import UserError

HEARD = SavedEmissions(
    "model",
    "test",
    Dictionary(["|", "A"]),
    (Clip(0, "a.wav", 1.0), Clip(1, "b.wav", 1.0)),
    (torch.zeros(3, 6).log_softmax(-1), torch.zeros(2, 6).log_softmax(-1)),
)


def test_what_is_there_stays_there(tmp_path: Path) -> None:
    (tmp_path / "take.wav").write_text("sound")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one").write_text("picture")
    for name in ("take.wav", "photos"):
        with pytest.raises(UserError, match=f"{name} is there and holds no emissions"):
            save_emissions(tmp_path / name, HEARD)
    assert (tmp_path / "take.wav").read_text() == "sound"
    assert (tmp_path / "photos" / "one").read_text() == "picture"


def test_emissions_and_empty_folders_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    check_place(tmp_path / "new")
    for model in ("first", "second"):
        save_emissions(tmp_path / "kept", replace(HEARD, model=model))
        assert load_emissions(tmp_path / "kept").model == model


def test_it_is_said_before_anything_is_heard(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one").write_text("picture")
    with pytest.raises(UserError, match="photos is there"):
        evaluate(Options(tmp_path, tmp_path / "no model", save_emissions=tmp_path / "photos"))


def _with(rows: torch.Tensor) -> SavedEmissions:
    return replace(HEARD, log_probs=(HEARD.log_probs[0], rows))


NAN = HEARD.log_probs[1].clone()
NAN[1, 3] = float("nan")


@pytest.mark.parametrize(
    ("saved", "problem"),
    [
        (_with(NAN), "utterance 1 holds what is no log-probability"),
        (_with(torch.full((2, 6), float("inf"))), "utterance 1 holds what is no log-probability"),
        (_with(torch.zeros(2, 6, dtype=torch.int64)), "utterance 1 holds what is no log-probability"),
        (replace(HEARD, clips=(HEARD.clips[0], Clip(1, "b.wav", float("nan")))), "utterance 1 lasts nan s"),
        (replace(HEARD, clips=(), log_probs=()), "no utterance"),
    ],
    ids=["nan", "inf", "whole numbers", "seconds", "none"],
)
def test_damaged_emissions_are_refused(tmp_path: Path, saved: SavedEmissions, problem: str) -> None:
    save_emissions(tmp_path / "kept", saved)
    with pytest.raises(UserError, match=rf"kept: damaged \({problem}\): save the emissions again"):
        load_emissions(tmp_path / "kept")


def test_an_index_that_was_edited_is_refused(tmp_path: Path) -> None:
    save_emissions(tmp_path / "kept", HEARD)
    index = tmp_path / "kept" / "emissions.json"
    text = index.read_text()
    index.write_text(text.replace('"index": 1', '"index": 0'))
    with pytest.raises(UserError, match="an utterance is there twice"):
        load_emissions(tmp_path / "kept")
    index.write_text(text.replace('"|"', '"A"'))
    with pytest.raises(UserError, match=r"kept: damaged .*symbol 'A' is in the dictionary twice"):
        load_emissions(tmp_path / "kept")


def test_numbers_and_depths_without_end_are_refused(tmp_path: Path) -> None:
    save_emissions(tmp_path / "kept", HEARD)
    index = tmp_path / "kept" / "emissions.json"
    for text in (index.read_text().replace('"index": 1', '"index": 1e400'), "[" * 100_000):
        index.write_text(text)
        with pytest.raises(UserError, match="kept: damaged"):
            load_emissions(tmp_path / "kept")


def test_what_cannot_be_had_may_still_be_minus_infinity(tmp_path: Path) -> None:
    save_emissions(tmp_path / "kept", _with(torch.full((2, 6), -float("inf"))))
    assert torch.isinf(load_emissions(tmp_path / "kept").log_probs[1]).all()
