"""What a recogniser makes of pieces: the one interface of CTC and of sequence-to-sequence models.

Legend: T samples, N frames, V units.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from auricle import audio
from auricle.decode import seq2seq
from auricle.decode.cut import CutOptions, Piece
from auricle.decode.emissions import check_recogniser, emit, length_batches, most_padding, pad
from auricle.decode.hypothesis import Hypothesis, PostProcess
from auricle.decode.stitch import LONGEST_RUN_FRAMES, Run, Stitcher
from auricle.decode.transcript import Clock, Transcript, timed_words
from auricle.decode.viterbi import viterbi
from auricle.dictionary import WORD_END, Dictionary
from auricle.errors import UserError
from auricle.models.config import Wav2Vec2Config
from auricle.models.conv import hop
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.models.wav2vec2 import Wav2Vec2

Decode = Callable[[Tensor, Tensor], list[Hypothesis]]
"""From emissions [B, N, V] and their lengths int64 [B] to one hypothesis an utterance."""


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

    def add(self, piece: Piece, answer: Tensor | str) -> list[Transcript]:
        """The parts of the transcript that the model's answer to the next piece completes."""

    def finish(self) -> list[Transcript]:
        """The parts that no piece completed."""

    def tentative(self, piece: Piece, answer: Tensor | str) -> Transcript:
        """What is said since the last complete part, as far as it can be told; nothing of it is kept."""


class Listener(Protocol):
    """A model at work."""

    encoder: Wav2Vec2

    def hear(self, waveforms: Sequence[Tensor], max_samples: int) -> list[Tensor | str]:
        """The model's answers to waveforms [T_i], in order, computed in batches of up to `max_samples`.

        Emissions [N, V] float32 on the CPU, or text.
        """

    def recording(self, longest_run: int = LONGEST_RUN_FRAMES) -> Recording:
        """Begins a new recording; more frames than `longest_run` without a pause are cut between words."""

    def cutting(self, options: CutOptions) -> CutOptions:
        """How to cut for this model."""


def listener(
    recogniser: Recogniser, post_process: PostProcess | None = None, decode: Decode | None = None
) -> Listener:
    """Puts a model to work.

    Args:
        recogniser: What `auricle.load` gave.
        post_process: How units become words; None for what the dictionary suggests.
        decode: From emissions to hypotheses; None for the best path.

    Raises:
        UserError: It is no recogniser, or its dictionary is missing or another's.
    """
    if isinstance(recogniser.model, Wav2Vec2Seq2Seq):
        return Writer(recogniser.model, recogniser.dictionary, post_process)
    model, dictionary = check_recogniser(recogniser.model, recogniser.dictionary)
    return CTCListener(model, dictionary, post_process or suggested_post_process(dictionary), decode)


def suggested_post_process(dictionary: Dictionary) -> PostProcess:
    """How units become words: a dictionary without `|` holds phonemes or whole words, which stay apart."""
    return "letter" if WORD_END in dictionary else "none"


def as_heard(samples: Tensor, config: Wav2Vec2Config) -> Tensor:
    """A piece [T] as the model wants it: normalised by itself where its configuration says so."""
    return audio.normalize(samples) if config.normalize and len(samples) else samples


class CTCListener:
    """A model with a CTC head."""

    def __init__(
        self,
        model: Wav2Vec2CTC,
        dictionary: Dictionary,
        post_process: PostProcess,
        decode: Decode | None = None,
    ) -> None:
        self.model, self.dictionary, self.post_process = model, dictionary, post_process
        self.encoder = model.encoder
        self.decode: Decode = decode or partial(viterbi, dictionary=dictionary, post_process=post_process)

    def hear(self, waveforms: Sequence[Tensor], max_samples: int) -> list[Tensor | str]:
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

    def add(self, piece: Piece, answer: Tensor | str) -> list[Transcript]:
        """See `Recording`."""
        assert isinstance(answer, Tensor)
        return [self._transcript(run) for run in self._stitcher.add(piece, answer)]

    def finish(self) -> list[Transcript]:
        """See `Recording`."""
        return [self._transcript(run) for run in self._stitcher.finish()]

    def tentative(self, piece: Piece, answer: Tensor | str) -> Transcript:
        """See `Recording`."""
        assert isinstance(answer, Tensor)
        return self._transcript(self._stitcher.tentative(piece, answer))

    def _transcript(self, run: Run) -> Transcript:
        lengths = torch.tensor([len(run.log_probs)])
        hypothesis = self._listener.decode(run.log_probs[None], lengths)[0]
        clock = Clock(run.start, self._hop, self._rate)
        words = timed_words(
            hypothesis,
            clock,
            run.log_probs.numpy(),
            self._listener.dictionary,
            self._listener.post_process,
        )
        return Transcript(hypothesis.text, words)


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

    def add(self, piece: Piece, answer: Tensor | str) -> list[Transcript]:
        return [self.tentative(piece, answer)]

    def finish(self) -> list[Transcript]:
        return []

    def tentative(self, piece: Piece, answer: Tensor | str) -> Transcript:
        assert isinstance(answer, str)
        return Transcript(answer, [])


class Writer:
    """A sequence-to-sequence model, which writes letters one by one and tells no times."""

    OPTIONS = seq2seq.SearchOptions(max_len_a=0.5, max_len_b=200)
    """Twice as many letters as anybody says in a frame."""

    def __init__(
        self, model: Wav2Vec2Seq2Seq, dictionary: Dictionary | None, post_process: PostProcess | None
    ) -> None:
        """Take the model.

        Raises:
            UserError: The dictionary is missing, or another model's.
        """
        if dictionary is None:
            raise UserError("this checkpoint holds no dictionary: pass its dict.ltr.txt with --dictionary")
        if len(dictionary) != model.config.num_labels:
            raise UserError(
                f"the dictionary has {len(dictionary)} symbols, its 4 special ones included, and the model "
                f"{model.config.num_labels}: pass the dict.ltr.txt that the model was fine-tuned with"
            )
        self.model, self.dictionary, self.encoder = model, dictionary, model.encoder
        self.post_process = post_process or suggested_post_process(dictionary)

    def hear(self, waveforms: Sequence[Tensor], max_samples: int) -> list[Tensor | str]:
        """Text; see `Listener`."""
        answers: list[Tensor | str] = [""] * len(waveforms)
        long_enough = [i for i, samples in enumerate(waveforms) if self.encoder.num_frames(len(samples))]
        parameter = next(self.model.parameters())
        for batch in length_batches([len(waveforms[i]) for i in long_enough], max_samples):
            rows = [long_enough[i] for i in batch]
            samples, lengths = pad([waveforms[i] for i in rows])
            samples, lengths = samples.to(parameter.device, parameter.dtype), lengths.to(parameter.device)
            for i, found in zip(rows, self._search(samples, lengths), strict=True):
                answers[i] = found[0].text(self.dictionary, self.post_process) if found else ""
        return answers

    def _search(self, samples: Tensor, lengths: Tensor) -> list[list[seq2seq.WrittenHypothesis]]:
        padded = bool((lengths < samples.shape[1]).any())
        return seq2seq.search(self.model, samples, lengths if padded else None, self.OPTIONS)

    def recording(self, longest_run: int = LONGEST_RUN_FRAMES) -> Recording:
        """A new recording; see `Listener`."""
        return _Written()

    def cutting(self, options: CutOptions) -> CutOptions:
        """Without overlap: what is written of it twice could not be told from what is said twice."""
        return CutOptions(options.chunk_seconds, 0.0, options.silence_seconds, options.eager)
