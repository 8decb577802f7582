"""Empty batches gave an error of torch's, short clips too; lengths past the end were believed."""

import pytest
import torch

import auricle
from auricle.errors import UserError
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config

LAYERS = ((8, 10, 5), (8, 3, 2))
TRANSFORMER = EncoderConfig(num_layers=1, dim=8, ffn_dim=8, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2)
CONFORMER = EncoderConfig(
    num_layers=1, dim=8, ffn_dim=8, num_heads=2, layer_type="conformer", attention="espnet", conv_kernel=3
)


@pytest.mark.parametrize("encoder", [TRANSFORMER, CONFORMER], ids=["transformer", "conformer"])
@pytest.mark.parametrize("lengths", [None, torch.zeros(0, dtype=torch.int64)])
def test_a_batch_of_no_rows_gives_no_rows(encoder: EncoderConfig, lengths: torch.Tensor | None) -> None:
    config = CTCConfig(encoder=Wav2Vec2Config(conv_layers=LAYERS, encoder=encoder), num_labels=5)
    out = build_model(config).eval()(torch.zeros(0, 400), lengths)
    assert out.logits.shape == (0, 39, 5) and out.lengths.shape == (0,)


def test_the_feature_extractor_gives_short_clips_no_frames() -> None:
    model = build_model(Wav2Vec2Config(conv_layers=LAYERS, encoder=TRANSFORMER))
    assert model.feature_extractor(torch.zeros(2, 19)).shape == (2, 8, 0)
    assert model.feature_extractor(torch.zeros(2, 20)).shape == (2, 8, 1)


@pytest.mark.parametrize("lengths", [[400, 401], [-1, 400], [400]])
def test_lengths_that_the_waveforms_cannot_have_are_refused(lengths: list[int]) -> None:
    model = build_model(Wav2Vec2Config(conv_layers=LAYERS, encoder=TRANSFORMER))
    with pytest.raises(UserError, match="length"):
        model.extract_features(torch.zeros(2, 400), torch.tensor(lengths))


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="map_location=foo"):
        auricle.load("anything.pt", map_location="foo")
