"""What a recogniser makes of pieces: the one interface of CTC and of sequence-to-sequence models.

Legend: T samples, N frames, V units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from auricle import audio
from auricle.decode import seq2seq
from auricle.decode.cut import CutOptions, Piece
from auricle.decode.decoder import Decoder, ViterbiDecoder
from auricle.decode.emissions import (
    Emissions,
    check_dictionary,
    check_recogniser,
    emit,
    length_batches,
    most_padding,
    pad,
)
from auricle.decode.hypothesis import Hypothesis, PostProcess
from auricle.decode.stitch import LONGEST_RUN_FRAMES, Run, Stitcher
from auricle.decode.transcript import Clock, Part, Transcript, timed_words
from auricle.dictionary import WORD_END, Dictionary
from auricle.models.config import Wav2Vec2Config
from auricle.models.conv import hop
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.models.wav2vec2 import Wav2Vec2

Answer = Tensor | list[Hypothesis]
"""What a model makes of a piece: emissions [N, V] float32 on the CPU, or what it may have written, the best
first, and nothing where there is nothing to hear."""

WRITING = seq2seq.SearchOptions(max_len_a=0.5, max_len_b=200)
"""Twice as many letters as anybody says in a frame."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How what a model hears becomes text.

    Attributes:
        decoder: Of emissions; None for the best path.
        writing: How sequence-to-sequence models search.
        nbest: Alternatives told of each part of a transcript, where the search has so many; 1: no parts.
        post_process: How units become words; None for what the dictionary suggests. A decoder has its own,
            which has to be the same.
    """

    decoder: Decoder | None = None
    writing: seq2seq.SearchOptions = WRITING
    nbest: int = 1
    post_process: PostProcess | None = None


class Recogniser(Protocol):
    """What `auricle.load` gives, as far as this module looks at it."""

    @property
    def model(self) -> nn.Module:
        """A `Wav2Vec2CTC` or a `Wav2Vec2Seq2Seq`."""

    @property
    def dictionary(self) -> Dictionary | None:
        """Of the symbols that the model writes."""


class Recording(Protocol):
    """What was heard of one recording; takes its pieces in order."""

    def add(self, piece: Piece, answer: Answer) -> list[Transcript]:
        """The parts of the transcript that the model's answer to the next piece completes."""

    def finish(self) -> list[Transcript]:
        """The parts that no piece completed."""

    def tentative(self, piece: Piece, answer: Answer) -> Transcript:
        """What is said since the last complete part, as far as it can be told; nothing of it is kept."""


class Listener(Protocol):
    """A model at work."""

    encoder: Wav2Vec2

    def hear(self, waveforms: Sequence[Tensor], max_samples: int) -> list[Answer]:
        """The model's answers to waveforms [T_i], in order, computed in batches of up to `max_samples`."""

    def recording(self, longest_run: int = LONGEST_RUN_FRAMES) -> Recording:
        """Begins a new recording; more frames than `longest_run` without a pause are cut between words."""

    def cutting(self, options: CutOptions) -> CutOptions:
        """How to cut for this model."""


def listener(recogniser: Recogniser, decoding: Decoding | None = None) -> Listener:
    """Puts a model to work.

    Args:
        recogniser: What `auricle.load` gave.
        decoding: How what is heard becomes text; None for the best path.

    Raises:
        UserError: It is no recogniser, or its dictionary is missing or another's.
    """
    if isinstance(recogniser.model, Wav2Vec2Seq2Seq):
        return Writer(recogniser.model, recogniser.dictionary, decoding)
    model, dictionary = check_recogniser(recogniser.model, recogniser.dictionary)
    return CTCListener(model, dictionary, decoding)


def suggested_post_process(dictionary: Dictionary) -> PostProcess:
    """How units become words: a dictionary without `|` holds phonemes or whole words, which stay apart."""
    return "letter" if WORD_END in dictionary else "none"


def as_heard(samples: Tensor, config: Wav2Vec2Config) -> Tensor:
    """A piece [T] as the model wants it: normalised by itself where its configuration says so."""
    return audio.normalize(samples) if config.normalize and len(samples) else samples


class CTCListener:
    """A model with a CTC head."""

    def __init__(self, model: Wav2Vec2CTC, dictionary: Dictionary, decoding: Decoding | None = None) -> None:
        decoding = decoding or Decoding()
        self.model, self.dictionary = model, dictionary
        self.encoder, self.nbest = model.encoder, decoding.nbest
        self.post_process = decoding.post_process or suggested_post_process(dictionary)
        self.decoder: Decoder = decoding.decoder or ViterbiDecoder(dictionary, self.post_process)

    def hear(self, waveforms: Sequence[Tensor], max_samples: int) -> list[Answer]:
        """Emissions; see `Listener`."""
        return [*emissions(self.model, waveforms, max_samples)]

    def recording(self, longest_run: int = LONGEST_RUN_FRAMES) -> "TimedRecording":
        """A new recording; see `Listener`."""
        return TimedRecording(self, longest_run)

    def cutting(self, options: CutOptions) -> CutOptions:
        """As asked for; see `Listener`."""
        return options


