"""The steps of ``auricle demo``, each made of what the other commands use."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch

from auricle.cli.evaluation import Options, evaluate
from auricle.convert.load import load
from auricle.data.dataset import SpeechDataset
from auricle.data.loader import BatchLoader
from auricle.data.transcripts import match, read_table, write_labels
from auricle.decode.emissions import check_recogniser
from auricle.decode.transcribe import transcribe
from auricle.dictionary import Dictionary, words_to_letters
from auricle.losses import ctc
from auricle.manifest import Entry, measure, read_labels, read_manifest, split, write_manifest
from auricle.textfile import read_lines
from auricle.train.metrics import RunningMeans

SPEECH = Path(str(files("auricle"))).resolve() / "demo"
"""The recordings that come with the package."""
SAMPLE = "audio/en/privacy-prompt.opus"
"""The clip of the test set that both recognisers transcribe."""

VALID_PERCENT, SPLIT_SEED = 0.05, 42
MAX_SAMPLES = 1_600_000
"""Of a batch of the test set."""


def write_data(folder: Path) -> dict[str, Sequence[Entry]]:
    """Manifests and labels, by the functions of `auricle manifest` and `auricle labels`.

    Args:
        folder: Gets `speech`, all there is to pre-train on, and `english`, what has transcripts.

    Returns:
        What each manifest lists, by its path under `folder`.
    """
    english, others, test = (_entries(table) for table in ("en_train", "unlabelled", "en_test"))
    train, valid = split([*english, *others], VALID_PERCENT, SPLIT_SEED)
    lists: dict[str, Sequence[Entry]] = {"speech/train": train, "speech/valid": valid}
    train, valid = split(english, VALID_PERCENT, SPLIT_SEED)
    lists |= {"english/train": train, "english/valid": valid, "english/test": test}
    for name, entries in lists.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_manifest(folder / f"{name}.tsv", SPEECH, entries)
    labelled = folder / "english"
    known = _write_labels(labelled, "train", "en_train") + _write_labels(labelled, "valid", "en_train")
    Dictionary.from_labels(words_to_letters(text) for text in known).save(labelled / "dict.ltr.txt")
    _write_labels(labelled, "test", "en_test")
    return lists


def _entries(table: str) -> list[Entry]:
    """The clips that one of the bundled tables names."""
    paths = [line.split("\t")[0] for line in read_lines(SPEECH / f"{table}.tsv")[1:]]
    entries, broken = measure(SPEECH, paths)
    assert not broken, f"the package is damaged: {broken}"
    return entries


def _write_labels(folder: Path, name: str, table: str) -> list[str]:
    """Labels for a manifest; gives the texts."""
    source = SPEECH / f"{table}.tsv"
    texts = match(read_manifest(folder / f"{name}.tsv"), read_table(source), source)
    write_labels(folder, name, texts)
    return texts


@dataclass(frozen=True, slots=True)
class Score:
    """How well a recogniser does on the test set: CTC loss in bits an utterance, error rates in percent."""

    loss: float
    cer: float
    wer: float


def measure_recogniser(run: Path, data: Path, device: torch.device) -> Score:
    """Evaluate the best checkpoint of a run, as `auricle evaluate` does, and measure its loss besides."""
    summary, _ = evaluate(Options(data=data, model=run, subset="test", device=str(device)))
    return Score(_loss(run, data, device), summary.cer, summary.wer)


@torch.inference_mode()
def _loss(run: Path, data: Path, device: torch.device) -> float:
    loaded = load(run, map_location=device)
    model, dictionary = check_recogniser(loaded.model.eval(), loaded.dictionary)
    manifest = read_manifest(data / "test.tsv")
    labels = read_labels(data / "test.ltr", manifest)
    dataset = SpeechDataset(manifest, labels=labels, dictionary=dictionary, normalize=model.config.normalize)
    means = RunningMeans()
    for batch in (one.to(device) for one in BatchLoader(dataset, max_tokens=MAX_SAMPLES, pad=True).epoch(1)):
        assert batch.targets is not None and batch.target_lengths is not None
        output = model(batch.waveforms, batch.lengths)
        loss = ctc(output.logits, output.lengths, batch.targets, batch.target_lengths, sentence_avg=True)
        means.add_loss(loss.total, loss.denominator)
    return means.means()["loss"]


def reference() -> str:
    """What is said in `SAMPLE`."""
    return read_table(SPEECH / "en_test.tsv")[SAMPLE]


def transcribe_sample(run: Path, device: torch.device) -> str:
    """What the best checkpoint of a run understands in `SAMPLE`."""
    (transcript,) = transcribe([SPEECH / SAMPLE], load(run, map_location=device))
    return transcript.text
