"""Speech representations from unlabelled audio, and speech recognisers made from them.

    import auricle

    loaded = auricle.load("checkpoint.pt")
    for transcript in auricle.transcribe(["a.wav"], model=loaded):
        print(transcript.text)

Importing this package is cheap: torch and the rest are imported by the first call that needs them.
"""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import torch

    from auricle.convert.load import Loaded
    from auricle.decode.arithmetic import Precision
    from auricle.decode.transcribe import Recogniser, Transcript

__all__ = ["__version__", "load", "transcribe"]

__version__: str

PathLike = str | os.PathLike[str]


def load(
    path: PathLike,
    *,
    map_location: "str | torch.device" = "cpu",
    dictionary: PathLike | None = None,
    reference_padding: bool = False,
    precision: "Precision | None" = None,
) -> "Loaded":
    """Reads a model of fairseq of any era, Hugging Face or ours (a checkpoint or a run), or a published one.

    Nothing that a file contains is run.

    Args:
        path: The file or folder; or, where there is none of that name, the name of a published model, such
            as "wav2vec2-base-960h", which is downloaded once (`auricle models list` shows all).
        map_location: Where the weights go.
        dictionary: A `dict.ltr.txt`, for checkpoints that hold none.
        reference_padding: Reproduce fairseq's arithmetic on padded batches, for comparisons.
        precision: For a recogniser that shall run where it is, and not be trained, saved or moved any more:
            "float32" for the same answers sooner (on a CPU, its weights are laid out for the products),
            "bf16" for bfloat16, which is for CTC recognisers.

    Returns:
        Its `model`, `dictionary` (None where there is none) and `config`.

    Raises:
        auricle.errors.UserError: It is missing, damaged or not a model that this version knows; or there
            is no such precision of it.
    """
    from auricle.convert.load import load as read

    return read(
        path,
        map_location=map_location,
        dictionary=dictionary,
        reference_padding=reference_padding,
        precision=precision,
    )


def transcribe(
    paths: PathLike | Iterable[PathLike | BinaryIO],
    model: "PathLike | Recogniser",
    *,
    batch_seconds: float = 30.0,
    chunk_seconds: float = 30.0,
    overlap_seconds: float = 4.0,
    segments: Sequence[tuple[float, float]] | None = None,
) -> "list[Transcript]":
    """Turns speech into text, with the time and the score of each word.

    Recordings of any length are read as they are heard: memory does not grow with them.

    Args:
        paths: Audio files of any format that libsndfile reads, `archive.zip:offset:length` slices, or
            binary streams. A path alone will do.
        model: What `load` gave, or a path for it.
        batch_seconds: Audio that goes through the model at a time, padding included.
        chunk_seconds: Longer recordings are heard in pieces of at most this, cut at pauses if there are any.
        overlap_seconds: What pieces share where there are none.
        segments: The parts of each recording to transcribe (start and end, in seconds), each as if it were a
            file of its own; None for all of it.

    Returns:
        One transcript a path, in order; an empty one, with a warning, for clips shorter than a frame.

    Raises:
        auricle.errors.UserError: A file cannot be read (the message names it), or the model is no recogniser.
    """
    from auricle.decode.cut import CutOptions
    from auricle.decode.pipeline import HearOptions
    from auricle.decode.transcribe import TranscribeOptions
    from auricle.decode.transcribe import transcribe as run

    recogniser = load(model, precision="float32") if isinstance(model, str | os.PathLike) else model
    sources = [paths] if isinstance(paths, str | os.PathLike) else paths
    hearing = HearOptions(batch_seconds, CutOptions(chunk_seconds, overlap_seconds), segments)
    return run(sources, recogniser, TranscribeOptions(hearing))


def __getattr__(name: str) -> str:
    """Looks the version up when asked for: reading the package's metadata takes longer than this import."""
    if name == "__version__":
        from importlib.metadata import version

        return version("auricle")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
