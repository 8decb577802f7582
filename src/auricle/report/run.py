"""What a run left in its folder: the log and the recipe."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from auricle.errors import UserError
from auricle.report.jsonlines import finite_numbers, read_json_lines

LOG = "log.jsonl"
RECIPE = "recipe.yaml"

STAGES = PRETRAINING, FINE_TUNING, TEXT = "Pre-training", "Fine-tuning", "Model of text"

_PRETRAINING_KEYS = frozenset({"accuracy", "prob_perplexity", "code_perplexity"})


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log.

    Attributes:
        update: optimizer steps done.
        split: "train", or the name of a validation subset.
        values: the finite numbers of the line, by fairseq's names.
    """

    update: int
    split: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder, read.

    Attributes:
        name: the folder's own name.
        folder: where it is.
        records: the log, in its order.
        recipe: the text of ``recipe.yaml``, None where there is none.
        notices: what could not be read, one sentence each.
    """

    name: str
    folder: Path
    records: tuple[Record, ...]
    recipe: str | None
    notices: tuple[str, ...]

    @property
    def stage(self) -> str:
        """What kind of training it is, by what only its criterion reports.

        A perplexity of symbols: `TEXT`; else what a contrastive one reports: `PRETRAINING`; else the other.
        """
        if any("ppl" in record.values for record in self.records):
            return TEXT
        is_contrastive = any(not _PRETRAINING_KEYS.isdisjoint(record.values) for record in self.records)
        return PRETRAINING if is_contrastive else FINE_TUNING

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that were logged, training first."""
        return tuple(
            sorted({record.split for record in self.records}, key=lambda split: (split != "train", split))
        )

    def curve(self, key: str, split: str, against: str = "update") -> tuple[list[float], list[float]]:
        """The values of `key` in `split`, over updates or over another value of the same lines.

        Returns:
            x and y, of equal length; empty where nothing was logged.
        """
        points = [
            (record.update if against == "update" else record.values[against], record.values[key])
            for record in self.records
            if record.split == split
            and key in record.values
            and (against == "update" or against in record.values)
        ]
        return [x for x, _ in points], [y for _, y in points]

    def best(
        self, key: str, choose: Callable[[Iterable[tuple[float, int]]], tuple[float, int]]
    ) -> tuple[float, int] | None:
        """The best validated value of `key` and its update, by `choose` (`min` or `max`)."""
        found = [(r.values[key], r.update) for r in self.records if r.split != "train" and key in r.values]
        return choose(found) if found else None

    def last(self, key: str) -> float | None:
        """The last logged value of `key` in any split."""
        return next((record.values[key] for record in reversed(self.records) if key in record.values), None)


def is_run(folder: Path) -> bool:
    """Whether `folder` holds a log or a recipe, as the folders that ``auricle train`` writes do."""
    return (folder / LOG).is_file() or (folder / RECIPE).is_file()


def read_run(folder: Path) -> Run:
    """Read the log and the recipe of a run, as far as they can be read.

    Raises:
        UserError: The folder is not there, is no run, or may not be read.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}; give the run folder that `auricle train` wrote")
    if not is_run(folder):
        raise UserError(
            f"{folder} holds neither {LOG} nor {RECIPE}; give the run folder that `auricle train` wrote"
        )
    try:
        records, notices = _read_log(folder / LOG)
        recipe = _read_recipe(folder / RECIPE)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    return Run(folder.resolve().name, folder, tuple(records), recipe, tuple(notices))


def _read_log(path: Path) -> tuple[list[Record], list[str]]:
    if not path.is_file():
        return [], [f"{path.name} is missing: there are no curves to draw."]
    parsed, notices = read_json_lines(path, _parse)
    records = [record for record, _ in parsed]
    not_finite = [key for _, keys in parsed for key in keys]
    if not_finite:
        names = ", ".join(sorted(set(not_finite)))
        notices.append(
            f"{path.name}: {len(not_finite)} values are NaN or infinite and are not drawn ({names})."
        )
    if not records:
        notices.append(f"{path.name} holds no measurements yet.")
    return records, notices


def _read_recipe(path: Path) -> str | None:
    return path.read_bytes().decode("utf-8", errors="replace") if path.is_file() else None


def _parse(line: dict[str, object]) -> tuple[Record, list[str]]:
    """The record of a log line, and the names of its values that are NaN or infinite."""
    update, split = line.get("update"), line.get("split")
    if not isinstance(update, int) or isinstance(update, bool) or update < 0 or not isinstance(split, str):
        raise ValueError("no update or no split")
    finite, others = finite_numbers(line)
    return Record(update, split, finite), others
