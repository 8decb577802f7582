"""The product quantizers: continuous features to entries of a few codebooks.

wav2vec 2.0, section 2 ("Quantization module") and equation 1; vq-wav2vec, section 3.

Legend: B batch, M rows (frames, or masked frames), C channels, G codebooks, V entries a codebook, N frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.models.config import QuantizerConfig
from auricle.models.cpu_matmul import Linear
from auricle.models.norm import MaskedGroupNorm
from auricle.models.wav2vec_config import CodebooksConfig


@dataclass(frozen=True, slots=True)
class Quantized:
    """What a quantizer gives.

    Attributes:
        vectors: [B, M, dim], the chosen entries side by side.
        codes: int64 [B, M, G], the entry chosen in each codebook.
        code_perplexity: Scalar, exp of the entropy of the hard choices, summed over codebooks.
        prob_perplexity: Scalar, the same for the averaged softmax; what the diversity loss raises. None
            where nothing is chosen by a softmax.
        kmeans_loss: Scalar, how far features and their centroids are apart; None where there are none.
    """

    vectors: Tensor
    codes: Tensor
    code_perplexity: Tensor
    prob_perplexity: Tensor | None = None
    kmeans_loss: Tensor | None = None


def perplexity(probabilities: Tensor) -> Tensor:
    """exp(entropy) of [G, V] distributions, summed over G: a scalar."""
    entropy = -(probabilities * torch.log(probabilities + 1e-7)).sum(-1)
    return entropy.exp().sum()


def mean_over_rows(x: Tensor, valid: Tensor | None) -> Tensor:
    """[B, M, G, V] -> [G, V], over the rows that are valid, bool [B, M]; None: all.

    In the type of `x`, whatever autocast makes of products: in bfloat16 a perplexity of 500 is known to 2.
    """
    if valid is None:
        return x.mean((0, 1))
    weights = valid.to(x.dtype) / valid.sum().clamp(min=1)
    with torch.autocast(x.device.type, enabled=False):
        return torch.einsum("bmgv,bm->gv", x, weights)


class GumbelVectorQuantizer(nn.Module):
    """Chooses one entry of each codebook by a Gumbel softmax (Jang et al. 2017).

    Args:
        in_dim: Channels C of the input.
        dim: Width of the quantized vector; a multiple of the number of codebooks.
        config: Codebooks, entries, depth of the projection.
        combine_groups: Share one codebook among the groups (vq-wav2vec, section 3.3).
        activation: Of the projection's hidden layers.
    """

    def __init__(
        self,
        in_dim: int,
        dim: int,
        config: QuantizerConfig,
        combine_groups: bool = False,
        activation: type[nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        self.num_codebooks = config.num_codebooks
        self.num_entries = config.num_entries
        stored = 1 if combine_groups else config.num_codebooks
        self.vars = nn.Parameter(torch.rand(1, stored * config.num_entries, dim // config.num_codebooks))
        self.weight_proj = self._projection(in_dim, config, activation)

    @property
    def size(self) -> int:
        """G * V, all entries of all codebooks: what the perplexities reach at most."""
        return self.num_codebooks * self.num_entries

    @staticmethod
    def _projection(in_dim: int, config: QuantizerConfig, activation: type[nn.Module]) -> nn.Module:
        inner = in_dim * config.factor
        out = Linear(in_dim if config.depth == 1 else inner, config.num_codebooks * config.num_entries)
        if config.depth == 1:
            nn.init.normal_(out.weight)
            nn.init.zeros_(out.bias)
            return out
        hidden = (
            nn.Sequential(Linear(in_dim if i == 0 else inner, inner), activation())
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
            code_perplexity=perplexity(mean_over_rows(self._one_hot(likeliest), valid)),
            prob_perplexity=perplexity(mean_over_rows(probabilities, valid)),
        )

    def forward_idx(self, z: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features [B, C, N] -> the likeliest entries [B, dim, N] and their codes, int64 [B, N, G].

        Each frame is quantized by itself, so `lengths` change nothing: they are taken because the k-means
        quantizer needs them.
        """
        quantized = self(z.transpose(1, 2))
        return quantized.vectors.transpose(1, 2), quantized.codes

    def entries_at(self, codes: Tensor) -> Tensor:
        """Codes, int64 [B, M, G], to the entries they name, [B, M, dim]."""
        return self._look_up(self._one_hot(codes).type_as(self.vars))

    def _one_hot(self, codes: Tensor) -> Tensor:
        return F.one_hot(codes, self.num_entries).float()

    def _look_up(self, choice: Tensor) -> Tensor:
        """Weights over entries [B, M, G, V] -> [B, M, dim]."""
        entries = self.vars.view(-1, self.num_entries, self.vars.shape[-1])
        entries = entries.expand(self.num_codebooks, -1, -1)
        return torch.einsum("bmgv,gvd->bmgd", choice, entries).flatten(2)


