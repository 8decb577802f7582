"""wav2vec 2.0: a masked encoder of raw speech (Baevski et al. 2020, arXiv:2006.11477).

The sections of the paper in order: feature encoder (section 2) in `conv.py`, context network in
`encoder.py`, quantization module in `quantizer.py`; here they are put together, masked (3.1) and
set the contrastive task (3.2). The losses are in `auricle.losses`.

Legend: B batch, T samples, N frames, C channels, M masked frames of a row (padded), K negatives,
G codebooks, V entries. Parameter names are those of the published checkpoints.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.models.adapters import CorpusKey, adapter_of_each_row
from auricle.models.config import Wav2Vec2Config
from auricle.models.conv import ConvFeatureExtractor, GradientScale, num_frames, receptive_field
from auricle.models.cpu_matmul import Linear, as_product_of
from auricle.models.dropout import Dropout
from auricle.models.encoder import Encoder
from auricle.models.quantizer import GumbelVectorQuantizer, Quantized
from auricle.models.run_only import RunOnly

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
        negatives: int64 [B, M, K], the distractors of each masked frame: which of the R candidates of its
            row, that is of its masked frames, or of all its frames with `negatives.from_everywhere`. With
            `negatives.cross_sample`, which of the B * R candidates of the batch, row after row.
        channel_mask: bool [B, C] or None, True at channels set to zero.
        noise: Gumbel noise [B, R, G, V] in training, None in evaluation.
        temperature: Of the Gumbel softmax.
        input_noise: Gumbel noise [B, N, G, V] in training, where the encoder's input is quantized.
        codebook_negatives: int64 [B, M, K', G], entries that make up more distractors.
    """

    span_mask: Tensor
    masked_frames: Tensor
    valid: Tensor
    negatives: Tensor
    channel_mask: Tensor | None = None
    noise: Tensor | None = None
    temperature: float = 1.0
    input_noise: Tensor | None = None
    codebook_negatives: Tensor | None = None


@dataclass(frozen=True, slots=True)
class PretrainingOutput:
    """What the contrastive task gives.

    Attributes:
        logits: [B, M, 1 + K + K'], cosine similarities over the temperature; the positive comes first. A
            negative that is the positive itself is -inf (quirk 13).
        valid: bool [B, M].
        feature_penalty: Scalar, mean square of the latent features.
        prob_perplexity: Scalar, summed over codebooks; None where nothing is quantized. Of the targets, or
            else of the input (quirk 12).
        code_perplexity: Scalar, likewise.
        num_entries: G * V, what `prob_perplexity` reaches at most.
    """

    logits: Tensor
    valid: Tensor
    feature_penalty: Tensor
    prob_perplexity: Tensor | None
    code_perplexity: Tensor | None
    num_entries: int


