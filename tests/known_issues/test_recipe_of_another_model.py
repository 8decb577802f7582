"""A recipe of another model, refused in a run folder, once left its own text there as `recipe.yaml`."""

from dataclasses import replace
from pathlib import Path

import pytest

from auricle.errors import UserError
from auricle.models.build import build_model
from auricle.models.config import EncoderConfig, Wav2Vec2Config
from auricle.train.checkpoint import TrainingState, save_checkpoint
from auricle.train.loop import LoopOptions, Trainer
from tiny_runs import step_of


def test_the_recipe_that_is_there_stays(tmp_path: Path) -> None:
    encoder = EncoderConfig(num_layers=1, dim=8, ffn_dim=8, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2)
    config = Wav2Vec2Config(conv_layers=((8, 10, 5),), encoder=encoder)
    weights = build_model(config).state_dict()
    save_checkpoint(tmp_path / "checkpoints" / "last", weights, config, None, TrainingState(num_updates=1))
    (tmp_path / "recipe.yaml").write_text("its own")
    model = build_model(replace(config, encoder=replace(encoder, num_layers=2)))
    trainer = Trainer(
        folder=tmp_path,
        model=model,
        dictionary=None,
        step=step_of(model),
        schedule=lambda _: 0.0,
        train=None,  # type: ignore[arg-type]
        valid={},
        options=LoopOptions(),
        recipe="another",
    )
    with pytest.raises(UserError, match="another model"):
        trainer.run()
    assert (tmp_path / "recipe.yaml").read_text() == "its own"
