"""Utterances end to end in the layers: the values of the padded batch, and none of padding."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from auricle.models.config import EncoderConfig
from auricle.models.encoder import Encoder
from auricle.models.packing import packing
from auricle.models.transformer import attend, attend_within

CONFIG = EncoderConfig(
    num_layers=2, dim=16, ffn_dim=24, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2
)  # fmt: skip
COUNTS = (7, 1, 4)
PADDING = torch.arange(7) >= torch.tensor(COUNTS)[:, None]


def test_frames_go_and_come_back() -> None:
    x = torch.randn(3, 7, 5)
    packed = packing(x, PADDING)
    rows = packed.pack(x)
    assert packed.counts == [*COUNTS] and rows.shape == (1, 12, 5)
    assert_close(rows[0], torch.cat([x[row, :count] for row, count in enumerate(COUNTS)]), rtol=0, atol=0)
    assert_close(packed.unpack(rows), x.masked_fill(PADDING[..., None], 0.0), rtol=0, atol=0)


def test_without_padding_all_frames_go() -> None:
    x = torch.randn(2, 3, 5)
    packed = packing(x, None)
    assert_close(packed.pack(x)[0], x.flatten(0, 1), rtol=0, atol=0)
    assert_close(packed.unpack(packed.pack(x)), x, rtol=0, atol=0)


@pytest.mark.parametrize("frames", [1, 63, 64, 65, 499, 1000, 2999])
def test_few_batches_have_a_length_of_their_own(frames: int) -> None:
    rows = packing(torch.zeros(1, frames, 1), None).pack(torch.ones(1, frames, 1))[0, :, 0]
    assert frames <= len(rows) <= frames * 33 / 32
    assert (rows[:frames] == 1).all() and (rows[frames:] == 0).all()


def test_lengths_of_an_octave() -> None:
    lengths = {packing(x := torch.zeros(1, count, 1), None).pack(x).shape[1] for count in range(1025, 2049)}
    assert len(lengths) == 32


def test_each_utterance_looks_at_itself() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 14, 8)
    y = attend_within(q, k, v, COUNTS)
    for start, count in zip((0, 7, 8), COUNTS, strict=True):
        here = slice(start, start + count)
        alone = attend(q[:, :, here], k[:, :, here], v[:, :, here], None, 0.0)
        assert_close(y[:, :, here], alone)
    assert (y[:, :, 12:] == 0).all()


def encoder(**changes: object) -> Encoder:
    torch.manual_seed(0)
    network = Encoder(replace(CONFIG, **changes)).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("layer", [None, 0])
@pytest.mark.parametrize("padding", [None, PADDING], ids=["whole", "padded"])
def test_the_encoder_gives_what_it_gives_padded(
    pre_norm: bool, layer: int | None, padding: Tensor | None
) -> None:
    network, x = encoder(pre_norm=pre_norm), torch.randn(3, 7, 16)
    with torch.enable_grad():
        expected = network(x, padding, layer)
    with torch.no_grad():
        found = network(x, padding, layer)
    valid = torch.ones(3, 7, dtype=torch.bool) if padding is None else ~padding
    assert len(found[1]) == len(expected[1])
    for ours, theirs in zip((found[0], *found[1]), (expected[0], *expected[1]), strict=True):
        assert ours.shape == theirs.shape
        assert_close(ours[valid], theirs[valid], rtol=1e-5, atol=1e-5)


def test_what_layers_compute_is_no_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    network, seen = encoder(), []
    network.layers[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    with torch.no_grad():
        network(torch.randn(3, 7, 16), PADDING)
        network.train()(torch.randn(3, 7, 16), PADDING)
    network.eval()(torch.randn(3, 7, 16), PADDING)
    assert seen == [(1, sum(COUNTS), 16), (3, 7, 16), (3, 7, 16)]


@pytest.mark.parametrize(
    ("changes", "packs"),
    [({}, True), ({"layer_type": "conformer"}, False), ({"layer_type": "trf_adp", "num_adapters": 2}, False)],
    ids=str,
)
def test_layers_that_look_around_otherwise_are_not_packed(changes: dict[str, object], packs: bool) -> None:
    assert encoder(**changes).packs_frames == packs
