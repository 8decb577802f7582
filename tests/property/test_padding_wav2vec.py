"""wav2vec 1.0 and vq-wav2vec give an utterance in any batch what they give it alone."""

import functools
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from auricle.losses import prediction
from auricle.models.conv import receptive_field
from auricle.models.wav2vec import PredictionDraws, Wav2Vec
from auricle.train.draws import Position, SeededDraws
from wav2vec_models import LAYOUTS, PLAIN, model_of

SHORTEST = receptive_field(PLAIN.conv_layers)
each_layout = pytest.mark.parametrize("layout", LAYOUTS)
lengths = st.lists(st.integers(1, 2500), min_size=1, max_size=4)


@functools.cache
def model(layout: str) -> Wav2Vec:
    return model_of(LAYOUTS[layout])


def speech(length: int) -> Tensor:
    samples = torch.randn(length, generator=torch.Generator().manual_seed(length))
    return samples * torch.linspace(0.1, 1.0, length)


def batch(lengths: list[int], surplus: int, padding: float = 0.0) -> Tensor:
    rows = torch.full((len(lengths), max(lengths) + surplus), padding)
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = speech(length)
    return rows


@torch.no_grad()
def answers(layout: str, waveforms: Tensor, lengths: Tensor | None) -> list[Tensor]:
    """z, codes where there are any, and c."""
    network = model(layout)
    found = [z := network.feature_extractor(waveforms, lengths)]
    frames = None if lengths is None else network.num_frames(lengths)
    if network.vector_quantizer is not None:
        z, codes = network.vector_quantizer.forward_idx(z, frames)
        found += [z, codes.transpose(1, 2)]
    return [*found, network.feature_aggregator(z, frames)]


@each_layout
@given(lengths=lengths, surplus=st.integers(0, 500), padding=st.sampled_from([0.0, 1e4, float("nan")]))
@example(lengths=[2500, SHORTEST, SHORTEST - 1, 1], surplus=0, padding=0.0)
@example(lengths=[400, 399], surplus=SHORTEST, padding=float("nan"))
@settings(max_examples=10, deadline=None)
def test_alone_and_in_a_batch(layout: str, lengths: list[int], surplus: int, padding: float) -> None:
    together = answers(layout, batch(lengths, surplus, padding), torch.tensor(lengths))
    for row, length in enumerate(lengths):
        count = model(layout).num_frames(length)
        for one, many in zip(answers(layout, speech(length)[None], None), together, strict=True):
            assert one.shape[-1] == count
            assert_close(many[row, :, :count], one[0], rtol=0, atol=1e-4)


@each_layout
@given(lengths=st.lists(st.integers(400, 2000), min_size=2, max_size=3))
@example(lengths=[SHORTEST - 1, 500])
@settings(max_examples=4, deadline=None)
def test_losses_and_gradients_of_a_batch_are_sums(layout: str, lengths: list[int]) -> None:
    """Of what is summed over frames, that is: means over a batch weigh its frames alike."""
    network = model_of(replace(LAYOUTS[layout], cross_sample_negatives=0)).train()
    network.config = replace(LAYOUTS[layout], cross_sample_negatives=0)

    def of(rows: list[int]) -> tuple[float, int, dict[str, Tensor]]:
        network.zero_grad()
        sizes = [lengths[row] for row in rows]
        draws = drawn(network, rows, sizes)
        output = network(batch(sizes, 0), torch.tensor(sizes), draws)
        loss = prediction(output, (), 1.0, infonce=network.config.infonce, distractor_weight=0.25)
        loss.total.backward()
        gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
        return float(loss.total.detach()), int(loss.denominator), gradients

    total, count, gradients = of(list(range(len(lengths))))
    alone = [of([row]) for row in range(len(lengths))]
    assert count == sum(single[1] for single in alone)
    assert total == pytest.approx(sum(single[0] for single in alone), rel=1e-4, abs=1e-4)
    size = sum(float(gradient.norm()) ** 2 for gradient in gradients.values()) ** 0.5
    for name, gradient in gradients.items():
        summed = sum(single[2][name] for single in alone)
        assert float((gradient - summed).norm()) <= 1e-4 * size + 1e-6, name


def drawn(network: Wav2Vec, rows: list[int], sizes: list[int]) -> PredictionDraws:
    frames = [network.num_frames(size) for size in sizes]
    return SeededDraws(1).prediction(network.config, rows, frames, Position(1, 0))


def test_reference_padding_lets_padding_in() -> None:
    reference = model_of(replace(PLAIN, reference_padding=True))
    waveforms, sizes = batch([2000, 700], 0), torch.tensor([2000, 700])
    with torch.no_grad():
        z = reference.feature_extractor(waveforms, sizes)
        assert_close(z, reference.feature_extractor(waveforms))
        alone = reference.feature_extractor(speech(700)[None])
    assert not torch.allclose(z[1, :, : alone.shape[2]], alone[0], atol=1e-3)
