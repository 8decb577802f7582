"""`auricle.load`: whatever holds a model, by its path."""

import difflib
import os
from dataclasses import replace
from pathlib import Path

import torch

from auricle.convert.archive import is_archive, unpacked
from auricle.convert.fairseq import read_fairseq
from auricle.convert.fitted import without_placeholders
from auricle.convert.huggingface import read_huggingface
from auricle.convert.huggingface_files import TORCH_FILE, is_huggingface
from auricle.convert.loaded import Loaded
from auricle.convert.own import CONFIG_FILE, WEIGHTS_FILE, is_own, read_model
from auricle.decode.arithmetic import Precision
from auricle.decode.backend import for_inference
from auricle.dictionary import MASK, Dictionary
from auricle.errors import UserError
from auricle.files import resolve_folder
from auricle.models.config import CTCConfig, LanguageModelConfig, RobertaConfig, Seq2SeqConfig
from auricle.models.ctc import Wav2Vec2CTC
from auricle.zoo import LocalCopy, entries, local_copy
from auricle.zoo.catalogue import nearest

__all__ = ["Loaded", "load"]

PathLike = str | os.PathLike[str]

_OF_A_RUN = ("best", "last")


def load(
    path: PathLike,
    *,
    map_location: str | torch.device = "cpu",
    dictionary: PathLike | Dictionary | None = None,
    reference_padding: bool = False,
    precision: Precision | None = None,
) -> Loaded:
    """Read a model; nothing that a file contains is run.

    Args:
        path: A fairseq checkpoint of any era, a `.tar` of one and its dictionary, a folder of Hugging Face's
            transformers, a checkpoint folder of ours, or the folder of a run, which stands for its best
            checkpoint, or the last without one. Where there is none: the name of a
            published model, which is downloaded unless it is in the cache.
        map_location: Where the weights go.
        dictionary: For checkpoints that hold none; goes before one that the checkpoint holds.
        reference_padding: Reproduce fairseq's arithmetic on padded batches, for comparisons.
        precision: For a model that shall run, and not be trained or saved any more: see
            `decode.backend.for_inference`, which does what can be done for a CTC recogniser.

    Raises:
        UserError: It is missing, damaged, not a checkpoint or of an unknown family, or the dictionary is not
            the model's; or it is no CTC recogniser, and is wanted in another precision than float32.
    """
    map_location = _device(map_location)
    path = resolve_folder(Path(path))
    published = None if path.exists() else _published(path)
    if published is not None:
        path = published.path
    if not path.exists():
        raise UserError(f"{path} does not exist{_nearest(path)}")
    if path.name in (CONFIG_FILE, WEIGHTS_FILE) and is_own(path.parent):
        path = path.parent
    if path.name == TORCH_FILE and is_huggingface(path.parent):
        path = path.parent
    if path.is_dir() and is_huggingface(path):
        loaded = read_huggingface(path, map_location=map_location, reference_padding=reference_padding)
    elif path.is_dir():
        folder = _checkpoint_in(path)
        loaded = read_model(folder, map_location=map_location, reference_padding=reference_padding)
    elif is_archive(path):
        loaded = _load_archive(path, map_location)
    else:
        loaded = read_fairseq(path, map_location=map_location, reference_padding=reference_padding)
    if dictionary is not None:
        given = dictionary if isinstance(dictionary, Dictionary) else Dictionary.load(dictionary)
        loaded = replace(loaded, dictionary=given)
    elif published is not None and published.dictionary is not None and loaded.dictionary is None:
        loaded = replace(loaded, dictionary=Dictionary.load(published.dictionary))
    loaded = _with_mask(without_placeholders(loaded))
    _check_dictionary(loaded, given=dictionary is not None)
    return loaded if precision is None else _to_run(loaded, precision)


def _to_run(loaded: Loaded, precision: Precision) -> Loaded:
    if isinstance(loaded.model, Wav2Vec2CTC):
        return replace(loaded, model=for_inference(loaded.model, precision))
    if precision == "float32":
        return loaded
    raise UserError(f"precision {precision} is for CTC recognisers, and {loaded.source} is none")


def _device(name: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):  # no such kind of device; none of that kind here
        raise UserError(
            f"map_location={name}: there is no such device; use cpu, or cuda where there is one"
        ) from None


def _published(path: Path) -> LocalCopy | None:
    """The model of the catalogue that a path is the name of."""
    return local_copy(path.as_posix()) if path.as_posix() in entries() else None


def _load_archive(path: Path, map_location: str | torch.device) -> Loaded:
    """The model of a `.tar`; whatever is published so knows nothing of padded waveforms."""
    with unpacked(path) as found:
        try:
            loaded = read_fairseq(found.checkpoint, map_location=map_location)
            dictionary = Dictionary.load(found.dictionary) if found.dictionary else loaded.dictionary
        except UserError as error:
            message = str(error).replace(str(found.checkpoint), f"{path}:{found.name}")
            raise UserError(message.replace(str(found.dictionary), f"{path}:dict.txt")) from None
    return replace(loaded, dictionary=dictionary, source=path)


def _checkpoint_in(folder: Path) -> Path:
    """The folder itself if it is a checkpoint, else the one that stands for a run."""
    if is_own(folder):
        return folder
    for parent in (folder / "checkpoints", folder):
        for name in _OF_A_RUN:
            checkpoint = resolve_folder(parent / name)
            if is_own(checkpoint):
                return checkpoint
    if (folder / CONFIG_FILE).is_file():
        raise UserError(
            f"{folder} is no checkpoint folder of this program: {CONFIG_FILE} without {WEIGHTS_FILE}"
        )
    raise UserError(
        f"{folder} holds no checkpoint: give a fairseq .pt file, a checkpoint folder"
        f" (with {CONFIG_FILE} and {WEIGHTS_FILE}) or the folder of a run that has saved one"
    )


def _nearest(path: Path) -> str:
    """A hint for a mistyped name: what stands beside it, or is published, under a similar one."""
    published = nearest(path.as_posix())
    parent = path.parent
    while not parent.is_dir() and parent != parent.parent:
        path, parent = parent, parent.parent
    try:
        names = [name for name in os.listdir(parent) if name != path.name]  # a link to nothing is no help
    except OSError:
        return ""
    similar = difflib.get_close_matches(path.name, names, n=1)
    if similar:
        return f"; there is {parent / similar[0]}"
    if published:
        return f"; there is a published model called {published}"
    return f"; {parent} has nothing of a similar name"


def _with_mask(loaded: Loaded) -> Loaded:
    """With the `<mask>` that fairseq adds to a masked language model's dictionary (quirk 33)."""
    if not isinstance(loaded.config, RobertaConfig) or loaded.dictionary is None or MASK in loaded.dictionary:
        return loaded
    return replace(loaded, dictionary=loaded.dictionary.extended([MASK]))


def _check_dictionary(loaded: Loaded, given: bool) -> None:
    match loaded.config:
        case CTCConfig(num_labels=symbols) | Seq2SeqConfig(num_labels=symbols):
            pass
        case LanguageModelConfig(num_symbols=symbols) | RobertaConfig(num_symbols=symbols):
            pass
        case _:
            return
    if loaded.dictionary is not None and len(loaded.dictionary) != symbols:
        whose = "the dictionary given" if given else "its dictionary"
        raise UserError(
            f"{loaded.source}: {whose} has {len(loaded.dictionary)} symbols, the special ones included, but"
            f" the model writes {symbols}: give the dict.ltr.txt or dict.txt that it was trained with"
        )
