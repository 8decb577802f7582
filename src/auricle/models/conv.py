"""The convolutional front end: waveform to latent features z (wav2vec 2.0, section 2, "Feature encoder").

Legend: B batch, T samples, N frames, C channels.

Padding cannot leak through the convolutions themselves: they use none, so a frame inside an utterance
sees only samples inside it. Only the group norm looks at a whole row, so it is told the lengths.
"""

from collections.abc import Iterable
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.errors import UserError
from auricle.models import cpu_conv, cpu_front_end, cpu_matmul
from auricle.models.config import ConvLayers
from auricle.models.norm import MaskedGroupNorm

Count = TypeVar("Count", int, Tensor)


def conv_length(length: Count, kernel: int, stride: int) -> Count:
    """Frames that an unpadded convolution makes of `length` positions; 0 where there are too few."""
    frames = (length - kernel) // stride + 1
    return frames.clamp(min=0) if isinstance(frames, Tensor) else max(frames, 0)


def num_frames(length: Count, layers: ConvLayers) -> Count:
    """Frames that the whole stack makes of `length` samples (an int, or int64 [B])."""
    for _, kernel, stride in layers:
        length = conv_length(length, kernel, stride)
    return length


def receptive_field(layers: ConvLayers) -> int:
    """Samples that one frame sees: the shortest clip that gives a frame."""
    samples = 1
    for _, kernel, stride in reversed(layers):
        samples = (samples - 1) * stride + kernel
    return samples


def hop(layers: ConvLayers) -> int:
    """Samples from the start of one frame to the start of the next."""
    samples = 1
    for _, _, stride in layers:
        samples *= stride
    return samples


def check_lengths(waveforms: Tensor, lengths: Tensor | None) -> None:
    """Refuse lengths [B] that waveforms [B, T] cannot have; on a CPU only, where looking costs nothing.

    Raises:
        UserError: One is negative or past T, or there is not one a row.
    """
    if lengths is None or lengths.device.type != "cpu" or torch.compiler.is_compiling():
        return
    if lengths.shape != waveforms.shape[:1]:
        raise UserError(
            f"lengths has shape {list(lengths.shape)} for {len(waveforms)} waveforms: give one for each"
        )
    wrong = [length for length in lengths.tolist() if not 0 <= length <= waveforms.shape[1]]
    if wrong:
        raise UserError(
            f"a length of {wrong[0]} for waveforms of {waveforms.shape[1]} samples: "
            "lengths count the samples of each row, padding left out"
        )


class GradientScale(torch.autograd.Function):
    """The identity, with its gradient multiplied by a factor."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, factor: float) -> Tensor:
        """`x` as it is."""
        ctx.factor = factor  # type: ignore[attr-defined]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient, scaled."""
        return gradients[0] * ctx.factor, None  # type: ignore[attr-defined]


