"""Under bf16 autocast, perplexities and similarities once came out of products in bfloat16."""

import torch

from auricle.models.config import EncoderConfig, QuantizerConfig, Wav2Vec2Config
from auricle.models.quantizer import mean_over_rows
from auricle.models.wav2vec2 import Wav2Vec2Pretraining
from auricle.train.draws import Position, SeededDraws


def test_means_keep_their_type() -> None:
    torch.manual_seed(0)
    x, valid = torch.rand(2, 50, 2, 320), torch.rand(2, 50) > 0.5
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mean_over_rows(x, valid), _plainly(x, valid))


def _plainly(x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", enabled=False):
        return mean_over_rows(x, valid)


def test_the_contrastive_task_is_scored_in_float32() -> None:
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        conv_layers=((8, 10, 5), (8, 3, 2)),
        encoder=EncoderConfig(num_layers=1, dim=8, ffn_dim=8, num_heads=2, pos_conv_kernel=4,
                              pos_conv_groups=2),
        quantizer=QuantizerConfig(num_entries=10),
    )  # fmt: skip
    model = Wav2Vec2Pretraining(config).eval()
    waveforms = torch.randn(2, 1000)
    frames = [model.num_frames(1000)] * 2
    draws = SeededDraws(1).pretraining(config, [0, 1], frames, Position(epoch=1, update=0))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(waveforms, None, draws)
    assert output.prob_perplexity is not None and output.code_perplexity is not None
    for value in (output.logits, output.prob_perplexity, output.code_perplexity):
        assert value.dtype == torch.float32
        finite = value[value.isfinite()]
        assert not torch.equal(finite, finite.bfloat16().float())
