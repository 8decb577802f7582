"""Embeddings of many recordings, written as they come: what is done is kept, and a run goes on after it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from auricle.convert.loaded import Loaded
from auricle.errors import UserError
from auricle.extract.clips import Clip
from auricle.extract.models import Choice, Embedder, encoder_of, frame_rate
from auricle.extract.record import difference, fingerprint, read_record, write_record
from auricle.extract.store import FormatName, Store, opened
from auricle.extract.stream import extract

RECORD = "featurize.json"
"""Says what the embeddings beside it are made with."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many recordings were written now, were there from a run before, and could not be used."""

    written: int = 0
    kept: int = 0
    set_aside: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.written + other.written, self.kept + other.kept, self.set_aside + other.set_aside)


class EmbeddingWriter:
    """Writes what one model makes of recordings, in one format."""

    def __init__(self, loaded: Loaded, choice: Choice, format_name: FormatName, part: str = "part") -> None:
        """Prepare.

        Args:
            loaded: The model.
            choice: Which representation of it.
            format_name: How it is written.
            part: What files of many recordings are called, before their number.

        Raises:
            UserError: The model has no such representation.
        """
        self._embedder = Embedder(loaded, choice)
        self._format: FormatName = format_name
        self._part = part
        self._rate = frame_rate(encoder_of(loaded))
        self._source = loaded.source
        self._settings = {
            "weights": fingerprint(loaded.model),
            "normalize": self._embedder.hearing.normalize,
            "format": format_name,
            "rate": self._rate,
            **asdict(choice),
            "layer_weights": list(choice.layer_weights),
        }

    def write(
        self,
        folder: Path,
        clips: Sequence[Clip],
        *,
        max_tokens: int,
        on_progress: Callable[[int], object] = lambda steps: None,
    ) -> Counts:
        """Writes the recordings that are not there yet; one that cannot be used is named and left out.

        Args:
            folder: Where.
            clips: What to listen to.
            max_tokens: Samples in a batch, padding included.
            on_progress: Told how many recordings more are done.

        Raises:
            UserError: What is there was made otherwise, or the disk is full.
        """
        with opened(self._format, folder, self._rate, self._part) as store:
            missing = [clip for clip in clips if not store.holds(clip.key)]
            kept = len(clips) - len(missing)
            self._claim(folder, holds_some=kept > 0)
            on_progress(kept)
            set_aside = self._write_missing(store, missing, max_tokens, on_progress)
        return Counts(len(missing) - set_aside, kept, set_aside)

    def _claim(self, folder: Path, *, holds_some: bool) -> None:
        """Sees to it that a folder holds embeddings of one kind only."""
        record = read_record(folder / RECORD)
        if record is None and not holds_some:
            write_record(folder / RECORD, self._settings, self._source)
            return
        differs = f"there is no {RECORD}" if record is None else difference(record, self._settings)
        if differs is not None:
            raise UserError(
                f"{folder} holds embeddings that were made otherwise ({differs}): choose another folder, or"
                " remove it"
            )

    def _write_missing(
        self, store: Store, clips: Sequence[Clip], max_tokens: int, on_progress: Callable[[int], object]
    ) -> int:
        """Gives the number of recordings that could not be used."""
        set_aside = 0
        for result in extract(clips, self._embedder, max_tokens=max_tokens, in_order=False):
            if result.values is None:
                set_aside += 1
                _logger.warning("set aside %s: %s", result.clip.path, result.reason)
            else:
                store.put(result.clip.key, result.values)
            on_progress(1)
        return set_aside
