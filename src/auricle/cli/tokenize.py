"""``auricle tokenize``: audio as text of codes, for language models."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle.cli.device import pick_device
from auricle.cli.featurize import Gpu, MaxTokens, NumShards, Shard, share_of
from auricle.cli.options import DeviceOption
from auricle.cli.output import check_writable
from auricle.cli.progress import progress
from auricle.cli.transcribe import EXTENSIONS
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.extract.clips import Clip

DICTIONARY = "dict.txt"
MANIFEST = "tsv"
TRAINING = "train"

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MANIFEST",
        help="Manifests (.tsv) or folders, each a split of its own name; after --split, more splits.",
        show_default=False,
    ),
]
Model = Annotated[
    Path,
    typer.Option(
        "--model",
        "--checkpoint",
        "--path",
        help="A vq-wav2vec model, or a wav2vec 2.0 model as it was pre-trained.",
        show_default=False,
    ),
]
OutputDir = Annotated[
    Path, typer.Option("--output-dir", "-o", help="The folder to write in.", show_default=False)
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="The folder of the splits.", show_default=False)
]
Split = Annotated[
    list[str] | None,
    typer.Option("--split", "--splits", help="Which splits; several may follow.", show_default=False),
]
Extension = Annotated[
    str,
    typer.Option(
        "--extension",
        help="tsv: splits are manifests; else, such as flac: folders of files of this extension.",
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        help="Copy labels to SPLIT.lbl: the extension of DATA_DIR/SPLIT.LABELS or of a file beside each "
        "recording, or a file.",
        show_default=False,
    ),
]
MaxSize = Annotated[
    int | None,
    typer.Option(
        min=16000,
        help="Samples; hear longer recordings in equal parts, as fairseq does above 1300000.",
        show_default="as a whole",
    ),
]


@dataclass(frozen=True, slots=True)
class Subset:
    """A split: what it is called, what is in it, and its labels."""

    name: str
    clips: "Sequence[Clip]"
    labels: Sequence[str] | None = None

    def share(self, part: slice) -> "Subset":
        """What one of several runs takes of it."""
        return Subset(self.name, self.clips[part], None if self.labels is None else self.labels[part])


def command(
    words: Words = None,
    *,
    model: Model,
    output_dir: OutputDir,
    data_dir: DataDir = None,
    splits: Split = None,
    extension: Extension = MANIFEST,
    labels: Labels = None,
    max_tokens: MaxTokens = 960_000,
    max_size: MaxSize = None,
    shard: Shard = None,
    num_shards: NumShards = None,
    device: DeviceOption = None,
    gpu: Gpu = None,
    data_parallel: Annotated[bool, typer.Option("--data-parallel", hidden=True)] = False,
    log_format: Annotated[str | None, typer.Option("--log-format", hidden=True)] = None,
) -> None:
    """Write SPLIT.src, a line a recording and a token a frame, and dict.txt, as language models want them.

    A token is the codes of a frame joined by `-`. A recording that cannot be used is named on standard
    error and gets an empty line. The same command goes on where an interrupted one was.
    """
    from auricle.convert.load import load
    from auricle.extract.tokens import write_tokens
    from auricle.files import atomic_write_text

    share = share_of(shard, num_shards)
    sources = _sources(data_dir, words or [], splits or [], extension)
    subsets = [_subset(name, source, extension, labels).share(share) for name, source in sources]
    check_writable(output_dir)
    loaded = load(model, map_location=pick_device(device if gpu is None else f"cuda:{gpu}"))
    ending = "" if shard is None else f".{shard}"
    with progress("recordings", sum(len(subset.clips) for subset in subsets)) as advance:
        written = [
            write_tokens(
                output_dir / f"{subset.name}.src{ending}",
                subset.clips,
                loaded,
                max_tokens=max_tokens,
                max_size=max_size,
                on_progress=advance,
            )
            for subset in subsets
        ]
    for subset, counts in zip(subsets, written, strict=True):
        empty = f", {counts.num_empty} of them empty" if counts.num_empty else ""
        typer.echo(f"{output_dir / subset.name}.src{ending}: {counts.num_utterances} recordings{empty}")
        if subset.labels is not None:
            text = "".join(f"{line}\n" for line in subset.labels)
            atomic_write_text(output_dir / f"{subset.name}.lbl{ending}", text)
    _write_dictionary(output_dir, [subset.name for subset in subsets], num_shards)


def _sources(
    data_dir: Path | None, words: Sequence[str], splits: Sequence[str], extension: str
) -> list[tuple[str, Path]]:
    """The names of the splits, and the manifest or folder of each."""
    if data_dir is None:
        if splits:
            raise UserError("--split needs --data-dir: the folder that holds the splits")
        if not words:
            raise UserError("nothing to read: give manifests, or --data-dir and --split")
        sources = [
            (Path(word).stem if word.endswith(".tsv") else Path(word).name, Path(word)) for word in words
        ]
    else:
        ending = ".tsv" if extension == MANIFEST else ""
        sources = [(name, data_dir / f"{name}{ending}") for name in [*splits, *words]]
        if not sources:
            raise UserError(f"which splits of {data_dir}? Give --split train valid, for example")
    names = [name for name, _ in sources]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"two splits are called {twice}: give each once")
    return sources


def _subset(name: str, source: Path, extension: str, labels: str | None) -> Subset:
    from auricle.extract.clips import clips_in

    extensions = sorted(EXTENSIONS) if extension == MANIFEST else [extension]
    clips = clips_in(str(source), extensions)
    return Subset(name, clips, None if labels is None else _labels(labels, source, clips))


def _labels(given: str, source: Path, clips: "Sequence[Clip]") -> list[str]:
    """A label a recording: of a file of them, of SPLIT.LABELS, or of a file beside each recording.

    Raises:
        UserError: They are not there, or are more or fewer than the recordings.
    """
    from auricle.textfile import read_lines

    of_the_split = f"{os.fspath(source).removesuffix('.tsv')}.{given}"
    path = next((path for path in (given, of_the_split) if os.path.isfile(path)), None)
    if path is None:
        files = [f"{os.path.splitext(clip.path)[0]}.{given}" for clip in clips]
        return [next(iter(read_lines(file)), "") for file in files]
    lines = read_lines(path)
    if len(lines) != len(clips):
        raise UserError(f"{path} has {len(lines)} labels for the {len(clips)} recordings of {source}")
    return lines


def _write_dictionary(folder: Path, names: Sequence[str], num_shards: int | None) -> None:
    """Of the training split, as soon as all of it is there; without one, of the first."""
    from auricle.dictionary import Dictionary
    from auricle.extract.tokens import dictionary_of

    target = folder / DICTIONARY
    if TRAINING not in names and target.exists():
        return
    name = TRAINING if TRAINING in names else names[0]
    endings = [f".{shard}" for shard in range(num_shards)] if num_shards else [""]
    files = [folder / f"{name}.src{ending}" for ending in endings]
    if not all(file.exists() for file in files):
        return
    dictionary = dictionary_of(files)
    if not target.exists():
        dictionary.save(target)
        typer.echo(f"{target}: {len(dictionary)} symbols, special ones and filling included")
    elif Dictionary.load(target) != dictionary:
        print(
            f"{target} is kept, though {name}.src has other tokens: remove it to have a new one",
            file=sys.stderr,
        )
