"""The work of ``auricle transcribe --live``: text while it is said."""

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from auricle import pipe
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.convert.load import Loaded
    from auricle.decode.listen import Decoding
    from auricle.decode.live import Update


def listen(
    names: Sequence[str],
    load: "Callable[[], tuple[Loaded, Decoding]]",
    output_format: str,
    output: Path | None,
    raw_rate: int,
    step_seconds: float,
) -> None:
    """Writes what is said until the pipe ends, or Ctrl-C.

    Args:
        names: `-` for standard input, none for the microphone.
        load: Gives the model, and how what it hears becomes text.
        output_format: txt or json.
        output: Has to be None: what is said goes to standard output at once.
        raw_rate: Of samples that come without a header, in Hz.
        step_seconds: How often to look for something new.

    Raises:
        UserError: Something of that cannot be.
    """
    from auricle.decode.live import LiveTranscriber

    if output_format not in ("txt", "json") or output is not None:
        raise UserError("--live writes --format txt or json to standard output, as it is said: redirect that")
    loaded, decoding = load()
    live = LiveTranscriber(loaded, decoding=decoding)
    if names:
        source = pipe.blocks(sys.stdin.buffer, live.sample_rate, step_seconds, raw_rate)
    else:
        source = pipe.microphone(live.sample_rate, step_seconds)
    show = _show_json if output_format == "json" else _show_text
    wants_partial = output_format == "json" or sys.stderr.isatty()
    with contextlib.suppress(KeyboardInterrupt):  # who has heard enough says so that way
        for samples, late in pipe.ahead(source):
            for update in live.feed(samples, partial=wants_partial and not late):
                show(update)
    for update in live.finish():
        show(update)


def _show_json(update: "Update") -> None:
    from auricle.decode.formats import as_json

    said = as_json(update.transcript, letters=False)
    del said["seconds"]
    value = {"final": update.final, "heard_seconds": update.heard_seconds, **said}
    print(json.dumps(value, ensure_ascii=False), flush=True)


def _show_text(update: "Update") -> None:
    """Final text on standard output; what may change on the terminal, in a line that the next replaces."""
    if sys.stderr.isatty():
        text = "" if update.final else update.transcript.text[-79:]
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)
    if update.final:
        print(update.transcript.text, flush=True)
