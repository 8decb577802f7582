"""A speech recogniser: the encoder and a linear layer over letters (wav2vec 2.0, section 3.3).

Legend: B batch, T samples, N frames, V labels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from auricle.models.adapters import CorpusKey
from auricle.models.config import CTCConfig
from auricle.models.cpu_matmul import Linear
from auricle.models.dropout import Dropout
from auricle.models.wav2vec2 import Features, Wav2Vec2


@dataclass(frozen=True, slots=True)
class CTCOutput:
    """Scores of labels.

    Attributes:
        logits: [B, N, V]; the blank is label 0.
        lengths: int64 [B], valid frames.
    """

    logits: Tensor
    lengths: Tensor


class Wav2Vec2CTC(nn.Module):
    """An encoder with a CTC head."""

    def __init__(self, config: CTCConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Wav2Vec2(config.encoder)
        self.final_dropout = Dropout(config.final_dropout)
        self.proj = Linear(config.encoder.encoder.dim, config.num_labels)
        nn.init.xavier_uniform_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor | None = None,
        *,
        span_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
        input_noise: Tensor | None = None,
        temperature: float = 1.0,
        corpus_key: CorpusKey = None,
        freeze_encoder: bool = False,
    ) -> CTCOutput:
        """Logits.

        Args:
            waveforms: [B, T] float32, 16 kHz.
            lengths: int64 [B], samples of each row; None: nothing is padded.
            span_mask: bool [B, N], frames to mask while fine-tuning.
            channel_mask: bool [B, C], channels to set to zero while fine-tuning.
            input_noise: Gumbel noise [B, N, G, V] while fine-tuning models that quantize their input.
            temperature: Of that.
            corpus_key: Which adapters to use (see `Wav2Vec2.extract_features`).
            freeze_encoder: Give the encoder no gradient (fairseq's `freeze_finetune_updates`).
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not freeze_encoder):
            features = self.encoder.extract_features(
                waveforms,
                lengths,
                span_mask=span_mask,
                channel_mask=channel_mask,
                input_noise=input_noise,
                temperature=temperature,
                corpus_key=corpus_key,
                keep_layers=False,
            )
        context = self.final_dropout(features.context)
        if not torch.is_autocast_enabled(context.device.type):
            context = context.to(self.proj.weight.dtype)  # which may be more exact than the encoder's
        return CTCOutput(self.proj(context), features.lengths)

    @property
    def packs_frames(self) -> bool:
        """See `Encoder.packs_frames`."""
        return self.encoder.encoder.packs_frames

    def extract_features(
        self,
        waveforms: Tensor,
        lengths: Tensor | None = None,
        layer: int | None = None,
        *,
        corpus_key: CorpusKey = None,
    ) -> Features:
        """The encoder's representations (see `Wav2Vec2.extract_features`)."""
        return self.encoder.extract_features(waveforms, lengths, layer, corpus_key=corpus_key)