class KMeansVectorQuantizer(nn.Module):
    """Chooses the nearest entry of each codebook (vq-wav2vec, section 3.2; van den Oord et al. 2017).

    Args:
        dim: Channels C of the features, and of their quantized selves; a multiple of the codebooks.
        config: Codebooks, entries, whether the groups share one codebook, weight of the commitment.
        reference_padding: Let the norm before the choice see padding, as fairseq's does.
    """

    def __init__(self, dim: int, config: CodebooksConfig, reference_padding: bool = False) -> None:
        super().__init__()
        groups = config.num_codebooks
        self.num_codebooks = groups
        self.num_entries = config.num_entries
        self.gamma = config.gamma
        stored = 1 if config.combine_groups else groups
        self.embedding = nn.Parameter(0.01 * torch.randn(config.num_entries, stored, dim // groups))
        self.projection = nn.Sequential(
            nn.Conv1d(dim, dim, 1, groups=groups, bias=False),
            MaskedGroupNorm(groups, dim, reference_padding=reference_padding),
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Quantized:
        """Quantize the frames of `x`.

        Args:
            x: [B, N, C].
            lengths: int64 [B], frames of each row; None where nothing is padded.

        Returns:
            The quantized frames, whose gradient goes to the features they are nearest to, and
            `kmeans_loss`: mean squares of entries to features plus gamma times of features to entries.
        """
        features = self._projected(x.transpose(1, 2), lengths).transpose(1, 2)
        valid = None if lengths is None else torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        grouped = features.float().reshape(*features.shape[:2], self.num_codebooks, -1)
        entries = self.embedding.expand(-1, self.num_codebooks, -1).transpose(0, 1)
        codes = self._nearest(grouped.detach(), entries.detach().float())
        chosen = torch.stack([entries[group, codes[..., group]] for group in range(len(entries))], dim=-2)
        chosen = chosen.flatten(2)
        one_hot = F.one_hot(codes, self.num_entries).float()
        return Quantized(
            vectors=chosen.detach() + (features - features.detach()),
            codes=codes,
            code_perplexity=perplexity(mean_over_rows(one_hot, valid)),
            kmeans_loss=_mean_square(chosen, features.detach(), valid)
            + self.gamma * _mean_square(features, chosen.detach(), valid),
        )

    def forward_idx(self, z: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features [B, C, N] -> the nearest entries [B, C, N] and their codes, int64 [B, N, G]."""
        if z.shape[2] == 0:
            return z, torch.zeros(len(z), 0, self.num_codebooks, dtype=torch.int64, device=z.device)
        quantized = self(z.transpose(1, 2), lengths)
        return quantized.vectors.transpose(1, 2), quantized.codes

    def _projected(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        conv, norm = self.projection
        return norm(conv(x), lengths)  # type: ignore[no-any-return]

    @staticmethod
    def _nearest(features: Tensor, entries: Tensor) -> Tensor:
        """Features [B, N, G, D] and entries [G, V, D] -> int64 [B, N, G].

        Distances are summed as they are: the square expanded into products would swap near neighbours.
        """
        rows = features.flatten(0, 1).transpose(0, 1)
        distances = torch.cdist(rows, entries, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.argmin(-1).transpose(0, 1).reshape(features.shape[:3])


def _mean_square(x: Tensor, y: Tensor, valid: Tensor | None) -> Tensor:
    """Of the differences of [B, N, C], over the rows that are valid."""
    squares = (x.float() - y.float()).square()
    if valid is None:
        return squares.mean()
    return (squares * valid[..., None]).sum() / (valid.sum().clamp(min=1) * x.shape[-1])
