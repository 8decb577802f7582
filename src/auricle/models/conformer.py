"""Conformer layers: attention and convolution between two halves of a feed-forward block.

Gulati et al. 2020, arXiv:2005.08100, sections 2.1 to 2.4. In fairseq's version, which this is, the
activation is swish throughout (transformers' may have another), all dropouts are the same one, and the
convolutions have no biases (quirk 18).

Legend: B batch, N frames, C channels (model width), H heads, D channels a head. Parameter names are those of
fairseq's checkpoints.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.models.config import EncoderConfig
from auricle.models.dropout import Dropout
from auricle.models.transformer import ACTIVATIONS, SelfAttention, Surroundings, attend, bert_linear


class FeedForward(nn.Module):
    """The feed-forward module (section 2.3); its result is halved by the layer."""

    def __init__(self, dim: int, inner_dim: int, dropout: float, activation: str = "swish") -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.layer_norm = nn.LayerNorm(dim)
        self.w_1 = bert_linear(dim, inner_dim)
        self.w_2 = bert_linear(inner_dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        inner = self.dropout(self.activation(self.w_1(self.layer_norm(x))))
        return self.dropout(self.w_2(inner))  # type: ignore[no-any-return]


class MaskedBatchNorm(nn.BatchNorm1d):
    """A batch norm that, told which frames are valid, takes its statistics from those alone.

    Attributes:
        keeps_statistics: False while a forward pass is repeated, which has nothing new to learn from.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.keeps_statistics = True

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """[B, C, N] -> [B, C, N]; `valid` bool [B, 1, N], None where all frames are."""
        share = 0.0
        if self.training and self.keeps_statistics:
            self.num_batches_tracked.add_(1)
            share = self.momentum or 0.0
        if valid is None or not self.training:
            kept = (self.running_mean, self.running_var)
            return F.batch_norm(x, *kept, self.weight, self.bias, self.training, share, self.eps)
        values, count = x.float(), valid.sum().clamp(min=1)
        mean = (values * valid).sum((0, 2)) / count
        centred = (values - mean[:, None]) * valid
        variance = centred.square().sum((0, 2)) / count
        self.running_mean.lerp_(mean.detach(), share)
        self.running_var.lerp_(variance.detach() * count / (count - 1).clamp(min=1), share)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None] + self.bias[:, None]).type_as(x)


