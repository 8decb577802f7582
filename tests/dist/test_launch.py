"""`auricle train` in several processes of this machine: started by itself, and by torchrun."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import auricle
from auricle.cli import workers
from auricle.config.load import load_recipe
from auricle.errors import UserError
from corpora import TINY_PRETRAINING, write_corpus
from gloo import PATIENCE_SECONDS, free_port

MANY = [
    "optimization.max_update=100000",
    "checkpoint.save_interval_updates=1",
    "dataset.disable_validation=true",
]
SCRIPT = """
import sys
from auricle.cli import workers
from auricle.cli.main import main

workers.workers_to_start = lambda recipe: int(sys.argv[1])
sys.exit(main(sys.argv[2:]))
"""
"""`auricle` on a machine that has as many devices as the first word says."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("data"))


def words(corpus: Path, folder: Path, *more: str) -> list[str]:
    small = [*TINY_PRETRAINING, "common.cpu=true", *more]
    return ["train", str(corpus), "--config-name", "small_pretrain", "--save-dir", str(folder), *small]


def started(count: int, arguments: list[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, str(count), *arguments]
    return subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True
    )


def test_one_process_for_each_device_and_no_more_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(*changes: str) -> int:
        return workers.workers_to_start(load_recipe("small_pretrain", overrides=["task.data=x", *changes]))

    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert count() == 4
    assert count("distributed_training.distributed_world_size=64") == 4
    assert count("distributed_training.distributed_world_size=2") == 2
    assert count("common.cpu=true") == 1
    monkeypatch.setenv("WORLD_SIZE", "4")  # this is one of them
    assert count() == 1
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert count() == 1


def test_a_recipe_is_handed_on_as_it_was_resolved(tmp_path: Path) -> None:
    recipe = load_recipe("small_pretrain", overrides=["task.data=x", "common.seed=7", "model.mask_prob=0.5"])
    verb, *rest = workers.words_for(recipe, tmp_path)
    assert verb == "train" and rest[:2] == ["--config-dir", str(tmp_path)]
    assert load_recipe(rest[3], config_dir=tmp_path) == recipe


@pytest.mark.slow
def test_the_code_of_the_first_that_fails_is_that_of_all(capfd: pytest.CaptureFixture[str]) -> None:
    assert (
        workers.run_workers(2, ["train", "nowhere", "--config-name", "small_pretrain", "common.cpu=true"])
        == 2
    )
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("auricle: task.data")]
    assert len(said) == 1 and "there is no such folder" in said[0]


@pytest.mark.slow
def test_one_that_is_killed_is_named(corpus: Path, tmp_path: Path) -> None:
    with started(2, words(corpus, tmp_path / "run", *MANY)) as process:
        wait_for_updates(process, tmp_path / "run")
        os.kill(workers_of(process)[-1], signal.SIGKILL)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 2
    assert "was killed by SIGKILL: the same command goes on from the last checkpoint" in said
    assert auricle.load(tmp_path / "run" / "checkpoints" / "last").num_updates >= 2


def wait_for_updates(process: "subprocess.Popen[str]", folder: Path) -> None:
    """Until some are saved."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (folder / "checkpoints" / "update_2").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """The processes that it started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        pytest.skip("needs Linux, which lists the children of a process")
    return [int(number) for number in children.read_text().split()]


WAITING = """
import os, subprocess, sys
from auricle.cli import workers

wait = "from auricle.cli import workers; print('here', flush=True); workers._end_with_who_started_this()"
workers._start = lambda words, rank, count, port, leash: subprocess.Popen(
    [sys.executable, "-c", wait], stdin=leash, env=os.environ | {"RANK": str(rank)}
)
workers.run_workers(2, [])
"""
"""Starts two processes that do nothing but look whether this one is still there."""


def test_workers_notice_that_nobody_can_stop_them_any_more() -> None:
    command = [sys.executable, "-c", WAITING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["here\n"] * 2
        process.kill()
        # Until nobody can write there any more.
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert said == "auricle: the process that started the workers is gone: they end\n"


@pytest.mark.slow
def test_no_worker_outlives_who_started_it(corpus: Path, tmp_path: Path) -> None:
    with started(2, words(corpus, tmp_path / "run", *MANY)) as process:
        wait_for_updates(process, tmp_path / "run")
        left = workers_of(process)
        assert len(left) == 2
        process.kill()
        try:
            _, said = process.communicate(timeout=PATIENCE_SECONDS)  # until nobody can write there any more
        except subprocess.TimeoutExpired:
            for worker in left:
                os.kill(worker, signal.SIGKILL)
            raise
    assert said.count("the process that started the workers is gone: they end") == 1
    assert auricle.load(tmp_path / "run" / "checkpoints" / "last").num_updates >= 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_they_save_and_leave(number: signal.Signals, corpus: Path, tmp_path: Path) -> None:
    with started(2, words(corpus, tmp_path / "run", *MANY)) as process:
        wait_for_updates(process, tmp_path / "run")
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 128 + number
    assert said.count(f"stopped by {number.name}: saved") == 1
    assert auricle.load(tmp_path / "run" / "checkpoints" / "last").num_updates >= 2


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["pytorch_ddp", "fully_sharded"])
def test_torchrun(backend: str, corpus: Path, tmp_path: Path) -> None:
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        f"--master-port={free_port()}",
    ]
    more = words(corpus, tmp_path / "run", f"distributed_training.ddp_backend={backend}")
    done = subprocess.run(
        [*launch, "-m", "auricle.cli.main", *more], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("done: 2 updates") == 1
    alone = subprocess.run(
        [sys.executable, "-m", "auricle.cli.main", *words(corpus, tmp_path / "one"),
         "distributed_training.distributed_world_size=2"],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert alone.returncode == 0 and "simulating 2 workers" in alone.stderr
    first, second = (auricle.load(tmp_path / name).model.state_dict() for name in ("run", "one"))
    assert all((first[name] - second[name]).abs().max() <= 1e-5 for name in first)


def test_what_became_of_the_processes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        workers, "_start", lambda *_: subprocess.Popen([sys.executable, "-c", "raise SystemExit"])
    )
    assert workers.run_workers(2, []) == 0
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(workers, "_start", lambda *_: subprocess.Popen([sys.executable, "-c", killed]))
    with pytest.raises(UserError, match=r"worker \d was killed by SIGKILL"):
        workers.run_workers(2, [])
