"""The front end in stretches against the front end in one, which is what gradients take."""

import pytest
import torch
from torch.testing import assert_close

from auricle.models import cpu_front_end
from auricle.models.config import ConvLayers
from auricle.models.conv import ConvFeatureExtractor, num_frames

LAYERS: ConvLayers = ((6, 10, 5), (5, 3, 2), (7, 2, 2))


@pytest.fixture(params=[1, 4, 1000], autouse=True)
def stretch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_front_end, "STRETCH", request.param)


def front_end(norm: str, bias: bool) -> ConvFeatureExtractor:
    torch.manual_seed(0)
    network = ConvFeatureExtractor(LAYERS, norm, bias)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize(
    ("norm", "bias"), [("group", False), ("group", True), ("layer", True), ("layer", False)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("ragged", [False, True])
def test_values_are_those_of_all_at_once(norm: str, bias: bool, dtype: torch.dtype, ragged: bool) -> None:
    network, waveforms = front_end(norm, bias).to(dtype), torch.randn(3, 400)
    lengths = torch.tensor([400, 90, 20]) if ragged else None
    expected = network(waveforms, lengths)
    with torch.no_grad():
        found = network(waveforms, lengths)
    assert found.shape == expected.shape and found.dtype == expected.dtype == dtype
    largest = expected.abs().max().item()
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    for row, samples in enumerate((400, 400, 400) if lengths is None else lengths.tolist()):
        count = num_frames(samples, LAYERS)
        ours, whole = found[row, :, :count].float(), expected[row, :, :count].float()
        assert_close(ours, whole, rtol=tolerance, atol=tolerance * largest)


def test_frames_of_padding_are_not_computed() -> None:
    network, waveforms = front_end("layer", True), torch.randn(2, 400)
    with torch.no_grad():
        y = network(waveforms, torch.tensor([400, 90]))
    assert (y[0] != 0).all() and (y[1, :, num_frames(90, LAYERS) :] == 0).all()


def test_autocast_is_regarded() -> None:
    network, waveforms = front_end("group", False), torch.randn(1, 400)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        y = network(waveforms)
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), network(waveforms), rtol=0.05, atol=0.05)
