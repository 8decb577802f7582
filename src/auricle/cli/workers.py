"""Several processes of one training run on this machine: one for each of its devices."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from auricle.errors import UserError
from auricle.files import atomic_write_text

if TYPE_CHECKING:
    from auricle.config.schema import Recipe

_GRACE_SECONDS = 20.0
"""For which workers may save and leave after another has ended."""

_POLL_SECONDS = 0.05

_HELD = "AURICLE_WORKER"
"""Tells a worker that its standard input ends when the process that started it does."""


def train(recipe: "Recipe") -> str:
    """Train, in this process or in one for each device.

    Returns:
        Why the run ended, as far as this process knows.

    Raises:
        UserError: The recipe asks for what is not there.
        typer.Exit: With 128 + N, signal N ended the run; or with that of the worker that failed.
    """
    count = workers_to_start(recipe)
    if count > 1:
        with tempfile.TemporaryDirectory(prefix="auricle-") as folder:
            code, reason = run_workers(count, words_for(recipe, Path(folder))), "done"
    else:
        code, reason = _train_here(recipe)
    if code:
        raise typer.Exit(code)
    return reason


def _train_here(recipe: "Recipe") -> tuple[int, str]:
    if os.environ.get(_HELD):
        threading.Thread(target=_end_with_who_started_this, daemon=True).start()
    from auricle.config.build import build_run

    trainer = build_run(recipe)
    try:
        reason = trainer.run()
    finally:
        trainer.engine.close()
    return 128 + trainer.stopped_by if trainer.stopped_by else 0, reason


def workers_to_start(recipe: "Recipe") -> int:
    """Processes that share the work: one a device, and no more than workers asked for; 1 starts none."""
    import torch

    started = "WORLD_SIZE" in os.environ  # torchrun or a scheduler has seen to it
    if started or recipe.common.cpu or not torch.cuda.is_available():
        return 1
    return max(1, min(recipe.distributed_training.distributed_world_size, torch.cuda.device_count()))


def words_for(recipe: "Recipe", folder: Path) -> list[str]:
    """Write a recipe, as it was resolved, into `folder`; gives the words after ``auricle`` that train it."""
    from auricle.config.load import recipe_yaml

    atomic_write_text(folder / "recipe.yaml", recipe_yaml(recipe))
    return ["train", "--config-dir", str(folder), "--config-name", "recipe"]


def run_workers(count: int, words: Sequence[str]) -> int:
    """Run ``auricle WORDS`` in `count` processes that know each other, until all have ended.

    Where one fails the others are asked to leave, and after a while made to.

    Returns:
        The exit code of the first one that failed, or 0.

    Raises:
        UserError: One was killed, and can no longer say so itself.
    """
    port = _free_port()
    with _leash() as leash:
        processes = [_start(words, rank, count, port, leash) for rank in range(count)]
        try:
            with _handing_on_signals(processes):
                rank, code = _first_to_fail(processes)
                if code:
                    _end(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    if code < 0:
        raise UserError(
            f"worker {rank} was killed by {signal.Signals(-code).name}: the same command goes on from the "
            "last checkpoint"
        )
    return code


@contextmanager
def _leash() -> Iterator[int]:
    """A pipe that ends when this process does, were it killed: nobody else can write to it."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(read)
        os.close(write)


def _end_with_who_started_this() -> None:
    """Wait until nobody is left who could stop this worker, and end it as a kill would.

    It saves nothing: the run may have been started again already, and goes on from what is there.
    """
    os.read(sys.stdin.fileno(), 1)
    if os.environ["RANK"] == "0":
        print("auricle: the process that started the workers is gone: they end", file=sys.stderr, flush=True)
    os._exit(1)


def _start(words: Sequence[str], rank: int, count: int, port: int, leash: int) -> "subprocess.Popen[bytes]":
    places = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        _HELD: rank,
    }
    environment = os.environ | {name: str(value) for name, value in places.items()}
    command = [sys.executable, "-m", "auricle.cli.main", *words]
    return subprocess.Popen(command, env=environment, stdin=leash)


def _first_to_fail(processes: Sequence["subprocess.Popen[bytes]"]) -> tuple[int, int]:
    """Wait until one has failed or all are done; gives its number and exit code, or zeros."""
    while True:
        codes = [process.poll() for process in processes]
        for rank, code in enumerate(codes):
            if code:
                return rank, code
        if None not in codes:
            return 0, 0
        time.sleep(_POLL_SECONDS)


def _end(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Let the others see for themselves that one is missing; then ask them, and wait."""
    deadline = time.monotonic() + _GRACE_SECONDS
    asked = False
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        if not asked and time.monotonic() > deadline - _GRACE_SECONDS / 2:
            asked = True
            for process in processes:
                process.terminate()
        time.sleep(_POLL_SECONDS)


@contextmanager
def _handing_on_signals(processes: Sequence["subprocess.Popen[bytes]"]) -> Iterator[None]:
    """What asks this process to stop asks them: they save, and leave."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            with suppress(OSError):
                process.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
