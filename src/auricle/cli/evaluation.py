"""The work of ``auricle evaluate``: read a labelled subset, decode it, count the errors, write them down."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from auricle.cli.device import pick_device
from auricle.cli.output import check_writable
from auricle.cli.progress import progress
from auricle.convert.load import load
from auricle.data.collate import Batch, SetAside
from auricle.data.dataset import SpeechDataset
from auricle.data.loader import BatchLoader
from auricle.decode.emissions import check_recogniser, emit, length_batches
from auricle.decode.hypothesis import Hypothesis, PostProcess
from auricle.decode.report import Summary, Utterance, count_errors, write_evaluation
from auricle.decode.transcribe import suggested_post_process
from auricle.decode.viterbi import viterbi
from auricle.dictionary import WORD_END, Dictionary
from auricle.errors import UserError
from auricle.manifest import Manifest, read_labels, read_manifest
from auricle.models.ctc import Wav2Vec2CTC

DECODERS = ("viterbi",)

SHOWN = 10
"""How many clips that were set aside are named on the console; `summary.json` names all."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What to evaluate and how; see the help of the command."""

    data: Path | None = None
    model: Path | None = None
    subset: str = "test"
    results_path: Path | None = None
    labels: str = "ltr"
    dictionary: Path | None = None
    max_tokens: int = 1_600_000
    batch_size: int | None = None
    decoder: str = "viterbi"
    post_process: str | None = None
    num_workers: int = 0
    device: str | None = None


def evaluate(options: Options) -> tuple[Summary, Path | None]:
    """Evaluates, and writes the results where there is a folder for them.

    Returns:
        What was found, and that folder.

    Raises:
        UserError: Something is missing, or does not go together.
    """
    data, model_path = _needed(options)
    results = options.results_path or _results_of_run(model_path, options.subset)
    if results is not None:
        check_writable(results)
    manifest = read_manifest(data / f"{options.subset}.tsv")
    label_file = data / f"{options.subset}.{options.labels}"
    labels = read_labels(label_file, manifest)
    device = pick_device(options.device)
    loaded = load(model_path, map_location=device)
    dictionary = _dictionary(loaded.dictionary, options.dictionary, data / f"dict.{options.labels}.txt")
    model, dictionary = check_recogniser(loaded.model, dictionary)
    _check_symbols(labels, dictionary, label_file)
    post_process = _post_process(options.post_process, dictionary)

    started = time.perf_counter()
    utterances, set_aside = _decode(model, dictionary, manifest, labels, options)
    wall_seconds = time.perf_counter() - started
    _name(set_aside)
    errors = count_errors(
        [utterance.reference for utterance in utterances],
        [utterance.hypothesis for utterance in utterances],
        post_process=post_process,
    )
    summary = Summary(
        wer=errors.wer,
        cer=errors.cer,
        uer=errors.uer,
        num_utterances=errors.num_utterances,
        num_words=errors.num_words,
        audio_seconds=sum(utterance.seconds for utterance in utterances),
        wall_seconds=wall_seconds,
        decoder=options.decoder,
        model=str(model_path),
        subset=options.subset,
        set_aside=[asdict(clip) for clip in set_aside],
    )
    if results is not None:
        name = model_path.resolve().name
        write_evaluation(results, name, options.subset, utterances, summary, post_process=post_process)
    return summary, results


def _needed(options: Options) -> tuple[Path, Path]:
    """The data folder and the model, without which nothing can be done."""
    if options.decoder not in DECODERS:
        raise UserError(
            f"decoder {options.decoder!r} is not available in this version: use --w2l-decoder viterbi "
            "(decoding.type=viterbi)"
        )
    if options.data is None:
        raise UserError("no data folder: auricle evaluate DATA --model MODEL --gen-subset SUBSET")
    if options.model is None:
        raise UserError("no model: pass a fine-tuned checkpoint with --model")
    return options.data, options.model


def _results_of_run(model: Path, subset: str) -> Path | None:
    """Where the report page of a run looks: `RUN/evaluations/SUBSET`, for RUN or a checkpoint in it."""
    parents = (model, model.parent, model.parent.parent)
    run = next((folder for folder in parents if (folder / "checkpoints").is_dir()), None)
    return None if run is None else run / "evaluations" / subset


