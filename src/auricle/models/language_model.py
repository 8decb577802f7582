"""fairseq's `transformer_lm`: how likely is each symbol after those before it.

Legend: B batch, S symbols, C channels, V dictionary size.
"""

from torch import Tensor, nn

from auricle.models.adaptive import AdaptiveInput, AdaptiveSoftmax
from auricle.models.config import LanguageModelConfig
from auricle.models.cpu_matmul import Linear
from auricle.models.decoder import Decoder, DecoderState, embedding


class TransformerLM(nn.Module):
    """A language model over words or letters.

    A sentence is given as `</s>` (or `<s>`, see `start_index`), then its symbols: position i of the answer is
    about symbol i + 1, and the last about the `</s>` that ends it.
    """

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.decoder.dim
        self.adaptive_input = bool(config.input_cutoffs)
        if self.adaptive_input:
            self.decoder = Decoder(config.decoder, AdaptiveInput(config), dim, memory=False)
        else:
            table = embedding(config.num_symbols, config.input_dim)
            self.decoder = Decoder(config.decoder, table, config.input_dim, memory=False)
        self.project_out_dim = (
            Linear(dim, config.output_dim, bias=False) if dim != config.output_dim else None
        )
        self.adaptive_softmax = AdaptiveSoftmax(config) if config.softmax_cutoffs else None
        self.output_projection: nn.Linear | None = None
        if not config.softmax_cutoffs and not config.tie_embeddings:
            self.output_projection = Linear(config.output_dim, config.num_symbols, bias=False)
            nn.init.normal_(self.output_projection.weight, std=config.output_dim**-0.5)

    @property
    def start_index(self) -> int:
        """The symbol that a sentence begins with: `<s>` or `</s>`."""
        return 0 if self.config.add_bos_token else 2

    def forward(self, tokens: Tensor) -> Tensor:
        """Natural-log probabilities of the next symbol.

        Args:
            tokens: int64 [B, S], rows filled up with `<pad>` (1).

        Returns:
            [B, S, V] float32; unspecified at padding.
        """
        x, _ = self.decoder(tokens)
        return self._log_probs(x)

    def log_probs_of(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Natural-log probabilities of given next symbols, without those of all others.

        Args:
            tokens: As for `forward`.
            targets: int64 [B, S], the symbol that follows each.

        Returns:
            [B, S] float32; unspecified at padding.
        """
        x = self._projected(self.decoder(tokens)[0])
        if self.adaptive_softmax is not None:
            picked: Tensor = self.adaptive_softmax.log_probs_of(x, targets, self._tables())
            return picked
        logits = self._logits(x).float()
        return -nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(
            targets.shape
        )

    def step(self, tokens: Tensor, state: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """The same for one more symbol a row, without computing those before it again.

        Args:
            tokens: int64 [B], the symbols that follow.
            state: What the last call gave, or some rows of it (`DecoderState.select`); None at the start.

        Returns:
            Natural-log probabilities of the symbol after those, [B, V] float32, and the state for it. States
            are values: an old one stays good, for another symbol in the same place.
        """
        x, state = self.decoder(tokens[:, None], state=state)
        return self._log_probs(x)[:, 0], state

    def _log_probs(self, x: Tensor) -> Tensor:
        x = self._projected(x)
        if self.adaptive_softmax is not None:
            return self.adaptive_softmax(x, self._tables())  # type: ignore[no-any-return]
        return self._logits(x).float().log_softmax(-1)

    def _projected(self, x: Tensor) -> Tensor:
        return x if self.project_out_dim is None else self.project_out_dim(x)

    def _tables(self) -> AdaptiveInput | None:
        embed = self.decoder.embed_tokens
        return embed if isinstance(embed, AdaptiveInput) else None

    def _logits(self, x: Tensor) -> Tensor:
        if self.output_projection is not None:
            return self.output_projection(x)  # type: ignore[no-any-return]
        return nn.functional.linear(x, self.decoder.embed_tokens.get_parameter("weight"))
