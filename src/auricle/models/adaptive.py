"""Adaptive input and softmax (Baevski and Auli 2019, sections 3.1 and 3.2; Grave et al. 2017).

A dictionary, most frequent symbols first, is cut into bands. The first has vectors of full width; each of the
others has narrower ones, `factor` times narrower than the band before. The output layer first chooses among
the symbols of the first band and, as one class each, the other bands.

Legend: B batch, S symbols, C channels, V dictionary size. Parameter names are those of the published
checkpoints; what is tied stands once, under its name in the input.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.models.config import LanguageModelConfig
from auricle.models.cpu_matmul import Linear
from auricle.models.dropout import Dropout


def bands(cutoffs: tuple[int, ...], num_symbols: int) -> list[tuple[int, int]]:
    """The symbols [first, last + 1) of each band."""
    return list(pairwise((0, *cutoffs, num_symbols)))


def band_width(dim: int, factor: float, band: int) -> int:
    """Width of a band's vectors."""
    return int(dim // factor**band)


class AdaptiveInput(nn.Module):
    """Embeddings of as many widths as there are bands, each widened to the model's."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.bands = bands(config.input_cutoffs, config.num_symbols)
        self.dim = config.decoder.dim
        self.embeddings = nn.ModuleList()
        for i, (first, end) in enumerate(self.bands):
            width = band_width(config.input_dim, config.input_factor, i)
            table, widen = nn.Embedding(end - first, width), Linear(width, self.dim, bias=False)
            nn.init.normal_(table.weight, std=width**-0.5)
            nn.init.xavier_uniform_(widen.weight)
            self.embeddings.append(nn.Sequential(table, widen))

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [B, S] -> [B, S, C]."""
        x = self.widening(0).new_zeros(*tokens.shape, self.dim)
        for (first, end), embed in zip(self.bands, self.embeddings, strict=True):
            inside = (tokens >= first) & (tokens < end)
            x[inside] = embed(tokens[inside] - first).type_as(x)
        return x

    def table(self, band: int) -> Tensor:
        """A band's vectors, one a symbol."""
        return self.embeddings[band].get_parameter("0.weight")

    def widening(self, band: int) -> Tensor:
        """The matrix [C, width] that widens them."""
        return self.embeddings[band].get_parameter("1.weight")


class AdaptiveSoftmax(nn.Module):
    """Log-probabilities of all symbols, band by band."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        dim, num_tails = config.output_dim, len(config.softmax_cutoffs)
        self.bands = bands(config.softmax_cutoffs, config.num_symbols)
        self.tied_words, self.tied_proj = config.tie_adaptive_weights, config.tie_adaptive_proj
        self.dropout = Dropout(config.softmax_dropout)
        num_words = self.bands[0][1]
        self.head = (
            nn.ModuleDict({"class_proj": Linear(dim, num_tails, bias=False)})
            if self.tied_words
            else Linear(dim, num_words + num_tails, bias=False)
        )
        self.tail = nn.ModuleList()
        for i, (first, end) in enumerate(self.bands[1:], start=1):
            width = band_width(dim, config.softmax_factor, i)
            tail = nn.ModuleDict()
            if not self.tied_proj:
                tail["0"] = Linear(dim, width, bias=False)
            if not self.tied_words:
                tail["2"] = Linear(width, end - first, bias=False)
            self.tail.append(tail)
        for weight in self.parameters():
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor, embed: AdaptiveInput | None) -> Tensor:
        """Natural-log probabilities.

        Args:
            x: [B, S, C].
            embed: The input's tables; looked at only where weights are tied.

        Returns:
            [B, S, V] float32.
        """
        head = self._head(x, embed).float().log_softmax(-1)
        num_words = self.bands[0][1]
        parts = [head[..., :num_words]]
        for i in range(1, len(self.bands)):
            of_band = self._tail(x, i, embed).float().log_softmax(-1)
            parts.append(of_band + head[..., num_words + i - 1, None])
        return torch.cat(parts, dim=-1)

    def log_probs_of(self, x: Tensor, targets: Tensor, embed: AdaptiveInput | None) -> Tensor:
        """Of given symbols only: each band is computed for its own, which saves most of the work.

        Args:
            x: [B, S, C].
            targets: int64 [B, S].
            embed: As for `forward`.

        Returns:
            [B, S] float32.
        """
        num_words = self.bands[0][1]
        head = self._head(x, embed).float().log_softmax(-1)
        chosen = targets.clone()  # the class that the head has for each: the word itself, or its band
        for i, (first, end) in enumerate(self.bands[1:]):
            chosen[(targets >= first) & (targets < end)] = num_words + i
        picked = head.gather(-1, chosen[..., None])[..., 0]
        for i, (first, end) in enumerate(self.bands[1:], start=1):
            inside = (targets >= first) & (targets < end)
            of_band = self._tail(x[inside], i, embed).float().log_softmax(-1)
            within = of_band.gather(-1, (targets[inside] - first)[:, None])[:, 0]
            picked = picked.masked_scatter(inside, picked[inside] + within)
        return picked

    def _head(self, x: Tensor, embed: AdaptiveInput | None) -> Tensor:
        if not self.tied_words:
            return self.head(x)  # type: ignore[no-any-return]
        assert embed is not None
        classes = self.head.get_parameter("class_proj.weight")
        return F.linear(x, torch.cat([embed.table(0), classes]))

    def _tail(self, x: Tensor, band: int, embed: AdaptiveInput | None) -> Tensor:
        tail = self.tail[band - 1]
        if self.tied_proj:
            assert embed is not None
            narrow = embed.widening(band).t()
        else:
            narrow = tail.get_parameter("0.weight")
        if self.tied_words:
            assert embed is not None
            words = embed.table(band)
        else:
            words = tail.get_parameter("2.weight")
        return F.linear(self.dropout(F.linear(x, narrow)), words)
