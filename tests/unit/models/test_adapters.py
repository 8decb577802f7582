"""Adapters: their formula, which row goes through which, and who has to say so."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from auricle.errors import UserError
from auricle.models.adapters import (
    ADAPTER_ACTIVATIONS,
    AdaptedLayer,
    Adapters,
    CorpusKey,
    adapter_of_each_row,
)
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config
from auricle.models.encoder import Encoder
from auricle.models.transformer import Surroundings, TransformerLayer

CONFIG = EncoderConfig(
    num_layers=3, dim=12, ffn_dim=20, num_heads=3, dropout=0.0, attention_dropout=0.0, pos_conv_kernel=4,
    pos_conv_groups=2, layer_type="trf_adp", num_adapters=3, adapter_dim=5, adapter_layers="1:3",
)  # fmt: skip


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(5)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module


def frames() -> Tensor:
    return torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("activation", ADAPTER_ACTIVATIONS)
def test_each_row_goes_through_its_own(activation: str) -> None:
    adapters = shaken(Adapters(3, 12, 5, activation))
    x, keys = frames(), [2, 0]
    found = adapters(x, torch.tensor(keys))
    for row, key, y in zip(x, keys, found, strict=True):
        h = F.layer_norm(row, (12,), adapters.ln_W[key], adapters.ln_b[key])
        h = ADAPTER_ACTIVATIONS[activation](F.linear(h, adapters.W_a[key], adapters.b_a[key]))
        assert_close(y, F.linear(h, adapters.W_b[key], adapters.b_b[key]), rtol=1e-4, atol=1e-5)


def test_a_layer_adds_what_its_adapter_makes_of_it() -> None:
    layer = shaken(AdaptedLayer(CONFIG)).eval()
    key = torch.tensor([1, 1])
    plain = TransformerLayer.forward(layer, frames(), Surroundings())
    found = layer(frames(), Surroundings(corpus_key=key))
    assert_close(found, plain + layer.adapter_layer(plain, key))


def test_which_layers_have_adapters() -> None:
    kinds = [type(layer) for layer in Encoder(CONFIG).layers]
    assert kinds == [TransformerLayer, AdaptedLayer, AdaptedLayer]
    everywhere = Encoder(replace(CONFIG, adapter_layers="all")).layers
    assert all(isinstance(layer, AdaptedLayer) for layer in everywhere)


@pytest.mark.parametrize("key", [1, [1, 1], torch.tensor(1), torch.tensor([1, 1])])
def test_one_number_or_one_for_each_row(key: CorpusKey) -> None:
    rows = adapter_of_each_row(key, CONFIG, frames())
    assert rows is not None and rows.tolist() == [1, 1]


def test_a_single_adapter_need_not_be_named() -> None:
    rows = adapter_of_each_row(None, replace(CONFIG, num_adapters=1), frames())
    assert rows is not None and rows.tolist() == [0, 0]
    assert adapter_of_each_row(None, replace(CONFIG, layer_type="transformer"), frames()) is None


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "adapters for 3 corpora: give a corpus_key from 0 to 2"),
        (3, "corpus_key 3: .* numbered from 0 to 2"),
        ([0, -1], r"corpus_key \[0, -1\]"),
    ],
)
def test_numbers_of_no_adapter(key: CorpusKey, message: str) -> None:
    with pytest.raises(UserError, match=message):
        adapter_of_each_row(key, CONFIG, frames())


def test_the_key_reaches_the_adapters_of_a_recogniser() -> None:
    torch.manual_seed(0)
    encoder = Wav2Vec2Config(conv_layers=((6, 10, 5), (6, 3, 2)), encoder=CONFIG)
    model = shaken(build_model(CTCConfig(encoder=encoder, num_labels=5))).eval()
    waveforms = torch.randn(2, 300)
    both = model(waveforms, None, corpus_key=[0, 2]).logits
    assert_close(both[:1], model(waveforms[:1], None, corpus_key=0).logits, rtol=1e-4, atol=1e-5)
    assert_close(both[1:], model(waveforms[1:], None, corpus_key=2).logits, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(both[0], model(waveforms[:1], None, corpus_key=2).logits[0])
    context = model.extract_features(waveforms, corpus_key=1).context
    assert_close(context, model.encoder.extract_features(waveforms, corpus_key=1).context)
