"""``auricle train``, as it is typed."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from auricle.cli.main import main
from corpora import TINY_CTC, TINY_PRETRAINING, write_corpus


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_dry_run_prints_the_recipe_alone(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "corpus", "--dry-run", "--config-name", "wav2vec2_base_librispeech"]
    assert main([*words, "--lr", "0.1", "common.wandb_project=x"]) == 0
    out, err = capsys.readouterr()
    recipe = OmegaConf.create(out)
    assert (recipe.task.data, recipe.optimization.lr) == ("corpus", [0.1])
    assert "common.wandb_project" in err
    assert not list(Path().iterdir())


def test_dry_run_opens_the_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "corpus", "--dry-run", "--config-name", "base_10h", "--w2v-path", "missing.pt"]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert "missing.pt" in err
    assert out == ""


def test_pretrains_then_fine_tunes(capsys: pytest.CaptureFixture[str]) -> None:
    corpus = str(write_corpus(Path("corpus")))
    assert main(["train", corpus, "--config-name", "small_pretrain", *TINY_PRETRAINING]) == 0
    words = ["train", corpus, "--config-name", "small_ctc", *TINY_CTC]
    assert main([*words, "--w2v-path", "runs/small_pretrain", "--save-dir", "tuned"]) == 0
    assert {p.name for p in Path("tuned/checkpoints").iterdir()} >= {"last", "best"}
    assert Path("tuned/recipe.yaml").is_file()
    assert "done: 2 updates" in capsys.readouterr().err


def test_mistakes_are_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "corpus", "--config-name", "small_ctc", "model.mask_prop=0.1"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "did you mean model.mask_prob?" in err


def test_keys_and_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help-keys"]) == 0
    assert "model.mask_prob" in capsys.readouterr().out
    assert main(["train", "--list-recipes"]) == 0
    assert "vox_960h" in capsys.readouterr().out.splitlines()


def test_help_lists_every_key_after_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.index("--config-name") < out.index("common: Logging") < out.index("checkpoint.save_dir")


def test_a_dry_run_says_what_it_will_cost_beside_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "corpus", "--dry-run", "--config-name", "small_ctc"]) == 0
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in err.splitlines()[-5:]] == [
        *("parameters", "a batch", "an update", "memory, about", "time, about")
    ]
    assert "GFLOP" not in out