class TimedRecording:
    """See `Recording`; of a CTC model, whose frames tell when things were said."""

    def __init__(self, listener: CTCListener, longest_run: int) -> None:
        self._listener = listener
        encoder = listener.model.config.encoder
        self._hop, self._rate = hop(encoder.conv_layers), encoder.sample_rate
        self._stitcher = Stitcher(listener.dictionary, self._hop, longest_run)

    def add(self, piece: Piece, answer: Answer) -> list[Transcript]:
        """See `Recording`."""
        assert isinstance(answer, Tensor)
        return [self._transcript(run) for run in self._stitcher.add(piece, answer)]

    def finish(self) -> list[Transcript]:
        """See `Recording`."""
        return [self._transcript(run) for run in self._stitcher.finish()]

    def tentative(self, piece: Piece, answer: Answer) -> Transcript:
        """See `Recording`."""
        assert isinstance(answer, Tensor)
        return self._transcript(self._stitcher.tentative(piece, answer))

    def _transcript(self, run: Run) -> Transcript:
        listener, count = self._listener, len(run.log_probs)
        (found,) = listener.decoder.decode(Emissions(run.log_probs[None], torch.tensor([count])))
        clock = Clock(run.start, self._hop, self._rate)
        words = timed_words(
            found[0], clock, run.log_probs.numpy(), listener.dictionary, listener.post_process
        )
        parts = _parts(found, clock.seconds(0), clock.seconds(count), listener.nbest) if count else ()
        return Transcript(found[0].text, words, parts=parts)


def _parts(found: Sequence[Hypothesis], start: float, end: float, nbest: int) -> tuple[Part, ...]:
    """The part between two times, if alternatives are asked for."""
    return (Part(start, end, tuple(one.alternative for one in found[:nbest])),) if nbest > 1 else ()


def emissions(model: Wav2Vec2CTC, waveforms: Sequence[Tensor], max_samples: int) -> list[Tensor]:
    """Emissions [N_i, V] float32 on the CPU, of waveforms [T_i] float32 as the model wants them."""
    results = [torch.zeros(0, model.config.num_labels)] * len(waveforms)
    lengths = [len(samples) for samples in waveforms]
    for batch in length_batches(lengths, max_samples, padding=most_padding(model)):
        heard = emit(model, *pad([waveforms[i] for i in batch]))
        log_probs = heard.log_probs.cpu()
        for row, (i, length) in enumerate(zip(batch, heard.lengths.tolist(), strict=True)):
            results[i] = log_probs[row, :length].clone()  # a view would hold on to the whole batch
    return results


@dataclass(frozen=True, slots=True)
class _Written:
    """See `Recording`; the model tells no times, so that each piece stands by itself."""

    sample_rate: int
    nbest: int

    def add(self, piece: Piece, answer: Answer) -> list[Transcript]:
        return [self.tentative(piece, answer)]

    def finish(self) -> list[Transcript]:
        return []

    def tentative(self, piece: Piece, answer: Answer) -> Transcript:
        assert isinstance(answer, list)
        if not answer:
            return Transcript("", [])
        start, end = piece.start, piece.start + len(piece.samples)
        parts = _parts(answer, start / self.sample_rate, end / self.sample_rate, self.nbest)
        return Transcript(answer[0].text, [], parts=parts)


class Writer:
    """A sequence-to-sequence model, which writes letters one by one and tells no times."""

    def __init__(
        self,
        model: Wav2Vec2Seq2Seq,
        dictionary: Dictionary | None,
        decoding: Decoding | None = None,
    ) -> None:
        """Take the model.

        Raises:
            UserError: The dictionary is missing, or another model's.
        """
        dictionary = check_dictionary(dictionary, model.config.num_labels)
        self.model, self.dictionary, self.encoder = model, dictionary, model.encoder
        self.decoding = decoding or Decoding()
        self.post_process = self.decoding.post_process or suggested_post_process(dictionary)

    def hear(self, waveforms: Sequence[Tensor], max_samples: int) -> list[Answer]:
        """Hypotheses; see `Listener`."""
        answers: list[Answer] = [[] for _ in waveforms]
        long_enough = [i for i, samples in enumerate(waveforms) if self.encoder.num_frames(len(samples))]
        parameter = next(self.model.parameters())
        for batch in length_batches([len(waveforms[i]) for i in long_enough], max_samples):
            rows = [long_enough[i] for i in batch]
            samples, lengths = pad([waveforms[i] for i in rows])
            samples, lengths = samples.to(parameter.device, parameter.dtype), lengths.to(parameter.device)
            for i, found in zip(rows, self._search(samples, lengths), strict=True):
                best = found[: self.decoding.nbest]
                answers[i] = [one.hypothesis(self.dictionary, self.post_process) for one in best]
        return answers

    def _search(self, samples: Tensor, lengths: Tensor) -> list[list[seq2seq.WrittenHypothesis]]:
        padded = bool((lengths < samples.shape[1]).any())
        return seq2seq.search(self.model, samples, lengths if padded else None, self.decoding.writing)

    def recording(self, longest_run: int = LONGEST_RUN_FRAMES) -> Recording:
        """A new recording; see `Listener`."""
        return _Written(self.encoder.config.sample_rate, self.decoding.nbest)

    def cutting(self, options: CutOptions) -> CutOptions:
        """Without overlap: what is written of it twice could not be told from what is said twice."""
        return CutOptions(options.chunk_seconds, 0.0, options.silence_seconds, options.eager)
