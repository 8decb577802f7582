"""A speech recogniser that writes letters one by one, looking back at what it has written.

A wav2vec 2.0 encoder and a Transformer decoder over its frames (fairseq's `wav2vec_seq2seq`).

Legend: B batch, T samples, N frames, C channels, S labels, V dictionary size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.models.adapters import CorpusKey
from auricle.models.config import Seq2SeqConfig
from auricle.models.cpu_matmul import Linear
from auricle.models.decoder import Decoder, DecoderState, Memory, embedding
from auricle.models.dropout import Dropout
from auricle.models.wav2vec2 import Features, Wav2Vec2


@dataclass(frozen=True, slots=True)
class Seq2SeqOutput:
    """Scores of labels.

    Attributes:
        logits: [B, S, V], position i about the label that follows previous token i.
    """

    logits: Tensor


class Wav2Vec2Seq2Seq(nn.Module):
    """An encoder of waveforms and a decoder of labels."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        dim, encoder_dim = config.decoder.dim, config.encoder.encoder.dim
        self.encoder = Wav2Vec2(config.encoder)
        self.final_dropout = Dropout(config.final_dropout)
        self.proj = Linear(encoder_dim, dim) if encoder_dim != dim else None
        if self.proj is not None:
            nn.init.xavier_uniform_(self.proj.weight)
            nn.init.zeros_(self.proj.bias)
        self.decoder = Decoder(config.decoder, embedding(config.num_labels, dim), dim, memory=True)
        self.embed_out: nn.Parameter | None = None
        if not config.tie_embeddings:
            self.embed_out = nn.Parameter(torch.empty(config.num_labels, dim).normal_(std=dim**-0.5))

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor | None,
        previous_tokens: Tensor,
        *,
        span_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
        input_noise: Tensor | None = None,
        temperature: float = 1.0,
        corpus_key: CorpusKey = None,
        freeze_encoder: bool = False,
    ) -> Seq2SeqOutput:
        """Logits of each label, given those before it.

        Args:
            waveforms: [B, T] float32, 16 kHz.
            lengths: int64 [B], samples of each row; None: nothing is padded.
            previous_tokens: int64 [B, S], `</s>` and then the labels; what fills up a row changes nothing
                before it.
            span_mask: bool [B, N], frames to mask while fine-tuning.
            channel_mask: bool [B, C], channels to set to zero while fine-tuning.
            input_noise: Gumbel noise [B, N, G, V] while fine-tuning models that quantize their input.
            temperature: Of that.
            corpus_key: Which adapters to use (see `Wav2Vec2.extract_features`).
            freeze_encoder: Give the encoder no gradient (fairseq's `freeze_finetune_updates`).
        """
        memory = self.encode(
            waveforms,
            lengths,
            span_mask=span_mask,
            channel_mask=channel_mask,
            input_noise=input_noise,
            temperature=temperature,
            corpus_key=corpus_key,
            freeze_encoder=freeze_encoder,
        )
        logits, _ = self.decode(previous_tokens, memory)
        return Seq2SeqOutput(logits)

    def encode(
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
    ) -> Memory:
        """What the decoder looks at: frames [B, N, C] of the decoder's width (see `forward`)."""
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
        frames = self.final_dropout(features.context)
        if self.proj is not None:
            frames = self.proj(frames)
        # A clip too short for a single frame gives the decoder one of nothing, as it has to look somewhere.
        frames = frames if frames.shape[1] else F.pad(frames, (0, 0, 0, 1))
        if lengths is None:
            return Memory(frames)
        positions = torch.arange(frames.shape[1], device=frames.device)
        return Memory(frames, (positions < features.lengths.clamp(min=1)[:, None])[:, None, None])

    def decode(
        self, tokens: Tensor, memory: Memory | None, state: DecoderState | None = None
    ) -> tuple[Tensor, DecoderState]:
        """Logits [B, S, V] of the labels after `tokens` [B, S], and the state to go on from.

        Args:
            tokens: int64 [B, S], from `</s>` on where there is no state, else what follows the prefix.
            memory: Of `encode`; None where `state` has it already.
            state: Of the prefix.
        """
        x, state = self.decoder(tokens, memory, state)
        table = self.decoder.embed_tokens.get_parameter("weight")
        return F.linear(x, table if self.embed_out is None else self.embed_out), state

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
