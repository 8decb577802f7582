"""Error rates of a set of hypotheses, and the files that an evaluation leaves behind."""

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field
from itertools import zip_longest
from operator import add
from pathlib import Path

from auricle.decode.hypothesis import Alternative, PostProcess, units_to_words
from auricle.files import atomic_write_text


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Edits (substitutions, deletions, insertions) and what they are counted against; add them up freely.

    Attributes:
        word_edits, num_words: Over words.
        char_edits, num_chars: Over the characters of the words' text, the spaces between them included.
        unit_edits, num_units: Over the dictionary's units (letters with `|`, or phonemes), as fairseq's
            criterion counts its `uer`.
        num_utterances: How many references.
        raw_word_edits, num_raw_words: Over the words that greedy decoding spells, where `word_edits` are of
            those that a language model found; else 0.
    """

    word_edits: int = 0
    num_words: int = 0
    char_edits: int = 0
    num_chars: int = 0
    unit_edits: int = 0
    num_units: int = 0
    num_utterances: int = 0
    raw_word_edits: int = 0
    num_raw_words: int = 0

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(*map(add, astuple(self), astuple(other)))

    @property
    def wer(self) -> float:
        """Word error rate, percent."""
        return _percent(self.word_edits, self.num_words)

    @property
    def raw_wer(self) -> float:
        """Word error rate of greedy decoding, percent."""
        return _percent(self.raw_word_edits, self.num_raw_words)

    @property
    def cer(self) -> float:
        """Character error rate, percent."""
        return _percent(self.char_edits, self.num_chars)

    @property
    def uer(self) -> float:
        """Unit error rate, percent."""
        return _percent(self.unit_edits, self.num_units)


def _percent(edits: int, total: int) -> float:
    """A finite rate also where every reference is empty: each insertion then counts 100 %."""
    return 100.0 * edits / max(total, 1)


@dataclass(frozen=True, slots=True)
class AlignedWord:
    """One step from what was said to what was heard.

    Attributes:
        kind: "equal", "substitute", "delete" or "insert".
        reference: The word said; empty for an insertion.
        hypothesis: The word heard; empty for a deletion.
    """

    kind: str
    reference: str
    hypothesis: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """What was said and what was heard in one clip, as strings of units ("H E | I T |").

    Attributes:
        index: Position in the manifest.
        path: The clip.
        reference: From the labels.
        hypothesis: From the decoder.
        score: What the decoder ranked its hypothesis by.
        seconds: Length of the clip.
        words: The words that the decoder found; None: those that the units spell.
        speaker: Who speaks; "None" where that is not known, as fairseq writes it.
        nbest: The other hypotheses, the best first.
    """

    index: int
    path: str
    reference: str
    hypothesis: str
    score: float
    seconds: float
    words: str | None = None
    speaker: str = "None"
    nbest: tuple[Alternative, ...] = ()

    def heard(self, post_process: PostProcess) -> str:
        """The words understood."""
        return units_to_words(self.hypothesis, post_process) if self.words is None else self.words


@dataclass(frozen=True, slots=True)
class Summary:
    """What `summary.json` holds; rates in percent.

    `uer` is over the dictionary's units (letters with `|`, or phonemes), `cer` over the characters of the
    words' text. `set_aside` names the clips that could not be read, and why; no rate counts them. `wer_low`
    and `wer_high` are the ends of a 95 % bootstrap interval, `confusions` the most frequent errors (said,
    heard, how often), `speakers` the rate and the words of each, where they are known.
    """

    wer: float
    cer: float
    uer: float
    num_utterances: int
    num_words: int
    audio_seconds: float
    wall_seconds: float
    decoder: str
    model: str
    subset: str
    set_aside: list[dict[str, str]]
    wer_low: float = 0.0
    wer_high: float = 0.0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    confusions: list[tuple[str, str, int]] = field(default_factory=list)
    speakers: dict[str, dict[str, float]] = field(default_factory=dict)


def count_errors(
    references: Sequence[str],
    hypotheses: Sequence[str],
    *,
    post_process: PostProcess = "letter",
    texts: Sequence[str] | None = None,
) -> ErrorCounts:
    """Counts the errors of a batch of hypotheses.

    Args:
        references: One string of units an utterance, separated by spaces ("H E | I T |").
        hypotheses: The same, in the same order (`Dictionary.decode` of a hypothesis' tokens).
        post_process: How units become words.
        texts: The words of the hypotheses, where they are not what the units spell.

    Returns:
        Sums over the batch. Units are compared as they stand, words after `post_process`.

    Raises:
        ValueError: The two lists differ in length.
    """
    import jiwer

    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references for {len(hypotheses)} hypotheses")
    if not references:
        return ErrorCounts()
    said = [units_to_words(units, post_process) for units in references]
    heard = texts if texts is not None else [units_to_words(units, post_process) for units in hypotheses]
    words = jiwer.process_words(said, list(heard))
    chars = jiwer.process_characters(said, list(heard))
    units = jiwer.process_words(list(references), list(hypotheses))
    return ErrorCounts(
        word_edits=words.substitutions + words.deletions + words.insertions,
        num_words=words.hits + words.substitutions + words.deletions,
        char_edits=chars.substitutions + chars.deletions + chars.insertions,
        num_chars=chars.hits + chars.substitutions + chars.deletions,
        unit_edits=units.substitutions + units.deletions + units.insertions,
        num_units=units.hits + units.substitutions + units.deletions,
        num_utterances=len(references),
    )


def align_words(references: Sequence[str], hypotheses: Sequence[str]) -> list[list[AlignedWord]]:
    """Aligns words with the fewest edits.

    Args:
        references: One string of words an utterance.
        hypotheses: The same, in the same order.

    Returns:
        One alignment an utterance, in reading order.
    """
    import jiwer

    if not references:
        return []
    output = jiwer.process_words(list(references), list(hypotheses))
    alignments = []
    for said, heard, chunks in zip(output.references, output.hypotheses, output.alignments, strict=True):
        aligned: list[AlignedWord] = []
        for chunk in chunks:
            left = said[chunk.ref_start_idx : chunk.ref_end_idx]
            right = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
            pairs = zip_longest(left, right, fillvalue="")
            aligned.extend(AlignedWord(chunk.type, *pair) for pair in pairs)
        alignments.append(aligned)
    return alignments


def write_evaluation(
    folder: Path,
    name: str,
    subset: str,
    utterances: Sequence[Utterance],
    summary: Summary,
    *,
    post_process: PostProcess = "letter",
) -> None:
    """Writes what an evaluation found, each file whole or not at all.

    * `hypo.word-NAME-SUBSET.txt`, `ref.word-...`, `hypo.units-...`, `ref.units-...`: text and
      `(SPEAKER-INDEX)` a line, as fairseq does (sclite's trn format), with None for speakers not known;
    * `utterances.jsonl`: one object an utterance, with its errors and word alignment;
    * `summary.json`, last: where it is, all the others are.

    Raises:
        UserError: The folder cannot be written to.
    """
    said = [units_to_words(utterance.reference, post_process) for utterance in utterances]
    heard = [utterance.heard(post_process) for utterance in utterances]
    ids = [f"({utterance.speaker}-{utterance.index})" for utterance in utterances]
    for kind, texts in {
        "hypo.word": heard,
        "ref.word": said,
        "hypo.units": [utterance.hypothesis for utterance in utterances],
        "ref.units": [utterance.reference for utterance in utterances],
    }.items():
        lines = (f"{text} {id_}\n" for text, id_ in zip(texts, ids, strict=True))
        atomic_write_text(folder / f"{kind}-{name}-{subset}.txt", "".join(lines))
    records = map(_record, utterances, said, heard, align_words(said, heard))
    atomic_write_text(folder / "utterances.jsonl", "".join(f"{json.dumps(r)}\n" for r in records))
    atomic_write_text(folder / "summary.json", json.dumps(asdict(summary), indent=2) + "\n")


def _record(
    utterance: Utterance, reference: str, hypothesis: str, alignment: list[AlignedWord]
) -> dict[str, object]:
    """A line of `utterances.jsonl`."""
    record: dict[str, object] = {
        "id": utterance.index,
        "path": utterance.path,
        "seconds": utterance.seconds,
        "reference": reference,
        "hypothesis": hypothesis,
        "word_errors": sum(step.kind != "equal" for step in alignment),
        "num_words": sum(step.kind != "insert" for step in alignment),
        "score": utterance.score,
        "alignment": [[step.kind, step.reference, step.hypothesis] for step in alignment],
    }
    if utterance.nbest:
        record["nbest"] = [asdict(one) for one in utterance.nbest]
    return record
