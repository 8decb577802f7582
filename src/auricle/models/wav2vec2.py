"""wav2vec 2.0: a masked encoder of raw speech (Baevski et al. 2020, arXiv:2006.11477).

The sections of the paper in order: feature encoder (section 2) in `conv.py`, context network in
`transformer.py`, quantization module in `quantizer.py`; here they are put together, masked (3.1) and
set the contrastive task (3.2). The losses are in `auricle.losses`.

Legend: B batch, T samples, N frames, C channels, M masked frames of a row (padded), K negatives,
G codebooks, V entries. Parameter names are those of the published checkpoints.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.models.config import QuantizerConfig, Wav2Vec2Config
from auricle.models.conv import ConvFeatureExtractor, GradientScale, num_frames, receptive_field
from auricle.models.dropout import Dropout
from auricle.models.quantizer import GumbelVectorQuantizer, Quantized
from auricle.models.transformer import Encoder

Count = TypeVar("Count", int, Tensor)


@dataclass(frozen=True, slots=True)
class Features:
    """What the encoder makes of waveforms.

    Attributes:
        context: [B, N, C], the contextualised representations c.
        lengths: int64 [B], valid frames of each row.
        layers: One [B, N, C] a layer, before any final norm.
    """

    context: Tensor
    lengths: Tensor
    layers: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class PretrainingDraws:
    """All that chance decides in one pre-training forward pass, drawn outside of it.

    Attributes:
        span_mask: bool [B, N], True at masked frames.
        masked_frames: int64 [B, M], the masked frames of each row in order, padded with 0.
        valid: bool [B, M], False at that padding.
        negatives: int64 [B, M, K], for each masked frame the positions, in its row of `masked_frames`,
            of its distractors.
        channel_mask: bool [B, C] or None, True at channels set to zero.
        noise: Gumbel noise [B, M, G, V] in training, None in evaluation.
        temperature: Of the Gumbel softmax.
    """

    span_mask: Tensor
    masked_frames: Tensor
    valid: Tensor
    negatives: Tensor
    channel_mask: Tensor | None = None
    noise: Tensor | None = None
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class PretrainingOutput:
    """What the contrastive task gives.

    Attributes:
        logits: [B, M, 1 + K], cosine similarities over the temperature; the positive comes first. A
            negative that is the positive itself is -inf (quirk 13).
        valid: bool [B, M].
        feature_penalty: Scalar, mean square of the latent features.
        prob_perplexity: Scalar, summed over codebooks; None where targets are not quantized.
        code_perplexity: Scalar, likewise.
        num_entries: G * V, what `prob_perplexity` reaches at most.
    """

    logits: Tensor
    valid: Tensor
    feature_penalty: Tensor
    prob_perplexity: Tensor | None
    code_perplexity: Tensor | None
    num_entries: int


class Wav2Vec2(nn.Module):
    """The encoder: what fine-tuning, embeddings and pre-training share."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = ConvFeatureExtractor(
            config.conv_layers, config.conv_norm, config.conv_bias, config.reference_padding
        )
        channels, dim = self.feature_extractor.out_channels, config.encoder.dim
        self.layer_norm = nn.LayerNorm(channels)
        self.post_extract_proj = nn.Linear(channels, dim) if channels != dim else None
        self.dropout_input = Dropout(config.dropout_input)
        self.mask_emb = nn.Parameter(torch.rand(dim))
        self.encoder = Encoder(config.encoder, config.reference_padding)

    def num_frames(self, lengths: Count) -> Count:
        """Frames of clips of `lengths` samples (an int or int64 [B]); 0 below the receptive field."""
        return num_frames(lengths, self.config.conv_layers)

    def extract_features(
        self,
        waveforms: Tensor,
        lengths: Tensor | None = None,
        layer: int | None = None,
        *,
        span_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
    ) -> Features:
        """Contextualised representations.

        Args:
            waveforms: [B, T] float32, 16 kHz.
            lengths: int64 [B], samples of each row; None: nothing is padded.
            layer: Give this layer's output (from 0) as the context, without any final norm.
            span_mask: bool [B, N], frames to mask.
            channel_mask: bool [B, C], channels to set to zero.

        Returns:
            `Features`; `lengths` there counts frames. Clips shorter than the receptive field have none.
        """
        latent, frames = self._latent(waveforms, lengths)
        x = self._project(self._normalise(latent))
        context, layers = self._contextualise(x, frames, layer, span_mask, channel_mask)
        whole = self.num_frames(waveforms.shape[1])
        if frames is None:
            frames = torch.full(waveforms.shape[:1], whole, dtype=torch.int64, device=waveforms.device)
        return Features(context[:, :whole], frames, tuple(x[:, :whole] for x in layers))

    def _latent(self, waveforms: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Latent features [B, C, N], at least one frame wide, and their lengths in frames."""
        shortfall = receptive_field(self.config.conv_layers) - waveforms.shape[1]
        if shortfall > 0:
            if lengths is None:
                lengths = torch.full(waveforms.shape[:1], waveforms.shape[1], device=waveforms.device)
            waveforms = F.pad(waveforms, (0, shortfall))
        # With no gradient to pass on, the convolutions need not remember anything.
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.feature_grad_mult > 0):
            latent = self.feature_extractor(waveforms, lengths)
        if 0 < self.config.feature_grad_mult != 1.0:
            latent = GradientScale.apply(latent, self.config.feature_grad_mult)  # type: ignore[no-untyped-call]
        return latent, None if lengths is None else self.num_frames(lengths)

    def _normalise(self, latent: Tensor) -> Tensor:
        """[B, C, N] -> [B, N, C]."""
        return self.layer_norm(latent.transpose(1, 2))  # type: ignore[no-any-return]

    def _project(self, features: Tensor) -> Tensor:
        if self.post_extract_proj is not None:
            features = self.post_extract_proj(features)
        return self.dropout_input(features)  # type: ignore[no-any-return]

    def _contextualise(
        self,
        x: Tensor,
        frames: Tensor | None,
        layer: int | None,
        span_mask: Tensor | None,
        channel_mask: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        if span_mask is not None:
            x = torch.where(span_mask[..., None], self.mask_emb.type_as(x), x)
        if channel_mask is not None:
            x = x.masked_fill(channel_mask[:, None], 0.0)
        padding_mask = None
        if frames is not None:
            # Attention over no key at all is NaN: a row without frames looks at its first one.
            positions = torch.arange(x.shape[1], device=x.device)
            padding_mask = positions >= frames.clamp(min=1)[:, None]
        return self.encoder(x, padding_mask, layer)  # type: ignore[no-any-return]


class Wav2Vec2Pretraining(Wav2Vec2):
    """The encoder with the heads of the contrastive task."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        channels, dim = self.feature_extractor.out_channels, config.encoder.dim
        final_dim = config.final_dim or dim
        self.dropout_features = Dropout(config.dropout_features)
        self.quantizer = self._quantizer(channels, final_dim, config.quantizer)
        target_dim = channels if config.quantizer is None else config.quantizer.dim or final_dim
        self.project_q = nn.Linear(target_dim, final_dim)
        self.final_proj = nn.Linear(dim, final_dim)

    @staticmethod
    def _quantizer(
        channels: int, final_dim: int, config: QuantizerConfig | None
    ) -> GumbelVectorQuantizer | None:
        return None if config is None else GumbelVectorQuantizer(channels, config.dim or final_dim, config)

    def forward(
        self, waveforms: Tensor, lengths: Tensor | None, draws: PretrainingDraws
    ) -> PretrainingOutput:
        """The contrastive task on masked waveforms (section 3).

        Args:
            waveforms: [B, T] float32, 16 kHz.
            lengths: int64 [B], samples of each row; None: nothing is padded.
            draws: Masks, distractors and noise.
        """
        latent, frames = self._latent(waveforms, lengths)
        penalty = self._feature_penalty(latent, frames)
        features = self._normalise(latent)
        context, _ = self._contextualise(
            self._project(features), frames, None, draws.span_mask, draws.channel_mask
        )
        quantized, targets = self._targets(gather_rows(features, draws.masked_frames), draws)
        predictions = self.final_proj(gather_rows(context, draws.masked_frames))
        return PretrainingOutput(
            logits=self._similarities(predictions, targets, quantized, draws),
            valid=draws.valid,
            feature_penalty=penalty,
            prob_perplexity=None if quantized is None else quantized.prob_perplexity,
            code_perplexity=None if quantized is None else quantized.code_perplexity,
            num_entries=0 if self.quantizer is None else self.quantizer.size,
        )

    def _feature_penalty(self, latent: Tensor, frames: Tensor | None) -> Tensor:
        """Mean square of the latent features; padding counts in fairseq only (quirk 10)."""
        squares = latent.float().square()
        if frames is None or self.config.reference_padding:
            return squares.mean()
        valid = torch.arange(latent.shape[-1], device=latent.device) < frames[:, None]
        return (squares * valid[:, None]).sum() / (frames.sum().clamp(min=1) * latent.shape[1])

    def _targets(self, features: Tensor, draws: PretrainingDraws) -> tuple[Quantized | None, Tensor]:
        features = self.dropout_features(features)
        if self.quantizer is None:
            return None, self.project_q(features)
        quantized = self.quantizer(features, draws.valid, draws.noise, draws.temperature)
        return quantized, self.project_q(quantized.vectors)

    def _similarities(
        self, predictions: Tensor, targets: Tensor, quantized: Quantized | None, draws: PretrainingDraws
    ) -> Tensor:
        """Cosine similarities with the positive and the negatives (equation 3), [B, M, 1 + K].

        All pairs of a row are one matrix product of unit vectors, from which the drawn ones are picked:
        no tensor of 1 + K candidates a frame is ever built.
        """
        x = F.normalize(predictions.float(), dim=-1, eps=1e-8)
        y = F.normalize(targets.float(), dim=-1, eps=1e-8)
        pairs = (x @ y.transpose(1, 2)) / self.config.logit_temp
        positive = pairs.diagonal(dim1=1, dim2=2)[..., None]
        negatives = pairs.gather(2, draws.negatives)
        if quantized is not None:
            same = self._same_code(quantized.codes, draws.negatives)
            negatives = negatives.masked_fill(same, float("-inf"))
        return torch.cat([positive, negatives], dim=-1)

    def _same_code(self, codes: Tensor, negatives: Tensor) -> Tensor:
        """Which negatives are, entry for entry, their positive: bool [B, M, K]."""
        assert self.quantizer is not None
        base = self.quantizer.num_entries ** torch.arange(codes.shape[-1], device=codes.device)
        ids = (codes * base).sum(-1)
        picked = ids.gather(1, negatives.flatten(1)).view_as(negatives)
        return picked == ids[..., None]


def gather_rows(x: Tensor, frames: Tensor) -> Tensor:
    """Rows of `x` [B, N, C] at `frames` [B, M]: [B, M, C]."""
    return x.gather(1, frames[..., None].expand(-1, -1, x.shape[-1]))
