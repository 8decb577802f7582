"""fairseq's words for several corpora in a run: `task.multi_corpus_keys=en,fr`, and subsets `en:train_en`."""

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
