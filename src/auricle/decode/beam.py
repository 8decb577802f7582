"""CTC beam search over many utterances at once, in tensors: with a lexicon or without, with a language model.

The rules are flashlight's, as fairseq uses them: a hypothesis is told from another by its words, its place in
the lexicon and its last unit; of equal ones the best survives; the language model is asked where a word ends,
and until then the best word still possible stands in for it. Here a frame of all hypotheses of all utterances
is one row of tensors, so that nothing is compiled and a GPU does as well.

Two rules differ, where words are spelled without a unit between them (docs/decoding.md): a word's last unit
may last more than a frame, and two equal units at its end need a blank between them, as CTC has it.

Legend: B utterances, N frames, V units, R hypotheses of all utterances, M candidates, S columns of a state.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from auricle.decode.decoder import BeamOptions, silence
from auricle.decode.emissions import Emissions
from auricle.decode.hypothesis import Hypothesis, PostProcess
from auricle.decode.language_model import LanguageModel, NoLanguageModel
from auricle.decode.traceback import Final, Speller, Trace, hypotheses_of
from auricle.decode.trie import ROOT, Lexicon, Trie, build_trie
from auricle.decode.viterbi import BLANK
from auricle.dictionary import Dictionary

NO_WORD = -1

FURTHER = 2.0
"""How much wider than now a beam is thought to be at the next frame; only speed depends on it."""

LEAST = -1e10
"""Stands for log-probabilities of -inf, which would leave a search without a way on."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Hypotheses, or candidates for them: one-dimensional tensors of one length.

    Attributes:
        parent: Row among the hypotheses of the frame before.
        utterance: Which one.
        score: float64, what is ranked by.
        lm_score: float64, the language model's part of it, unweighted.
        node: Place in the lexicon's tree.
        unit: The last frame's.
        history: A 64-bit hash of utterance and words: equal for equal ones.
        word: Label of the word that ends here, `NO_WORD` for none.
        state: Row in the table of states.
    """

    parent: Tensor
    utterance: Tensor
    score: Tensor
    lm_score: Tensor
    node: Tensor
    unit: Tensor
    history: Tensor
    word: Tensor
    state: Tensor

    def __len__(self) -> int:
        return len(self.parent)

    def select(self, rows: Tensor) -> "Rows":
        """Some of them."""
        return Rows(*(getattr(self, name).index_select(0, rows) for name in _COLUMNS))

    def extended(self) -> "Rows":
        """What may follow: each its own parent, with no word ended yet."""
        own = torch.arange(len(self), device=self.parent.device)
        return replace(self, parent=own, state=own, word=torch.full_like(own, NO_WORD))


_COLUMNS = tuple(field.name for field in fields(Rows))


def joined(parts: Sequence[Rows]) -> Rows:
    """All of them, one after the other."""
    return Rows(*(torch.cat([getattr(part, name) for part in parts]) for name in _COLUMNS))


def mixed(values: Tensor) -> Tensor:
    """Scatters int64 values over all 64 bits; one to one."""
    for factor, shift in ((-7046029254386353131, 29), (-4658895280553007687, 32)):
        values = values * factor
        # torch shifts the sign in: without the mask, a value and its complement would become one
        values = values ^ ((values >> shift) & ((1 << (64 - shift)) - 1))
    return values


class BeamSearch:
    """A `Decoder`: see `BeamOptions` and this module's head."""

    def __init__(
        self,
        dictionary: Dictionary,
        options: BeamOptions,
        *,
        lexicon: Lexicon | None = None,
        lm: LanguageModel | None = None,
        post_process: PostProcess = "letter",
        device: torch.device | str = "cpu",
    ) -> None:
        """Prepares the search.

        Args:
            dictionary: Of the model's units.
            options: See there; `word_score` and `unk_weight` count with a lexicon only.
            lexicon: The words there are; None: every string of units is one.
            lm: Over the lexicon's words or, without a lexicon, over units.
            post_process: How units become words, without a lexicon.
            device: Where to search; the language model is there.
        """
        self.dictionary = dictionary
        self.options = options
        self.lm: LanguageModel = lm or NoLanguageModel()
        self.device = torch.device(device)
        self.silence = silence(dictionary)
        words = dictionary.symbols if lexicon is None else [*lexicon.words, "<unk>"]
        self.num_words = len(words)
        self.speller = Speller(
            dictionary, self.silence, None if lexicon is None else tuple(words), post_process
        )
        self.lm_words = self.lm.numbers(words).to(self.device)
        self.trie: Trie | None = None
        if lexicon is not None:
            scores = self.lm.outlook(self.lm_words[: len(lexicon.words)])
            self.trie = build_trie(lexicon, len(dictionary), scores.tolist()).to(self.device)
            self.repeats = any(units[-1] != self.silence for _, units in lexicon.spellings)

    def with_options(self, options: BeamOptions) -> "BeamSearch":
        """The same search, going about it in another way."""
        other = copy(self)
        other.options = options
        return other

    def decode(self, emissions: Emissions) -> list[list[Hypothesis]]:
        """See `Decoder`."""
        log_probs = emissions.log_probs.to(self.device).double().clamp(min=LEAST)
        finals, trace = self._search(log_probs, emissions.lengths.tolist())
        return hypotheses_of(finals, trace, log_probs.cpu().numpy(), self.speller)

    @torch.inference_mode()
    def _search(self, log_probs: Tensor, lengths: list[int]) -> tuple[list[Final], Trace]:
        """All frames; what each utterance ends with, and the way there."""
        rows, states = self._start(len(lengths))
        trace, finals = Trace(), []
        ends = torch.tensor(lengths, device=self.device)
        reach: Tensor | None = None
        for frame in range(max(lengths, default=0) + 1):
            live = torch.arange(len(rows), device=self.device)
            if frame in lengths:
                over = ends[rows.utterance] == frame
                finals += self._finish(rows, states, over.nonzero()[:, 0], frame)
                live = (~over).nonzero()[:, 0]
            if not len(live):
                break
            candidates, states = self._candidates(rows.select(live), states[live], log_probs[:, frame])
            rows = self._best(candidates, reach)
            reach = self._reach(rows, len(lengths))
            trace.append(live[rows.parent], rows.unit, rows.word)
            states = states[rows.state]
            self.lm.keep(states)
        return finals, trace

    def _start(self, count: int) -> tuple[Rows, Tensor]:
        """One hypothesis an utterance: nothing said, after a frame of silence."""
        utterance = torch.arange(count, device=self.device)
        none = torch.zeros(count, dtype=torch.float64, device=self.device)
        rows = Rows(
            parent=utterance,
            utterance=utterance,
            score=none,
            lm_score=none,
            node=torch.full_like(utterance, ROOT),
            unit=torch.full_like(utterance, self.silence),
            history=mixed(utterance + 1),
            word=torch.full_like(utterance, NO_WORD),
            state=utterance,
        )
        return rows, self.lm.start(count).to(self.device)

    def _candidates(self, rows: Rows, states: Tensor, frame: Tensor) -> tuple[Rows, Tensor]:
        """What may follow hypotheses with a frame [B, V]: candidates, and their table of states."""
        own = rows.extended()
        if self.trie is None:
            settled, words = self._units(own, frame)
        else:
            settled, words = self._letters(self.trie, own, frame)
        if self.lm.costly:
            words = words.select(
                (words.score >= self._bar(settled, len(frame))[words.utterance]).nonzero()[:, 0]
            )
        if not len(words):
            return settled, states
        scores, after = self.lm.score(states[words.parent], self.lm_words[words.word])
        words = replace(
            words,
            score=words.score + self.options.lm_weight * scores,
            lm_score=words.lm_score + scores,
            history=mixed(words.history + words.word + 1),
            state=torch.arange(len(words), device=self.device) + len(rows),
        )
        if self.trie is None:
            words = replace(words, word=torch.full_like(words.word, NO_WORD))
        return joined([settled, words]), torch.cat([states, after])

    def _bar(self, settled: Rows, count: int) -> Tensor:
        """For each of `count` utterances, the score below which nothing can survive."""
        if not len(settled):
            return torch.full((count,), -float("inf"), dtype=torch.float64, device=self.device)
        best = self._best(settled)
        counts = torch.bincount(best.utterance, minlength=count)
        bar = best.score.new_full((len(counts),), float("inf"))
        bar.scatter_reduce_(0, best.utterance, best.score, "amin")
        return bar.masked_fill(counts < self.options.beam, -float("inf"))

    def _pay(self, rows: Rows, unit: Tensor, frame: Tensor) -> Rows:
        """The rows, with `unit` in this frame."""
        score = rows.score + frame[rows.utterance, unit]
        if self.options.sil_weight:
            score = score + self.options.sil_weight * (unit == self.silence)
        return replace(rows, unit=unit, score=score)

    def _units(self, own: Rows, frame: Tensor) -> tuple[Rows, Rows]:
        """Without a lexicon: any unit may follow; new ones are words to the language model."""
        count = min(self.options.beam_size_token or frame.shape[1], frame.shape[1])
        tried = frame.topk(count, dim=1).indices[own.utterance]
        rows = own.select(own.parent.repeat_interleave(count))
        unit = tried.flatten()
        after = self._pay(rows, unit, frame)
        is_new = (unit != BLANK) & (unit != rows.unit)
        new = is_new.nonzero()[:, 0]
        return after.select((~is_new).nonzero()[:, 0]), replace(after.select(new), word=unit[new])

    def _letters(self, trie: Trie, own: Rows, frame: Tensor) -> tuple[Rows, Rows]:
        """With a lexicon: blank, the same unit again, a letter more, or the end of a word."""
        at_root = own.node == ROOT
        blank = self._pay(own, torch.full_like(own.unit, BLANK), frame)
        staying = (at_root | (own.unit != BLANK)).nonzero()[:, 0]
        unit = torch.where(at_root, self.silence, own.unit)[staying]
        parts = [blank, self._pay(own.select(staying), unit, frame)]
        if self.repeats:
            again = (at_root & (own.unit != BLANK) & (own.unit != self.silence)).nonzero()[:, 0]
            parts.append(self._pay(own.select(again), own.unit[again], frame))
        rows, unit, child = self._children(trie, own, frame)
        before, ahead = trie.best[rows.node], trie.best[child]
        below = self._pay(rows, unit, frame)
        weight = self.options.lm_weight
        deeper = (trie.first_edge[child + 1] > trie.first_edge[child]).nonzero()[:, 0]
        gain = (ahead - before)[deeper]
        letters = replace(
            below.select(deeper),
            score=below.score[deeper] + weight * gain,
            lm_score=below.lm_score[deeper] + gain,
            node=child[deeper],
        )
        # What stood in for the word is taken back: the language model says its own.
        at_end = replace(
            below,
            score=below.score - weight * before,
            lm_score=below.lm_score - before,
            node=torch.full_like(child, ROOT),
        )
        return joined([*parts, letters]), self._words(trie, at_end, child)

    def _children(self, trie: Trie, own: Rows, frame: Tensor) -> tuple[Rows, Tensor, Tensor]:
        """Each hypothesis with each letter that may follow: rows, units, nodes."""
        first = trie.first_edge[own.node]
        counts = trie.first_edge[own.node + 1] - first
        rows = own.parent.repeat_interleave(counts)
        within = torch.arange(len(rows), device=self.device) - (counts.cumsum(0) - counts)[rows]
        edges = first[rows] + within
        unit, child = trie.edge_unit[edges], trie.edge_child[edges]
        # Without a blank between them, two equal units are one.
        fits = unit != own.unit[rows]
        tried = self.options.beam_size_token
        if tried is not None and tried < frame.shape[1]:
            allowed = torch.zeros_like(frame, dtype=torch.bool)
            allowed.scatter_(1, frame.topk(tried, dim=1).indices, True)
            fits &= allowed[own.utterance[rows], unit]
        kept = fits.nonzero()[:, 0]
        return own.select(rows[kept]), unit[kept], child[kept]

    def _words(self, trie: Trie, at_end: Rows, child: Tensor) -> Rows:
        """The words that end at nodes; where none does, an unknown one may."""
        first = trie.first_label[child]
        counts = trie.first_label[child + 1] - first
        rows = torch.arange(len(child), device=self.device).repeat_interleave(counts)
        within = torch.arange(len(rows), device=self.device) - (counts.cumsum(0) - counts)[rows]
        ended = at_end.select(rows)
        words = replace(
            ended, word=trie.labels[first[rows] + within], score=ended.score + self.options.word_score
        )
        if self.options.unk_weight == -float("inf"):
            return words
        unknown = at_end.select((counts == 0).nonzero()[:, 0])
        label = torch.full_like(unknown.word, self.num_words - 1)
        return joined([words, replace(unknown, word=label, score=unknown.score + self.options.unk_weight)])

    def _best(self, candidates: Rows, reach: Tensor | None = None) -> Rows:
        """The best `beam` of each utterance, each once; utterances in order, the best first.

        Args:
            candidates: All of them.
            reach: float64 [B], a guess how far behind the best of its utterance a survivor may be. Most
                candidates are then never sorted; where the guess was too small, all are.
        """
        utterance = candidates.utterance
        best = candidates.score.new_full((int(utterance.max()) + 1,), -float("inf"))
        best.scatter_reduce_(0, utterance, candidates.score, "amax")
        behind = best[utterance] - candidates.score
        fine = behind <= self.options.beam_threshold
        near = fine if reach is None else fine & (behind <= reach[utterance])
        ranked, counts = self._ranked(candidates, behind, near.nonzero()[:, 0], len(best))
        if reach is not None and (counts[utterance[fine & ~near]] < self.options.beam).any():
            ranked, counts = self._ranked(candidates, behind, fine.nonzero()[:, 0], len(best))
        utterance = utterance[ranked]
        rank = torch.arange(len(ranked), device=self.device) - (counts.cumsum(0) - counts)[utterance]
        return candidates.select(ranked[rank < self.options.beam])

    def _ranked(self, candidates: Rows, behind: Tensor, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Of some candidates the best of equal ones, in order, and how many each utterance has."""
        gaps, utterance = behind[rows], candidates.utterance[rows]
        # Each utterance has a range of its own, so that one sort does for all.
        rows = rows[torch.argsort(utterance * (gaps.max() + 1.0) + gaps)]
        key = candidates.history[rows] + candidates.node[rows] * len(self.dictionary) + candidates.unit[rows]
        key, place = torch.sort(mixed(key), stable=True)
        is_first = torch.ones_like(key, dtype=torch.bool)
        is_first[1:] = key[1:] != key[:-1]
        kept = torch.zeros_like(is_first)
        kept[place[is_first]] = True
        rows = rows[kept]
        return rows, torch.bincount(candidates.utterance[rows], minlength=count)

    def _reach(self, rows: Rows, count: int) -> Tensor:
        """A guess for the next frame: somewhat further than the worst survivors are behind now."""
        best = rows.score.new_full((count,), -float("inf"))
        best.scatter_reduce_(0, rows.utterance, rows.score, "amax")
        reach = rows.score.new_zeros(count)
        reach.scatter_reduce_(0, rows.utterance, best[rows.utterance] - rows.score, "amax")
        full = torch.bincount(rows.utterance, minlength=count) >= self.options.beam
        return torch.where(full, FURTHER * reach + 1.0, float("inf"))

    def _finish(self, rows: Rows, states: Tensor, over: Tensor, frame: int) -> list[Final]:
        """The `nbest` of utterances that end before a frame, whole words preferred."""
        ended = rows.select(over)
        if not len(ended):
            return []
        if self.trie is not None:
            whole = ended.node == ROOT
            some = torch.zeros(int(ended.utterance.max()) + 1, dtype=torch.bool, device=self.device)
            some[ended.utterance[whole]] = True
            kept = (whole | ~some[ended.utterance]).nonzero()[:, 0]
            ended, over = ended.select(kept), over[kept]
        scores = self.lm.finish(states[over])
        ended = replace(
            ended,
            score=ended.score + self.options.lm_weight * scores,
            lm_score=ended.lm_score + scores,
            unit=torch.full_like(ended.unit, self.silence),
            parent=over,
        )
        best = self._best(ended)
        columns = (best.utterance, best.parent, best.score, best.lm_score)
        finals = [Final(frame, *values) for values in zip(*(c.tolist() for c in columns), strict=True)]
        return _first(finals, self.options.nbest)


def _first(finals: Sequence[Final], nbest: int) -> list[Final]:
    """The first `nbest` of each utterance."""
    seen: dict[int, int] = {}
    kept = []
    for final in finals:
        seen[final.utterance] = seen.get(final.utterance, 0) + 1
        if seen[final.utterance] <= nbest:
            kept.append(final)
    return kept
