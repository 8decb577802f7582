"""Transcribes speech while it is said: partial results at every step, final ones at pauses.

What is final is what the same piece of a recording gives; what is partial is heard without what comes after
it, and may change. A word appears at the first step at which the model writes it, and is final at the first
step after a pause, plus the time that the model takes (docs/long-recordings.md has what that comes to).
"""

from dataclasses import dataclass

from torch import Tensor

from auricle.decode.cut import CutOptions, Cutter, Piece
from auricle.decode.listen import Answer, Decoding, Recogniser, as_heard, listener
from auricle.decode.transcript import Transcript
from auricle.models.conv import hop

LIVE_CUTTING = CutOptions(chunk_seconds=12.0, overlap_seconds=4.0, silence_seconds=0.4, eager=True)
"""Short pieces: a partial result takes as long as all of its piece takes to hear."""


@dataclass(frozen=True, slots=True)
class Update:
    """Something new.

    Attributes:
        transcript: Since the last final one; its times count from the start of everything.
        final: Whether it will not change any more.
        heard_seconds: How much was fed until then.
    """

    transcript: Transcript
    final: bool
    heard_seconds: float


class LiveTranscriber:
    """Takes samples as they come."""

    def __init__(
        self, recogniser: Recogniser, cutting: CutOptions = LIVE_CUTTING, decoding: Decoding | None = None
    ) -> None:
        """Begin.

        Args:
            recogniser: What `auricle.load` gave.
            cutting: The pieces that it hears at a time; `eager`, or else results come only with full pieces.
            decoding: How what it hears becomes text; None for the best path.

        Raises:
            UserError: It is no recogniser.
        """
        self._ears = listener(recogniser, decoding)
        config = self._ears.encoder.config
        stride = hop(config.conv_layers)
        self.sample_rate = config.sample_rate
        self._cutter = Cutter(self._ears.cutting(cutting), config.sample_rate, stride)
        # Who speaks without a pause gets final words too, a piece late.
        longest = round(cutting.chunk_seconds * config.sample_rate / stride)
        self._recording = self._ears.recording(longest)
        self._shown = ""
        self._fed = 0

    def feed(self, samples: Tensor, *, partial: bool = True) -> list[Update]:
        """Hear more.

        Args:
            samples: [T] float32 at `sample_rate`, any number.
            partial: Whether to tell what is not final as well, which takes most of the work.

        Returns:
            What is new: final results, then at most one partial one.
        """
        self._fed += len(samples)
        updates = self._final(self._cutter.feed(samples))
        if partial:
            updates += self._partial()
        return updates

    def finish(self) -> list[Update]:
        """Nothing comes any more: what is left is final."""
        updates = self._final(self._cutter.finish())
        return updates + [self._update(part, final=True) for part in self._recording.finish() if part.text]

    def _final(self, pieces: list[Piece]) -> list[Update]:
        parts = [part for piece in pieces for part in self._recording.add(piece, self._answer(piece))]
        updates = [self._update(part, final=True) for part in parts if part.text]
        if updates:
            self._shown = ""
        return updates

    def _partial(self) -> list[Update]:
        pending = self._cutter.pending
        if self._ears.encoder.num_frames(len(pending.samples)) == 0:
            return []
        part = self._recording.tentative(pending, self._answer(pending))
        if part.text == self._shown:
            return []
        self._shown = part.text
        return [self._update(part, final=False)]

    def _answer(self, piece: Piece) -> Answer:
        waveform = as_heard(piece.samples, self._ears.encoder.config)
        return self._ears.hear([waveform], len(waveform))[0]

    def _update(self, part: Transcript, *, final: bool) -> Update:
        return Update(part, final, self._fed / self.sample_rate)
