"""RoBERTa: padding, layers, masks, and transformers' model with the same weights."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from auricle.errors import UserError
from auricle.models.config import RobertaConfig
from auricle.models.roberta import Roberta

CONFIG = RobertaConfig(
    num_symbols=13, max_positions=9, num_layers=2, dim=8, ffn_dim=12, num_heads=2, dropout=0.0
)
CONFIGS = {
    "as published": CONFIG,
    "pre-norm": replace(CONFIG, pre_norm=True),
    "untied": replace(CONFIG, untie_weights=True, norm_embedding=False, scale_embedding=True),
}
each = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def roberta(config: RobertaConfig) -> Roberta:
    torch.manual_seed(0)
    return Roberta(config).eval()


@each
@torch.no_grad()
def test_padding_changes_nothing(config: RobertaConfig) -> None:
    model = roberta(config)
    alone = model(torch.tensor([[0, 5, 6, 2]]))
    padded = model(torch.tensor([[0, 5, 6, 2, 1, 1], [0, 7, 8, 9, 10, 2], [1, 1, 1, 1, 1, 1]]))
    assert_close(padded[:1, :4], alone)
    assert padded.isfinite().all()


@each
@torch.no_grad()
def test_masked_positions_alone(config: RobertaConfig) -> None:
    model, tokens = roberta(config), torch.tensor([[0, 5, 12, 2], [0, 12, 6, 2]])
    logits = model(tokens)
    assert logits.shape == (2, 4, 13)
    assert_close(model(tokens, masked=tokens == 12), logits[tokens == 12])


@each
@torch.no_grad()
def test_layers(config: RobertaConfig) -> None:
    model, tokens = roberta(config), torch.tensor([[0, 5, 6, 2]])
    last = model.extract_features(tokens, layer=1)
    features = model.extract_features(tokens)
    assert features.shape == (1, 4, 8)
    assert_close(features, last if model.layer_norm is None else model.layer_norm(last))
    assert not torch.allclose(model.extract_features(tokens, layer=0), last)


def test_more_symbols_than_positions() -> None:
    assert roberta(CONFIG)(torch.full((1, 9), 5)).shape == (1, 9, 13)
    with pytest.raises(UserError, match="more than 9 symbols"):
        roberta(CONFIG)(torch.full((1, 10), 5))


@each
def test_every_parameter_learns(config: RobertaConfig) -> None:
    model = roberta(config).train()
    model(torch.tensor([[0, 5, 6, 2]]))[..., 3].sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@torch.no_grad()
def test_transformers_has_the_same_answers() -> None:
    transformers = pytest.importorskip("transformers")
    model = roberta(CONFIG)
    theirs = transformers.RobertaForMaskedLM(
        transformers.RobertaConfig(
            vocab_size=13,
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=12,
            max_position_embeddings=11,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            attn_implementation="eager",
        )
    ).eval()
    theirs.load_state_dict(translated(model))
    tokens = torch.tensor([[0, 5, 6, 2, 1], [0, 7, 8, 9, 2]])
    valid = tokens != 1
    logits = theirs(input_ids=tokens, attention_mask=valid.long()).logits
    assert_close(model(tokens)[valid], logits[valid], rtol=1e-4, atol=1e-5)


def translated(model: Roberta) -> dict[str, torch.Tensor]:
    """Our weights under transformers' names."""
    state = model.state_dict()
    names = {
        "embed_tokens": "roberta.embeddings.word_embeddings",
        "embed_positions": "roberta.embeddings.position_embeddings",
        "layernorm_embedding": "roberta.embeddings.LayerNorm",
        "self_attn.q_proj": "attention.self.query",
        "self_attn.k_proj": "attention.self.key",
        "self_attn.v_proj": "attention.self.value",
        "self_attn.out_proj": "attention.output.dense",
        "self_attn_layer_norm": "attention.output.LayerNorm",
        "fc1": "intermediate.dense",
        "fc2": "output.dense",
        "final_layer_norm": "output.LayerNorm",
    }
    theirs = {}
    for name, tensor in state.items():
        head, _, tail = name.rpartition(".")
        if name.startswith("layers."):
            _, number, part = head.split(".", 2)
            head = f"roberta.encoder.layer.{number}.{names[part]}"
        theirs[f"{names.get(head, head)}.{tail}"] = tensor
    theirs["roberta.embeddings.token_type_embeddings.weight"] = torch.zeros(1, 8)
    theirs["lm_head.decoder.weight"] = state["embed_tokens.weight"]
    theirs["lm_head.decoder.bias"] = state["lm_head.bias"]
    return theirs
