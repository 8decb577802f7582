"""CTC inference of wav2vec 2.0 Base, against transformers': python benchmarks/bench_inference.py.

Same weights and audio, logits of both compared first; batches of one row unless `--rows` says otherwise.
In bf16 the weights are bfloat16 too, on both sides. Ours is opened to run, as a
precision in `auricle.load` does.
"""

import argparse
from functools import partial

import torch
from reference import ctc_model, share_weights
from side_by_side import Step, compare, parser, report, serve
from speech import waveforms
from torch import Tensor, nn

from auricle.decode.arithmetic import Precision
from auricle.decode.backend import for_inference
from auricle.models.build import build_model
from auricle.models.config import CTCConfig

BASE = CTCConfig(num_labels=32)


def both() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    theirs, ours = ctc_model(BASE).eval(), build_model(BASE).eval()
    share_weights(theirs, ours)
    return theirs, ours


def infer(model: nn.Module, audio: Tensor) -> Step:
    """Logits of one batch a round."""

    def step(number: int) -> None:
        with torch.inference_mode():
            assert torch.isfinite(model(audio).logits).all()

    return step


def by_transformers(arguments: argparse.Namespace, dtype: torch.dtype) -> Step:
    model, _ = both()
    return infer(model.to(dtype), waveforms(arguments.rows, arguments.seconds).to(dtype))


def by_auricle(arguments: argparse.Namespace, precision: Precision) -> Step:
    _, model = both()
    return infer(for_inference(model, precision), waveforms(arguments.rows, arguments.seconds))


CONTENDERS = {
    "transformers float32": partial(by_transformers, dtype=torch.float32),
    "auricle float32": partial(by_auricle, precision="float32"),
    "transformers bf16": partial(by_transformers, dtype=torch.bfloat16),
    "auricle bf16": partial(by_auricle, precision="bf16"),
}


def check(arguments: argparse.Namespace) -> None:
    """The two must agree before it is of interest which is faster."""
    audio = waveforms(arguments.rows, arguments.seconds)
    with torch.inference_mode():
        theirs, ours = (model(audio).logits for model in both())
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def main() -> None:
    options = parser(__doc__, rounds=10)
    options.add_argument("--rows", type=int, default=1, help="of the batch")
    arguments = options.parse_args()
    if arguments.serve:
        serve(lambda: CONTENDERS[arguments.serve](arguments))
        return
    check(arguments)
    job = f"CTC inference, Base, {arguments.rows} x {arguments.seconds:g} s"
    report(job, compare(list(CONTENDERS), arguments), arguments)


if __name__ == "__main__":
    main()
