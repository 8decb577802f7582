"""A Transformer that reads symbols from left to right (Vaswani et al. 2017, section 3).

It is a language model where it looks at nothing else, and the decoder of a recogniser where it also looks at
a memory, the encoder's frames. What it has computed for a prefix is a value, `DecoderState`: the next symbols
go on from there, and a beam search picks rows of it.

Legend: B batch, S symbols, P symbols of the prefix, N frames of the memory, C channels, H heads, D channels a
head. Parameter names are those of the published checkpoints.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.errors import UserError
from auricle.models.config import DecoderConfig
from auricle.models.cpu_matmul import Linear
from auricle.models.dropout import Dropout, layers_to_run
from auricle.models.transformer import ACTIVATIONS

PAD = 1
"""fairseq's `<pad>`: it has no position, and nothing looks at it."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a decoder looks at besides its own symbols.

    Attributes:
        frames: [B, N, C].
        mask: bool [B, 1, 1, N], True where a frame may be looked at; None where all may be.
    """

    frames: Tensor
    mask: Tensor | None = None


@dataclass(frozen=True, slots=True)
class KeysAndValues:
    """What attention looks up: `keys` and `values` [B, H, P or N, D]."""

    keys: Tensor
    values: Tensor

    def select(self, rows: Tensor) -> "KeysAndValues":
        """Some rows of the batch, in a new order."""
        return KeysAndValues(self.keys[rows], self.values[rows])

    def followed_by(self, other: "KeysAndValues") -> "KeysAndValues":
        """Both, one after the other."""
        keys, values = torch.cat([self.keys, other.keys], 2), torch.cat([self.values, other.values], 2)
        return KeysAndValues(keys, values)


@dataclass(frozen=True, slots=True)
class LayerState:
    """Of one layer: what its self-attention and its attention to the memory look up."""

    prefix: KeysAndValues
    memory: KeysAndValues | None


@dataclass(frozen=True, slots=True)
class DecoderState:
    """A prefix of P symbols, computed: all that the next symbols need to know of it.

    Attributes:
        num_symbols: P.
        layers: One a layer.
        memory_mask: bool [B, 1, 1, N] or None.
        padding: int64 [B], symbols at the left of each prefix that do not count; None: none of any.
    """

    num_symbols: int
    layers: tuple[LayerState, ...]
    memory_mask: Tensor | None
    padding: Tensor | None = None

    @staticmethod
    def joined(states: "Sequence[DecoderState]") -> "DecoderState":
        """Prefixes of any lengths in one batch, filled up on the left; for decoders without a memory."""
        counts = [(state.layers[0].prefix.keys.shape[0], state.num_symbols) for state in states]
        longest = max(symbols for _, symbols in counts)
        keys_of = [
            [F.pad(layer.prefix.keys, (0, 0, longest - state.num_symbols, 0)) for layer in state.layers]
            for state in states
        ]
        values_of = [
            [F.pad(layer.prefix.values, (0, 0, longest - state.num_symbols, 0)) for layer in state.layers]
            for state in states
        ]
        layers = tuple(
            LayerState(KeysAndValues(torch.cat(keys), torch.cat(values)), None)
            for keys, values in zip(zip(*keys_of, strict=True), zip(*values_of, strict=True), strict=True)
        )
        lacking = [longest - symbols for rows, symbols in counts for _ in range(rows)]
        padding = torch.tensor(lacking, device=layers[0].prefix.keys.device) if any(lacking) else None
        return DecoderState(longest, layers, None, padding)

    def row(self, number: int) -> "DecoderState":
        """One prefix for itself, in memory of its own."""
        first = 0 if self.padding is None else int(self.padding[number])
        place = slice(number, number + 1)
        layers = tuple(
            LayerState(
                KeysAndValues(
                    layer.prefix.keys[place, :, first:].clone(), layer.prefix.values[place, :, first:].clone()
                ),
                layer.memory.select(torch.tensor([number])) if layer.memory else None,
            )
            for layer in self.layers
        )
        mask = None if self.memory_mask is None else self.memory_mask[place]
        return DecoderState(self.num_symbols - first, layers, mask)

    def select(self, rows: Tensor) -> "DecoderState":
        """Some rows of the batch, int64 [R], in a new order: the prefixes that a search goes on with."""
        layers = tuple(
            LayerState(layer.prefix.select(rows), layer.memory.select(rows) if layer.memory else None)
            for layer in self.layers
        )
        mask = None if self.memory_mask is None else self.memory_mask[rows]
        padding = None if self.padding is None else self.padding[rows]
        return replace(self, layers=layers, memory_mask=mask, padding=padding)


def xavier_linear(dim: int, gain: float = 1.0) -> nn.Linear:
    """A projection with fairseq's initial values for decoders."""
    layer = Linear(dim, dim)
    nn.init.xavier_uniform_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Attention(nn.Module):
    """Multi-head attention whose keys and values may come from elsewhere."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.k_proj = xavier_linear(dim, gain=2**-0.5)
        self.v_proj = xavier_linear(dim, gain=2**-0.5)
        self.q_proj = xavier_linear(dim, gain=2**-0.5)
        self.out_proj = xavier_linear(dim)

    def look_up(self, x: Tensor) -> KeysAndValues:
        """Keys and values of [B, N, C]."""
        return KeysAndValues(self._heads(self.k_proj(x)), self._heads(self.v_proj(x)))

    def forward(self, x: Tensor, source: KeysAndValues, key_mask: Tensor | None) -> Tensor:
        """[B, S, C] -> [B, S, C]; `key_mask` bool, broadcast to [B, H, S, N], True where to look."""
        p = self.dropout if self.training else 0.0
        q = self._heads(self.q_proj(x))
        y = F.scaled_dot_product_attention(q, source.keys, source.values, key_mask, p)
        return self.out_proj(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Self-attention, attention to the memory and feed-forward, each with a residual and a norm."""

    def __init__(self, config: DecoderConfig, memory: bool) -> None:
        super().__init__()
        self.pre_norm = config.pre_norm
        self.activation = ACTIVATIONS[config.activation]
        self.self_attn = Attention(config.dim, config.num_heads, config.attention_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(config.dim)
        self.encoder_attn: Attention | None = None
        if memory:
            self.encoder_attn = Attention(config.dim, config.num_heads, config.attention_dropout)
            self.encoder_attn_layer_norm = nn.LayerNorm(config.dim)
        self.fc1 = Linear(config.dim, config.ffn_dim)
        self.fc2 = Linear(config.ffn_dim, config.dim)
        self.final_layer_norm = nn.LayerNorm(config.dim)
        self.dropout = Dropout(config.dropout)
        self.activation_dropout = Dropout(config.activation_dropout)

    def forward(
        self,
        x: Tensor,
        key_mask: Tensor | None,
        memory: Memory | None,
        state: LayerState | None,
        memory_mask: Tensor | None,
    ) -> tuple[Tensor, LayerState]:
        """[B, S, C] -> [B, S, C], and what the symbols after these need to know."""
        y = self._before(self.self_attn_layer_norm, x)
        prefix = self.self_attn.look_up(y)
        if state is not None:
            prefix = state.prefix.followed_by(prefix)
        x = self._after(self.self_attn_layer_norm, x, self.self_attn(y, prefix, key_mask))
        looked_up = None if state is None else state.memory
        if self.encoder_attn is not None:
            if memory is not None:
                looked_up = self.encoder_attn.look_up(memory.frames)
            assert looked_up is not None, "a decoder with a memory begins with it"
            y = self._before(self.encoder_attn_layer_norm, x)
            x = self._after(self.encoder_attn_layer_norm, x, self.encoder_attn(y, looked_up, memory_mask))
        y = self.activation(self.fc1(self._before(self.final_layer_norm, x)))
        y = self.fc2(self.activation_dropout(y))
        return self._after(self.final_layer_norm, x, y), LayerState(prefix, looked_up)

    def _before(self, norm: nn.Module, x: Tensor) -> Tensor:
        return norm(x) if self.pre_norm else x

    def _after(self, norm: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        x = x + self.dropout(y)
        return x if self.pre_norm else norm(x)


class Decoder(nn.Module):
    """Embeddings, positions, then the layers.

    Args:
        config: Of the stack.
        embed_tokens: Symbols [B, S] -> [B, S, `embed_dim`].
        embed_dim: Projected to the width of the stack where it differs.
        memory: Whether there is one to look at.
    """

    def __init__(self, config: DecoderConfig, embed_tokens: nn.Module, embed_dim: int, memory: bool) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = embed_tokens
        self.project_in_dim = Linear(embed_dim, config.dim, bias=False) if embed_dim != config.dim else None
        self.embed_positions: nn.Embedding | None = None
        if config.positions == "learned":
            self.embed_positions = learned_positions(config.max_positions, config.dim)
        self.layernorm_embedding = nn.LayerNorm(config.dim) if config.norm_embedding else None
        self.layers = nn.ModuleList(DecoderLayer(config, memory) for _ in range(config.num_layers))
        ends_with_norm = config.pre_norm and config.final_norm
        self.layer_norm = nn.LayerNorm(config.dim) if ends_with_norm else None
        self.dropout = Dropout(config.dropout)

    def forward(
        self, tokens: Tensor, memory: Memory | None = None, state: DecoderState | None = None
    ) -> tuple[Tensor, DecoderState]:
        """What the stack makes of symbols that follow a prefix.

        Args:
            tokens: int64 [B, S]; `<pad>` may follow or precede a row's symbols, but not stand in a prefix.
            memory: Only with no prefix: later, `state` has it.
            state: Of the prefix; None where there is none.

        Returns:
            [B, S, C], each position knowing itself and what stands to its left; and the state of prefix and
            symbols together, to be used in evaluation only.
        """
        start = 0 if state is None else state.num_symbols
        memory_mask = state.memory_mask if state is not None else memory.mask if memory is not None else None
        padding = None if state is None else state.padding
        x, mask = self._embedded(tokens, start, padding), causal_mask(tokens, start, padding)
        kept = layers_to_run(len(self.layers), self.config.layerdrop, self.training)
        states: list[LayerState] = []
        for i, (layer, keep) in enumerate(zip(self.layers, kept, strict=True)):
            if keep:
                before = None if state is None else state.layers[i]
                x, after = layer(x, mask, memory, before, memory_mask)
                states.append(after)
        if self.layer_norm is not None:
            x = self.layer_norm(x)
        return x, DecoderState(start + tokens.shape[1], tuple(states), memory_mask, padding)

    def _embedded(self, tokens: Tensor, start: int, padding: Tensor | None) -> Tensor:
        config = self.config
        x = self.embed_tokens(tokens) * (math.sqrt(config.dim) if config.scale_embedding else 1.0)
        if self.project_in_dim is not None:
            x = self.project_in_dim(x)
        if config.positions != "none":
            positions = position_numbers(tokens, start if padding is None else start - padding[:, None])
            x = x + (
                sinusoids(positions, config.dim).type_as(x)
                if self.embed_positions is None
                else look_up_positions(self.embed_positions, positions, config.max_positions)
            )
        if self.layernorm_embedding is not None:
            x = self.layernorm_embedding(x)
        return self.dropout(x)  # type: ignore[no-any-return]


def embedding(num_symbols: int, dim: int) -> nn.Embedding:
    """A table with fairseq's initial values: normal of deviation 1 / sqrt(dim), `<pad>` zero."""
    table = nn.Embedding(num_symbols, dim, padding_idx=PAD)
    nn.init.normal_(table.weight, std=dim**-0.5)
    nn.init.zeros_(table.weight[PAD])
    return table


def learned_positions(max_positions: int, dim: int) -> nn.Embedding:
    """A table of positions; `position_numbers` counts from 2."""
    return embedding(max_positions + PAD + 1, dim)


def look_up_positions(table: nn.Embedding, positions: Tensor, max_positions: int) -> Tensor:
    """Positions [B, S] -> [B, S, C].

    Raises:
        UserError: There are more than the table has.
    """
    if positions.shape[1] > max_positions or int(positions.max()) > max_positions + PAD:
        raise UserError(
            f"a sequence of more than {max_positions} symbols is too long for this model: cut it into pieces"
        )
    return table(positions)  # type: ignore[no-any-return]


def position_numbers(tokens: Tensor, start: int | Tensor = 0) -> Tensor:
    """Position numbers as in fairseq, int64 [B, S]: symbols count from 2, `<pad>` has its own number, 1."""
    real = tokens != PAD
    return torch.where(real, real.long().cumsum(1) + start + PAD, PAD)


def sinusoids(positions: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, of position numbers: [B, S] -> [B, S, dim] float32; `<pad>` gives zeros.

    Unlike in the paper's section 3.5 the two are not interleaved, and the longest wave is 2 pi 10000 exactly.
    """
    half = dim // 2
    rates = torch.arange(half, device=positions.device) * -(math.log(10000) / max(1, half - 1))
    angles = positions[..., None].float() * rates.exp()
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
    waves = F.pad(waves, (0, dim - 2 * half))
    return waves.masked_fill((positions == PAD)[..., None], 0.0)


def causal_mask(tokens: Tensor, start: int = 0, padding: Tensor | None = None) -> Tensor | None:
    """Who may look at whom: bool [B, 1, S, P + S], True where to look; None where all may look at all.

    A position looks at itself and to its left, never at `<pad>` nor at the `padding` [B] of prefixes. One
    that has nothing to look at, being padding on the left, looks at itself: attention over no key is NaN.
    """
    size = tokens.shape[1]
    if start > 0 and size == 1 and padding is None:
        return None
    left = torch.ones(size, start + size, dtype=torch.bool, device=tokens.device).tril(start)
    real = F.pad(tokens != PAD, (start, 0), value=True)
    mask = left & real[:, None]
    if padding is not None:
        mask = mask & (torch.arange(start + size, device=tokens.device) >= padding[:, None])[:, None]
    itself = torch.eye(size, dtype=torch.bool, device=tokens.device)
    itself = F.pad(itself, (start, 0))
    return (mask | (itself & ~mask.any(-1, keepdim=True)))[:, None]
