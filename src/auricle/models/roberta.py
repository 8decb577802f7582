"""RoBERTa over discrete codes of speech (Liu et al. 2019; vq-wav2vec, section 3.2).

A sequence is `<s>`, one symbol a frame ("12-305": the entries of both codebooks), `</s>`.

Legend: B batch, S symbols, C channels, V dictionary size. Parameter names are those of the published
checkpoints.
"""

import math

import torch
from torch import Tensor, nn

from auricle.models.config import EncoderConfig, RobertaConfig
from auricle.models.decoder import PAD, learned_positions, look_up_positions, position_numbers
from auricle.models.dropout import Dropout, layers_to_run
from auricle.models.transformer import ACTIVATIONS, Surroundings, TransformerLayer, bert_linear


class LanguageModelHead(nn.Module):
    """From features to scores of symbols, through one more hidden layer."""

    def __init__(self, config: RobertaConfig) -> None:
        super().__init__()
        self.dense = bert_linear(config.dim, config.dim)
        self.activation = ACTIVATIONS[config.activation]
        self.layer_norm = nn.LayerNorm(config.dim)
        self.bias = nn.Parameter(torch.zeros(config.num_symbols))
        self.weight = None
        if config.untie_weights:
            self.weight = nn.Parameter(torch.empty(config.num_symbols, config.dim).normal_(std=0.02))

    def forward(self, features: Tensor, embeddings: Tensor) -> Tensor:
        """[..., C] -> [..., V]; `embeddings` [V, C] are the weights where there are no others."""
        x = self.layer_norm(self.activation(self.dense(features)))
        return nn.functional.linear(x, embeddings if self.weight is None else self.weight, self.bias)


class Roberta(nn.Module):
    """A bidirectional Transformer that fills in masked codes."""

    def __init__(self, config: RobertaConfig) -> None:
        super().__init__()
        self.config = config
        layer = EncoderConfig(
            dim=config.dim,
            ffn_dim=config.ffn_dim,
            num_heads=config.num_heads,
            activation=config.activation,
            pre_norm=config.pre_norm,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            activation_dropout=config.activation_dropout,
        )
        self.embed_tokens = nn.Embedding(config.num_symbols, config.dim, padding_idx=PAD)
        nn.init.normal_(self.embed_tokens.weight, std=0.02)
        nn.init.zeros_(self.embed_tokens.weight[PAD])
        self.embed_positions = learned_positions(config.max_positions, config.dim)
        self.layernorm_embedding = nn.LayerNorm(config.dim) if config.norm_embedding else None
        self.layers = nn.ModuleList(TransformerLayer(layer) for _ in range(config.num_layers))
        self.layer_norm = nn.LayerNorm(config.dim) if config.pre_norm else None
        self.dropout = Dropout(config.dropout)
        self.lm_head = LanguageModelHead(config)

    def forward(self, tokens: Tensor, masked: Tensor | None = None) -> Tensor:
        """Scores of the symbols.

        Args:
            tokens: int64 [B, S], rows filled up with `<pad>` (1).
            masked: bool [B, S]; give the scores of these positions only.

        Returns:
            Logits [B, S, V], or [positions, V]; unspecified at padding.

        Raises:
            UserError: A row is longer than the model's positions.
        """
        features = self.extract_features(tokens)
        if masked is not None:
            features = features[masked]
        return self.lm_head(features, self.embed_tokens.weight)  # type: ignore[no-any-return]

    def extract_features(self, tokens: Tensor, layer: int | None = None) -> Tensor:
        """Representations of the symbols.

        Args:
            tokens: int64 [B, S], rows filled up with `<pad>` (1).
            layer: Of this layer (from 0), without any final norm; None: of the last.

        Returns:
            [B, S, C].

        Raises:
            UserError: A row is longer than the model's positions.
        """
        padding_mask = tokens == PAD
        x = self._embedded(tokens, padding_mask)
        # A row of nothing but padding would look at no key at all, and give NaN.
        around = Surroundings((~padding_mask | padding_mask.all(1, keepdim=True))[:, None, None])
        kept = layers_to_run(len(self.layers), self.config.layerdrop, self.training)
        for block, keep in zip(self.layers[: None if layer is None else layer + 1], kept, strict=False):
            x = block(x, around) if keep else x
        if self.layer_norm is not None and layer is None:
            x = self.layer_norm(x)
        return x

    def _embedded(self, tokens: Tensor, padding_mask: Tensor) -> Tensor:
        scale = math.sqrt(self.config.dim) if self.config.scale_embedding else 1.0
        positions = position_numbers(tokens)
        x = self.embed_tokens(tokens) * scale
        x = x + look_up_positions(self.embed_positions, positions, self.config.max_positions)
        if self.layernorm_embedding is not None:
            x = self.layernorm_embedding(x)
        return self.dropout(x).masked_fill(padding_mask[..., None], 0.0)  # type: ignore[no-any-return]