class ConvModule(nn.Module):
    """The convolution module (section 2.2): a gate, a depth-wise convolution, a batch norm."""

    def __init__(self, dim: int, kernel: int, dropout: float, activation: str = "swish") -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.layer_norm = nn.LayerNorm(dim)
        self.pointwise_conv1 = nn.Conv1d(dim, 2 * dim, 1, bias=False)
        self.depthwise_conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False)
        self.batch_norm = MaskedBatchNorm(dim)
        self.pointwise_conv2 = nn.Conv1d(dim, dim, 1, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """[B, N, C] -> [B, N, C]; what stands at frames that are not `valid` [B, 1, N] is not heard."""
        y = F.glu(self.pointwise_conv1(self.layer_norm(x).transpose(1, 2)), dim=1)
        if valid is not None:
            y = y.masked_fill(~valid, 0.0)
        y = self.activation(self.batch_norm(self.depthwise_conv(y), valid))
        return self.dropout(self.pointwise_conv2(y)).transpose(1, 2)  # type: ignore[no-any-return]


class EspnetAttention(nn.Module):
    """Self-attention under the names that ESPnet gives its parameters; without positions of its own."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.linear_q = bert_linear(dim, dim)
        self.linear_k = bert_linear(dim, dim)
        self.linear_v = bert_linear(dim, dim)
        self.linear_out = bert_linear(dim, dim)

    def forward(self, x: Tensor, around: Surroundings) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        return self.attend(self.heads(self.linear_q(x)), self.heads(self.linear_k(x)), x, around.key_mask)

    def heads(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, H, N, D]."""
        return x.view(*x.shape[:2], self.num_heads, x.shape[2] // self.num_heads).transpose(1, 2)

    def attend(
        self, q: Tensor, k: Tensor, x: Tensor, key_mask: Tensor | None, bias: Tensor | None = None
    ) -> Tensor:
        """Queries and keys [B, H, N, D], the input [B, N, C] and what is added to scores -> [B, N, C]."""
        v = self.heads(self.linear_v(x))
        y = attend(q, k, v, key_mask, self.dropout if self.training else 0.0, bias)
        return self.linear_out(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class RelativeAttention(EspnetAttention):
    """Attention that also looks at how far apart two frames are (Dai et al. 2019, section 3.3)."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__(dim, num_heads, dropout)
        self.linear_pos = bert_linear(dim, dim, bias=False)
        self.pos_bias_u = nn.Parameter(nn.init.xavier_uniform_(torch.empty(num_heads, dim // num_heads)))
        self.pos_bias_v = nn.Parameter(nn.init.xavier_uniform_(torch.empty(num_heads, dim // num_heads)))

    def forward(self, x: Tensor, around: Surroundings) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        assert around.distances is not None
        q, k = self.heads(self.linear_q(x)), self.heads(self.linear_k(x))
        p = self.heads(self.linear_pos(around.distances)[None])
        by_distance = (q + self.pos_bias_v[:, None]) @ p.transpose(-1, -2)
        bias = relative_shift(by_distance) * q.shape[-1] ** -0.5
        return self.attend(q + self.pos_bias_u[:, None], k, x, around.key_mask, bias)


class RotaryAttention(EspnetAttention):
    """Attention whose queries and keys are rotated by their position (Su et al. 2021).

    As in fairseq, what is rotated is not the queries and keys, but what they are computed from (quirk 17).
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__(dim, num_heads, dropout)
        self.rotary_emb = RotaryEmbedding(dim // num_heads)

    def forward(self, x: Tensor, around: Surroundings) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        turned = self.rotary_emb(self.heads(x)).transpose(1, 2).flatten(2)
        q, k = self.heads(self.linear_q(turned)), self.heads(self.linear_k(turned))
        return self.attend(q, k, x, around.key_mask)


class RotaryEmbedding(nn.Module):
    """Rotates pairs of channels by an angle that grows with the frame, at a speed of each pair's own."""

    inv_freq: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", 10000.0 ** (-torch.arange(0, dim, 2).float() / dim))

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, N, D] -> [B, H, N, D]; channel i is paired with i + D / 2."""
        angles = torch.arange(x.shape[2], device=x.device, dtype=torch.float32)[:, None] * self.inv_freq
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def relative_shift(by_distance: Tensor) -> Tensor:
    """Scores by distance, N - 1 down to 1 - N, [B, H, N, 2N - 1] -> scores by key, [B, H, N, N]."""
    frames = by_distance.shape[2]
    # With one column more, a row begins one place earlier in memory than the row before it ended.
    shifted = F.pad(by_distance, (1, 0)).reshape(*by_distance.shape[:2], 2 * frames, frames)
    return shifted[:, :, 1:].reshape(by_distance.shape)[..., :frames]


def distance_table(frames: int, dim: int, device: torch.device) -> Tensor:
    """Sines and cosines, alternating, of the distances N - 1 down to 1 - N: float32 [2N - 1, C]."""
    distances = torch.arange(frames - 1, -frames, -1, device=device, dtype=torch.float32)
    speeds = 10000.0 ** (-torch.arange(0, dim, 2, device=device).float() / dim)
    angles = distances[:, None] * speeds
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class PlainAttention(SelfAttention):
    """The Transformer's attention (fairseq's `attn_type` "")."""

    def forward(self, x: Tensor, around: Surroundings) -> Tensor:  # type: ignore[override]
        """[B, N, C] -> [B, N, C]."""
        return super().forward(x, around.key_mask)


ESPNET_ATTENTIONS = {
    "abs": EspnetAttention,
    "rel_pos": RelativeAttention,
    "rope": RotaryAttention,
    "none": EspnetAttention,
}
"""By `EncoderConfig.positions`."""


class ConformerLayer(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, norm (section 2.4)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        espnet = config.attention == "espnet"
        attention = ESPNET_ATTENTIONS[config.positions] if espnet else PlainAttention
        dropout, activation = config.dropout, config.conformer_activation
        self.ffn1 = FeedForward(config.dim, config.ffn_dim, dropout, activation)
        self.self_attn_layer_norm = nn.LayerNorm(config.dim)
        self.self_attn = attention(config.dim, config.num_heads, dropout)
        self.conv_module = ConvModule(config.dim, config.conv_kernel, dropout, activation)
        self.ffn2 = FeedForward(config.dim, config.ffn_dim, dropout, activation)
        self.final_layer_norm = nn.LayerNorm(config.dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, around: Surroundings) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        x = x + 0.5 * self.ffn1(x)
        x = x + self.dropout(self.self_attn(self.self_attn_layer_norm(x), around))
        x = x + self.conv_module(x, around.valid)
        x = x + 0.5 * self.ffn2(x)
        return self.final_layer_norm(x)  # type: ignore[no-any-return]
