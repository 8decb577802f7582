"""Models, batches and runs so small that a hundred updates take a second."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auricle.data import Batch, BatchLoader, SpeechDataset
from auricle.dictionary import Dictionary
from auricle.models.build import Model, build_model
from auricle.models.config import (
    CTCConfig,
    EncoderConfig,
    NegativesConfig,
    QuantizerConfig,
    SpanMaskConfig,
    Wav2Vec2Config,
)
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.models.wav2vec import Wav2Vec
from auricle.models.wav2vec2 import Wav2Vec2Pretraining
from auricle.train.draws import Draws, SeededDraws
from auricle.train.engine import Engine
from auricle.train.loop import LoopOptions, Trainer
from auricle.train.objective import CTCObjective, Objective, PredictionObjective, PretrainingObjective
from auricle.train.optim import Adam
from auricle.train.schedule import Fixed
from auricle.train.seq2seq import Seq2SeqObjective
from auricle.train.step import Step
from sounds import corpus, listed

CONFIG = Wav2Vec2Config(
    conv_layers=((6, 10, 5), (6, 4, 4), (6, 2, 2)),
    encoder=EncoderConfig(
        num_layers=2, dim=12, ffn_dim=16, num_heads=2, dropout=0.1, attention_dropout=0.1, layerdrop=0.2,
        pos_conv_kernel=4, pos_conv_groups=2,
    ),
    final_dim=8,
    quantizer=QuantizerConfig(num_codebooks=2, num_entries=4, temperature=(2.0, 0.5, 0.9)),
    negatives=NegativesConfig(num_negatives=3),
    time_mask=SpanMaskConfig(prob=0.5, length=3),
)  # fmt: skip
DICTIONARY = Dictionary(["|", "A", "B", "C"])
SIZES = (2000, 1700, 2300, 1500, 1900, 2100, 1600)


def pretraining_model(config: Wav2Vec2Config = CONFIG, seed: int = 0) -> Wav2Vec2Pretraining:
    torch.manual_seed(seed)
    model = build_model(config)
    assert isinstance(model, Wav2Vec2Pretraining)
    return model


def ctc_model(config: Wav2Vec2Config = CONFIG, seed: int = 0, **options: Any) -> Wav2Vec2CTC:
    torch.manual_seed(seed)
    model = build_model(CTCConfig(encoder=config, num_labels=len(DICTIONARY), **options))
    assert isinstance(model, Wav2Vec2CTC)
    return model


def without_chance(config: Wav2Vec2Config = CONFIG) -> Wav2Vec2Config:
    """The same without dropout and LayerDrop."""
    encoder = replace(config.encoder, dropout=0.0, attention_dropout=0.0, layerdrop=0.0)
    return replace(config, encoder=encoder)


def batch_of(ids: Sequence[int], *, labels: bool = False, lengths: Sequence[int] | None = None) -> Batch:
    """Utterances whose samples and labels depend on their number alone."""
    sizes = list(lengths or [2000] * len(ids))
    waveforms = torch.zeros(len(ids), max(sizes))
    for row, index, size in zip(waveforms, ids, sizes, strict=True):
        row[:size] = torch.randn(size, generator=torch.Generator().manual_seed(index))
    targets = [torch.tensor([4, 5 + index % 3, 6][: 1 + index % 3]) for index in ids]
    return Batch(
        ids=torch.tensor(ids),
        waveforms=waveforms,
        lengths=torch.tensor(sizes),
        targets=torch.nn.utils.rnn.pad_sequence(targets, True, 1) if labels else None,
        target_lengths=torch.tensor([len(target) for target in targets]) if labels else None,
    )


def objective_of(model: Model, draws: Draws | None = None, **options: Any) -> Objective:
    draws = draws or SeededDraws(1)
    if isinstance(model, Wav2Vec2CTC):
        return CTCObjective(model, draws, DICTIONARY, **{"zero_infinity": True} | options)
    if isinstance(model, Wav2Vec2Seq2Seq):
        return Seq2SeqObjective(model, draws, DICTIONARY, **options)
    if isinstance(model, Wav2Vec):
        return PredictionObjective(model, draws, () if model.vector_quantizer is None else (0.1,))
    return PretrainingObjective(model, draws, (0.1, 10.0))


def step_of(model: Model, objective: Objective | None = None, **options: Any) -> Step:
    optimizer = Adam(model.parameters(), (0.9, 0.98), 1e-6, 0.01)
    return Step(model, objective or objective_of(model), optimizer, **{"seed": 1} | options)


def trainer_of(
    folder: Path, model: Model | None = None, *, seed: int = 1, engine: Engine | None = None, **options: Any
) -> Trainer:
    """A run over seven utterances, two a batch: four batches an epoch."""
    model = model or pretraining_model()
    if engine is not None:
        engine.distribute(model)
    labelled = isinstance(model, Wav2Vec2CTC)
    audio = folder.parent / "audio"
    # What is there stays: other workers may be reading it.
    manifest = listed(audio, SIZES) if audio.exists() else corpus(audio, SIZES)
    dataset = SpeechDataset(
        manifest,
        labels=["A B |", "C |", "A |", "B B |", "C A |", "B |", "A C |"] if labelled else None,
        dictionary=DICTIONARY if labelled else None,
    )
    loaders = [
        BatchLoader(dataset, max_tokens=None, batch_size=2, required_batch_size_multiple=1, pad=labelled,
                    shuffle=shuffle)
        for shuffle in (True, False)
    ]  # fmt: skip
    return Trainer(
        folder=folder,
        model=model,
        dictionary=DICTIONARY if labelled else None,
        step=step_of(model, seed=seed, engine=engine),
        schedule=Fixed(1e-3),
        train=loaders[0],
        valid={"valid": loaders[1]},
        options=LoopOptions(**{"log_interval": 1, "tensorboard": False} | options),
    )


def weights(model: Model) -> dict[str, Tensor]:
    """A copy."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same_weights(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    """Bit for bit."""
    assert first.keys() == second.keys()
    different = [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
    assert not different
