"""Parts of the context network: positions from a convolution, attention, Transformer layers.

Legend: B batch, N frames, C channels (model width), H heads, D channels a head.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.models import cpu_attention, cpu_matmul
from auricle.models.config import EncoderConfig
from auricle.models.cpu_grouped_conv import Taps, grouped_conv1d, grouped_conv1d_laid_out, taps_of
from auricle.models.dropout import Dropout, dropout

Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Activation] = {"gelu": F.gelu, "relu": F.relu, "swish": F.silu, "tanh": torch.tanh}


def bert_linear(in_dim: int, out_dim: int, bias: bool = True) -> nn.Linear:
    """A linear layer with BERT's initial values: a normal weight of deviation 0.02, a bias of 0."""
    layer = cpu_matmul.Linear(in_dim, out_dim, bias=bias)
    nn.init.normal_(layer.weight, std=0.02)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class WeightNormConv(nn.Module):
    """A grouped convolution whose weight is g * v / |v|, with one length g for each kernel position.

    Keeps fairseq's parameters: `weight_g` [1, 1, K], `weight_v` [C, C / groups, K], `bias` [C].
    """

    laid_out: Taps | None = None

    def __init__(self, channels: int, kernel: int, groups: int, std: float) -> None:
        super().__init__()
        self.groups = groups
        self.padding = kernel // 2
        self.bias = nn.Parameter(torch.zeros(channels))
        weight = torch.empty(channels, channels // groups, kernel).normal_(std=std)
        self.weight_g = nn.Parameter(weight.norm(dim=(0, 1), keepdim=True))
        self.weight_v = nn.Parameter(weight)

    def lay_out(self) -> None:
        """See `cpu_matmul.LaysOut`."""
        if self.laid_out is None:
            self.laid_out = taps_of(self._weight().detach(), self.groups, lay_out=True)
            self.weight_v, self.weight_g = map(cpu_matmul.without_values, (self.weight_v, self.weight_g))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]: of an even kernel, which gives one frame more, without the last."""
        if self.laid_out is not None:
            frames = x.transpose(1, 2).to(self.weight_v.dtype)
            return grouped_conv1d_laid_out(frames, self.laid_out, self.bias).transpose(1, 2)
        weight = self._weight()
        dtype = cpu_matmul.dtype_of_products(x)
        if dtype is not None:
            with torch.autocast("cpu", enabled=False):
                frames = x.transpose(1, 2).to(dtype)
                return grouped_conv1d(frames, weight, self.bias, self.groups).transpose(1, 2)
        y = F.conv1d(x, weight, self.bias, padding=self.padding, groups=self.groups)
        return y[..., : x.shape[-1]]

    def _weight(self) -> Tensor:
        return torch._weight_norm(self.weight_v, self.weight_g, dim=2)


class PositionalConv(nn.Sequential):
    """Relative positions from a wide grouped convolution (wav2vec 2.0, section 2).

    With `depth` 1, one weight-normed convolution; otherwise blocks of narrower ones, each followed by a
    layer norm without parameters (quirk 1). A `Sequential` for the checkpoints' names only.
    """

    def __init__(self, dim: int, kernel: int, groups: int, depth: int, dropout: float) -> None:
        self.depth = depth
        if depth == 1:
            std = math.sqrt(4 * (1.0 - dropout) / (kernel * dim))
            super().__init__(WeightNormConv(dim, kernel, groups, std))
        else:
            kernel = max(3, kernel // depth)
            convs = (nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=groups) for _ in range(depth))
            super().__init__(*(nn.Sequential(conv) for conv in convs))

    def forward(self, x: Tensor, padding_mask: Tensor | None) -> Tensor:  # type: ignore[override]
        """[B, N, C] -> [B, N, C]; frames under `padding_mask` [B, N] must be zero."""
        y = cpu_matmul.as_product_of(x, next(self.parameters())).transpose(1, 2)
        for i, conv in enumerate(self):
            if i > 0 and padding_mask is not None:
                # An utterance by itself has zeros past its end in every block, not only in the first.
                y = y.masked_fill(padding_mask[:, None], 0.0)
            y = conv(y)
            y = y[..., : x.shape[1]]
            if self.depth > 1:
                y = F.layer_norm(y.transpose(1, 2).float(), y.shape[1:2]).transpose(1, 2).type_as(y)
            y = F.gelu(y)
        return y.transpose(1, 2)


def attend(
    q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, p: float, bias: Tensor | None = None
) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1).

    Args:
        q: [B, H, N, D].
        k: [B, H, M, D].
        v: [B, H, M, D].
        key_mask: bool, broadcast to [B, H, N, M], True where a key may be looked at.
        p: Dropout on the attention weights.
        bias: [B, H, N, M], added to the scaled scores.

    Returns:
        [B, H, N, D].
    """
    worth_it = p > 0.0 or q.shape[2] * k.shape[2] >= cpu_attention.SMALLEST
    if bias is None and p < 1.0 and worth_it and cpu_matmul.dtype_of_products(q) == q.dtype:
        with torch.autocast("cpu", enabled=False):
            return cpu_attention.attention(q, k, v, key_mask, p)
    if p == 0.0 or q.device.type != "cpu" or torch.compiler.is_compiling():
        mask = key_mask
        if bias is not None:
            mask = bias if key_mask is None else bias.masked_fill(~key_mask, float("-inf"))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask, float("-inf"))
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).type_as(scores)
    return dropout(weights, p) @ v


