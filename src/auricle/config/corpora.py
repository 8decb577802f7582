"""fairseq's words for several corpora in a run: `task.multi_corpus_keys=en,fr`, and subsets `en:train_en`."""

from collections.abc import Sequence

from auricle.config.schema_task import AudioKeys
from auricle.errors import UserError


def corpus_names(task: AudioKeys) -> list[str]:
    """The corpora of a recipe; their places are the numbers of their adapters."""
    return [name.strip() for name in (task.multi_corpus_keys or "").split(",") if name.strip()]


def parts_of(task: AudioKeys, subset: str) -> list[tuple[int, str]]:
    """Number of the corpus and name of the manifest, of each part of a subset.

    Without corpora a subset is one manifest. With them it is `KEY:MANIFEST`, or several, separated by commas.

    Raises:
        UserError: a part names no corpus, or one that is not listed.
    """
    names = corpus_names(task)
    if not names:
        return [(0, subset)]
    parts = []
    for text in subset.split(","):
        key, colon, manifest = text.strip().partition(":")
        if not colon or key.strip() not in names:
            raise UserError(
                f"the subset {text.strip()} names none of task.multi_corpus_keys={','.join(names)}: "
                f"write it as {names[0]}:{manifest or key}"
            )
        parts.append((names.index(key.strip()), manifest.strip()))
    return parts


def weights_of(task: AudioKeys, parts: Sequence[tuple[int, object]]) -> list[float] | None:
    """The share of each part in an epoch; None where all of each is taken once.

    Args:
        task: `multi_corpus_sampling_weights=1,3` are shares of the corpora.
        parts: Each begins with the number of its corpus.

    Raises:
        UserError: there is not one number for each corpus.
    """
    names, given = corpus_names(task), task.multi_corpus_sampling_weights
    if not names or given is None:
        return None
    try:
        weights = [float(weight) for weight in given.split(",")]
    except ValueError:
        weights = []
    if len(weights) != len(names):
        raise UserError(
            f"task.multi_corpus_sampling_weights={given}: give one number for each of "
            f"task.multi_corpus_keys={','.join(names)}"
        )
    return [weights[number] for number, _ in parts]
