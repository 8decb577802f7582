"""From a labelled subset, or from emissions kept of one, to hypotheses."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from auricle.cli.progress import progress
from auricle.data.collate import Batch, SetAside
from auricle.data.dataset import SpeechDataset
from auricle.data.loader import BatchLoader
from auricle.decode.decoder import Decoder
from auricle.decode.emissions import Emissions, emit, length_batches, most_padding
from auricle.decode.hypothesis import Hypothesis, PostProcess
from auricle.decode.saved import Clip, SavedEmissions
from auricle.decode.seq2seq import SearchOptions, search
from auricle.dictionary import Dictionary
from auricle.manifest import Manifest
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.seq2seq import Wav2Vec2Seq2Seq

Recogniser = Wav2Vec2CTC | Wav2Vec2Seq2Seq

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A clip and what was understood of it, the best first; nothing where nothing was decoded."""

    clip: Clip
    hypotheses: list[Hypothesis]


@dataclass(slots=True)
class Listener:
    """Runs a model over a manifest.

    Attributes:
        model: What hears.
        manifest: What there is to hear.
        max_tokens: Samples a batch.
        batch_size: Utterances a batch at most.
        num_workers: Processes that read audio.
        set_aside: What could not be read; complete once all was heard.
    """

    model: Recogniser
    manifest: Manifest
    max_tokens: int
    batch_size: int | None = None
    num_workers: int = 0
    set_aside: list[SetAside] = field(default_factory=list)

    def batches(self) -> Iterator[tuple[list[Clip], Batch]]:
        """Batches of like length, their clips named."""
        config = self.model.config
        dataset = SpeechDataset(self.manifest, sample_rate=config.sample_rate, normalize=config.normalize)
        padding = most_padding(self.model) if isinstance(self.model, Wav2Vec2CTC) else 1.0
        order = length_batches(dataset.sizes.tolist(), self.max_tokens, self.batch_size, padding)
        loader = BatchLoader(
            dataset, max_tokens=None, pad=True, fixed_order=order, num_workers=self.num_workers
        )
        self.set_aside += loader.set_aside
        with progress("utterances", len(dataset)) as advance:
            for batch in loader.epoch(1):
                self.set_aside += batch.set_aside
                if len(batch):
                    numbers = zip(batch.ids.tolist(), batch.lengths.tolist(), strict=True)
                    yield [self._clip(dataset, *pair) for pair in numbers], batch
                advance(len(batch) + len(batch.set_aside))

    def _clip(self, dataset: SpeechDataset, number: int, num_samples: int) -> Clip:
        entry = dataset.entries[number]
        if self.model.encoder.num_frames(num_samples) == 0:
            logger.warning("%s: too short for a single frame: its transcript is empty", entry.path)
        # line 1 is the root
        seconds = num_samples / self.model.config.sample_rate
        return Clip(entry.line - 2, self.manifest.full_path(entry), seconds)


def in_order(decoded: Sequence[Decoded]) -> list[Decoded]:
    """As the manifest has them."""
    return sorted(decoded, key=lambda one: one.clip.index)


def decode_heard(listener: Listener, decoder: Decoder) -> list[Decoded]:
    """Decodes batch by batch."""
    decoded: list[Decoded] = []
    assert isinstance(listener.model, Wav2Vec2CTC)
    for clips, batch in listener.batches():
        found = decoder.decode(emit(listener.model, batch.waveforms, batch.lengths))
        decoded += map(Decoded, clips, found)
    return in_order(decoded)


def keep_heard(listener: Listener, dictionary: Dictionary, model: str, subset: str) -> SavedEmissions:
    """What the model hears of all of it, in manifest order."""
    kept = []
    assert isinstance(listener.model, Wav2Vec2CTC)
    for clips, batch in listener.batches():
        emissions = emit(listener.model, batch.waveforms, batch.lengths)
        rows = zip(clips, emissions.log_probs.cpu(), emissions.lengths.tolist(), strict=True)
        kept += [(clip, log_probs[:length].clone()) for clip, log_probs, length in rows]
    kept.sort(key=lambda pair: pair[0].index)
    return SavedEmissions(
        model,
        subset,
        dictionary,
        tuple(clip for clip, _ in kept),
        tuple(rows for _, rows in kept),
        tuple(asdict(clip) for clip in listener.set_aside),
    )


def decode_saved(saved: SavedEmissions, decoder: Decoder, *, quiet: bool = False) -> list[Decoded]:
    """Decodes emissions that were kept."""
    decoded: list[Decoded] = []
    if quiet:
        for places, emissions in saved.batches():
            decoded += _decode_places(saved, decoder, places, emissions)
        return in_order(decoded)
    with progress("utterances", len(saved.clips)) as advance:
        for places, emissions in saved.batches():
            decoded += _decode_places(saved, decoder, places, emissions)
            advance(len(places))
    return in_order(decoded)


def _decode_places(
    saved: SavedEmissions, decoder: Decoder, places: Sequence[int], emissions: Emissions
) -> list[Decoded]:
    found = decoder.decode(emissions)
    return [Decoded(saved.clips[place], best) for place, best in zip(places, found, strict=True)]


def write_heard(
    listener: Listener, options: SearchOptions, nbest: int, dictionary: Dictionary, post_process: PostProcess
) -> list[Decoded]:
    """Lets a sequence-to-sequence model write what it hears."""
    decoded: list[Decoded] = []
    assert isinstance(listener.model, Wav2Vec2Seq2Seq)
    weight = listener.model.encoder.parameters()
    device = next(iter(weight)).device
    for clips, batch in listener.batches():
        padded = bool((batch.lengths < batch.waveforms.shape[1]).any())
        lengths = batch.lengths.to(device) if padded else None
        found = search(listener.model, batch.waveforms.to(device), lengths, options)
        for clip, written in zip(clips, found, strict=True):
            hypotheses = [one.hypothesis(dictionary, post_process) for one in written[:nbest]]
            decoded.append(Decoded(clip, hypotheses))
    return in_order(decoded)