def attend_within(q: Tensor, k: Tensor, v: Tensor, counts: Sequence[int]) -> Tensor:
    """As `attend`, of utterances that stand end to end: each looks at its own frames alone.

    Args:
        q: [1, H, M, D].
        k: [1, H, M, D].
        v: [1, H, M, D].
        counts: Frames of each utterance.

    Returns:
        [1, H, M, D], zero past the last utterance.
    """
    y = torch.zeros_like(q.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
    start = 0
    for count in counts:
        here = slice(start, start + count)
        y[:, :, here] = attend(q[:, :, here], k[:, :, here], v[:, :, here], None, 0.0)
        start += count
    return y


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.k_proj = bert_linear(dim, dim)
        self.v_proj = bert_linear(dim, dim)
        self.q_proj = bert_linear(dim, dim)
        self.out_proj = bert_linear(dim, dim)

    def forward(self, x: Tensor, key_mask: Tensor | None, packed: Sequence[int] | None = None) -> Tensor:
        """[B, N, C] -> [B, N, C]; see `Surroundings`."""
        x = cpu_matmul.as_product_of(x, self.q_proj.weight)
        q, k, v = (
            proj(x).unflatten(-1, (self.num_heads, x.shape[-1] // self.num_heads)).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        if packed is None:
            y = attend(q, k, v, key_mask, self.dropout if self.training else 0.0)
        else:
            y = attend_within(q, k, v, packed)
        return self.out_proj(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every layer is told besides its input; each takes what concerns it.

    Attributes:
        key_mask: bool [B, 1, 1, N], True where a frame may be looked at; None: all may.
        packed: Of utterances end to end in one row (see `packing`), how many frames each has.
        valid: bool [B, 1, N], False where convolutions and batch norms shall not hear a frame; None: all
            are heard.
        distances: [2N - 1, C], of attention with relative positions.
        corpus_key: int64 [B], of adapters.
    """

    key_mask: Tensor | None = None
    packed: Sequence[int] | None = None
    valid: Tensor | None = None
    distances: Tensor | None = None
    corpus_key: Tensor | None = None


class TransformerLayer(nn.Module):
    """Self-attention and feed-forward, each with a residual; the norm before (`pre_norm`) or after."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.pre_norm = config.pre_norm
        self.activation = ACTIVATIONS[config.activation]
        self.self_attn = SelfAttention(config.dim, config.num_heads, config.attention_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(config.dim)
        self.fc1 = bert_linear(config.dim, config.ffn_dim)
        self.fc2 = bert_linear(config.ffn_dim, config.dim)
        self.final_layer_norm = nn.LayerNorm(config.dim)
        self.dropout = Dropout(config.dropout)
        self.activation_dropout = Dropout(config.activation_dropout)

    def forward(self, x: Tensor, around: Surroundings) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        if self.pre_norm:
            x = x + self.dropout(self._attend(self.self_attn_layer_norm(x), around))
            return x + self.dropout(self._feed_forward(self.final_layer_norm(x)))  # type: ignore[no-any-return]
        x = self.self_attn_layer_norm(x + self.dropout(self._attend(x, around)))
        return self.final_layer_norm(x + self.dropout(self._feed_forward(x)))  # type: ignore[no-any-return]

    def _attend(self, x: Tensor, around: Surroundings) -> Tensor:
        return self.self_attn(x, around.key_mask, around.packed)  # type: ignore[no-any-return]

    def _feed_forward(self, x: Tensor) -> Tensor:
        gelu = self.activation is F.gelu
        inner = cpu_matmul.gelu_of(self.fc1, x) if gelu else self.activation(self.fc1(x))
        return self.fc2(self.activation_dropout(inner))  # type: ignore[no-any-return]
