"""Opening a checkpoint of Large size (317 M parameters, random): python benchmarks/bench_load.py.

Writes one for each layout into a temporary folder and opens it in a fresh process. The peak is the process's
resident memory above what it had before, pages of files included; `--moments` adds the optimizer's state, as
training saves it and nobody needs who opens the model.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auricle.convert.load import load
from auricle.convert.own import write_model
from auricle.models.build import build_model
from auricle.models.config import EncoderConfig, QuantizerConfig, Wav2Vec2Config

LARGE = Wav2Vec2Config(
    conv_norm="layer",
    conv_bias=True,
    encoder=EncoderConfig(num_layers=24, dim=1024, ffn_dim=4096, num_heads=16, pre_norm=True),
    final_dim=768,
    quantizer=QuantizerConfig(),
)
WORDS = {
    "_name": "wav2vec2",
    "extractor_mode": "layer_norm",
    "conv_bias": True,
    "encoder_layers": 24,
    "encoder_embed_dim": 1024,
    "encoder_ffn_embed_dim": 4096,
    "encoder_attention_heads": 16,
    "layer_norm_first": True,
    "final_dim": 768,
    "quantize_targets": True,
}
"""fairseq's words for `LARGE`."""

MIB = 2**20


def content(state: dict[str, Tensor], moments: bool) -> dict[str, Any]:
    adam = {
        number: {"step": 1, "exp_avg": torch.rand_like(tensor), "exp_avg_sq": torch.rand_like(tensor)}
        for number, tensor in enumerate(state.values() if moments else ())
    }
    return {
        "args": None,
        "cfg": {"model": WORDS, "task": {"_name": "audio_pretraining", "normalize": True}},
        "model": state,
        "optimizer_history": [{"num_updates": 1}],
        "last_optimizer_state": {"state": adam, "param_groups": []},
    }


def write_torch(path: Path, zipped: bool, moments: bool, dtype: torch.dtype = torch.float32) -> None:
    state = {name: tensor.to(dtype) for name, tensor in build_model(LARGE).state_dict().items()}
    torch.save(content(state, moments), path, _use_new_zipfile_serialization=zipped)


def write_own(path: Path, moments: bool) -> None:
    path.mkdir()
    write_model(path, build_model(LARGE), LARGE, None, {})


LAYOUTS: dict[str, Callable[[Path, bool], None]] = {
    "fairseq, zip": lambda path, moments: write_torch(path, True, moments),
    "fairseq, before torch 1.6": lambda path, moments: write_torch(path, False, moments),
    "own folder": write_own,
}


def opened(path: str) -> dict[str, float]:
    """What this process needs to open a file; nothing else may have been done in it."""
    torch.set_num_threads(1)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    start = time.perf_counter()
    model = load(path).model
    seconds = time.perf_counter() - start
    count = sum(parameter.numel() for parameter in model.parameters())
    return {"seconds": seconds, "peak": resident("VmHWM") - before, "parameters": count}


def resident(which: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{which}:"))


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))


def measure(name: str, write: Callable[[Path, bool], None], arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "checkpoint.pt"
        write(path, arguments.moments)
        runs = []
        for _ in range(arguments.rounds):
            command = [sys.executable, __file__, "--open", str(path)]
            runs.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        size = size_of(path)
    peak, seconds = max(run["peak"] for run in runs), sorted(run["seconds"] for run in runs)[len(runs) // 2]
    print(
        f"| {name} | {size / MIB:,.0f} MiB | {runs[0]['parameters'] / 1e6:.0f} M | {peak / MIB:,.0f} MiB |"
        f" {peak / size:.2f} | {seconds:.2f} s |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--moments", action="store_true", help="save the optimizer's state with it (fairseq)")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes a layout; times are medians")
    parser.add_argument("--folder", type=Path, help="where to write, in place of the system's place for such")
    parser.add_argument("--layout", choices=LAYOUTS, action="append", help="only this one")
    parser.add_argument("--open", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.open:
        print(json.dumps(opened(arguments.open)))
        return
    torch.manual_seed(0)
    print(
        "| layout | file | parameters | peak above before | of the file | time |\n|---|---|---|---|---|---|"
    )
    for name in arguments.layout or LAYOUTS:
        measure(name, LAYOUTS[name], arguments)


if __name__ == "__main__":
    main()
