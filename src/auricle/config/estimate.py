"""What a recipe will ask of a machine, before it runs: parameters, frames a batch, memory, time."""

import math
from collections.abc import Iterator
from datetime import timedelta

import torch

from auricle.config.schema import Recipe
from auricle.config.schema_model import Wav2Vec2Keys
from auricle.config.schema_run import DatasetKeys
from auricle.config.schema_task import AudioKeys
from auricle.models.config import CTCConfig, ModelConfig, Seq2SeqConfig
from auricle.models.conv import hop
from auricle.models.cost import cost_of
from auricle.train.machine import matmul_flops

_STATE_BYTES = 16  # of a parameter in training: itself, its gradient and Adam's two means, in float32
_SHARE_REACHED = 1 / 3
"""Of the speed of a large matrix product: what whole training steps of these models come to, roughly."""

_USUAL_SECONDS = 15.0
"""Length of the rows that a batch is thought to have where the recipe does not say."""


def estimates(
    recipe: Recipe, config: ModelConfig, device: torch.device, num_workers: int = 1
) -> Iterator[str]:
    """Lines to read before a run is begun; the arithmetic is counted, time and memory are estimates.

    Args:
        recipe: What will be done.
        config: Its model.
        device: Where; its speed is measured, which takes a moment.
        num_workers: Devices of its kind that share the work.
    """
    cost, task = cost_of(config), recipe.task
    if cost is None or not isinstance(task, AudioKeys):
        return
    yield f"parameters: {cost.num_parameters:,}"
    rows, num_samples = _batch(recipe.dataset, task)
    if num_samples is None:
        yield "batches are limited by dataset.batch_size alone: no estimate of memory and time"
        return
    encoder = config.encoder if isinstance(config, CTCConfig | Seq2SeqConfig) else config
    layers = encoder.conv_layers  # type: ignore[union-attr]  # what hears has convolutions
    batches = _batches_an_update(recipe)
    frames, seconds = rows * (num_samples // hop(layers)), rows * num_samples / task.sample_rate
    yield (
        f"a batch: up to {frames:,.0f} frames, {seconds:,.1f} s of audio "
        f"(thought of as {rows:,.1f} rows of {num_samples / task.sample_rate:.1f} s)"
    )
    yield f"an update: {batches} batches, up to {batches * seconds / 60:,.1f} minutes of audio"
    state = cost.num_parameters * _STATE_BYTES
    held = rows * cost.activation_bytes(num_samples) + _distractors(recipe, frames)
    yield (
        f"memory, about: {_gigabytes(state)} for weights, gradients and Adam, {_gigabytes(held)} for a batch "
        "in float32 (less with 16 bits, fused attention or model.checkpoint_activations=true)"
    )
    an_update = math.ceil(batches / num_workers) * rows * cost.training_flops(1, num_samples)
    yield _time(recipe, an_update, device, num_workers)


def _batch(data: DatasetKeys, task: AudioKeys) -> tuple[float, int | None]:
    """Rows of a full batch, and the samples of each; None where only utterances are counted."""
    rate, longest = task.sample_rate, task.max_sample_size
    usual = min(longest or int(_USUAL_SECONDS * rate), data.max_tokens or int(_USUAL_SECONDS * rate))
    if data.max_tokens is None:
        return float(data.batch_size or 1), longest
    rows = max(1.0, data.max_tokens / usual)
    return (min(rows, data.batch_size) if data.batch_size else rows), usual


def _batches_an_update(recipe: Recipe) -> int:
    return max(1, recipe.distributed_training.distributed_world_size) * recipe.optimization.update_freq[0]


def _distractors(recipe: Recipe, frames: float) -> float:
    """Bytes of the vectors that the contrastive task compares (wav2vec 2.0, section 3.2)."""
    keys = recipe.model
    if not isinstance(keys, Wav2Vec2Keys):
        return 0.0
    masked = min(1.0, keys.mask_prob) * frames
    candidates = 1 + keys.num_negatives + keys.cross_sample_negatives + keys.codebook_negatives
    return 4.0 * masked * candidates * (keys.final_dim or keys.encoder_embed_dim)


def _time(recipe: Recipe, flops: float, device: torch.device, num_workers: int) -> str:
    """Of updates that cost each device so much."""
    half = recipe.common.bf16 or (device.type != "cpu" and (recipe.common.fp16 or recipe.common.amp))
    speed = matmul_flops(device, torch.bfloat16 if half and device.type != "cpu" else torch.float32)
    an_update = flops / (speed * _SHARE_REACHED)
    total = recipe.optimization.max_update
    whole = f", {timedelta(seconds=round(an_update * total))} for {total:,} updates" if total else ""
    return (
        f"time, about: {an_update:,.2f} s an update{whole}, at a third of the {speed / 1e9:,.0f} GFLOP/s "
        f"that a matrix product reaches on this {device.type} now{_sharing(recipe, num_workers)}"
    )


def _sharing(recipe: Recipe, num_workers: int) -> str:
    """Who does the work, where it is not one device on its own behalf."""
    shared = f", shared by {num_workers} devices" if num_workers > 1 else ""
    if recipe.distributed_training.distributed_world_size > num_workers:
        shared += ", other workers simulated one after another"
    return shared


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.2f} GB"
