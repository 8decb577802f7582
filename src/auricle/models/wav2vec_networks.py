"""The two networks of wav2vec 1.0: waveform to latent features z, and these to contexts c (section 2.1).

Legend: B batch, T samples, C channels, N frames. Parameter names are those of the published checkpoints.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.models.conv import check_lengths, conv_length, receptive_field
from auricle.models.dropout import Dropout
from auricle.models.norm import MaskedGroupNorm
from auricle.models.transformer import ACTIVATIONS
from auricle.models.wav2vec_config import Wav2VecConfig


class ConvBlock(nn.Sequential):
    """Convolution, dropout, norm over channels and time, activation.

    A `Sequential` for its names only: published checkpoints call the convolution `0` and the norm `2`,
    behind a padding `1` and `3`.
    """

    def __init__(
        self,
        in_channels: int,
        layer: tuple[int, int, int],
        config: Wav2VecConfig,
        *,
        bias: bool,
        dropout: float = 0.0,
        padding: nn.Module | None = None,
    ) -> None:
        channels, kernel, stride = layer
        super().__init__(
            *([] if padding is None else [padding]),
            nn.Conv1d(in_channels, channels, kernel, stride, bias=bias),
            Dropout(dropout),
            MaskedGroupNorm(1, channels, config.norm_affine, config.reference_padding),
        )
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[B, C_in, N_in] -> [B, C, N]; `lengths` int64 [B] counts the frames of the *output*."""
        *inner, norm = self
        for module in inner:
            x = module(x)
        return self.activation(norm(x, lengths))


class SpeechEncoder(nn.Module):
    """The encoder network f: waveform to latent features z (section 2.1)."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.config = config
        widths = [1, *(channels for channels, _, _ in config.conv_layers)]
        self.conv_layers = nn.ModuleList(
            ConvBlock(width, layer, config, bias=False)
            for width, layer in zip(widths[:-1], config.conv_layers, strict=True)
        )

    @property
    def out_channels(self) -> int:
        """Channels C of the features."""
        return self.config.conv_layers[-1][0]

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Latent features.

        Args:
            waveforms: [B, T] float32, 16 kHz.
            lengths: int64 [B], in samples; None where nothing is padded. What stands past them is not
                heard, whatever it is.

        Returns:
            [B, C, N], N = 0 below the receptive field; frames past an utterance's end hold nothing of use.
        """
        check_lengths(waveforms, lengths)
        if waveforms.shape[1] < receptive_field(self.config.conv_layers):
            return waveforms.new_zeros(len(waveforms), self.out_channels, 0)
        if lengths is not None:
            padding = torch.arange(waveforms.shape[1], device=waveforms.device) >= lengths[:, None]
            waveforms = waveforms.masked_fill(padding, 0.0)
        if self.config.reference_padding:
            lengths = None
        x = waveforms[:, None]
        for block, (channels, kernel, stride) in zip(self.conv_layers, self.config.conv_layers, strict=True):
            before, residual = lengths, x
            lengths = None if lengths is None else conv_length(lengths, kernel, stride)
            x = block(x, lengths)
            if self.config.skip_connections and residual.shape[1] == channels:
                x = x + thinned(residual, x.shape[2], before, lengths)
                x = x * math.sqrt(self.config.residual_scale)
        return torch.log1p(x.abs()) if self.config.log_compression else x


def thinned(x: Tensor, count: int, before: Tensor | None, after: Tensor | None) -> Tensor:
    """Every so-many-th position of `x`, so that `count` are left (quirk 19).

    Args:
        x: [B, C, N].
        count: At most N.
        before: int64 [B], valid positions of `x`, or None. A row's step follows from its own length, as it
            would alone.
        after: int64 [B], valid positions of the result, or None.
    """
    if before is None or after is None:
        return x[..., :: x.shape[2] // count][..., :count]
    step = before // after.clamp(min=1)
    positions = torch.arange(count, device=x.device) * step[:, None]
    return x.gather(2, positions.clamp(max=x.shape[2] - 1)[:, None].expand(-1, x.shape[1], -1))


class CausalPadding(nn.Module):
    """`count` frames before the first: zeros, or copies of it."""

    def __init__(self, count: int, zeros: bool) -> None:
        super().__init__()
        self.count = count
        self.mode = "constant" if zeros else "replicate"

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, count + N]."""
        return F.pad(x, (self.count, 0), self.mode)


class ConvAggregator(nn.Module):
    """The aggregator network g of causal convolutions (section 2.1).

    Each frame hears those before it only, but for the norms, which look at the whole utterance.
    """

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        options = config.aggregator
        self.out_channels = options.conv_layers[-1][0]
        self.skip_connections = options.skip_connections
        self.residual_scale = math.sqrt(config.residual_scale)
        widths = [config.conv_layers[-1][0], *(channels for channels, _, _ in options.conv_layers)]
        steps = list(zip(widths[:-1], options.conv_layers, strict=True))
        self.conv_layers = nn.ModuleList(
            ConvBlock(
                width,
                layer,
                config,
                bias=options.conv_bias,
                dropout=config.dropout,
                padding=CausalPadding(layer[1] - 1, options.zero_pad),
            )
            for width, layer in steps
        )
        self.residual_proj = nn.ModuleDict(
            {
                str(i): nn.Conv1d(width, channels, 1, bias=False)
                for i, (width, (channels, _, _)) in enumerate(steps)
                if width != channels and options.skip_connections
            }
        )

    def forward(self, z: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[B, C_in, N] -> [B, C, N]; `lengths` int64 [B] in frames, None where nothing is padded."""
        if z.shape[2] == 0:
            return z.new_zeros(len(z), self.out_channels, 0)
        for i, block in enumerate(self.conv_layers):
            residual, z = z, block(z, lengths)
            if self.skip_connections:
                if str(i) in self.residual_proj:
                    residual = self.residual_proj[str(i)](residual)
                z = (z + residual) * self.residual_scale
        return z


class GRUAggregator(nn.Sequential):
    """A recurrent aggregator. A `Sequential` for its names only: checkpoints call the GRU `1`.

    fairseq's runs over the utterances of a batch where it means to run over time: alone, an utterance's
    frames never hear each other, and in a batch they hear other utterances. `reference_padding` does that.
    """

    def __init__(self, in_dim: int, dim: int, reference_padding: bool) -> None:
        super().__init__(nn.Identity(), nn.GRU(in_dim, dim, batch_first=not reference_padding))
        self.out_channels = dim

    def forward(self, z: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[B, C_in, N] -> [B, C, N]; it is causal, so it need not know the lengths."""
        if z.shape[2] == 0:
            return z.new_zeros(len(z), self.out_channels, 0)
        context, _ = self[1](z.transpose(1, 2))
        return context.transpose(1, 2)  # type: ignore[no-any-return]


Aggregator = ConvAggregator | GRUAggregator


def build_aggregator(config: Wav2VecConfig) -> Aggregator:
    """The aggregator that a configuration describes."""
    if config.aggregator.kind == "gru":
        width = config.conv_layers[-1][0]
        return GRUAggregator(width, config.aggregator.gru_dim, config.reference_padding)
    return ConvAggregator(config)
