"""What mistakes are made with: command lines in short, ways to spoil a file, a place to be wrong in."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from auricle.cli.main import main
from auricle.convert.loaded import Loaded
from auricle.convert.own import write_model
from auricle.dictionary import Dictionary
from auricle.models.build import build_model
from corpora import TINY_CTC, TINY_PRETRAINING, write_corpus
from recognisers import LETTERS, tiny_recogniser

SHORTHANDS = {
    "TUNE": ["train", "corpus", "--config-name", "small_ctc", "task.normalize=false", *TINY_CTC],
    "PRETRAIN": ["train", "corpus", "--config-name", "small_pretrain", *TINY_PRETRAINING],
    "GO_ON": ["--save-dir", "runs/tuned", "optimization.max_update=3"],
    "EVALUATE": ["evaluate", "corpus", "--gen-subset", "valid", "--model"],
    "TRANSCRIBE": ["transcribe", "corpus/valid0.wav", "--model"],
    "LABELS": ["labels", "table.tsv", "--manifest", "corpus/train.tsv", "--output-dir", "labels"],
    "MINE": ["train", "corpus", "--config-dir", "my", "--config-name", "mine"],
}
WITHOUT_MODEL = """
task: {_name: audio_pretraining}
criterion: {_name: wav2vec}
optimizer: {_name: adam}
lr_scheduler: {_name: fixed}
"""

Spoil = Callable[[], object]


def typed(words: str) -> list[str]:
    return [word for short in words.split() for word in SHORTHANDS.get(short, [short])]


def write(path: str, text: str) -> Spoil:
    def spoil() -> None:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(text)

    return spoil


def write_table(text: str) -> Spoil:
    rows = [f"train{i}.wav\t{text}\n" for i in range(6)]
    return write("table.tsv", "path\ttext\n" + "".join(rows))


def replace(path: str, pattern: str, new: str) -> Spoil:
    return lambda: Path(path).write_text(re.sub(pattern, new, Path(path).read_text()))


def remove(path: str) -> Spoil:
    return lambda: Path(path).unlink()


def cut(path: str, size: int) -> Spoil:
    return lambda: os.truncate(path, size)


def copy(source: str, path: str) -> Spoil:
    return lambda: shutil.copy(source, path)


def nothing() -> None:
    """The mistake is in the words alone."""


def put(folder: str, model: Loaded, dictionary: Dictionary | None) -> None:
    Path(folder).mkdir()
    write_model(Path(folder), model.model, model.config, dictionary, {})


def lay_out() -> None:
    """In the current folder: a corpus, checkpoints of every kind, other dictionaries, a run."""
    write_corpus(Path("corpus"))
    recogniser = tiny_recogniser()
    put("recogniser", recogniser, recogniser.dictionary)
    put("without_dictionary", recogniser, None)
    encoder = recogniser.config.encoder
    put("encoder", Loaded(build_model(encoder), None, encoder, 0, Path()), None)
    normalized = tiny_recogniser(normalize=True)
    put("normalized", normalized, normalized.dictionary)
    Dictionary(["|", "A", "B", "C"]).save("smaller.txt")
    Dictionary([*LETTERS[:1], *LETTERS[:0:-1]]).save("reversed.txt")
    torch.save({"weights": torch.zeros(1000)}, "foreign.pt")
    Path("file").write_text("not a folder\n")
    assert main(typed("TUNE --save-dir runs/tuned")) == 0
