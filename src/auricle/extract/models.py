"""What is taken from a model: embeddings of its layers, or the codes of its quantizer.

Legend: B batch, T samples, N frames, C channels, L layers, G codebooks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auricle.convert.loaded import Loaded
from auricle.errors import UserError
from auricle.extract.stream import Hearing, Values
from auricle.models.config import EncoderConfig
from auricle.models.conv import hop, receptive_field
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.quantizer import GumbelVectorQuantizer, KMeansVectorQuantizer
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.models.wav2vec import Wav2Vec
from auricle.models.wav2vec2 import Wav2Vec2, Wav2Vec2Pretraining

Encoder = Wav2Vec | Wav2Vec2
Quantizer = GumbelVectorQuantizer | KMeansVectorQuantizer

ALL_LAYERS = "all"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which representation is wanted; without any of these, the context c.

    Attributes:
        features: The latent features z instead.
        layer: What this layer gives (from 0), before any final norm, or "all" of them.
        layer_weights: The sum of what the layers give, each times its weight; not scaled to 1.
        unquantized: In vq-wav2vec, the aggregator's view of z itself, which it never saw in training: what
            fairseq's `wav2vec_featurize.py` writes.
        corpus_key: Which adapters to go through, in models that have some.
    """

    features: bool = False
    layer: int | str | None = None
    layer_weights: tuple[float, ...] = ()
    unquantized: bool = False
    corpus_key: int | None = None


def encoder_of(loaded: Loaded) -> Encoder:
    """The part of a model that hears, in evaluation mode.

    Raises:
        UserError: It is a model of text.
    """
    model = loaded.model.eval()
    if isinstance(model, Wav2Vec2CTC | Wav2Vec2Seq2Seq):
        return model.encoder
    if isinstance(model, Wav2Vec | Wav2Vec2):
        return model
    raise UserError(f"{loaded.source} is a model of text, which hears nothing: give one of speech")


def hearing_of(encoder: Encoder) -> Hearing:
    """How an encoder wants its audio."""
    config = encoder.config
    shortest = receptive_field(config.conv_layers)
    while encoder.num_frames(shortest) == 0:  # frames are cropped to a multiple in some models
        shortest += hop(config.conv_layers)
    return Hearing(config.sample_rate, config.normalize, encoder.num_frames, shortest)


def frame_rate(encoder: Encoder) -> int:
    """Frames a second, as fairseq's files say it: rounded down."""
    return encoder.config.sample_rate // hop(encoder.config.conv_layers)


class Embedder:
    """Recordings to embeddings: float32 [N, C] each, or [L, N, C] of all layers."""

    def __init__(self, loaded: Loaded, choice: Choice) -> None:
        """See `Choice`.

        Raises:
            UserError: The model has no such representation.
        """
        self._encoder = encoder_of(loaded)
        self._choice = choice
        self.hearing = hearing_of(self._encoder)
        _check_choice(self._encoder, choice)

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> Sequence[Values]:
        """As `auricle.extract.stream.Extractor`."""
        values = self._values(*_placed(self._encoder, waveforms, lengths)).float().cpu()
        frames = [self.hearing.num_frames(int(length)) for length in lengths]
        # copies, so that a short recording does not keep a whole batch in memory
        return [row[..., :count, :].numpy().copy() for row, count in zip(values, frames, strict=True)]

    def _values(self, waveforms: Tensor, lengths: Tensor | None) -> Tensor:
        """[B, N, C], or [B, L, N, C]."""
        encoder, choice = self._encoder, self._choice
        if isinstance(encoder, Wav2Vec):
            return self._of_wav2vec(encoder, waveforms, lengths).transpose(1, 2)
        if choice.features:
            return encoder.latent_features(waveforms, lengths)
        layer = choice.layer if isinstance(choice.layer, int) else None
        several = choice.layer == ALL_LAYERS or bool(choice.layer_weights)
        key = choice.corpus_key
        out = encoder.extract_features(waveforms, lengths, layer, corpus_key=key, keep_layers=several)
        if choice.layer == ALL_LAYERS:
            return torch.stack(out.layers, dim=1)
        if choice.layer_weights:
            weights = out.context.new_tensor(choice.layer_weights)
            return torch.einsum("l,lbnc->bnc", weights, torch.stack(out.layers))
        return out.context

    def _of_wav2vec(self, encoder: Wav2Vec, waveforms: Tensor, lengths: Tensor | None) -> Tensor:
        """[B, C, N]."""
        z = encoder.feature_extractor(waveforms, lengths)
        if self._choice.features:
            return z  # type: ignore[no-any-return]
        frames = None if lengths is None else encoder.num_frames(lengths)
        if encoder.vector_quantizer is not None and not self._choice.unquantized:
            z, _ = encoder.vector_quantizer.forward_idx(z, frames)
        return encoder.feature_aggregator(z, frames)  # type: ignore[no-any-return]


