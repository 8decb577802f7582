"""Numbers out of range in a recipe once ended in a traceback, and passed a dry run."""

import pytest

from auricle.cli.main import main


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("common.seed=-5", "common.seed"),
        ("common.log_interval=0", "common.log_interval"),
        ("optimization.update_freq=[]", "optimization.update_freq"),
        ("optimization.update_freq=[1,0]", "optimization.update_freq"),
        ("dataset.required_batch_size_multiple=0", "required_batch_size_multiple"),
        ("model.mask_length=0", "mask_length"),
        ("model.encoder_attention_heads=7", "attention heads"),
        ("optimization.lr=[0.1,0.2]", "one learning rate"),
    ],
)
def test_a_dry_run_names_the_key(word: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["train", "data", "--config-name", "wav2vec2_base_librispeech", "--dry-run", word])
    output = capsys.readouterr()
    assert code == 2 and output.out == ""
    assert says in output.err and "Traceback" not in output.err
