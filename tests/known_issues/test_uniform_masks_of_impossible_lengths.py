"""A lower bound above twice the length gave a traceback of numpy's in the middle of a run."""

from pathlib import Path

import pytest

from auricle.cli.main import main


@pytest.mark.parametrize(
    "keys", [("mask_length", "mask_other"), ("mask_channel_length", "mask_channel_other")]
)
def test_it_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: tuple[str, str]
) -> None:
    length, other = keys
    kind = length.removesuffix("_length")
    words = [
        f"model.{length}=1",
        f"model.{other}=3",
        f"model.{kind}_selection=uniform",
        f"model.{kind}_prob=0.1",
    ]
    base = ["train", str(tmp_path), "--config-name", "small_pretrain", "--dry-run"]
    assert main([*base, *words]) == 2
    assert "uniform mask lengths from 3 to 2" in capsys.readouterr().err
    assert main([*base, *words, f"model.{other}=2"]) == 0
