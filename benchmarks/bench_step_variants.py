"""What a pre-training step of wav2vec 2.0 Base costs in variants: python benchmarks/bench_step_variants.py.

Eager, with compiled parts, with activations computed again, with an optimizer that is not fused: time and
peak memory. The first round compiles, from nothing, and is told apart. Without LayerDrop, so that all do the
same work. All variants are in memory at the same time: some 14 GB with the defaults.
"""

import argparse
import os
import tempfile
from dataclasses import replace
from functools import partial

import torch
from bench_pretrain_step import ADAM, BASE, LR, batch_of
from side_by_side import Step, compare, parser, report, serve

from auricle.models.build import build_model
from auricle.models.config import EncoderConfig
from auricle.models.wav2vec2 import Wav2Vec2Pretraining
from auricle.train import optim
from auricle.train import step as training
from auricle.train.compiled import compile_parts
from auricle.train.draws import SeededDraws
from auricle.train.objective import PretrainingObjective


def variant(
    arguments: argparse.Namespace, *, compiled: bool = False, checkpointed: bool = False, fused: bool = True
) -> Step:
    layers = arguments.layers
    encoder = EncoderConfig(layerdrop=0.0, num_layers=layers, checkpoint_activations=checkpointed)
    torch.manual_seed(0)
    model = build_model(replace(BASE, encoder=encoder)).train().to(arguments.device)
    assert isinstance(model, Wav2Vec2Pretraining)
    if compiled:
        compile_parts(model)
    if not fused:
        optim._FUSED_DEVICES = frozenset()  # what the optimizer goes by
    objective = PretrainingObjective(model, SeededDraws(1), loss_weights=(0.1, 10.0))
    optimizer = optim.Adam(model.parameters(), **ADAM)
    maker = training.Step(model, objective, optimizer, seed=1, precision=arguments.precision)
    batch = batch_of(arguments)

    def step(number: int) -> None:
        # Reading the norm of the gradient waits for the device.
        assert maker.update([batch], epoch=1, num_updates=number, lr=LR).applied
        if arguments.device != "cpu":
            print(f"device memory, at most: {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")

    return step


CONTENDERS = {
    "eager": variant,
    "compiled": partial(variant, compiled=True),
    "activation checkpointing": partial(variant, checkpointed=True),
    "optimizer not fused": partial(variant, fused=False),
}


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.set_defaults(minutes=7.0)
    options.add_argument("--rows", type=int, default=2, help="of the batch")
    options.add_argument("--layers", type=int, default=12, help="of the encoder")
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    options.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    arguments = options.parse_args()
    if arguments.serve:
        serve(lambda: CONTENDERS[arguments.serve](arguments))
        return
    job = f"variants of a pre-training step, Base with {arguments.layers} layers on {arguments.device}"
    job += f", {arguments.precision}, {arguments.rows} x {arguments.seconds:g} s"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # programs of a run before are not to be found
        results = compare(list(CONTENDERS), arguments)
    report(job, results, arguments)


if __name__ == "__main__":
    main()
