"""Search for the labels that a sequence-to-sequence recogniser writes: greedy, or with a beam.

fairseq's search, choice for choice: a hypothesis that ends among the best `beam` candidates of a step is
finished, the best others go on, and an utterance is done with `beam` finished ones. Scores are divided by the
length, to the power of the length penalty, so that long answers stand a chance against short ones.

Legend: B utterances, K beam, V labels. Row b * K + k of a tensor is hypothesis k of utterance b.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from auricle.decode.emissions import evaluating
from auricle.decode.hypothesis import Hypothesis, PostProcess, units_to_words
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.adapters import CorpusKey
from auricle.models.decoder import DecoderState, Memory
from auricle.models.seq2seq import Wav2Vec2Seq2Seq

PAD, EOS, UNK = Dictionary.pad_index, Dictionary.eos_index, Dictionary.unk_index


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search; fairseq's words and defaults.

    Attributes:
        beam: Hypotheses kept of each utterance; 1 is greedy search.
        max_len_a: Labels at most, a frame of the utterance,
        max_len_b: and so many besides.
        min_len: Labels at least, the final `</s>` not counted.
        length_penalty: Below 1 short answers are favoured, above 1 long ones.
        unk_penalty: Taken off the score of `<unk>`.
    """

    beam: int = 5
    max_len_a: float = 0.0
    max_len_b: int = 200
    min_len: int = 1
    length_penalty: float = 1.0
    unk_penalty: float = 0.0

    def __post_init__(self) -> None:
        least = {"beam": 1, "max_len_a": 0, "max_len_b": 0, "min_len": 0}
        typed = {"length_penalty": "lenpen", "unk_penalty": "unkpen"}
        for field in fields(self):
            name, value = typed.get(field.name, field.name), getattr(self, field.name)
            if not math.isfinite(value):
                raise UserError(f"{name} is {value}: give a number")
            if value < least.get(name, -math.inf):
                raise UserError(f"{name} is {value}: give {least[name]} or more")


@dataclass(frozen=True, slots=True)
class WrittenHypothesis:
    """What the model may have written.

    Attributes:
        tokens: Dictionary indices, the last one `</s>`.
        score: Sum of their natural-log probabilities, over their number to the power of the length penalty.
        token_scores: The natural-log probability of each.
    """

    tokens: tuple[int, ...]
    score: float
    token_scores: tuple[float, ...]

    def text(self, dictionary: Dictionary, post_process: PostProcess = "letter") -> str:
        """The words that they spell."""
        return units_to_words(dictionary.decode(self.tokens), post_process)

    def hypothesis(self, dictionary: Dictionary, post_process: PostProcess = "letter") -> Hypothesis:
        """The same as decoders of frames answer, without times."""
        return Hypothesis(
            tokens=self.tokens[:-1],
            words=tuple(self.text(dictionary, post_process).split()),
            score=self.score,
            timesteps=(),
            spans=(),
            acoustic_score=sum(self.token_scores),
        )


def search(
    model: Wav2Vec2Seq2Seq,
    waveforms: Tensor,
    lengths: Tensor | None = None,
    options: SearchOptions | None = None,
    *,
    corpus_key: CorpusKey = None,
) -> list[list[WrittenHypothesis]]:
    """The likeliest transcripts of each utterance.

    Args:
        model: On any device; left in the mode it was in.
        waveforms: [B, T] float32, read as the model's configuration says (rate, `normalize`).
        lengths: int64 [B], samples; None: nothing is padded.
        options: How to search.
        corpus_key: Which adapters to use (see `Wav2Vec2.extract_features`).

    Returns:
        For each utterance up to `beam` hypotheses, the best first.
    """
    options = options or SearchOptions()
    with evaluating(model):
        memory = model.encode(waveforms, lengths, corpus_key=corpus_key)
        return _Search(model, memory, options).run()


