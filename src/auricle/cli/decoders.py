"""The decoder that a command line asks for, made ready."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.cli.beam_options import RESCORING, WRITING
from auricle.cli.options import chosen_post_process
from auricle.cli.progress import progress
from auricle.decode.decoder import BEAM_FIELDS, BeamOptions, Decoder, ViterbiDecoder, search_device
from auricle.decode.hypothesis import PostProcess
from auricle.dictionary import Dictionary
from auricle.errors import UserError

if TYPE_CHECKING:
    import torch

    from auricle.convert.load import Loaded
    from auricle.decode.causal_fusion import CausalFusion
    from auricle.decode.language_model import LanguageModel
    from auricle.decode.listen import Decoding
    from auricle.decode.neural_lm import SentenceScorer, TransformerFusion
    from auricle.decode.seq2seq import SearchOptions
    from auricle.decode.trie import Lexicon
    from auricle.models.language_model import TransformerLM

DECODERS = ("viterbi", "kenlm", "fairseqlm")
ENGINES = ("own", "flashlight")

PRESETS: dict[str, dict[str, Any]] = {
    "base-10min": {"lm_weight": 3.23, "word_score": -0.26},
    "base-960h": {"beam": 1500, "lm_weight": 1.74, "word_score": 0.52},
}
"""Weights that were tuned for published models with LibriSpeech's 4-gram model (wav2vec 2.0, appendix)."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DecoderChoice:
    """What was asked for.

    Attributes:
        name: "viterbi"; "kenlm", a beam search with an n-gram model (or none); "fairseqlm", one with a
            Transformer.
        lm: The language model.
        lexicon: The words there are; without it, the language model is over the recogniser's units.
        engine: "own" or "flashlight".
        workers: Processes that search, for flashlight.
        beam: See there.
        rescore_lm: A neural language model that ranks the n-best lists anew; None: they stay.
        rescore_weight: Weight of its natural-log scores, which are added to the others.
        rescore_word_score: Added for each word then.
        rescore_nbest: Hypotheses that it ranks.
        unused: Options that were given and that the decoder does not look at.
        for_writing: Options that were given and that sequence-to-sequence models alone look at.
    """

    name: str = "viterbi"
    lm: Path | None = None
    lexicon: Path | None = None
    engine: str = "own"
    workers: int = 0
    beam: BeamOptions = field(default_factory=BeamOptions)
    rescore_lm: Path | None = None
    rescore_weight: float = 0.5
    rescore_word_score: float = 0.0
    rescore_nbest: int = 50
    unused: tuple[str, ...] = ()
    for_writing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("rescore_weight", "rescore_word_score"):
            if not math.isfinite(value := getattr(self, name)):
                raise UserError(f"{flag(name)} is {value}: give a number")

    def __str__(self) -> str:
        if self.name == "viterbi":
            return self.name
        lm = f" {self.lm.name}" if self.lm else ""
        engine = "" if self.engine == "own" else f" {self.engine}"
        weights = f"lm_weight {self.beam.lm_weight:g}, word_score {self.beam.word_score:g}"
        again = f", rescored by {self.rescore_lm.name} {self.rescore_weight:g}" if self.rescore_lm else ""
        return f"{self.name}{lm} (beam {self.beam.beam}, {weights}{engine}{again})"


