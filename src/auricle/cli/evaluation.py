"""The work of ``auricle evaluate``: read a labelled subset, decode it, count the errors, write them down."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from auricle.cli.backend import open_model
from auricle.cli.decoders import DecoderChoice, check_for_writing, make_decoder
from auricle.cli.decoding import (
    Decoded,
    Listener,
    Recogniser,
    decode_heard,
    decode_saved,
    keep_heard,
    write_heard,
)
from auricle.cli.device import pick_device
from auricle.cli.options import chosen_post_process
from auricle.cli.output import check_writable
from auricle.cli.speakers import read_speakers
from auricle.data.collate import SetAside
from auricle.decode.analysis import WordErrors, bootstrap_interval, by_speaker, confusions, word_errors
from auricle.decode.arithmetic import BackendName, Precision
from auricle.decode.emissions import check_recogniser
from auricle.decode.hypothesis import PostProcess, units_to_words
from auricle.decode.report import (
    Summary,
    Utterance,
    align_words,
    count_errors,
    write_evaluation,
)
from auricle.decode.saved import SavedEmissions, check_place, load_emissions, save_emissions
from auricle.decode.seq2seq import SearchOptions
from auricle.dictionary import WORD_END, Dictionary
from auricle.errors import UserError
from auricle.manifest import Manifest, read_labels, read_manifest
from auricle.models.seq2seq import Wav2Vec2Seq2Seq

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
    decoder: DecoderChoice = field(default_factory=DecoderChoice)
    writing: SearchOptions = field(default_factory=SearchOptions)
    post_process: str | None = None
    num_workers: int = 0
    device: str | None = None
    backend: BackendName | None = None
    precision: Precision | None = None
    save_emissions: Path | None = None
    emissions: Path | None = None
    speakers: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What decoding a subset gave; the time is that of hearing and decoding, without reading models."""

    decoded: list[Decoded]
    set_aside: list[dict[str, str]]
    decoder: str
    post_process: PostProcess
    dictionary: Dictionary
    model: str
    wall_seconds: float


def evaluate(options: Options) -> tuple[Summary, Path | None]:
    """Evaluates, and writes the results where there is a folder for them.

    Returns:
        What was found, and that folder.

    Raises:
        UserError: Something is missing, or does not go together.
    """
    if options.data is None:
        raise UserError("no data folder: auricle evaluate DATA --model MODEL --gen-subset SUBSET")
    if options.model is None and options.emissions is None:
        raise UserError("no model: pass a fine-tuned checkpoint with --model")
    if options.emissions is not None and options.save_emissions is not None:
        raise UserError("--emissions decodes what was saved before, with nothing to save: leave one out")
    results = options.results_path
    if results is None and options.model is not None:
        results = _results_of_run(options.model, options.subset)
    for folder in (results, options.save_emissions and options.save_emissions.parent):
        if folder is not None:
            check_writable(folder)
    if options.save_emissions is not None:
        check_place(options.save_emissions)
    manifest = read_manifest(options.data / f"{options.subset}.tsv")
    label_file = options.data / f"{options.subset}.{options.labels}"
    labels = read_labels(label_file, manifest)
    speakers = read_speakers(options.speakers, manifest)
    outcome = _decode(options, manifest, labels, label_file)
    places = {entry.line - 2: place for place, entry in enumerate(manifest.entries)}
    utterances = _utterances(outcome, labels, speakers, places)
    summary = _summary(utterances, outcome, options.subset, has_speakers=speakers is not None)
    if results is not None:
        name = Path(outcome.model).resolve().name
        write_evaluation(
            results, name, options.subset, utterances, summary, post_process=outcome.post_process
        )
    return summary, results


def _decode(options: Options, manifest: Manifest, labels: Sequence[str], label_file: Path) -> Outcome:
    """Decodes emissions kept, or what the model hears now."""
    if options.emissions is not None:
        return _decode_saved(options, manifest, labels, label_file)
    device = pick_device(options.device)
    model, dictionary = model_and_dictionary(options)
    _check_symbols(labels, dictionary, label_file)
    post_process = chosen_post_process(options.post_process, dictionary)
    listener = Listener(model, manifest, options.max_tokens, options.batch_size, options.num_workers)
    name = str(options.decoder)
    decoder = None
    if isinstance(model, Wav2Vec2Seq2Seq):
        name = _name_of_writing(options)
    else:
        decoder = make_decoder(options.decoder, dictionary, post_process, device)
    started = time.perf_counter()
    if decoder is None:
        nbest = options.decoder.beam.nbest
        decoded = write_heard(listener, options.writing, nbest, dictionary, post_process)
    elif options.save_emissions is not None:
        saved = keep_heard(listener, dictionary, str(options.model), options.subset)
        save_emissions(options.save_emissions, saved)
        decoded = decode_saved(saved, decoder)
    else:
        decoded = decode_heard(listener, decoder)
    wall_seconds = time.perf_counter() - started
    name_set_aside(listener.set_aside)
    set_aside = [asdict(clip) for clip in listener.set_aside]
    return Outcome(decoded, set_aside, name, post_process, dictionary, str(options.model), wall_seconds)


