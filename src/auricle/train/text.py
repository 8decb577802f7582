"""Training models of text: symbols that were masked, or the symbol that comes next."""

from dataclasses import dataclass

from auricle import losses
from auricle.data.text import TextBatch
from auricle.losses import Loss
from auricle.models.language_model import TransformerLM
from auricle.models.roberta import Roberta
from auricle.train.draws import Position
from auricle.train.text_draws import SymbolDraws


@dataclass(frozen=True)
class MaskedLMObjective:
    """Guess masked symbols from those around them (Liu et al. 2019; vq-wav2vec, section 4)."""

    model: Roberta
    draws: SymbolDraws

    def loss(self, batch: TextBatch, position: Position) -> Loss:
        """See `Objective`."""
        masks = self.draws.masks(batch.tokens, batch.ids.tolist(), position)
        device = self.model.embed_tokens.weight.device
        masked = masks.masked.to(device)
        logits = self.model(masks.shown.to(device), masked=masked)
        return losses.masked_symbols(logits, batch.tokens.to(device)[masked])

    def validate(self, batch: TextBatch, position: Position) -> tuple[Loss, None]:
        """See `Objective`."""
        return self.loss(batch, position), None


@dataclass(frozen=True)
class LanguageModelObjective:
    """Predict each symbol from those before it (fairseq's `cross_entropy` and `adaptive_loss`)."""

    model: TransformerLM
    sentence_avg: bool = False

    def loss(self, batch: TextBatch, position: Position) -> Loss:
        """See `Objective`; chance plays no part."""
        tokens = batch.tokens.to(next(self.model.parameters()).device)
        before, targets = tokens[:, :-1], tokens[:, 1:]
        log_probs = self.model.log_probs_of(before, targets)
        return losses.likelihood(log_probs, targets, sentence_avg=self.sentence_avg)

    def validate(self, batch: TextBatch, position: Position) -> tuple[Loss, None]:
        """See `Objective`."""
        return self.loss(batch, position), None