def make_choice(
    *,
    name: str = "viterbi",
    lm: Path | None = None,
    lexicon: Path | None = None,
    engine: str | None = None,
    workers: int = 0,
    preset: str | None = None,
    rescoring: Mapping[str, Any] | None = None,
    **beam: Any,
) -> DecoderChoice:
    """Checks what can be checked before anything is read.

    Args:
        name: See `DecoderChoice`, as for the others.
        lm: See there.
        lexicon: See there.
        engine: None: our own search.
        workers: See there.
        preset: A name of `PRESETS`, for beam options that are not given.
        rescoring: Fields of `DecoderChoice` whose names begin with `rescore`, None where not given.
        beam: Options of `BeamOptions`, None where not given.

    Raises:
        UserError: A name is unknown, or things do not go together.
    """
    _check_name("decoder", name, DECODERS, "--w2l-decoder")
    _check_name("engine", engine or "own", ENGINES, "--engine")
    if preset is not None:
        _check_name("preset", preset, tuple(PRESETS), "--preset")
    if workers and (name == "viterbi" or engine != "flashlight"):
        raise UserError(
            f"--decode-workers {workers}: only flashlight searches in processes; leave them out, or add "
            "--w2l-decoder kenlm --engine flashlight"
        )
    given = {key: value for key, value in beam.items() if value is not None}
    again = {key: value for key, value in (rescoring or {}).items() if value is not None}
    if name == "viterbi":
        others = {"lm_model": lm, "lexicon": lexicon, "engine": engine, "preset": preset}
        return _best_path({**given, **again, **others})
    if again and "rescore_lm" not in again:
        logger.info("no --rescore-lm: %s ignored", ", ".join(map(flag, again)))
    options = BeamOptions(**{**PRESETS.get(preset or "", {}), **given})
    if name == "fairseqlm" and lm is None:
        raise UserError("fairseqlm needs a language model: give a checkpoint or a folder with --lm-model")
    if name == "fairseqlm" and engine == "flashlight":
        raise UserError("flashlight is used with n-gram models only: take --engine own")
    if lm is None:
        logger.info("no --lm-model: searching without a language model")
    if engine == "flashlight" and workers < 0:
        raise UserError(f"--decode-workers {workers}: give 0 or more")
    return DecoderChoice(name, lm, lexicon, engine or "own", workers, options, **again)


def choice_of(options: Mapping[str, Any]) -> DecoderChoice:
    """What the options of `beam_options` ask for; see `make_choice`."""
    choice = make_choice(
        name=options["decoder"],
        lm=options["lm_model"],
        lexicon=options["lexicon"],
        engine=options["engine"],
        workers=options["decode_workers"],
        preset=options["preset"],
        rescoring={name: options[name] for name in RESCORING},
        **{name: options[name] for name in BEAM_FIELDS},
    )
    return replace(choice, for_writing=tuple(flag(name) for name in WRITING if options[name] is not None))


def writing_of(options: Mapping[str, Any], usual: "SearchOptions") -> "SearchOptions":
    """The search of sequence-to-sequence models that the options of `beam_options` ask for.

    Args:
        options: By the names of their parameters, None where not given.
        usual: What is not given.

    Raises:
        UserError: A number cannot be.
    """
    names = ("beam", "length_penalty", "max_len_a", "max_len_b", "unk_penalty")
    asked = dict(zip(names, (options[name] for name in ("beam", *WRITING)), strict=True))
    return replace(usual, **{name: value for name, value in asked.items() if value is not None})


def check_for_writing(choice: DecoderChoice) -> None:
    """Makes sure that a sequence-to-sequence model has all that a choice asks for.

    Raises:
        UserError: It has not.
    """
    writes = "this recogniser writes letters one by one"
    if choice.name != "viterbi":
        raise UserError(
            f"{writes}: --w2l-decoder {choice.name} cannot follow it; leave the decoder out, and set --beam "
            "for its own search"
        )
    useless = [option for option in choice.unused if option != flag("beam")]
    if useless:
        raise UserError(f"{writes}, and its search has no use for {', '.join(useless)}: leave that out")


def _best_path(given: Mapping[str, Any]) -> DecoderChoice:
    """Without a search: options, by the names of their parameters, are for nothing, but for `nbest`."""
    asked = {key: value for key, value in given.items() if value is not None}
    if "rescore_lm" in asked:
        raise UserError("--rescore-lm needs n-best lists: search with --w2l-decoder kenlm")
    nbest = asked.pop("nbest", 1)
    return DecoderChoice(beam=BeamOptions(nbest=nbest), unused=tuple(map(flag, asked)))