class ChannelGroupNorm(MaskedGroupNorm):
    """A group norm with one group a channel: each channel is normalised over time, in float32.

    With lengths, the statistics are those of the valid frames, so that padding changes nothing.
    fairseq takes them over the whole padded row; that is what no lengths gives.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)


class ChannelLayerNorm(nn.LayerNorm):
    """A layer norm over the channels of [B, C, N], in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]."""
        y = F.layer_norm(
            x.transpose(1, 2).float(),
            self.normalized_shape,
            self.weight.float(),
            self.bias.float(),
            self.eps,
        )
        return y.transpose(1, 2).type_as(x)


class ConvBlock(nn.Sequential):
    """Convolution, norm, GELU.

    A `Sequential` for its names only: published checkpoints call the convolution `0` and the norm `2`
    (a layer norm `2.1`).
    """

    laid_out: cpu_front_end.Layer | None = None

    def __init__(
        self,
        in_channels: int,
        layer: tuple[int, int, int],
        norm: Literal["group", "layer", "none"],
        bias: bool,
    ) -> None:
        channels, kernel, stride = layer
        conv = nn.Conv1d(in_channels, channels, kernel, stride, bias=bias)
        nn.init.kaiming_normal_(conv.weight)
        norms: dict[str, nn.Module] = {
            "group": ChannelGroupNorm(channels),
            "layer": nn.Sequential(nn.Identity(), ChannelLayerNorm(channels)),
            "none": nn.Identity(),
        }
        super().__init__(conv, nn.Identity(), norms[norm])
        self.layer = layer
        self.per_row = norm == "group"

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[B, C_in, N_in] -> [B, C, N]; `lengths` int64 [B] counts the frames of the *output*."""
        dtype = self.dtype_of_products(x)
        if dtype is not None:
            with torch.autocast("cpu", enabled=False):
                return self._by_products(x, lengths, dtype)
        x = self[0](x)
        x = self[2](x, lengths) if self.per_row else self[2](x)
        return F.gelu(x)

    def dtype_of_products(self, x: Tensor) -> torch.dtype | None:
        """As `cpu_matmul.dtype_of_products`; that of a weight that was laid out, whatever `x` is."""
        conv = self[0]
        assert isinstance(conv, nn.Conv1d)
        if self.laid_out is not None:
            return conv.weight.dtype
        dtype = cpu_matmul.dtype_of_products(x)
        # A model in bfloat16 is given waveforms in float32: what comes of them is rounded, not they.
        return torch.bfloat16 if dtype is not None and conv.weight.dtype == torch.bfloat16 else dtype

    @property
    def hears_all(self) -> bool:
        """Whether a frame can only be told when the whole row was heard, but for what `first` does."""
        return self.per_row and self[0].bias is not None

    def first(self, waveforms: Tensor, lengths: Tensor | None, dtype: torch.dtype) -> cpu_front_end.First:
        """In inference, what `forward` makes of waveforms [B, T]; `lengths` counts frames of the output."""
        conv, norm = self[0], self[2]
        assert isinstance(conv, nn.Conv1d)
        if not isinstance(norm, nn.GroupNorm):
            run, (_, kernel, stride) = self.local(dtype), self.layer
            x = waveforms.to(dtype).contiguous()[..., None]
            return lambda row, start, stop: run(x[row, start * stride : (stop - 1) * stride + kernel])
        frames, weight = normalised_product(waveforms.float(), conv, norm, lengths)

        def part(row: int, start: int, stop: int) -> Tensor:
            return cpu_matmul.product(frames[row, start:stop], weight[row].t(), gelu=True).to(dtype)

        return part

    def lay_out(self) -> None:
        """See `cpu_matmul.LaysOut`. A group norm hears the utterance first: its block stays as it is."""
        conv = self[0]
        assert isinstance(conv, nn.Conv1d)
        if not self.per_row and self.laid_out is None:
            self.laid_out = self.local(conv.weight.dtype, lay_out=True)
            conv.weight = cpu_matmul.without_values(conv.weight)

    def local(self, dtype: torch.dtype, *, lay_out: bool = False) -> cpu_front_end.Layer:
        """In inference, what `forward` makes of one utterance; not of a block with a group norm."""
        if self.laid_out is not None:
            return self.laid_out
        conv, norm = self[0], self[2]
        assert isinstance(conv, nn.Conv1d)
        weight = conv.weight.detach().to(dtype)
        bias = None if conv.bias is None else conv.bias.to(dtype)

        def normalise(y: Tensor) -> Tensor:
            return norm(y.t()[None])[0].t()  # type: ignore[no-any-return]

        local_norm = None if isinstance(norm, nn.Identity) else normalise
        return cpu_front_end.layer(weight, bias, conv.stride[0], local_norm, lay_out=lay_out)

    def _by_products(self, x: Tensor, lengths: Tensor | None, dtype: torch.dtype) -> Tensor:
        """As `forward`, with channels-last strides throughout (see `cpu_conv`)."""
        conv, norm = self[0], self[2]
        assert isinstance(conv, nn.Conv1d)
        fits = x.shape[1] == 1 and conv.bias is None and not x.requires_grad
        if fits and isinstance(norm, nn.GroupNorm):
            frames, weight = normalised_product(x[:, 0].float(), conv, norm, lengths)
            return cpu_conv.linear_gelu(frames, weight, dtype).transpose(1, 2)
        plain = isinstance(norm, nn.Identity)
        y = cpu_conv.conv1d(x.transpose(1, 2).to(dtype), conv.weight, conv.bias, conv.stride[0], gelu=plain)
        y = y.transpose(1, 2)
        if plain:
            return y
        return F.gelu(norm(y, lengths) if self.per_row else norm(y))


