"""Values of the right type that make no sense are refused in a line; what somebody may mean is not."""

import pytest

from auricle.cli.main import main
from auricle.config.load import load_recipe

PRETRAINING, CTC = "small_pretrain", "small_ctc"

REFUSED = [
    (PRETRAINING, "model.dropout=1.0", "model.dropout: expected a share from 0 to below 1, got 1"),
    (PRETRAINING, "model.encoder_layerdrop=-0.1", "model.encoder_layerdrop: expected a share"),
    (PRETRAINING, "model.mask_dropout=1", "model.mask_dropout: expected a share"),
    (PRETRAINING, "model.mask_prob=-1", "model.mask_prob: expected 0, which masks nothing, or more, got -1"),
    (PRETRAINING, "model.num_negatives=0", "model.num_negatives: expected 1 or more"),
    (PRETRAINING, "model.encoder_layers=0", "model.encoder_layers: expected 1 or more, got 0"),
    (
        "wav2vec2_base_librispeech",
        "task.max_sample_size=399",
        "task.max_sample_size=399: a frame sees 400 samples",
    ),
    (PRETRAINING, "optimization.lr=[-0.1]", "optimization.lr: expected 0 or more, got -0.1"),
    (PRETRAINING, "optimizer.weight_decay=-1", "optimizer.weight_decay: expected 0 or more, got -1"),
    (CTC, "model.final_dropout=1", "model.final_dropout: expected a share"),
    (CTC, "model.mask_channel_prob=-0.5", "model.mask_channel_prob: expected 0"),
    (CTC, "model.w2v_args.model.encoder_layers=0", "model.w2v_args.model.encoder_layers: expected 1"),
    ("wav2vec_large", "model.num_negatives=0", "model.num_negatives: expected 1 or more"),
    ("wav2vec_large", "model.dropout_agg=1", "model.dropout_agg: expected a share"),
    ("code_roberta", "model.encoder_layers=0", "model.encoder_layers: expected 1 or more"),
]


@pytest.mark.parametrize(("recipe", "change", "complaint"), REFUSED)
def test_refused_in_one_line(
    recipe: str, change: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "task.data=data", "--config-name", recipe, change, "--dry-run"]) == 2
    said = capsys.readouterr()
    *_, line = said.err.splitlines()
    assert complaint in line
    assert said.out == ""


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        (PRETRAINING, ["model.mask_prob=1.3", "model.dropout=0", "model.feature_grad_mult=0"]),
        (PRETRAINING, ["model.num_negatives=0", "model.cross_sample_negatives=100"]),
        (PRETRAINING, ["model.num_negatives=0", "model.codebook_negatives=100"]),
        (PRETRAINING, ["task.max_sample_size=400", "optimization.lr=[0]", "optimization.clip_norm=0"]),
        (CTC, ["model.apply_mask=false", "model.mask_prob=0", "model.layerdrop=0.99"]),
    ],
)
def test_not_refused(recipe: str, changes: list[str]) -> None:
    assert load_recipe(recipe, overrides=["task.data=data", *changes])
