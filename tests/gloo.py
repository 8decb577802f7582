"""Calls a function in several processes that make up one run, on the loopback interface."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from auricle.train.engine import open_engine

PATIENCE_SECONDS = 240.0
"""Of a machine that does other things as well."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def place(rank: int, count: int, port: int) -> dict[str, str]:
    """The environment of a worker."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1"} | {name: str(number) for name, number in numbers.items()}


def start_workers(
    count: int, function: Callable[..., Any], *arguments: Any, sharded: bool = False
) -> list[tuple[Any, Connection]]:
    """Processes that call `function(engine, *arguments)`, and where to hear of each what came of it."""
    # Forked, they start in no time; a process that has used a GPU cannot be forked.
    context = multiprocessing.get_context("spawn" if torch.cuda.is_initialized() else "fork")
    port, started = free_port(), []
    for rank in range(count):
        heard, told = context.Pipe(duplex=False)
        work = (place(rank, count, port), sharded, told, function, arguments)
        process = context.Process(target=_work, args=work, daemon=True)
        process.start()
        told.close()
        started.append((process, heard))
    return started


def run_workers(
    count: int, function: Callable[..., Any], *arguments: Any, sharded: bool = False
) -> list[Any]:
    """What `function(engine, *arguments)` gives in each of `count` workers."""
    started = start_workers(count, function, *arguments, sharded=sharded)
    try:
        results = [_result(heard) for _, heard in started]
        for process, _ in started:
            process.join(PATIENCE_SECONDS)
            assert process.exitcode == 0
        return results
    finally:
        for process, _ in started:
            process.kill()
            process.join()


def _result(heard: Connection) -> Any:
    assert heard.poll(PATIENCE_SECONDS), "no worker has an answer"
    done, result = heard.recv()
    assert done, result
    return result


def _work(
    environment: dict[str, str],
    sharded: bool,
    told: Connection,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    os.environ |= environment
    torch.set_num_threads(1)
    try:
        engine = open_engine(cpu=True, sharded=sharded)
        told.send((True, function(engine, *arguments)))
        engine.close()
    except BaseException:
        told.send((False, traceback.format_exc()))
        raise
