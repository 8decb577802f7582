"""Without AVX-512, oneDNN has no products of bfloat16: every model in bf16 stopped there."""

import os
import subprocess
import sys

PROGRAM = """
import torch
from auricle.decode.backend import for_inference
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config

torch.manual_seed(0)
encoder = EncoderConfig(num_layers=1, dim=96, ffn_dim=192, num_heads=4, pos_conv_kernel=16, pos_conv_groups=4)
layers = ((64, 10, 5), *[(64, 3, 2)] * 4, *[(64, 2, 2)] * 2)
config = CTCConfig(encoder=Wav2Vec2Config(conv_layers=layers, encoder=encoder), num_labels=8)
model = build_model(config).eval()
waveforms = torch.randn(2, 48000)
with torch.inference_mode():
    exact = model(waveforms).logits
with torch.autocast("cpu", torch.bfloat16):
    loss = model(waveforms).logits.square().mean()
loss.backward()
with torch.inference_mode():
    rounded = for_inference(model, "bf16")(waveforms).logits
assert (rounded - exact).abs().max() < 0.05 * exact.abs().max()
print(torch.ops.mkldnn._is_mkldnn_bf16_supported())
"""


def test_bf16_works_where_onednn_has_none() -> None:
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"