def normalised_product(
    waveforms: Tensor, conv: nn.Conv1d, norm: nn.GroupNorm, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """A convolution of waveforms and its group norm as one matrix product: what to multiply.

    Mean and variance of each output channel follow from the mean and the covariance of the K samples under
    the kernel, so they go into the weights, and the output is written once. In float64, because the
    variance of a filtered signal may be a small difference of large ones.

    Args:
        waveforms: [B, T] float32.
        conv: From one channel to C, without a bias.
        norm: Of its output.
        lengths: int64 [B] in frames of its output, or None.

    Returns:
        [B, N, K + 1], samples around their mean, and a one; and [B, K + 1, C].
    """
    frames = waveforms.unfold(1, conv.kernel_size[0], conv.stride[0])
    if lengths is None:
        count: Tensor | int = frames.shape[1]
        centred = frames - frames.mean(1, keepdim=True)
    else:
        count = lengths.clamp(min=1)[:, None, None]
        valid = (torch.arange(frames.shape[1], device=frames.device) < lengths[:, None])[..., None]
        centred = (frames - (frames * valid).sum(1, keepdim=True) / count) * valid
    wide = centred.double()
    covariance = wide.transpose(1, 2) @ wide / count
    kernel = conv.weight[:, 0].double()
    variance = ((kernel @ covariance) * kernel).sum(-1)
    scale = norm.weight.float() * torch.rsqrt(variance + norm.eps).float()
    weight = (conv.weight[:, 0].float() * scale[..., None]).transpose(1, 2)
    bias = norm.bias.float().expand(len(weight), 1, -1)
    return F.pad(centred, (0, 1), value=1.0), torch.cat([weight, bias], dim=1)


class ConvFeatureExtractor(nn.Module):
    """The stack of convolutions.

    Args:
        layers: (channels, kernel, stride) of each.
        norm: "group" puts one group norm after the first convolution, "layer" a layer norm after each.
        bias: Whether the convolutions have biases.
        reference_padding: Let the group norm see padding, as fairseq does (quirk 2).
    """

    def __init__(
        self,
        layers: ConvLayers,
        norm: Literal["group", "layer"] = "group",
        bias: bool = False,
        reference_padding: bool = False,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.reference_padding = reference_padding
        self.conv_layers = nn.ModuleList(self._blocks(norm, bias))

    def _blocks(self, norm: Literal["group", "layer"], bias: bool) -> Iterable[ConvBlock]:
        in_channels = 1
        for i, layer in enumerate(self.layers):
            yield ConvBlock(in_channels, layer, norm if norm == "layer" or i == 0 else "none", bias)
            in_channels = layer[0]

    @property
    def out_channels(self) -> int:
        """Channels C of the features."""
        return self.layers[-1][0]

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Latent features.

        Args:
            waveforms: [B, T] float32, 16 kHz.
            lengths: int64 [B], in samples; None where nothing is padded. What stands past them is not heard,
                whatever it is.

        Returns:
            [B, C, N], N = 0 below the receptive field; frames past an utterance's length hold nothing of use.
        """
        check_lengths(waveforms, lengths)
        if waveforms.shape[1] < receptive_field(self.layers):
            return waveforms.new_zeros(len(waveforms), self.out_channels, 0)
        if lengths is not None:
            # Zeros, not only a mask over what follows: a NaN would pass through any product with 0.
            padding = torch.arange(waveforms.shape[1], device=waveforms.device) >= lengths[:, None]
            waveforms = waveforms.masked_fill(padding, 0.0)
        if self.reference_padding:
            lengths = None
        if self._can_be_cut(waveforms):
            return self._in_stretches(waveforms, lengths)
        x = waveforms[:, None]
        if cpu_matmul.dtype_of_products(x) is None:
            x = x.to(self.conv_layers[0][0].weight.dtype)  # type: ignore[index]
        for block, (_, kernel, stride) in zip(self.conv_layers, self.layers, strict=True):
            lengths = None if lengths is None else conv_length(lengths, kernel, stride)
            x = block(x, lengths)
        return x

    def lay_out(self) -> None:
        """See `cpu_matmul.LaysOut`. What cannot be heard in stretches stays as it is."""
        blocks = [block for block in self.conv_layers if isinstance(block, ConvBlock)]
        if not blocks[0].hears_all:
            for block in blocks:
                block.lay_out()

    def _can_be_cut(self, waveforms: Tensor) -> bool:
        first, last = self.conv_layers[0], self.conv_layers[-1]
        assert isinstance(first, ConvBlock) and isinstance(last, ConvBlock)
        inference = not torch.is_grad_enabled() and cpu_matmul.dtype_of_products(waveforms) is not None
        return last.laid_out is not None or (inference and not first.hears_all)

    def _in_stretches(self, waveforms: Tensor, lengths: Tensor | None) -> Tensor:
        """As `forward`, where nobody wants a gradient (see `cpu_front_end`)."""
        block, *others = (layer for layer in self.conv_layers if isinstance(layer, ConvBlock))
        dtype = self.conv_layers[-1].dtype_of_products(waveforms)  # type: ignore[operator]
        assert dtype is not None
        _, kernel, stride = self.layers[0]
        counts = torch.full(waveforms.shape[:1], waveforms.shape[1]) if lengths is None else lengths
        of_first = None if lengths is None else conv_length(lengths, kernel, stride)
        width = num_frames(waveforms.shape[1], self.layers)
        with torch.autocast("cpu", enabled=False):
            y = waveforms.new_zeros(len(waveforms), width, self.out_channels, dtype=dtype)
            layers = [other.local(dtype) for other in others]
            windows = [(kernel, stride) for _, kernel, stride in self.layers[1:]]
            frames = num_frames(counts, self.layers).tolist()
            cpu_front_end.fill(y, frames, block.first(waveforms, of_first, dtype), layers, windows)
        return y.transpose(1, 2)
