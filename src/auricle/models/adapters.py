"""Adapters: small networks of a corpus's own behind the layers of a shared Transformer.

Houlsby et al. 2019; fairseq's `layer_type=trf_adp`, as in MMS (Pratap et al. 2023, section 5.4).

Legend: B batch, N frames, C channels (model width), A adapters, I adapter width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.errors import UserError
from auricle.models.config import EncoderConfig
from auricle.models.transformer import Activation, Surroundings, TransformerLayer

CorpusKey = int | Sequence[int] | Tensor | None
"""The number of an adapter for all rows of a batch, or one for each."""

ADAPTER_ACTIVATIONS: dict[str, Activation] = {"relu": F.relu, "gelu": F.gelu, "selu": F.selu}


class Adapters(nn.Module):
    """Norm, a narrow linear layer, activation, linear layer; one of each for every corpus (quirk 11b)."""

    def __init__(self, num: int, dim: int, inner_dim: int, activation: str) -> None:
        super().__init__()
        self.activation = ADAPTER_ACTIVATIONS[activation]
        self.W_a = _uniform((num, inner_dim, dim), dim)
        self.b_a = _uniform((num, inner_dim), dim)
        self.W_b = _uniform((num, dim, inner_dim), inner_dim)
        self.b_b = _uniform((num, dim), inner_dim)
        self.ln_W = nn.Parameter(torch.ones(num, dim))
        self.ln_b = nn.Parameter(torch.zeros(num, dim))

    def forward(self, x: Tensor, corpus_key: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C], each row by the adapter that `corpus_key`, int64 [B], names."""
        y = F.layer_norm(x, x.shape[-1:]) * self.ln_W[corpus_key, None] + self.ln_b[corpus_key, None]
        y = self.activation(y @ self.W_a[corpus_key].transpose(1, 2) + self.b_a[corpus_key, None])
        return y @ self.W_b[corpus_key].transpose(1, 2) + self.b_b[corpus_key, None]


class AdaptedLayer(TransformerLayer):
    """A Transformer layer, then an adapter with a residual around it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        self.adapter_layer = Adapters(
            config.num_adapters, config.dim, config.adapter_dim, config.adapter_activation
        )

    def forward(self, x: Tensor, around: Surroundings) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        assert around.corpus_key is not None
        x = super().forward(x, around)
        return x + self.adapter_layer(x, around.corpus_key)  # type: ignore[no-any-return]


def adapter_of_each_row(corpus_key: CorpusKey, config: EncoderConfig, x: Tensor) -> Tensor | None:
    """int64 [B], on the device of `x` [B, N, C]; None in models without adapters.

    Raises:
        UserError: The model has adapters for several corpora and `corpus_key` names none of them.
    """
    count = config.num_adapters
    if config.layer_type != "trf_adp":
        return None
    if corpus_key is None and count != 1:
        raise UserError(
            f"the model has adapters for {count} corpora: give a corpus_key from 0 to {count - 1}"
        )
    keys = torch.as_tensor(0 if corpus_key is None else corpus_key)
    if bool(((keys < 0) | (keys >= count)).any()):
        raise UserError(
            f"corpus_key {keys.tolist()}: the model's adapters are numbered from 0 to {count - 1}"
        )
    return keys.to(x.device).expand(x.shape[0])


def _uniform(shape: tuple[int, ...], fan_in: int) -> nn.Parameter:
    """Initial values of a linear layer."""
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
