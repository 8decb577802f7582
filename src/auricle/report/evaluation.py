"""What ``auricle evaluate`` left in a folder: the error rates and the utterances behind them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from auricle.errors import UserError
from auricle.report.jsonlines import finite_numbers, parse_object, read_json_lines

SUMMARY = "summary.json"
UTTERANCES = "utterances.jsonl"
FOLDER = "evaluations"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One decoded utterance.

    Attributes:
        id: its position in the manifest.
        path: its audio, as `auricle.audio.read` takes it; "" where it is not known.
        reference: the words that were said.
        hypothesis: the words that were understood.
        word_errors: substitutions, insertions and deletions together.
        num_words: words of the reference.
    """

    id: str
    path: str
    reference: str
    hypothesis: str
    word_errors: int
    num_words: int

    @property
    def name(self) -> str:
        """How to call it: by its file where that is known."""
        return self.path.rstrip("/").rpartition("/")[2] or f"utterance {self.id}"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation.

    Attributes:
        name: the folder's own name.
        numbers: the finite numbers of the summary: wer, cer, uer (percent), num_utterances, num_words,
            audio_seconds, wall_seconds.
        decoder: how it was decoded, in words.
        utterances: in file order.
        notices: what could not be read, one sentence each.
        confusions: word said, word understood ("" for none), how often; the most frequent first.
        speakers: name, word error rate (percent), words said.
    """

    name: str
    numbers: Mapping[str, float]
    decoder: str
    utterances: tuple[Utterance, ...]
    notices: tuple[str, ...]
    confusions: tuple[tuple[str, str, int], ...] = ()
    speakers: tuple[tuple[str, float, int], ...] = ()

    def worst(self, count: int) -> list[Utterance]:
        """The utterances with the most word errors, the most first; those without any are left out."""
        wrong = [utterance for utterance in self.utterances if utterance.word_errors > 0]
        return sorted(wrong, key=lambda one: (-one.word_errors, one.num_words, one.id))[:count]


def is_evaluation(folder: Path) -> bool:
    """Whether `folder` holds a summary, as the folders that ``auricle evaluate`` writes do."""
    return (folder / SUMMARY).is_file()


def find_evaluations(run_folder: Path) -> list[Path]:
    """The evaluation folders of a run, by name."""
    return sorted(path.parent for path in (run_folder / FOLDER).glob(f"*/{SUMMARY}"))


def read_evaluation(folder: Path) -> Evaluation:
    """Read an evaluation as far as it can be read.

    Raises:
        UserError: The folder holds no summary, or a damaged one, or may not be read.
    """
    if not is_evaluation(folder):
        raise UserError(f"{folder} holds no {SUMMARY}; give a folder that `auricle evaluate` wrote")
    try:
        summary = parse_object((folder / SUMMARY).read_bytes())
        utterances, notices = _read_utterances(folder / UTTERANCES)
    except ValueError as error:
        raise UserError(f"{folder / SUMMARY} is damaged ({error}); evaluate again") from error
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    numbers, _ = finite_numbers(summary)
    decoder, set_aside = summary.get("decoder"), summary.get("set_aside")
    if isinstance(set_aside, list) and set_aside:
        notices.append(
            f"{SUMMARY} names clips that were set aside and that no rate counts: {len(set_aside)}."
        )
    return Evaluation(
        folder.resolve().name,
        numbers,
        decoder if isinstance(decoder, str) else "",
        tuple(utterances),
        tuple(notices),
        _confusions(summary.get("confusions")),
        _speakers(summary.get("speakers")),
    )


def _confusions(value: object) -> tuple[tuple[str, str, int], ...]:
    """Those of a summary; what has another form is left out."""
    found = []
    for one in value if isinstance(value, list) else []:
        match one:
            case [str(said), str(heard), int(count)]:
                found.append((said, heard, count))
    return tuple(found)


def _speakers(value: object) -> tuple[tuple[str, float, int], ...]:
    """The same of speakers."""
    found = []
    for name, one in value.items() if isinstance(value, dict) else ():
        match one:
            case {"wer": int() | float() as wer, "num_words": int(words)} if math.isfinite(wer):
                found.append((str(name), float(wer), words))
    return tuple(found)


def _read_utterances(path: Path) -> tuple[list[Utterance], list[str]]:
    if not path.is_file():
        return [], [f"{path.name} is missing: there are no utterances to show."]
    return read_json_lines(path, _parse)


def _parse(line: dict[str, object]) -> Utterance:
    return Utterance(
        id=str(line.get("id", "")),
        path=_text(line, "path"),
        reference=_text(line, "reference"),
        hypothesis=_text(line, "hypothesis"),
        word_errors=_count(line, "word_errors"),
        num_words=_count(line, "num_words"),
    )


def _text(line: dict[str, object], key: str) -> str:
    value = line.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return value


def _count(line: dict[str, object], key: str) -> int:
    value = line.get(key)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{key} is no count")
    return value