class Tokenizer:
    """Recordings to codes: int64 [N, G] each."""

    def __init__(self, loaded: Loaded, max_size: int | None = None) -> None:
        """Takes the model's quantizer.

        Args:
            loaded: A vq-wav2vec model, or a wav2vec 2.0 model with its quantizer.
            max_size: Samples; a longer recording is heard in equal parts no longer than that, as fairseq
                does above 1,300,000. None: always as a whole.

        Raises:
            UserError: The model has no quantizer.
        """
        self._encoder = encoder_of(loaded)
        self._quantizer = _quantizer_of(self._encoder, loaded)
        self._max_size = max_size
        self.hearing = hearing_of(self._encoder)

    @property
    def num_codebooks(self) -> int:
        """G."""
        return self._quantizer.num_codebooks

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> Sequence[Values]:
        """As `auricle.extract.stream.Extractor`."""
        if self._max_size is not None and waveforms.shape[1] > self._max_size:
            rows = zip(waveforms, lengths.tolist(), strict=True)
            return [self._in_parts(row[:length], self._max_size) for row, length in rows]
        codes = self._codes(*_placed(self._encoder, waveforms, lengths)).cpu()
        frames = [self.hearing.num_frames(int(length)) for length in lengths]
        return [row[:count].numpy().copy() for row, count in zip(codes, frames, strict=True)]

    def _in_parts(self, samples: Tensor, max_size: int) -> Values:
        """Codes of one recording; as many parts as fairseq makes."""
        parts = samples.chunk(len(samples) // (max_size + 1) + 1)
        each = [_placed(self._encoder, part[None], torch.tensor([len(part)])) for part in parts]
        values: Values = torch.cat([self._codes(*part)[0] for part in each]).cpu().numpy()
        return values

    def _codes(self, waveforms: Tensor, lengths: Tensor | None) -> Tensor:
        """int64 [B, N, G]; -1 where the features are no numbers, of which any entry would be the nearest."""
        encoder = self._encoder
        if isinstance(encoder, Wav2Vec):
            z = encoder.feature_extractor(waveforms, lengths)
        else:
            z = encoder.latent_features(waveforms, lengths).transpose(1, 2)
        frames = None if lengths is None else encoder.num_frames(lengths)
        _, codes = self._quantizer.forward_idx(z, frames)
        return codes.masked_fill(~z.isfinite().all(1)[..., None], -1)


def _placed(encoder: Encoder, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
    """A batch where the model is; None for lengths where nothing is padded."""
    weight = next(encoder.parameters())
    padded = bool((lengths < waveforms.shape[1]).any())
    return waveforms.to(weight.device, weight.dtype), lengths.to(weight.device) if padded else None


def _quantizer_of(encoder: Encoder, loaded: Loaded) -> Quantizer:
    if isinstance(encoder, Wav2Vec):
        quantizer = encoder.vector_quantizer
    else:
        targets = encoder.quantizer if isinstance(encoder, Wav2Vec2Pretraining) else None
        quantizer = targets or encoder.input_quantizer
    if quantizer is None:
        raise UserError(
            f"{loaded.source} has no quantizer, and so no codes: give a vq-wav2vec model, or a wav2vec 2.0"
            " model as it was pre-trained (fine-tuning leaves the quantizer behind)"
        )
    return quantizer


def _check_choice(encoder: Encoder, choice: Choice) -> None:
    asked = [choice.features, choice.layer is not None, bool(choice.layer_weights)]
    if sum(asked) > 1:
        raise UserError("choose one of --use-feat, --layer and --layer-weights")
    vq = isinstance(encoder, Wav2Vec) and encoder.vector_quantizer is not None
    if choice.unquantized and (not vq or choice.features):
        raise UserError("--unquantized is for the contexts of vq-wav2vec models: leave it out")
    if isinstance(encoder, Wav2Vec):
        if choice.layer is not None or choice.layer_weights:
            raise UserError(
                "wav2vec 1.0 and vq-wav2vec have no layers to choose from: use --use-feat, or neither"
            )
        if choice.corpus_key is not None:
            raise UserError("wav2vec 1.0 and vq-wav2vec have no adapters: leave --corpus-key out")
        return
    _check_corpus_key(encoder.config.encoder, choice.corpus_key)
    count = encoder.config.encoder.num_layers
    if isinstance(choice.layer, int) and not 0 <= choice.layer < count:
        raise UserError(f"--layer {choice.layer}: this model has the layers 0 to {count - 1}")
    if choice.layer_weights and len(choice.layer_weights) != count:
        raise UserError(f"{len(choice.layer_weights)} --layer-weights: this model has {count} layers")


def _check_corpus_key(config: EncoderConfig, corpus_key: int | None) -> None:
    if config.layer_type != "trf_adp":
        if corpus_key is not None:
            raise UserError("this model has no adapters: leave --corpus-key out")
        return
    count = config.num_adapters
    missing = corpus_key is None and count > 1
    if missing or (corpus_key or 0) >= count:
        raise UserError(
            f"this model has adapters for {count} corpora: give --corpus-key from 0 to {count - 1}"
        )
