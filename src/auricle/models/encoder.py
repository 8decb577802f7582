"""The context network (wav2vec 2.0, section 2): positions, then a stack of layers of any kind.

Legend: B batch, N frames, C channels (model width).
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from auricle.models import cpu_matmul
from auricle.models.adapters import AdaptedLayer
from auricle.models.config import EncoderConfig
from auricle.models.conformer import ConformerLayer, MaskedBatchNorm, distance_table
from auricle.models.dropout import Dropout, layers_to_run
from auricle.models.packing import packing
from auricle.models.transformer import PositionalConv, Surroundings, TransformerLayer


class Encoder(nn.Module):
    """Positions, then the layers."""

    def __init__(self, config: EncoderConfig, reference_padding: bool = False) -> None:
        super().__init__()
        self.config = config
        self.reference_padding = reference_padding
        self.pos_conv = PositionalConv(
            config.dim, config.pos_conv_kernel, config.pos_conv_groups, config.pos_conv_depth, config.dropout
        )
        self.layers = nn.ModuleList(encoder_layer(config, i) for i in range(config.num_layers))
        self.layer_norm = nn.LayerNorm(config.dim)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        padding_mask: Tensor | None,
        layer: int | None = None,
        corpus_key: Tensor | None = None,
        keep_layers: bool = True,
    ) -> tuple[Tensor, list[Tensor]]:
        """The context, and what each layer gave.

        Args:
            x: [B, N, C].
            padding_mask: bool [B, N], True at padding; None where nothing is padded.
            layer: Stop after this layer (from 0), without the final norm of pre-norm models.
            corpus_key: int64 [B], which adapters each row goes through, in models that have some.
            keep_layers: Give what the layers gave; otherwise none is kept in memory.

        Returns:
            Context [B, N, C] and one [B, N, C] a layer, before any final norm (quirks 6, 7).

        Raises:
            IndexError: There is no such layer.
        """
        if layer is not None and not 0 <= layer < len(self.layers):
            raise IndexError(f"layer {layer}: there are 0 to {len(self.layers) - 1}")
        frames = x.shape[1]
        # Where the norms are more exact than the products are, so is what the layers add to.
        x = cpu_matmul.as_product_of(x, self.layer_norm.weight)
        x = self._with_positions(x, padding_mask)
        x, padding_mask = self._with_extra_frames(x, padding_mask)
        blocks = self.layers[: None if layer is None else layer + 1]
        if self._packs(x):
            packed = packing(x, padding_mask)
            around = Surroundings(packed=packed.counts)
            x, layers = self._through(blocks, packed.pack(x), around, keep_layers)
            x, layers = packed.unpack(x), [packed.unpack(each) for each in layers]
        else:
            around = self._surroundings(x, padding_mask, corpus_key)
            x, layers = self._through(blocks, x, around, keep_layers)
            x, layers = x[:, :frames], [each[:, :frames] for each in layers]
        if self.config.pre_norm and layer is None:
            x = self.layer_norm(x)
        return x, layers

    def _through(
        self, blocks: Iterable[nn.Module], x: Tensor, around: Surroundings, keep_layers: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """What the last of some layers gives, and, if they are to be kept, what each gives."""
        layers: list[Tensor] = []
        kept = layers_to_run(len(self.layers), self.config.layerdrop, self.training)
        for block, keep in zip(blocks, kept, strict=False):
            x = self._run(block, x, around) if keep else x
            layers += [x] if keep_layers else []
        return x, layers

    @property
    def packs_frames(self) -> bool:
        """Whether the layers look around by attention only, and so compute nothing on padding on a CPU."""
        return all(type(layer) is TransformerLayer for layer in self.layers)

    def _packs(self, x: Tensor) -> bool:
        inference = not torch.is_grad_enabled() and not self.training
        return inference and self.packs_frames and cpu_matmul.dtype_of_products(x) is not None

    def _with_positions(self, x: Tensor, padding_mask: Tensor | None) -> Tensor:
        if padding_mask is not None:
            x = x.masked_fill(padding_mask[..., None], 0.0)
        if self.config.has_position_conv:
            x = x + self.pos_conv(x, None if self.reference_padding else padding_mask)
        if not self.config.pre_norm:
            x = self.layer_norm(x)
        return self.dropout(x)  # type: ignore[no-any-return]

    def _with_extra_frames(self, x: Tensor, padding_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames and mask, with fairseq's extra ones where they are heard.

        fairseq pads the frames to a multiple of `required_seq_len_multiple` with ones that no frame may look
        at, and cuts them off again (quirk 5). In a Transformer that changes nothing but rounding; the
        convolutions of a Conformer hear them.
        """
        config = self.config
        extra = -x.shape[1] % config.required_seq_len_multiple
        heard = self.reference_padding and config.layer_type == "conformer" and config.has_position_conv
        if extra == 0 or not heard:
            return x, padding_mask
        if padding_mask is None:
            padding_mask = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
        return F.pad(x, (0, 0, 0, extra)), F.pad(padding_mask, (0, extra), value=True)

    def _surroundings(
        self, x: Tensor, padding_mask: Tensor | None, corpus_key: Tensor | None
    ) -> Surroundings:
        config = self.config
        relative = config.layer_type == "conformer" and config.positions == "rel_pos"
        mask = None if padding_mask is None else ~padding_mask[:, None]
        return Surroundings(
            key_mask=None if mask is None else mask[:, None],
            valid=None if self.reference_padding else mask,
            distances=distance_table(x.shape[1], config.dim, x.device).type_as(x) if relative else None,
            corpus_key=corpus_key,
        )

    def _run(self, block: nn.Module, x: Tensor, around: Surroundings) -> Tensor:
        if not (self.config.checkpoint_activations and self.training and torch.is_grad_enabled()):
            return block(x, around)  # type: ignore[no-any-return]

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), statistics_kept(block)

        return checkpoint(block, x, around, use_reentrant=False, context_fn=contexts)  # type: ignore[no-any-return]


def encoder_layer(config: EncoderConfig, number: int) -> nn.Module:
    """The layer of this number, from 0: `(x [B, N, C], Surroundings) -> [B, N, C]`."""
    if config.layer_type == "conformer":
        return ConformerLayer(config)
    return AdaptedLayer(config) if config.has_adapters(number) else TransformerLayer(config)


@contextmanager
def statistics_kept(block: nn.Module) -> Iterator[None]:
    """Batch norms do not learn their statistics a second time when a layer is computed anew."""
    norms = [module for module in block.modules() if isinstance(module, MaskedBatchNorm)]
    for norm in norms:
        norm.keeps_statistics = False
    try:
        yield
    finally:
        for norm in norms:
            norm.keeps_statistics = True