def flag(name: str) -> str:
    """As it is typed: "--lm-weight" for "lm_weight"."""
    return f"--{name.replace('_', '-')}"


def _check_name(what: str, name: str, known: Sequence[str], flag: str) -> None:
    if name not in known:
        raise UserError(f"there is no {what} {name!r}: choose one of {', '.join(known)} with {flag}")


def make_decoder(
    choice: DecoderChoice,
    dictionary: Dictionary,
    post_process: PostProcess,
    device: "torch.device | str" = "cpu",
) -> Decoder:
    """Reads what the decoder needs.

    Raises:
        UserError: A file is missing, damaged, or of another vocabulary.
    """
    device = search_device(device)
    _say_unused(choice)
    if choice.name == "viterbi":
        return ViterbiDecoder(dictionary, post_process)
    from auricle.decode.beam import BeamSearch
    from auricle.decode.trie import read_lexicon

    if choice.rescore_lm is not None:
        return _rescoring(choice, dictionary, post_process, device)
    lexicon = read_lexicon(choice.lexicon, dictionary) if choice.lexicon else None
    if choice.engine == "flashlight":
        return _flashlight(choice, dictionary, lexicon, post_process)
    lm = open_language_model(choice, lexicon, dictionary, device)
    return BeamSearch(
        dictionary, choice.beam, lexicon=lexicon, lm=lm, post_process=post_process, device=device
    )


def decoding_of(
    choice: DecoderChoice,
    writing: "SearchOptions",
    loaded: "Loaded",
    device: "torch.device | str",
    post_process: str | None = None,
) -> "Decoding":
    """How to transcribe with a recogniser.

    Args:
        choice: Of what decodes emissions.
        writing: For a sequence-to-sequence model.
        loaded: The recogniser.
        device: Where to search.
        post_process: How units become words, as `PostProcess` has it; None: what the dictionary suggests.

    Raises:
        UserError: They do not go together, or see `make_decoder`.
    """
    from auricle.decode.emissions import check_dictionary, check_recogniser
    from auricle.decode.listen import Decoding
    from auricle.models.seq2seq import Wav2Vec2Seq2Seq

    nbest = choice.beam.nbest
    if isinstance(loaded.model, Wav2Vec2Seq2Seq):
        check_for_writing(choice)
        dictionary = check_dictionary(loaded.dictionary, loaded.model.config.num_labels)
        how = chosen_post_process(post_process, dictionary)
        return Decoding(writing=writing, nbest=nbest, post_process=how)
    if choice.name == "viterbi" and nbest > 1:
        raise UserError(f"--nbest {nbest}: viterbi finds one hypothesis; search with --w2l-decoder kenlm")
    _, dictionary = check_recogniser(loaded.model, loaded.dictionary)
    how = chosen_post_process(post_process, dictionary)
    return Decoding(make_decoder(choice, dictionary, how, device), nbest=nbest, post_process=how)


def _say_unused(choice: DecoderChoice) -> None:
    if choice.unused:
        logger.info("viterbi uses no language model: %s ignored", ", ".join(choice.unused))
    if choice.name == "viterbi" and choice.beam.nbest > 1:
        logger.info("viterbi finds one hypothesis: --nbest ignored")
    if choice.for_writing:
        what = ", ".join(choice.for_writing)
        logger.info("only sequence-to-sequence models use %s, and this one has CTC: ignored", what)


def _rescoring(
    choice: DecoderChoice, dictionary: Dictionary, post_process: PostProcess, device: "torch.device | str"
) -> Decoder:
    from auricle.decode.neural_lm import RescoringDecoder

    assert choice.rescore_lm is not None
    return RescoringDecoder(
        make_decoder(first_pass(choice), dictionary, post_process, device),
        open_scorer(choice.rescore_lm, device),
        choice.rescore_weight,
        choice.rescore_word_score,
        choice.beam.nbest,
    )


