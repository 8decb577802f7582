"""``auricle featurize``: embeddings of audio, from any layer of any model."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auricle.cli.device import pick_device
from auricle.cli.options import DeviceOption
from auricle.cli.output import check_writable
from auricle.cli.progress import progress
from auricle.cli.transcribe import EXTENSIONS
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.extract.clips import Clip

FormatName = Literal["hdf5", "npy", "safetensors", "parquet"]
FAIRSEQ_EXTENSION = "wav"

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="Audio files, folders, manifests (.tsv), archive.zip:offset:length; after --split, more splits.",
        show_default=False,
    ),
]
Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", help="The same as PATH; with --split, the folder of the splits.", show_default=False
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The folder to write in.", show_default=False)]
Model = Annotated[
    Path,
    typer.Option("--model", "--path", "--checkpoint", help="A checkpoint of any kind.", show_default=False),
]
Split = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        help="Take INPUT/SPLIT (a folder) or INPUT/SPLIT.tsv, and write in OUTPUT/SPLIT; several may follow.",
        show_default=False,
    ),
]
Format = Annotated[
    FormatName,
    typer.Option(
        "--format",
        help="hdf5: a .h5context a file, as fairseq writes it. npy: a .npy a file, frames by channels. "
        "safetensors, parquet: parts of many files.",
    ),
]
Ext = Annotated[
    str | None,
    typer.Option(
        help="Extension of what is taken from folders; several with commas.",
        show_default=f"any audio; {FAIRSEQ_EXTENSION} with --split, as in fairseq",
    ),
]
UseFeat = Annotated[bool, typer.Option("--use-feat", help="The latent features z in place of the context c.")]
Layer = Annotated[
    str | None,
    typer.Option(
        help="What this layer of the encoder gives, from 0, before any final norm; or `all` of them.",
        show_default="the context, after the final norm",
    ),
]
LayerWeights = Annotated[
    str | None,
    typer.Option(
        help="The sum of the layers, each times its weight: numbers with commas, or a file that holds them.",
        show_default=False,
    ),
]
Unquantized = Annotated[
    bool,
    typer.Option(
        "--unquantized", help="In vq-wav2vec, contexts of z in place of its codes', as fairseq's script."
    ),
]
CorpusKey = Annotated[
    int | None, typer.Option(min=0, help="Which adapters, in models that have some.", show_default=False)
]
MaxTokens = Annotated[
    int, typer.Option(min=1, help="Samples that go through the model at a time, padding included.")
]
NoCopyLabels = Annotated[
    bool,
    typer.Option(
        "--no-copy-labels", help="With --split: leave files that are no audio where they are (else: copied)."
    ),
]
Shard = Annotated[
    int | None,
    typer.Option(min=0, help="Which part of the work this run does, from 0.", show_default=False),
]
NumShards = Annotated[
    int | None,
    typer.Option(min=1, help="Runs that share the work, each with its --shard.", show_default=False),
]
Gpu = Annotated[int | None, typer.Option(min=0, help="The same as --device cuda:GPU.", show_default=False)]


@dataclass(frozen=True, slots=True)
class Group:
    """Recordings that are written to one folder; `labels` stand beside them, to be copied."""

    folder: Path
    clips: "Sequence[Clip]"
    labels: Sequence[Path] = ()


def command(
    paths: Words = None,
    inputs: Input = None,
    *,
    output: Output,
    model: Model,
    splits: Split = None,
    output_format: Format = "hdf5",
    ext: Ext = None,
    use_feat: UseFeat = False,
    layer: Layer = None,
    layer_weights: LayerWeights = None,
    unquantized: Unquantized = False,
    corpus_key: CorpusKey = None,
    max_tokens: MaxTokens = 960_000,
    no_copy_labels: NoCopyLabels = False,
    shard: Shard = None,
    num_shards: NumShards = None,
    device: DeviceOption = None,
    gpu: Gpu = None,
) -> None:
    """Write what a model makes of audio: a vector each 10 or 20 ms.

    A file that cannot be used is named on standard error, left out and counted. What is there already is
    kept: the same command goes on where an interrupted one was.
    """
    from auricle.convert.load import load
    from auricle.extract.embeddings import Counts, EmbeddingWriter
    from auricle.extract.models import Choice

    choice = Choice(use_feat, _layer(layer), _weights(layer_weights), unquantized, corpus_key)
    share = share_of(shard, num_shards)
    groups = _groups(inputs or [], paths or [], splits or [], output, ext)
    check_writable(output)
    loaded = load(model, map_location=pick_device(device if gpu is None else f"cuda:{gpu}"))
    part = "part" if shard is None else f"shard{shard:03d}"
    writer = EmbeddingWriter(loaded, choice, output_format, part)
    counts = Counts()
    shares = [group.clips[share] for group in groups]
    with progress("files", sum(map(len, shares))) as advance:
        for group, clips in zip(groups, shares, strict=True):
            counts += writer.write(group.folder, clips, max_tokens=max_tokens, on_progress=advance)
    if not no_copy_labels:
        _copy_labels(groups)
    if counts.set_aside and not counts.written + counts.kept:
        raise UserError(f"none of the {counts.set_aside} files can be used, see above")
    typer.echo(f"{output}: {counts.written} files written, {counts.kept} were there")
    if counts.set_aside:
        print(f"{counts.set_aside} files were set aside, see above", file=sys.stderr)


def share_of(shard: int | None, num_shards: int | None) -> slice:
    """Which of a list of recordings one of several runs takes: every `num_shards`-th.

    Raises:
        UserError: There is no such shard, or only one of the two is given.
    """
    if shard is None and num_shards is None:
        return slice(None)
    if shard is None or num_shards is None:
        raise UserError("--shard and --num-shards go together: give both, or neither")
    if shard >= num_shards:
        raise UserError(f"--shard {shard}: with --num-shards {num_shards} there are 0 to {num_shards - 1}")
    return slice(shard, None, num_shards)


def _layer(text: str | None) -> int | str | None:
    if text is None or text == "all":
        return text
    if not text.isdecimal():
        raise UserError(f"--layer {text}: give a number from 0, or all")
    return int(text)


def _weights(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    if os.path.isfile(text):
        text = Path(text).read_text(encoding="utf-8", errors="replace")
    try:
        weights = tuple(map(float, text.replace(",", " ").split()))
    except ValueError as error:
        raise UserError(f"--layer-weights: {error}: give numbers with commas, or a file of them") from None
    if not weights:
        raise UserError("--layer-weights: there are none: give numbers with commas, or a file of them")
    return weights


def _groups(
    inputs: Sequence[str], words: Sequence[str], splits: Sequence[str], output: Path, ext: str | None
) -> list[Group]:
    """What to read, and where to write it."""
    from auricle.extract.clips import check_unique, clips_in

    if splits:
        if len(inputs) != 1:
            raise UserError("--split needs one --input: the folder that holds the splits")
        extensions = _extensions(ext or FAIRSEQ_EXTENSION)
        groups = [_split_group(Path(inputs[0]), name, output, extensions) for name in [*splits, *words]]
    else:
        sources = [*inputs, *words]
        if not sources:
            raise UserError("nothing to read: give files, folders or manifests")
        extensions = _extensions(ext) if ext else sorted(EXTENSIONS)
        groups = [Group(output, [clip for source in sources for clip in clips_in(source, extensions)])]
    for group in groups:
        check_unique(group.clips)
    return groups


def _extensions(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _split_group(root: Path, name: str, output: Path, extensions: Sequence[str]) -> Group:
    from auricle.extract.clips import clips_in

    folder, manifest = root / name, root / f"{name}.tsv"
    if folder.is_dir():
        taken = {f".{extension.lstrip('.').lower()}" for extension in extensions} | EXTENSIONS
        files = sorted(path for path in folder.iterdir() if path.is_file())
        labels = [path for path in files if path.suffix.lower() not in taken and path.name[0] != "."]
        return Group(output / name, clips_in(str(folder), extensions), labels)
    if not manifest.is_file():
        raise UserError(f"--split {name}: there is neither a folder {folder} nor a manifest {manifest}")
    return Group(output / name, clips_in(str(manifest), extensions))


def _copy_labels(groups: Sequence[Group]) -> None:
    from auricle.files import atomic_copy

    for group in groups:
        for path in group.labels:
            atomic_copy(path, group.folder / path.name)
