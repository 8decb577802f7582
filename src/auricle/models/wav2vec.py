"""wav2vec 1.0 (Schneider et al. 2019, arXiv:1904.05862), vq-wav2vec (Baevski et al. 2020, arXiv:1910.05453).

An encoder of waveforms, f: X -> Z; with vq-wav2vec a quantizer, q: Z -> Z^ (`quantizer.py`); an aggregator,
g: Z -> C (`wav2vec_networks.py`); and here the prediction of latent features some frames ahead of each
context (wav2vec, section 2.2). The losses are in `auricle.losses`.

Legend: B batch, T samples, N frames, C channels, S steps ahead, K distractors, G codebooks, V entries.
Parameter names are those of the published checkpoints.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.models.config import QuantizerConfig
from auricle.models.conv import hop, num_frames, receptive_field
from auricle.models.dropout import Dropout
from auricle.models.quantizer import GumbelVectorQuantizer, KMeansVectorQuantizer, Quantized
from auricle.models.wav2vec_config import CodebooksConfig, ConvLayers, Wav2VecConfig
from auricle.models.wav2vec_networks import SpeechEncoder, build_aggregator

Count = TypeVar("Count", int, Tensor)


@dataclass(frozen=True, slots=True)
class PredictionDraws:
    """All that chance decides in one training pass, drawn outside of it.

    Attributes:
        negatives: int64 [B, N, K], for each frame its distractors among the frames of the whole batch:
            frame n of row b has the number b * N + n.
        noise: Gumbel noise [B, N, G, V] in training; None in evaluation, and without a Gumbel quantizer.
        temperature: Of the Gumbel softmax.
    """

    negatives: Tensor
    noise: Tensor | None = None
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class PredictionOutput:
    """What the prediction of coming frames gives.

    Attributes:
        logits: [B, N, S, 1 + K], how well the prediction of frame n that was made `offset` + s frames
            before agrees with frame n, which comes first, and with its distractors.
        valid: bool [B, N, S], False where either frame does not exist.
        num_entries: G * V, what `prob_perplexity` reaches at most; 0 without codebooks.
        code_perplexity: Scalar, summed over codebooks; None without them.
        prob_perplexity: Scalar, likewise; None without a Gumbel quantizer.
        kmeans_loss: Scalar; None without a k-means quantizer.
    """

    logits: Tensor
    valid: Tensor
    num_entries: int = 0
    code_perplexity: Tensor | None = None
    prob_perplexity: Tensor | None = None
    kmeans_loss: Tensor | None = None


class FuturePredictions(nn.Module):
    """Step-specific projections h_s of the context, compared with latent features (section 2.2).

    Args:
        in_dim: Channels of the context.
        out_dim: Channels of what is predicted.
        steps: S.
        offset: Frames from a context to the first that is predicted.
        dropout: On the predictions.
        discrete: Whether targets are codebook entries, so that some are equal.
    """

    def __init__(
        self, in_dim: int, out_dim: int, steps: int, offset: int, dropout: float, discrete: bool = False
    ) -> None:
        super().__init__()
        self.discrete = discrete
        # A transposed convolution for its name, shape and initial values: it is S linear maps.
        self.project_to_steps = nn.ConvTranspose2d(in_dim, out_dim, (1, steps))
        self.steps, self.offset = steps, offset
        self.dropout = Dropout(dropout)

    def forward(
        self, context: Tensor, targets: Tensor, negatives: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Scores of frames and distractors, seen from the frames that are predicted.

        Args:
            context: [B, C, N].
            targets: [B, D, N].
            negatives: int64 [B, N, K], as in `PredictionDraws`.
            lengths: int64 [B] in frames, None where nothing is padded.

        Returns:
            [B, N, S, 1 + K], and where they count, bool [B, N, S].
        """
        rows = targets.transpose(1, 2)
        distractors = rows.flatten(0, 1)[negatives]
        candidates = torch.cat([rows[:, :, None], distractors], dim=2)
        scores = (candidates @ self._predictions(context)).transpose(2, 3)
        if self.discrete:
            scores = with_ties(scores, (distractors == rows[:, :, None]).all(-1))
        return scores, self._valid(targets, lengths)

    def _predictions(self, context: Tensor) -> Tensor:
        """[B, C, N] -> [B, N, D, S]: what was predicted for a frame, `offset` + s frames before it."""
        weight, bias = self.project_to_steps.weight, self.project_to_steps.bias
        assert bias is not None
        made = context.transpose(1, 2) @ weight.flatten(1)
        made = self.dropout(made.view(*made.shape[:2], -1, self.steps) + bias[:, None])
        count = made.shape[1]
        ahead = [min(self.offset + step, count) for step in range(self.steps)]
        moved = [F.pad(made[:, : count - n, :, s], (0, 0, n, 0)) for s, n in enumerate(ahead)]
        return torch.stack(moved, dim=-1)

    def _valid(self, targets: Tensor, lengths: Tensor | None) -> Tensor:
        positions = torch.arange(targets.shape[2], device=targets.device)
        steps = torch.arange(self.steps, device=targets.device)
        predicted = (positions[:, None] >= self.offset + steps).expand(len(targets), -1, -1)
        return predicted if lengths is None else predicted & (positions < lengths[:, None])[..., None]