class Wav2Vec2(RunOnly):
    """The encoder: what fine-tuning, embeddings and pre-training share."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = ConvFeatureExtractor(
            config.conv_layers, config.conv_norm, config.conv_bias, config.reference_padding
        )
        channels, dim = self.feature_extractor.out_channels, config.encoder.dim
        self.layer_norm = nn.LayerNorm(channels)
        self.input_quantizer, self.project_inp = self._input_quantizer(channels)
        projects = (channels != dim or config.always_projects) and self.input_quantizer is None
        self.post_extract_proj = Linear(channels, dim) if projects else None
        self.dropout_input = Dropout(config.dropout_input)
        self.mask_emb = nn.Parameter(torch.rand(dim))
        self.encoder = Encoder(config.encoder, config.reference_padding)

    def _input_quantizer(self, channels: int) -> tuple[GumbelVectorQuantizer | None, nn.Linear | None]:
        config, width = self.config.input_quantizer, self.config.encoder.dim
        if config is None:
            return None, None
        # One that quantizes the targets as well has their width.
        dim = config.dim or (self.config.final_dim if self.config.shares_quantizer else 0) or width
        return GumbelVectorQuantizer(channels, dim, config), Linear(dim, width)

    def num_frames(self, lengths: Count) -> Count:
        """Frames of clips of `lengths` samples (an int or int64 [B]); 0 below the receptive field."""
        frames = num_frames(lengths, self.config.conv_layers)
        return frames - frames % self.config.crop_seq_to_multiple

    def extract_features(
        self,
        waveforms: Tensor,
        lengths: Tensor | None = None,
        layer: int | None = None,
        *,
        span_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
        input_noise: Tensor | None = None,
        temperature: float = 1.0,
        corpus_key: CorpusKey = None,
        keep_layers: bool = True,
    ) -> Features:
        """Contextualised representations.

        Args:
            waveforms: [B, T] float32, 16 kHz.
            lengths: int64 [B], samples of each row; None: nothing is padded.
            layer: Give this layer's output (from 0) as the context, without any final norm.
            span_mask: bool [B, N], frames to mask.
            channel_mask: bool [B, C], channels to set to zero.
            input_noise: Gumbel noise [B, N, G, V], in training of models that quantize their input.
            temperature: Of that.
            corpus_key: Which adapters to use, one number for all rows or for each; of models that have some.
            keep_layers: Give what each layer gave; otherwise none is kept in memory.

        Returns:
            `Features`; `lengths` there counts frames. Clips shorter than the receptive field have none.

        Raises:
            UserError: A length is not that of a row, or the model has adapters for several corpora and
                `corpus_key` names none of them.
        """
        latent, frames = self._latent(waveforms, lengths)
        features, frames = self._normalise(latent, frames)
        x, _ = self.encoder_input(features, frames, input_noise, temperature)
        x = self._mask(x, span_mask, channel_mask)
        context, layers = self._contextualise(x, frames, layer, corpus_key, keep_layers)
        whole = self.num_frames(waveforms.shape[1])
        if frames is None:
            frames = torch.full(waveforms.shape[:1], whole, dtype=torch.int64, device=waveforms.device)
        return Features(context[:, :whole], frames, tuple(x[:, :whole] for x in layers))

    def latent_features(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The latent features z, [B, N, C'], normalised as the quantizer and the context network hear them.

        Args:
            waveforms: [B, T] float32, 16 kHz.
            lengths: int64 [B], samples of each row; `num_frames` says how many frames are theirs.
        """
        features, _ = self._normalise(*self._latent(waveforms, lengths))
        return features[:, : self.num_frames(waveforms.shape[1])]

    def _latent(self, waveforms: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Latent features [B, C, N], at least one frame wide, and their lengths in frames."""
        self.check_runs(waveforms)
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
        return latent, None if lengths is None else num_frames(lengths, self.config.conv_layers)

    def _normalise(self, latent: Tensor, frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """[B, C, N] -> [B, N, C], cropped to `crop_seq_to_multiple`: each row; in fairseq, the batch."""
        features = self.layer_norm(as_product_of(latent.transpose(1, 2), self.layer_norm.weight))
        whole = features.shape[1] - features.shape[1] % self.config.crop_seq_to_multiple
        width = torch.sym_max(whole, 1)  # type: ignore[no-untyped-call]  # max() would fix it while tracing
        if frames is not None:
            each = frames % self.config.crop_seq_to_multiple
            frames = frames.clamp(max=whole) if self.config.reference_padding else frames - each
        return features[:, :width], frames

    def encoder_input(
        self,
        features: Tensor,
        frames: Tensor | None = None,
        noise: Tensor | None = None,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Quantized | None]:
        """What goes into the context network: features of its width, quantized first where asked for.

        Args:
            features: [B, N, C'], normalised.
            frames: int64 [B], frames that count in the perplexities; None: all.
            noise: Gumbel noise [B, N, G, V] in training.
            temperature: Of that.
        """
        if self.input_quantizer is not None and self.project_inp is not None:
            counted = None if self.config.reference_padding else valid_frames(frames, features.shape[1])
            quantized = self.input_quantizer(self.dropout_input(features), counted, noise, temperature)
            return self.project_inp(quantized.vectors), quantized
        if self.post_extract_proj is not None:
            features = self.post_extract_proj(features)
        return self.dropout_input(features), None

    def _mask(self, x: Tensor, span_mask: Tensor | None, channel_mask: Tensor | None) -> Tensor:
        """Section 3.1 and appendix A."""
        first, last = (channel_mask, None) if self.config.channel_mask_first else (None, channel_mask)
        if first is not None:
            x = x.masked_fill(first[:, None], 0.0)
        if span_mask is not None:
            x = torch.where(span_mask[..., None], self.mask_emb.type_as(x), x)
        return x if last is None else x.masked_fill(last[:, None], 0.0)

    def _contextualise(
        self, x: Tensor, frames: Tensor | None, layer: int | None, corpus_key: CorpusKey, keep_layers: bool
    ) -> tuple[Tensor, list[Tensor]]:
        padding_mask = None
        if frames is not None:
            # Attention over no key at all is NaN: a row without frames looks at its first one.
            positions = torch.arange(x.shape[1], device=x.device)
            padding_mask = positions >= frames.clamp(min=1)[:, None]
        key = adapter_of_each_row(corpus_key, self.config.encoder, x)
        return self.encoder(x, padding_mask, layer, key, keep_layers)  # type: ignore[no-any-return]


class Wav2Vec2Pretraining(Wav2Vec2):
    """The encoder with the heads of the contrastive task."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        channels, dim = self.feature_extractor.out_channels, config.encoder.dim
        final_dim = config.final_dim or dim
        self.dropout_features = Dropout(config.dropout_features)
        self.quantizer = self._quantizer(channels, final_dim)
        target_dim = channels if config.quantizer is None else config.quantizer.dim or final_dim
        self.project_q = Linear(target_dim, final_dim)
        glu = nn.Sequential(Linear(final_dim, 2 * final_dim), nn.GLU())
        self.target_glu = glu if config.target_glu else None
        self.final_proj = Linear(dim, final_dim)

    def _quantizer(self, channels: int, final_dim: int) -> GumbelVectorQuantizer | None:
        config = self.config.quantizer
        if config is None or self.config.shares_quantizer:
            return None if config is None else self.input_quantizer
        return GumbelVectorQuantizer(channels, config.dim or final_dim, config)

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor | None,
        draws: PretrainingDraws,
        *,
        corpus_key: CorpusKey = None,
    ) -> PretrainingOutput:
        """The contrastive task on masked waveforms (section 3).

        Args:
            waveforms: [B, T] float32, 16 kHz.
            lengths: int64 [B], samples of each row; None: nothing is padded.
            draws: Masks, distractors and noise.
            corpus_key: As in `extract_features`.
        """
        latent, frames = self._latent(waveforms, lengths)
        penalty = self._feature_penalty(latent, frames)
        features, frames = self._normalise(latent, frames)
        x, from_input = self.encoder_input(features, frames, draws.input_noise, draws.temperature)
        x = self._mask(x, draws.span_mask, draws.channel_mask)
        context, _ = self._contextualise(x, frames, None, corpus_key, keep_layers=False)
        predictions = self.final_proj(gather_rows(context, draws.masked_frames))
        candidates, quantized = self._candidates(features, frames, draws)
        reported = quantized or from_input
        # In float32, as in fairseq (quirk 13), for which autocast must be kept off the product.
        with torch.autocast(waveforms.device.type, enabled=False):
            logits = self._similarities(predictions, candidates, quantized, draws)
        return PretrainingOutput(
            logits=logits,
            valid=draws.valid,
            feature_penalty=penalty,
            prob_perplexity=None if reported is None else reported.prob_perplexity,
            code_perplexity=None if reported is None else reported.code_perplexity,
            num_entries=self._num_entries(),
        )

    def _num_entries(self) -> int:
        quantizer = self.quantizer or self.input_quantizer
        return 0 if quantizer is None else quantizer.size

    def _feature_penalty(self, latent: Tensor, frames: Tensor | None) -> Tensor:
        """Mean square of the latent features; padding counts in fairseq only (quirk 10)."""
        squares = latent.float().square()
        if frames is None or self.config.reference_padding:
            return squares.mean()
        valid = torch.arange(latent.shape[-1], device=latent.device) < frames[:, None]
        return (squares * valid[:, None]).sum() / (frames.sum().clamp(min=1) * latent.shape[1])

    def _candidates(
        self, features: Tensor, frames: Tensor | None, draws: PretrainingDraws
    ) -> tuple[Tensor, Quantized | None]:
        """What positives and negatives are picked from, [B, R, C]: masked frames, or all frames."""
        if self.config.negatives.from_everywhere:
            counted = None if self.config.reference_padding else valid_frames(frames, features.shape[1])
        else:
            features, counted = gather_rows(features, draws.masked_frames), draws.valid
        features = self.dropout_features(features)
        if self.quantizer is None:
            return self._project_targets(features), None
        quantized = self.quantizer(features, counted, draws.noise, draws.temperature)
        return self._project_targets(quantized.vectors), quantized

    def _project_targets(self, targets: Tensor) -> Tensor:
        targets = self.project_q(targets)
        return targets if self.target_glu is None else self.target_glu(targets)

    def _similarities(
        self, predictions: Tensor, candidates: Tensor, quantized: Quantized | None, draws: PretrainingDraws
    ) -> Tensor:
        """Cosine similarities with the positive and the negatives (equation 3), [B, M, 1 + K + K'].

        All pairs of a row, or of the batch, are one matrix product of unit vectors, from which the drawn ones
        are picked: no tensor of 1 + K candidates a frame is ever built.
        """
        x = F.normalize(predictions.float(), dim=-1, eps=1e-8)
        y = F.normalize(candidates.float(), dim=-1, eps=1e-8)
        own, names = self._own_candidates(draws), self._names(y, quantized)
        if self.config.negatives.cross_sample > 0:
            own = own + y.shape[1] * torch.arange(len(y), device=y.device)[:, None]
            y, names = y.flatten(0, 1)[None], names.flatten()[None].expand(len(y), -1)
        pairs = (x @ y.transpose(1, 2)) / self.config.logit_temp
        picked = torch.cat([own[..., None], draws.negatives], dim=-1)
        logits = pairs.gather(2, picked)
        picked_names = names.gather(1, picked.flatten(1)).view_as(picked)
        same = picked_names[..., 1:] == picked_names[..., :1]
        logits = logits.masked_fill(F.pad(same, (1, 0)), float("-inf"))
        if quantized is None or draws.codebook_negatives is None:
            return logits
        codes = gather_rows(quantized.codes, self._own_candidates(draws))
        return torch.cat([logits, self._codebook_similarities(x, codes, draws.codebook_negatives)], dim=-1)

    def _own_candidates(self, draws: PretrainingDraws) -> Tensor:
        """Which of its row's candidates each masked frame is: int64 [B, M]."""
        if self.config.negatives.from_everywhere:
            return draws.masked_frames
        rows, width = draws.masked_frames.shape
        return torch.arange(width, device=draws.masked_frames.device).expand(rows, -1)

    def _names(self, candidates: Tensor, quantized: Quantized | None) -> Tensor:
        """Numbers, int64 [B, R], that are the same where two candidates [B, R, C] of a batch are.

        Quantized ones are the same where their codes are; others, where they are one and the same frame.
        """
        if self.quantizer is None or quantized is None:
            shape = candidates.shape[:2]
            return torch.arange(shape.numel(), device=candidates.device).view(shape)
        codes = quantized.codes
        base = self.quantizer.num_entries ** torch.arange(codes.shape[-1], device=codes.device)
        return (codes * base).sum(-1)

    def _codebook_similarities(self, x: Tensor, codes: Tensor, negatives: Tensor) -> Tensor:
        """[B, M, K'] from unit predictions [B, M, C] and codes of positives [B, M, G] and negatives."""
        assert self.quantizer is not None
        targets = self._project_targets(self.quantizer.entries_at(negatives.flatten(1, 2)))
        y = F.normalize(targets.float(), dim=-1, eps=1e-8).view(*negatives.shape[:3], -1)
        logits: Tensor = (y @ x[..., None])[..., 0] / self.config.logit_temp
        return logits.masked_fill((negatives == codes[:, :, None]).all(-1), float("-inf"))


def valid_frames(frames: Tensor | None, width: int) -> Tensor | None:
    """True at valid frames, [B, width], from lengths [B]; None where nothing is padded."""
    return None if frames is None else torch.arange(width, device=frames.device) < frames[:, None]


def gather_rows(x: Tensor, frames: Tensor) -> Tensor:
    """Rows of `x` [B, N, C] at `frames` [B, M]: [B, M, C]."""
    return x.gather(1, frames[..., None].expand(-1, -1, x.shape[-1]))
