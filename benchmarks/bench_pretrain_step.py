"""A pre-training step of wav2vec 2.0 Base, against transformers': python benchmarks/bench_pretrain_step.py.

Same weights, audio, masks, distractors and dropouts (0.1, attention's too); LayerDrop of 0.05 leaves the same
layers out on both sides. Ours is the step of `auricle train`, its draws included; theirs is the step that one
would write with `Wav2Vec2ForPreTraining` and torch's AdamW, its masks and distractors given.
"""

import argparse
import random
from functools import partial

import torch
from reference import masks, pretraining_model, share_weights
from side_by_side import Step, compare, parser, report, serve
from speech import waveforms
from torch import nn

from auricle.data.collate import Batch
from auricle.models.build import build_model
from auricle.models.config import EncoderConfig, QuantizerConfig, Wav2Vec2Config
from auricle.models.conv import num_frames
from auricle.models.wav2vec2 import Wav2Vec2Pretraining
from auricle.train import step as training
from auricle.train.draws import Position, SeededDraws
from auricle.train.objective import PretrainingObjective
from auricle.train.optim import Adam

# The values of the published recipe, wav2vec2_base_librispeech; LayerDrop is done here.
BASE = Wav2Vec2Config(
    encoder=EncoderConfig(layerdrop=0.0),
    dropout_input=0.1,
    dropout_features=0.1,
    feature_grad_mult=0.1,
    final_dim=256,
    quantizer=QuantizerConfig(dim=256),
)
LAYERDROP = 0.05
ADAM = {"betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.01}
LR = 1e-5
PRECISIONS: tuple[training.Precision, ...] = ("float32", "bf16")


class LayerDrop:
    """Leaves out the same layers of two encoders in a round of the same number."""

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder, self.layers = encoder, encoder.layers

    def draw(self, number: int) -> None:
        rng = random.Random(number)
        self.encoder.layers = nn.ModuleList(x for x in self.layers if rng.random() > LAYERDROP)


def batch_of(arguments: argparse.Namespace) -> Batch:
    audio = waveforms(arguments.rows, arguments.seconds)
    return Batch(torch.arange(len(audio)), audio, torch.full((len(audio),), audio.shape[1]))


def ours(arguments: argparse.Namespace, precision: training.Precision) -> Step:
    torch.manual_seed(0)
    reference, model = pretraining_model(BASE), build_model(BASE).train()
    assert isinstance(model, Wav2Vec2Pretraining)
    share_weights(reference, model)
    del reference
    objective = PretrainingObjective(model, SeededDraws(1), loss_weights=(0.1, 10.0))
    optimizer = Adam(model.parameters(), **ADAM)
    maker = training.Step(model, objective, optimizer, seed=1, precision=precision)
    layerdrop, batch = LayerDrop(model.encoder), batch_of(arguments)

    def step(number: int) -> None:
        layerdrop.draw(number)
        assert maker.update([batch], epoch=1, num_updates=number, lr=LR).applied

    return step


def theirs(arguments: argparse.Namespace, precision: training.Precision) -> Step:
    torch.manual_seed(0)
    model = pretraining_model(BASE).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, **ADAM)
    layerdrop, batch = LayerDrop(model.wav2vec2.encoder), batch_of(arguments)
    frames = [num_frames(length, BASE.conv_layers) for length in batch.lengths.tolist()]
    draws = SeededDraws(1).pretraining(BASE, batch.ids.tolist(), frames, Position(epoch=1, update=0))
    given = masks(draws)

    def step(number: int) -> None:
        layerdrop.draw(number)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(batch.waveforms, **given).loss
        (loss / draws.valid.sum()).backward()
        optimizer.step()

    return step


CONTENDERS = {
    f"{name} {precision}": partial(build, precision=precision)
    for precision in PRECISIONS
    for name, build in (("transformers", theirs), ("auricle", ours))
}


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--rows", type=int, default=2, help="of the batch")
    arguments = options.parse_args()
    if arguments.serve:
        serve(lambda: CONTENDERS[arguments.serve](arguments))
        return
    job = f"pre-training step, Base, {arguments.rows} x {arguments.seconds:g} s"
    report(job, compare(list(CONTENDERS), arguments), arguments)


if __name__ == "__main__":
    main()