class _Search:
    """The state of a search; utterances that are done leave it."""

    def __init__(self, model: Wav2Vec2Seq2Seq, memory: Memory, options: SearchOptions) -> None:
        self.model = model
        self.options = options
        self.beam = min(options.beam, model.config.num_labels - 1)
        count, frames = memory.frames.shape[:2]
        longest = min(
            int(options.max_len_a * frames + options.max_len_b), model.config.decoder.max_positions - 1
        )
        self.max_len = max(longest, options.min_len)
        self.finished: list[list[WrittenHypothesis]] = [[] for _ in range(count)]
        self.left = list(range(count))
        device = memory.frames.device
        rows = torch.arange(count, device=device).repeat_interleave(self.beam)
        self.memory = Memory(memory.frames[rows], None if memory.mask is None else memory.mask[rows])
        self.tokens = torch.full((len(rows), 1), EOS, device=device)
        self.scores = torch.zeros(len(rows), 0, device=device)  # of the prefixes of each hypothesis
        # Places of the beam that a finished hypothesis left behind: no ending counts there.
        self.dead = torch.zeros(count, self.beam, dtype=torch.bool, device=device)

    def run(self) -> list[list[WrittenHypothesis]]:
        """Search to the end; see `search`."""
        state: DecoderState | None = None
        for step in range(self.max_len + 1):
            logits, state = self.model.decode(self.tokens[:, -1:], None if state else self.memory, state)
            log_probs = self._allowed(logits[:, 0].float().log_softmax(-1), step)
            rows = self._advance(log_probs, step)
            if not self.left:
                break
            state = state.select(rows)
        return [sorted(found, key=lambda one: -one.score) for found in self.finished]

    def _allowed(self, log_probs: Tensor, step: int) -> Tensor:
        """Log-probabilities [B * K, V] with what may not come next at -inf."""
        log_probs = log_probs.masked_fill(log_probs.isnan(), float("-inf"))
        log_probs[:, PAD] = float("-inf")
        log_probs[:, UNK] -= self.options.unk_penalty
        if step >= self.max_len:
            log_probs[:, :EOS] = float("-inf")
            log_probs[:, EOS + 1 :] = float("-inf")
        if step < self.options.min_len:
            log_probs[:, EOS] = float("-inf")
        return log_probs

    def _advance(self, log_probs: Tensor, step: int) -> Tensor:
        """Take the best candidates; gives the rows int64 [B' * K] that the next step goes on from."""
        candidates = self._candidates(log_probs, step)
        self._finish(*candidates, step)
        return self._go_on(*candidates)

    def _candidates(self, log_probs: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """The 2K best of each utterance: scores, labels and rows they continue, each [B, 2K]."""
        count, num_labels = len(self.left), log_probs.shape[1]
        totals = log_probs.view(count, self.beam, num_labels)
        if step > 0:
            totals = totals + self.scores[:, -1].view(count, self.beam, 1)
        # At first, all hypotheses of an utterance are the same.
        flat = totals[:, : self.beam if step else 1].flatten(1)
        best = flat.topk(min(2 * self.beam, flat.shape[1] - 1))
        first_rows = torch.arange(count, device=flat.device)[:, None] * self.beam
        return best.values, best.indices % num_labels, best.indices // num_labels + first_rows

    def _ends(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Which candidates end, bool [B, 2K]; those of hypotheses that are over do not count."""
        ends = (labels == EOS) & scores.isfinite()
        ends[:, : self.beam] &= ~self.dead
        return ends

    def _finish(self, scores: Tensor, labels: Tensor, rows: Tensor, step: int) -> None:
        """Note hypotheses that end among the K best candidates."""
        ends = self._ends(scores, labels)[:, : self.beam]
        for utterance, place in ends.nonzero().tolist():
            found = self.finished[self.left[utterance]]
            if len(found) < self.beam:
                total, row = float(scores[utterance, place]), int(rows[utterance, place])
                sums = [*self.scores[row].tolist(), total]
                found.append(
                    WrittenHypothesis(
                        tokens=(*self.tokens[row, 1:].tolist(), EOS),
                        score=total / (step + 1) ** self.options.length_penalty,
                        token_scores=tuple(b - a for a, b in zip([0.0, *sums], sums, strict=False)),
                    )
                )

    def _go_on(self, scores: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        """Keep the K best candidates that do not end, of utterances that are not done."""
        ends = self._ends(scores, labels)
        ends[:, : self.beam] |= self.dead
        stay = [i for i, name in enumerate(self.left) if len(self.finished[name]) < self.beam]
        kept = torch.tensor(stay, dtype=torch.int64, device=scores.device)
        self.left = [self.left[i] for i in stay]
        # Candidates that go on, in their order, then those that end.
        order = ends.long() * ends.shape[1] + torch.arange(ends.shape[1], device=ends.device)
        places = order.topk(self.beam, dim=1, largest=False)
        self.dead = (places.values >= ends.shape[1])[kept]
        chosen = places.indices[kept]
        rows = rows[kept].gather(1, chosen).flatten()
        labels = labels[kept].gather(1, chosen).flatten()
        totals = scores[kept].gather(1, chosen).flatten()
        self.tokens = torch.cat([self.tokens[rows], labels[:, None]], dim=1)
        self.scores = torch.cat([self.scores[rows], totals[:, None]], dim=1)
        return rows
