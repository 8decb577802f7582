"""What a run may use of the machine: cores, threads, and how fast the device can multiply."""

import logging
import math
import os
import sys
import time
from pathlib import Path

import torch

from auricle.models.cpu_matmul import product

_log = logging.getLogger(__name__)

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MOST_HOST_THREADS = 8
"""Beside an accelerator the main process only launches kernels and draws masks: more threads only contend."""


def available_cpus(quota: Path = _QUOTA) -> int:
    """Cores that this process may use: of its affinity, and of the share that a container grants."""
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        granted, period = quota.read_text().split()
        return max(1, min(cpus, math.ceil(int(granted) / int(period))))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return cpus


def cap_threads(device: torch.device, num_workers: int, cpus: int | None = None) -> int:
    """Leave cores to the processes that read audio, and to the other runs of this machine.

    On a CPU torch has the cores that the process may use, by its affinity or its container's share, and no
    more: the threads of a run do not depend on `num_workers`, so that results do not either
    (docs/determinism.md). Beside an accelerator, readers come first: a device that waits for audio is what
    costs. `OMP_NUM_THREADS`, where it is set, decides in place of this.

    Args:
        device: What trains.
        num_workers: Processes that read.
        cpus: Cores there are; counted where None.

    Returns:
        Threads that torch has now.
    """
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ:
        return before
    workers_here = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    own = max(1, (cpus or available_cpus()) // workers_here)
    if device.type != "cpu":
        own = min(_MOST_HOST_THREADS, max(1, own - num_workers))
    if own < before:
        torch.set_num_threads(own)
        _log.info("torch uses %d threads in place of %d (OMP_NUM_THREADS decides otherwise)", own, before)
    return torch.get_num_threads()


def matmul_flops(device: torch.device, dtype: torch.dtype = torch.float32, seconds: float = 0.2) -> float:
    """Floating-point operations a second of a large matrix product, the fastest thing that a device does.

    Measured, not looked up: on a shared or throttled machine it is what can be had there and then. Draws no
    random number.
    """
    # on a CPU small enough to be done before another process gets the core
    size = 384 if device.type == "cpu" else 8192
    left = torch.ones(size, size, device=device, dtype=dtype)
    multiply = product if device.type == "cpu" else torch.mm  # what the models use there
    multiply(left, left)  # the first one sets libraries up
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        _wait_for(device)
        started = time.perf_counter()
        multiply(left, left)
        _wait_for(device)
        best = min(best, time.perf_counter() - started)
    return 2.0 * size**3 / best


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
