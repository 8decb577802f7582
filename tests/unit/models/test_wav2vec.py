"""wav2vec 1.0 and vq-wav2vec part by part."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from auricle.models.build import build_model
from auricle.models.wav2vec import PredictionDraws, Wav2Vec, automatic_offset
from auricle.models.wav2vec_config import CodebooksConfig, Wav2VecConfig
from auricle.models.wav2vec_networks import CausalPadding, GRUAggregator, thinned
from wav2vec_models import LAYOUTS, PLAIN, model_of

PUBLISHED = Wav2VecConfig()
QUANTIZERS = {
    "gumbel": CodebooksConfig("gumbel", depth=2, combine_groups=True),
    "kmeans": CodebooksConfig("kmeans", combine_groups=True),
}


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_the_published_snippet(kind: str) -> None:
    narrow = tuple((16, kernel, stride) for _, kernel, stride in PUBLISHED.conv_layers)
    aggregator = replace(PUBLISHED.aggregator, conv_layers=((16, 2, 1), (24, 3, 1)))
    model = model_of(Wav2VecConfig(conv_layers=narrow, aggregator=aggregator, quantizer=QUANTIZERS[kind]))
    z = model.feature_extractor(torch.randn(1, 10000))
    quantized, codes = model.vector_quantizer.forward_idx(z)
    assert codes.shape == (1, 60, 2) and codes.dtype == torch.int64
    assert z.shape == quantized.shape == (1, 16, 60)
    assert model.feature_aggregator(z).shape == (1, 24, 60)
    assert int(codes.min()) >= 0 and int(codes.max()) < 320


def without_storage(config: Wav2VecConfig) -> nn.Module:
    with torch.device("meta"):
        return build_model(config)


def test_the_published_layout_has_its_published_size() -> None:
    """wav2vec large without the eighth convolution, which only vq-wav2vec has (their README files)."""
    large = without_storage(replace(PUBLISHED, conv_layers=PUBLISHED.conv_layers[:7]))
    assert isinstance(large, Wav2Vec)
    sizes = [sum(p.numel() for p in part.parameters()) for part in (large.feature_extractor, large)]
    assert [round(size / 1e6, 1) for size in sizes] == [5.8, 32.5]


@pytest.mark.parametrize("layers", [PUBLISHED.conv_layers, PUBLISHED.conv_layers[:7]])
def test_the_automatic_offset_spans_the_receptive_field(layers: tuple[tuple[int, int, int], ...]) -> None:
    assert automatic_offset(layers) == 3  # 465 samples, a hop of 160


@pytest.mark.parametrize("layout", LAYOUTS)
def test_clips_below_the_receptive_field_have_no_frames(layout: str) -> None:
    model = model_of(LAYOUTS[layout])
    z = model.feature_extractor(torch.randn(2, 20))
    assert z.shape == (2, 8, 0)
    if model.vector_quantizer is not None:
        quantized, codes = model.vector_quantizer.forward_idx(z)
        assert quantized.shape == (2, 8, 0)
        assert codes.shape == (2, 0, model.config.quantizer.num_codebooks)
    assert model.feature_aggregator(z).shape == (2, model.feature_aggregator.out_channels, 0)


def test_a_batch_without_frames_has_no_loss_and_a_gradient_of_zero() -> None:
    model = model_of(LAYOUTS["gumbel"])
    output = model(torch.randn(2, 20), None, PredictionDraws(torch.zeros(2, 1, 4, dtype=torch.int64)))
    assert not output.valid.any() and torch.isfinite(output.logits).all()
    assert torch.isfinite(output.prob_perplexity)


@pytest.mark.parametrize("layout", ["plain", "recurrent"])
def test_contexts_do_not_hear_what_follows(layout: str) -> None:
    model = model_of(LAYOUTS[layout])
    z = torch.randn(1, 8, 12)
    changed = z.clone()
    changed[..., 7:] += 1.0
    if layout == "recurrent":
        one, other = model.feature_aggregator(z), model.feature_aggregator(changed)
    else:  # the norms look at the whole utterance: the first convolution does not
        first = nn.Sequential(*list(model.feature_aggregator.conv_layers[0])[:2])
        one, other = first(z), first(changed)
    assert torch.equal(one[..., :7], other[..., :7])
    assert not torch.equal(one[..., 7], other[..., 7])


def test_recurrent_aggregators_run_over_time_and_in_fairseq_over_the_batch() -> None:
    torch.manual_seed(0)
    ours, theirs = GRUAggregator(4, 6, False), GRUAggregator(4, 6, True)
    theirs.load_state_dict(ours.state_dict())
    z = torch.randn(3, 4, 5)
    assert torch.allclose(ours(z)[1:2], ours(z[1:2]), atol=1e-6)
    assert torch.allclose(theirs(z).transpose(0, 2), ours(z.transpose(0, 2)), atol=1e-6)


@pytest.mark.parametrize("zeros", [True, False])
def test_causal_padding(zeros: bool) -> None:
    x = torch.tensor([[[3.0, 4.0]]])
    first = 0.0 if zeros else 3.0
    assert CausalPadding(2, zeros)(x).tolist() == [[[first, first, 3.0, 4.0]]]


def test_residuals_are_thinned_by_each_length_of_its_own() -> None:
    x = torch.arange(10.0).expand(2, 1, 10)
    assert thinned(x, 3, None, None)[0, 0].tolist() == [0.0, 3.0, 6.0]
    rows = thinned(x, 3, torch.tensor([10, 4]), torch.tensor([3, 1]))[:, 0]
    assert rows[0].tolist() == [0.0, 3.0, 6.0] and rows[1, 0] == 0.0


def test_a_frame_is_compared_with_what_was_predicted_for_it() -> None:
    model = model_of(replace(PLAIN, offset=2))
    head = model.wav2vec_predictions
    context, targets = torch.randn(2, 12, 7), torch.randn(2, 8, 7)
    negatives = torch.randint(0, 14, (2, 7, 4))
    logits, valid = head(context, targets, negatives, torch.tensor([7, 5]))
    weight, bias = head.project_to_steps.weight, head.project_to_steps.bias
    flat = targets.transpose(1, 2).flatten(0, 1)
    for row, frame, step in [(0, 6, 0), (0, 2, 0), (1, 4, 1), (0, 5, 2)]:
        predicted = context[row, :, frame - 2 - step] @ weight[:, :, 0, step] + bias
        assert torch.allclose(logits[row, frame, step, 0], predicted @ targets[row, :, frame], atol=1e-5)
        expected = flat[negatives[row, frame]] @ predicted
        assert torch.allclose(logits[row, frame, step, 1:], expected, atol=1e-5)
    assert valid[0].sum(0).tolist() == [5, 4, 3] and valid[1].sum(0).tolist() == [3, 2, 1]


def test_projecting_with_the_aggregator_itself_adds_no_parameters() -> None:
    same = build_model(LAYOUTS["same projection"]).state_dict().keys()
    assert not any(name.startswith("project_features") for name in same)
    new = build_model(LAYOUTS["every option"]).state_dict().keys()
    assert {"project_features.conv_layers.1.1.weight", "project_features.residual_proj.0.weight"} <= new


def test_parameters_have_the_names_of_published_checkpoints() -> None:
    names = without_storage(replace(PUBLISHED, quantizer=QUANTIZERS["gumbel"])).state_dict().keys()
    expected = {f"feature_extractor.conv_layers.{i}.0.weight" for i in range(8)}
    expected |= {
        f"feature_extractor.conv_layers.{i}.2.{kind}" for i in range(8) for kind in ("weight", "bias")
    }
    expected |= {
        f"feature_aggregator.conv_layers.{i}.{part}.{kind}"
        for i in range(12)
        for part in (1, 3)
        for kind in ("weight", "bias")
    }
    expected |= {f"wav2vec_predictions.project_to_steps.{kind}" for kind in ("weight", "bias")}
    expected |= {"vector_quantizer.vars"}
    expected |= {
        f"vector_quantizer.weight_proj.{layer}.{kind}"
        for layer in ("0.0", "1")
        for kind in ("weight", "bias")
    }
    assert names == expected
    kmeans = without_storage(replace(PUBLISHED, quantizer=QUANTIZERS["kmeans"])).state_dict()
    assert kmeans["vector_quantizer.embedding"].shape == (320, 1, 256)
    assert "vector_quantizer.projection.1.bias" in kmeans