def with_ties(scores: Tensor, same: Tensor) -> Tensor:
    """Scores [B, N, S, 1 + K] that are equal where distractor and frame are, `same` [B, N, K].

    A product may round differently in another row of the matrix; then chance would decide whether such a
    frame counts as predicted. The gradient is left as it is.
    """
    positive, others = scores[..., :1], scores[..., 1:]
    # Numbers this close differ by a number that is exact, so the sum is the positive's score to the bit.
    gap = (positive - others).detach().masked_fill(~same[:, :, None], 0.0)
    return torch.cat([positive, others + gap], dim=-1)


class Wav2Vec(nn.Module):
    """wav2vec 1.0, and vq-wav2vec where the configuration has codebooks."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = SpeechEncoder(config)
        channels = self.feature_extractor.out_channels
        self.vector_quantizer = self._quantizer(channels, config)
        self.feature_aggregator = build_aggregator(config)
        self.wav2vec_predictions = FuturePredictions(
            self.feature_aggregator.out_channels,
            channels,
            config.prediction_steps,
            config.offset or automatic_offset(config.conv_layers),
            config.dropout,
            discrete=self.vector_quantizer is not None,
        )
        self.dropout_feats = Dropout(config.dropout_features)
        self.dropout_agg = Dropout(config.dropout_agg)
        self.project_features = build_aggregator(config) if config.project_features == "new" else None

    @staticmethod
    def _quantizer(
        channels: int, config: Wav2VecConfig
    ) -> GumbelVectorQuantizer | KMeansVectorQuantizer | None:
        options = config.quantizer
        if options.kind == "none":
            return None
        if options.kind == "kmeans":
            return KMeansVectorQuantizer(channels, options, config.reference_padding)
        return GumbelVectorQuantizer(
            channels,
            channels,
            gumbel_config(options),
            options.combine_groups,
            nn.ReLU if config.activation == "relu" else nn.GELU,
        )

    def num_frames(self, lengths: Count) -> Count:
        """Frames of clips of `lengths` samples (an int or int64 [B]); 0 below the receptive field."""
        return num_frames(lengths, self.config.conv_layers)

    def forward(self, waveforms: Tensor, lengths: Tensor | None, draws: PredictionDraws) -> PredictionOutput:
        """The prediction of coming frames (section 2.2).

        Args:
            waveforms: [B, T] float32, 16 kHz.
            lengths: int64 [B], samples of each row; None: nothing is padded.
            draws: Distractors and noise.
        """
        shortfall = receptive_field(self.config.conv_layers) - waveforms.shape[1]
        if shortfall > 0:
            if lengths is None:
                lengths = torch.full(waveforms.shape[:1], waveforms.shape[1], device=waveforms.device)
            waveforms = F.pad(waveforms, (0, shortfall))
        features = self.feature_extractor(waveforms, lengths)
        frames = None if lengths is None or self.config.reference_padding else self.num_frames(lengths)
        quantized = self._quantized(features, frames, draws)
        if quantized is not None:
            features = quantized.vectors.transpose(1, 2)
        context = self.dropout_agg(self.feature_aggregator(self.dropout_feats(features), frames))
        targets = self._targets(features, frames)
        logits, valid = self.wav2vec_predictions(context, targets, draws.negatives, frames)
        if quantized is None:
            return PredictionOutput(logits, valid)
        return PredictionOutput(
            logits,
            valid,
            self.config.quantizer.num_codebooks * self.config.quantizer.num_entries,
            quantized.code_perplexity,
            quantized.prob_perplexity,
            quantized.kmeans_loss,
        )

    def _quantized(self, features: Tensor, frames: Tensor | None, draws: PredictionDraws) -> Quantized | None:
        if self.vector_quantizer is None:
            return None
        rows = features.transpose(1, 2)
        if isinstance(self.vector_quantizer, KMeansVectorQuantizer):
            return self.vector_quantizer(rows, frames)  # type: ignore[no-any-return]
        valid = None
        if frames is not None:
            valid = torch.arange(rows.shape[1], device=rows.device) < frames[:, None]
        return self.vector_quantizer(  # type: ignore[no-any-return]
            rows, valid, draws.noise, draws.temperature
        )

    def _targets(self, features: Tensor, frames: Tensor | None) -> Tensor:
        """What is predicted: the features, or what an aggregator makes of them."""
        if self.project_features is not None:
            return self.project_features(features, frames)  # type: ignore[no-any-return]
        if self.config.project_features == "same":
            return self.feature_aggregator(features, frames)  # type: ignore[no-any-return]
        return features


def gumbel_config(options: CodebooksConfig) -> QuantizerConfig:
    """The same for the Gumbel softmax that wav2vec 2.0 has too; hidden layers are twice as wide."""
    return QuantizerConfig(
        options.num_codebooks, options.num_entries, options.dim, options.depth, 2, options.temperature
    )


def automatic_offset(layers: ConvLayers) -> int:
    """The least distance at which a predicted frame hears no sample of the context's own (quirk 20)."""
    return math.ceil(receptive_field(layers) / hop(layers))