def first_pass(choice: DecoderChoice) -> DecoderChoice:
    """The search whose lists are ranked anew."""
    wide = replace(choice.beam, nbest=max(choice.rescore_nbest, choice.beam.nbest))
    return replace(choice, beam=wide, rescore_lm=None, for_writing=())


def open_scorer(path: Path, device: "torch.device | str") -> "SentenceScorer":
    """A neural language model: a folder of transformers', or a `transformer_lm`."""
    from auricle.decode.neural_lm import TransformerScorer
    from auricle.models.causal_lm import CausalLM

    if _is_of_transformers(path):
        return CausalLM.load(path, device)
    return TransformerScorer(*open_transformer(path, device))


def _is_of_transformers(path: Path) -> bool:
    """Whether a path is a folder as the transformers library writes them."""
    from auricle.convert.huggingface_files import is_huggingface

    return path.is_dir() and is_huggingface(path)


def _fusion(
    path: Path, words: Sequence[str], device: "torch.device | str", *, with_lexicon: bool
) -> "TransformerFusion | CausalFusion":
    """A neural language model for a search among words or, without a lexicon, units."""
    from auricle.decode.causal_fusion import CausalFusion
    from auricle.decode.neural_lm import TransformerFusion
    from auricle.models.causal_lm import CausalLM

    if not _is_of_transformers(path):
        return TransformerFusion(*open_transformer(path, device))
    fusion = CausalFusion(CausalLM.load(path, device))
    if with_lexicon:
        fusion.numbers(words)  # all at once, which is faster than one by one
    else:
        fusion.check_units(words)
    return fusion


def open_transformer(path: Path, device: "torch.device | str") -> "tuple[TransformerLM, Dictionary]":
    """A `transformer_lm` and its dictionary: its own, else the dict.txt beside it, as in fairseq.

    Raises:
        UserError: It is something else, or there is no dictionary.
    """
    from auricle.convert.load import load
    from auricle.models.language_model import TransformerLM

    beside = path.parent / "dict.txt"
    given = beside if path.is_file() and beside.is_file() else None
    loaded = load(path, map_location=device, dictionary=given)
    if not isinstance(loaded.model, TransformerLM):
        raise UserError(f"{path} is no language model (transformer_lm): give a checkpoint of one")
    if loaded.dictionary is None:
        raise UserError(f"{path}: its dictionary is missing: put the dict.txt of its training data beside it")
    return loaded.model.eval(), loaded.dictionary


def _flashlight(
    choice: DecoderChoice, dictionary: Dictionary, lexicon: "Lexicon | None", post_process: PostProcess
) -> Decoder:
    from auricle.decode.lexicon import FlashlightDecoder, FlashlightSettings

    settings = FlashlightSettings(dictionary, choice.beam, lexicon, choice.lm, post_process)
    return FlashlightDecoder(settings, choice.workers)


def open_language_model(
    choice: DecoderChoice, lexicon: "Lexicon | None", dictionary: Dictionary, device: "torch.device | str"
) -> "LanguageModel | None":
    """The language model of a choice, sure to know some of the words it will be asked about."""
    if choice.lm is None:
        return None
    from auricle.decode.ngram_file import check_vocabulary, open_ngram_of

    words = dictionary.symbols[4:] if lexicon is None else lexicon.words
    source = (
        "the recogniser's units (give --lexicon for a model of words)" if lexicon is None else lexicon.source
    )
    if choice.name == "fairseqlm":
        fusion = _fusion(choice.lm, words, device, with_lexicon=lexicon is not None)
        check_vocabulary([word in fusion for word in words], words, choice.lm, source)
        return fusion
    with progress("n-grams read") as advance:
        return open_ngram_of(words, source, choice.lm, device, advance)


def with_weights(choice: DecoderChoice, lm_weight: float, word_score: float) -> DecoderChoice:
    """The same with other weights."""
    return replace(choice, beam=replace(choice.beam, lm_weight=lm_weight, word_score=word_score))
