"""A run that is killed and taken up again gives, bit for bit, the parameters of one that was left alone.

On real speech, with dropout, LayerDrop and gradient accumulation, in the middle of an epoch and over its end.
"""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from torch import Tensor

import auricle
from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.dictionary import Dictionary, words_to_letters
from auricle.train.checkpoint import load_training_state
from corpora import TINY
from tiny_runs import assert_same_weights

DEMO = Path(str(files("auricle"))) / "demo"
CLIPS, SAVED, UPDATES = 52, 7, 20
"""52 clips, two a batch, two batches an update: 13 updates an epoch."""

COMMON = [
    *("dataset.batch_size=2", "dataset.max_tokens=null", "dataset.disable_validation=true"),
    *("optimization.update_freq=[2]", "common.log_interval=5", "common.cpu=true"),
    *("checkpoint.save_interval=0", f"checkpoint.save_interval_updates={SAVED}"),
    *("lr_scheduler=fixed", "optimization.lr=[0.001]"),
    *("model.dropout=0.1", "model.attention_dropout=0.1", "model.mask_channel_prob=0.2"),
]
ENCODER = [*TINY, "encoder_layers=3", "conv_feature_layers='[(8, 10, 5), (8, 8, 8), (8, 8, 8)]'"]
RECIPES = {
    "small_pretrain": [
        *COMMON,
        *(f"model.{change}" for change in ENCODER),
        *("model.final_dim=8", "model.latent_vars=4", "model.encoder_layerdrop=0.2"),
        *("model.dropout_features=0.1", "task.min_sample_size=1000", "task.max_sample_size=12000"),
    ],
    "small_ctc": [
        *COMMON,
        *(f"model.w2v_args.model.{change}" for change in ENCODER),
        *("model.layerdrop=0.2", "model.final_dropout=0.1", "model.freeze_finetune_updates=3"),
    ],
}
KILLED = """
import os, signal, sys
from auricle.config.build import build_run
from auricle.config.load import load_recipe

where, recipe, *overrides = sys.argv[1:]
trainer = build_run(load_recipe(recipe, overrides=overrides))
update, rename = trainer.step.update, os.rename

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def watched_update(batches, epoch, num_updates, lr):
    return kill() if where == "update" and num_updates == 9 else update(batches, epoch, num_updates, lr)

def watched_rename(source, target):
    # The second save has moved the old checkpoint aside, and not put the new one in its place yet.
    if where == "save" and trainer.progress.num_updates == 14 and str(source).endswith(".partial"):
        kill()
    rename(source, target)

trainer.step.update = watched_update
os.rename = os.replace = watched_rename
trainer.run()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shortest English clips, as a manifest with labels and a dictionary."""
    with open(DEMO / "en_train.tsv", encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file, delimiter="\t"), key=lambda row: int(row["samples"]))[:CLIPS]
    folder = tmp_path_factory.mktemp("data")
    labels = [words_to_letters(row["transcript"]) for row in rows]
    lines = [str(DEMO), *(f"{row['path']}\t{row['samples']}" for row in rows)]
    (folder / "train.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "train.ltr").write_text("".join(f"{line}\n" for line in labels), encoding="utf-8")
    Dictionary.from_labels(labels).save(folder / "dict.ltr.txt")
    return folder


def overrides(recipe: str, data: Path, folder: Path, updates: int = UPDATES) -> list[str]:
    places = [f"task.data={data}", f"checkpoint.save_dir={folder}", f"optimization.max_update={updates}"]
    return [*RECIPES[recipe], *places]


def run_here(recipe: str, data: Path, folder: Path, updates: int = UPDATES) -> None:
    build_run(load_recipe(recipe, overrides=overrides(recipe, data, folder, updates))).run()


def everything(folder: Path) -> dict[str, Tensor]:
    """The parameters and the optimizer's state."""
    state = load_training_state(folder / "checkpoints" / "last")
    return {**auricle.load(folder / "checkpoints" / "last").model.state_dict(), **state.tensors}


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run folder of each recipe, run in one piece."""
    folders = {recipe: tmp_path_factory.mktemp(recipe) for recipe in RECIPES}
    for recipe, folder in folders.items():
        run_here(recipe, data, folder)
    return folders


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("recipe", "where"), [("small_pretrain", "update"), ("small_pretrain", "save"), ("small_ctc", "update")]
)
def test_killed_and_taken_up_again(
    recipe: str, where: str, data: Path, undisturbed: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    arguments = [sys.executable, "-c", KILLED, where, recipe, *overrides(recipe, data, folder)]
    process = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=120)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert auricle.load(folder / "checkpoints" / "last").num_updates == SAVED
    run_here(recipe, data, folder)
    assert_same_weights(everything(folder), everything(undisturbed[recipe]))


@pytest.fixture
def command(data: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`auricle train` that would go on for a very long time."""
    words = overrides("small_pretrain", data, tmp_path / "run", updates=10**6)
    arguments = [sys.executable, "-m", "auricle.cli.main", "train", "--config-name", "small_pretrain", *words]
    process = subprocess.Popen(arguments, env=environment(), stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.01)


def test_asked_to_stop_it_saves_and_leaves(
    command: subprocess.Popen[str], data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    wait_for(folder / "checkpoints" / f"update_{SAVED}", command)
    command.terminate()
    _, said = command.communicate(timeout=60)
    assert command.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM: saved" in said
    stopped = auricle.load(folder / "checkpoints" / "last").num_updates
    assert stopped >= SAVED
    run_here("small_pretrain", data, folder, stopped + 2)
    run_here("small_pretrain", data, tmp_path / "whole", stopped + 2)
    assert_same_weights(everything(folder), everything(tmp_path / "whole"))
