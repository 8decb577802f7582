"""Conversion of a Large recogniser (317 M random parameters): python benchmarks/bench_convert.py.

Each `auricle convert` is a process of its own; said are its times and the most memory that it took.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from auricle.convert.own import write_model
from auricle.files import atomic_folder
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config

LARGE = CTCConfig(
    Wav2Vec2Config(
        conv_norm="layer",
        conv_bias=True,
        encoder=EncoderConfig(num_layers=24, dim=1024, ffn_dim=4096, num_heads=16, pre_norm=True),
        final_dim=768,
        normalize=True,
    ),
    num_labels=32,
)
STEPS = [
    ("own", "hf", "huggingface"),
    ("hf", "x.pt", "fairseq"),
    ("x.pt", "again", "huggingface"),
    ("x.pt", "own2", "auricle"),
]


def convert(source: Path, target: Path, to: str, threads: int) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor, and GiB of memory at most."""
    command = [sys.executable, "-m", "auricle.cli.main", "convert", str(source), str(target), "--to", to]
    begun = time.perf_counter()
    child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    seconds = time.perf_counter() - begun
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=2)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        model = build_model(LARGE)
        count = sum(parameter.numel() for parameter in model.parameters())
        with atomic_folder(folder / "own") as partial:
            write_model(partial, model, LARGE, None, {"num_updates": 0})
        del model
        print(f"{count / 1e6:.0f} M parameters, {4 * count / 2**30:.2f} GiB of weights")
        for source, target, to in STEPS:
            seconds, busy, memory = convert(folder / source, folder / target, to, arguments.threads)
            times = f"{seconds:.1f} s ({busy:.1f} s of the processor)"
            print(f"{source} -> {target} ({to}): {times}, {memory:.2f} GiB at most", flush=True)


if __name__ == "__main__":
    main()
