"""Memory grew with a recording: torch kept the kernels of every length that oneDNN had let go of."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from auricle.convert.own import write_model
from recognisers import tiny_recogniser

PROGRAM = """
import ctypes
import sys
from pathlib import Path
import torch
from auricle.cli.backend import open_model
from auricle.models.cpu_matmul import laid_out, product

class Heap(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena b c d mapped f g used i j".split()]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Heap

def mib_in_use():
    heap = library.mallinfo2()
    return (heap.used + heap.mapped) / 2**20

open_model(Path(sys.argv[1]), "cpu")
weight, x = laid_out(torch.randn(64, 64)), torch.randn(900, 64)
sizes = []
with torch.inference_mode():
    for count in range(100, 900):
        product(x[:count], weight)
        sizes.append(mib_in_use())
print(sizes[-1] - sizes[399])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what the heap holds is asked of glibc")
def test_kernels_are_let_go_of(tmp_path: Path) -> None:
    loaded = tiny_recogniser()
    write_model(tmp_path, loaded.model, loaded.config, loaded.dictionary, {"num_updates": 0})
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown = float(done.stdout)
    # 400 kernels of lengths that come once: over 100 MiB, if all were kept.
    assert grown < 20, f"{grown:.0f} MiB"
