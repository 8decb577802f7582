"""The product quantizer: continuous features to entries of a few codebooks.

wav2vec 2.0, section 2 ("Quantization module") and equation 1; vq-wav2vec, section 3.1.

Legend: B batch, M rows (masked frames), C channels, G codebooks, V entries a codebook.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.models.config import QuantizerConfig


@dataclass(frozen=True, slots=True)
class Quantized:
    """What a quantizer gives.

    Attributes:
        vectors: [B, M, dim], the chosen entries side by side.
        codes: int64 [B, M, G], the entry chosen in each codebook.
        code_perplexity: Scalar, exp of the entropy of the hard choices, summed over codebooks.
        prob_perplexity: Scalar, the same for the averaged softmax; what the diversity loss raises.
    """

    vectors: Tensor
    codes: Tensor
    code_perplexity: Tensor
    prob_perplexity: Tensor


def perplexity(probabilities: Tensor) -> Tensor:
    """exp(entropy) of [G, V] distributions, summed over G: a scalar."""
    entropy = -(probabilities * torch.log(probabilities + 1e-7)).sum(-1)
    return entropy.exp().sum()


class GumbelVectorQuantizer(nn.Module):
    """Chooses one entry of each codebook by a Gumbel softmax (Jang et al. 2017).

    Args:
        in_dim: Channels C of the input.
        dim: Width of the quantized vector; a multiple of the number of codebooks.
        config: Codebooks, entries, depth of the projection.
        combine_groups: Share one codebook among the groups (vq-wav2vec, section 3.3).
    """

    def __init__(self, in_dim: int, dim: int, config: QuantizerConfig, combine_groups: bool = False) -> None:
        super().__init__()
        self.num_codebooks = config.num_codebooks
        self.num_entries = config.num_entries
        stored = 1 if combine_groups else config.num_codebooks
        self.vars = nn.Parameter(torch.rand(1, stored * config.num_entries, dim // config.num_codebooks))
        self.weight_proj = self._projection(in_dim, config)

    @property
    def size(self) -> int:
        """G * V, all entries of all codebooks: what the perplexities reach at most."""
        return self.num_codebooks * self.num_entries

    @staticmethod
    def _projection(in_dim: int, config: QuantizerConfig) -> nn.Module:
        inner = in_dim * config.factor
        out = nn.Linear(in_dim if config.depth == 1 else inner, config.num_codebooks * config.num_entries)
        if config.depth == 1:
            nn.init.normal_(out.weight)
            nn.init.zeros_(out.bias)
            return out
        hidden = (
            nn.Sequential(nn.Linear(in_dim if i == 0 else inner, inner), nn.GELU())
            for i in range(config.depth - 1)
        )
        return nn.Sequential(*hidden, out)

    def forward(
        self,
        x: Tensor,
        valid: Tensor | None = None,
        noise: Tensor | None = None,
        temperature: Tensor | float = 1.0,
    ) -> Quantized:
        """Quantize the rows of `x`.

        Args:
            x: [B, M, C].
            valid: bool [B, M]; rows that count in the perplexities. None: all.
            noise: Gumbel noise [B, M, G, V], in training; None chooses the likeliest entries.
            temperature: Of the softmax whose gradient stands in for the choice's.

        Returns:
            The quantized rows; in training their gradient is the softmax's (straight-through).
        """
        logits = self.weight_proj(x).float().unflatten(-1, (self.num_codebooks, self.num_entries))
        probabilities = F.softmax(logits, dim=-1)
        likeliest = logits.argmax(-1)
        if noise is None:
            codes, choice = likeliest, self._one_hot(likeliest)
        else:
            soft = F.softmax((logits + noise) / temperature, dim=-1)
            codes = soft.argmax(-1)
            choice = self._one_hot(codes) + (soft - soft.detach())
        return Quantized(
            vectors=self._look_up(choice.type_as(self.vars)),
            codes=codes,
            code_perplexity=perplexity(self._mean_over_rows(self._one_hot(likeliest), valid)),
            prob_perplexity=perplexity(self._mean_over_rows(probabilities, valid)),
        )

    def _one_hot(self, codes: Tensor) -> Tensor:
        return F.one_hot(codes, self.num_entries).float()

    def _look_up(self, choice: Tensor) -> Tensor:
        """Weights over entries [B, M, G, V] -> [B, M, dim]."""
        entries = self.vars.view(-1, self.num_entries, self.vars.shape[-1])
        entries = entries.expand(self.num_codebooks, -1, -1)
        return torch.einsum("bmgv,gvd->bmgd", choice, entries).flatten(2)

    @staticmethod
    def _mean_over_rows(x: Tensor, valid: Tensor | None) -> Tensor:
        """[B, M, G, V] -> [G, V], over the valid rows."""
        if valid is None:
            return x.mean((0, 1))
        weights = valid.to(x.dtype) / valid.sum().clamp(min=1)
        return torch.einsum("bmgv,bm->gv", x, weights)