def model_and_dictionary(options: Options) -> tuple[Recogniser, Dictionary]:
    """The recogniser, and the dictionary of what it writes.

    Raises:
        UserError: It is none, or the dictionary is missing or another one.
    """
    if options.model is None or options.data is None:
        raise UserError("no model: pass a fine-tuned checkpoint with --model")
    loaded = open_model(options.model, options.device, options.backend, options.precision)
    beside = options.data / f"dict.{options.labels}.txt"
    dictionary = _dictionary(loaded.dictionary, options.dictionary, beside)
    if not isinstance(loaded.model, Wav2Vec2Seq2Seq):
        return check_recogniser(loaded.model, dictionary)
    if dictionary is None:
        raise UserError("this checkpoint holds no dictionary: pass its dict.ltr.txt with --dictionary")
    return loaded.model, dictionary


def open_emissions(options: Options, manifest: Manifest) -> SavedEmissions:
    """Emissions that were kept of a subset.

    Raises:
        UserError: They are damaged, of other utterances or of another dictionary than the one given.
    """
    assert options.emissions is not None
    saved = load_emissions(options.emissions)
    if saved.subset != options.subset:
        raise UserError(f"{options.emissions} holds emissions of {saved.subset}, not of {options.subset}")
    paths = {entry.line - 2: manifest.full_path(entry) for entry in manifest.entries}
    for clip in saved.clips:
        if clip.index not in paths or Path(paths[clip.index]).name != Path(clip.path).name:
            raise UserError(
                f"{options.emissions}: utterance {clip.index} is {clip.path} there and not in "
                f"{manifest.source}: save the emissions of this subset again"
            )
    if options.dictionary is not None:
        advice = "leave --dictionary out to go by that of the emissions"
        Dictionary.load(options.dictionary).check_same(saved.dictionary, str(options.dictionary), advice)
    return saved


def _decode_saved(options: Options, manifest: Manifest, labels: Sequence[str], label_file: Path) -> Outcome:
    saved = open_emissions(options, manifest)
    _check_symbols(labels, saved.dictionary, label_file)
    post_process = chosen_post_process(options.post_process, saved.dictionary)
    device = pick_device(options.device)
    decoder = make_decoder(options.decoder, saved.dictionary, post_process, device)
    started = time.perf_counter()
    decoded = decode_saved(saved, decoder)
    return Outcome(
        decoded,
        list(saved.set_aside),
        str(options.decoder),
        post_process,
        saved.dictionary,
        saved.model,
        time.perf_counter() - started,
    )


def _name_of_writing(options: Options) -> str:
    check_for_writing(options.decoder)
    if options.save_emissions is not None:
        raise UserError("this recogniser writes letters one by one and has no emissions to save")
    return f"seq2seq (beam {options.writing.beam}, lenpen {options.writing.length_penalty:g})"


def _utterances(
    outcome: Outcome, labels: Sequence[str], speakers: Sequence[str] | None, places: Mapping[int, int]
) -> list[Utterance]:
    """What was said beside what was understood; `places` in the labels, by index."""
    several = any(len(one.hypotheses) > 1 for one in outcome.decoded)
    utterances = []
    for one in outcome.decoded:
        best = one.hypotheses[0] if one.hypotheses else None
        utterances.append(
            Utterance(
                index=one.clip.index,
                path=one.clip.path,
                reference=" ".join(labels[places[one.clip.index]].split()),
                hypothesis=outcome.dictionary.decode(best.tokens) if best else "",
                score=best.score if best else 0.0,
                seconds=one.clip.seconds,
                words=best.text if best else "",
                speaker=speakers[places[one.clip.index]] if speakers else "None",
                nbest=tuple(other.alternative for other in (one.hypotheses if several else [])),
            )
        )
    return utterances


def _summary(
    utterances: Sequence[Utterance], outcome: Outcome, subset: str, *, has_speakers: bool
) -> Summary:
    said = [units_to_words(utterance.reference, outcome.post_process) for utterance in utterances]
    heard = [utterance.heard(outcome.post_process) for utterance in utterances]
    errors = count_errors(
        [utterance.reference for utterance in utterances],
        [utterance.hypothesis for utterance in utterances],
        post_process=outcome.post_process,
        texts=heard,
    )
    alignments = align_words(said, heard)
    each = [word_errors(alignment) for alignment in alignments]
    total = sum(each, WordErrors())
    speakers = [utterance.speaker for utterance in utterances] if has_speakers else None
    low, high = bootstrap_interval(each, speakers)
    return Summary(
        wer=errors.wer,
        cer=errors.cer,
        uer=errors.uer,
        num_utterances=errors.num_utterances,
        num_words=errors.num_words,
        audio_seconds=sum(utterance.seconds for utterance in utterances),
        wall_seconds=outcome.wall_seconds,
        decoder=outcome.decoder,
        model=outcome.model,
        subset=subset,
        set_aside=outcome.set_aside,
        wer_low=low,
        wer_high=high,
        substitutions=total.substitutions,
        deletions=total.deletions,
        insertions=total.insertions,
        confusions=confusions(alignments),
        speakers={
            name: {"wer": own.wer, "num_words": own.num_words}
            for name, own in (by_speaker(each, speakers) if speakers else {}).items()
        },
    )


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


def name_set_aside(set_aside: Sequence[SetAside]) -> None:
    """Names what was left out."""
    for clip in set_aside[:SHOWN]:
        logger.warning("set aside %s: %s", clip.name, clip.reason)
    if len(set_aside) > SHOWN:
        logger.warning("... and %d more", len(set_aside) - SHOWN)