def _dictionary(own: Dictionary | None, given: Path | None, beside: Path) -> Dictionary | None:
    """The checkpoint's own dictionary, else the one given, else the one beside the labels, as in fairseq.

    Raises:
        UserError: The checkpoint has one, and the other numbers its symbols differently.
    """
    source = given or (beside if beside.is_file() else None)
    if source is None:
        return own
    other = Dictionary.load(source)
    if own is not None:
        advice = "evaluate another model, or take this file away to go by the model's"
        other.check_same(own, str(source), advice)
    return other


def _check_symbols(labels: Sequence[str], dictionary: Dictionary, source: Path) -> None:
    """Symbols the model cannot write count as errors, as in fairseq; labels of such alone are a mistake."""
    symbols = {symbol for line in labels for symbol in line.split()} - {WORD_END}
    unknown = sorted(symbol for symbol in symbols if symbol not in dictionary)
    if not unknown:
        return
    if len(unknown) == len(symbols):
        raise UserError(
            f"{source}: the model's dictionary has none of these symbols ({' '.join(unknown[:SHOWN])} ...): "
            "make the labels with the model's letters, upper or lower case as it has them"
        )
    logger.warning(
        "%s holds %d symbols that the model cannot write, and that count as errors: %s",
        source,
        len(unknown),
        " ".join(unknown[:SHOWN]),
    )


def _post_process(name: str | None, dictionary: Dictionary) -> PostProcess:
    if name is None:
        return suggested_post_process(dictionary)
    known: tuple[PostProcess, ...] = get_args(PostProcess)
    found = next((choice for choice in known if choice == name.lower()), None)
    if found is None:
        raise UserError(f"--post-process {name} is not available: choose one of {', '.join(known)}")
    return found


def _decode(
    model: Wav2Vec2CTC, dictionary: Dictionary, manifest: Manifest, labels: Sequence[str], options: Options
) -> tuple[list[Utterance], list[SetAside]]:
    """Every utterance that can be read, in manifest order, and those that cannot."""
    config = model.config
    dataset = SpeechDataset(manifest, sample_rate=config.sample_rate, normalize=config.normalize)
    batches = length_batches(dataset.sizes.tolist(), options.max_tokens, options.batch_size)
    loader = BatchLoader(
        dataset, max_tokens=None, pad=True, fixed_order=batches, num_workers=options.num_workers
    )
    references = {
        entry.line: " ".join(label.split()) for entry, label in zip(manifest.entries, labels, strict=True)
    }
    utterances: list[Utterance] = []
    set_aside = list(loader.set_aside)
    with progress("utterances", len(dataset)) as advance:
        for batch in loader.epoch(1):
            set_aside += batch.set_aside
            for number, num_samples, hypothesis in _decode_batch(model, dictionary, batch):
                entry = dataset.entries[number]
                if model.encoder.num_frames(num_samples) == 0:
                    logger.warning("%s: too short for a single frame: its transcript is empty", entry.path)
                utterances.append(
                    Utterance(
                        index=entry.line - 2,  # line 1 is the root
                        path=manifest.full_path(entry),
                        reference=references[entry.line],
                        hypothesis=dictionary.decode(hypothesis.tokens),
                        score=hypothesis.score,
                        seconds=num_samples / config.sample_rate,
                    )
                )
            advance(len(batch) + len(batch.set_aside))
    return sorted(utterances, key=lambda utterance: utterance.index), set_aside


def _decode_batch(
    model: Wav2Vec2CTC, dictionary: Dictionary, batch: Batch
) -> Iterator[tuple[int, int, Hypothesis]]:
    """Number in the dataset, samples and hypothesis of each utterance of a batch."""
    if len(batch) == 0:
        return
    emissions = emit(model, batch.waveforms, batch.lengths)
    hypotheses = viterbi(emissions.log_probs, emissions.lengths, dictionary)
    yield from zip(batch.ids.tolist(), batch.lengths.tolist(), hypotheses, strict=True)


def _name(set_aside: Sequence[SetAside]) -> None:
    """Names what was left out."""
    for clip in set_aside[:SHOWN]:
        logger.warning("set aside %s: %s", clip.name, clip.reason)
    if len(set_aside) > SHOWN:
        logger.warning("... and %d more", len(set_aside) - SHOWN)
