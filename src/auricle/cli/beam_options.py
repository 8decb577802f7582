"""The options of decoders, in fairseq's words, that several commands have; None where not given."""

import inspect
from collections.abc import Callable, Collection
from copy import copy
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

PANEL = "Decoder"
WRITING_PANEL = "Sequence-to-sequence models"
WRITING = ("lenpen", "max_len_a", "max_len_b", "unkpen")
RESCORING = ("rescore_lm", "rescore_weight", "rescore_word_score", "rescore_nbest")

Decoder = Annotated[
    str,
    typer.Option(
        "--w2l-decoder",
        "--decoder",
        help="viterbi; kenlm, a beam search with an n-gram model; fairseqlm, one with a Transformer.",
        rich_help_panel=PANEL,
    ),
]
LmModel = Annotated[
    Path | None,
    typer.Option(
        "--lm-model",
        "--kenlm-model",
        help="ARPA (also gzipped) or KenLM binary; with fairseqlm a checkpoint of a transformer_lm, or a "
        "folder of a causal model of transformers.",
        rich_help_panel=PANEL,
    ),
]
LexiconFile = Annotated[
    Path | None,
    typer.Option(
        "--lexicon",
        help="word<TAB>s p e l l i n g | a line. Without it the language model is over letters.",
        rich_help_panel=PANEL,
    ),
]
LmWeight = Annotated[
    float | None,
    typer.Option(help="Weight of the language model.", show_default="2", rich_help_panel=PANEL),
]
WordScore = Annotated[
    float | None, typer.Option(help="Added for each word.", show_default="-1", rich_help_panel=PANEL)
]
SilWeight = Annotated[
    float | None,
    typer.Option(help="Added for each frame of |.", show_default="0", rich_help_panel=PANEL),
]
UnkWeight = Annotated[
    float | None,
    typer.Option(
        help="Added for each word that is not in the lexicon.",
        show_default="-inf: none",
        rich_help_panel=PANEL,
    ),
]
Beam = Annotated[
    int | None,
    typer.Option(
        help="Hypotheses kept, of sequence-to-sequence models too.",
        show_default="50; sequence-to-sequence 5",
        rich_help_panel=PANEL,
    ),
]
BeamSizeToken = Annotated[
    int | None,
    typer.Option(help="Units tried at each frame.", show_default="all", rich_help_panel=PANEL),
]
BeamThreshold = Annotated[
    float | None,
    typer.Option(
        help="Hypotheses that are worse than the best by more are dropped.",
        show_default="50",
        rich_help_panel=PANEL,
    ),
]
NBest = Annotated[
    int | None,
    typer.Option(
        help="Hypotheses of each utterance, or of each part of a transcript (--format json).",
        show_default="1",
        rich_help_panel=PANEL,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        help="own, or flashlight where flashlight-text is installed: the same search, with its faults.",
        show_default="own",
        rich_help_panel=PANEL,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--decode-workers", min=0, help="Processes that search, for flashlight.", rich_help_panel=PANEL
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Tuned weights of a published model: base-10min, base-960h.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
RescoreLm = Annotated[
    Path | None,
    typer.Option(
        help="Ranks n-best lists anew: a transformer_lm, or a folder of a causal model of transformers.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
RescoreWeight = Annotated[
    float | None, typer.Option(help="Weight of its scores.", show_default="0.5", rich_help_panel=PANEL)
]
RescoreWordScore = Annotated[
    float | None, typer.Option(help="Added for each word then.", show_default="0", rich_help_panel=PANEL)
]
RescoreNBest = Annotated[
    int | None, typer.Option(min=1, help="Hypotheses it ranks.", show_default="50", rich_help_panel=PANEL)
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(help="Below 1 favours short answers.", show_default="1", rich_help_panel=WRITING_PANEL),
]
MaxLenA = Annotated[
    float | None,
    typer.Option(
        help="Most letters a frame,", show_default="0; transcribe 0.5", rich_help_panel=WRITING_PANEL
    ),
]
MaxLenB = Annotated[
    int | None, typer.Option(help="and so many more.", show_default="200", rich_help_panel=WRITING_PANEL)
]
UnkPenalty = Annotated[
    float | None,
    typer.Option(help="Taken off the score of <unk>.", show_default="0", rich_help_panel=WRITING_PANEL),
]


OPTIONS: dict[str, tuple[Any, Any]] = {
    "decoder": (Decoder, "viterbi"),
    "lm_model": (LmModel, None),
    "lexicon": (LexiconFile, None),
    "lm_weight": (LmWeight, None),
    "word_score": (WordScore, None),
    "sil_weight": (SilWeight, None),
    "unk_weight": (UnkWeight, None),
    "beam": (Beam, None),
    "beam_size_token": (BeamSizeToken, None),
    "beam_threshold": (BeamThreshold, None),
    "nbest": (NBest, None),
    "engine": (Engine, None),
    "decode_workers": (Workers, 0),
    "preset": (Preset, None),
    "rescore_lm": (RescoreLm, None),
    "rescore_weight": (RescoreWeight, None),
    "rescore_word_score": (RescoreWordScore, None),
    "rescore_nbest": (RescoreNBest, None),
    "lenpen": (LengthPenalty, None),
    "max_len_a": (MaxLenA, None),
    "max_len_b": (MaxLenB, None),
    "unkpen": (UnkPenalty, None),
}
"""All of them by the name of their parameter: annotation and default."""

Command = Callable[..., None]


def with_decoding(*, leave_out: Collection[str] = (), **defaults: Any) -> Callable[[Command], Command]:
    """Gives a command these options, which it gets in one mapping by their names, its argument `decoding`.

    Args:
        leave_out: Those that it does not have; they are None in the mapping.
        defaults: Other defaults than those of the table.
    """
    table = {name: option for name, option in OPTIONS.items() if name not in leave_out}
    more = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=defaults.get(name, default),
            annotation=_shown(annotation) if name in defaults else annotation,
        )
        for name, (annotation, default) in table.items()
    ]

    def add(command: Command) -> Command:
        @wraps(command)
        def filled(**given: Any) -> None:
            decoding = {name: given.pop(name) for name in table}
            command(**given, decoding={**dict.fromkeys(leave_out), **decoding})

        own = inspect.signature(command, eval_str=True)
        parameters = [*(one for one in own.parameters.values() if one.name != "decoding"), *more]
        # what typer looks at
        filled.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        filled.__annotations__ = {one.name: one.annotation for one in parameters}
        return filled

    return add


def _shown(annotation: Any) -> Any:
    """An option whose help tells the default that it has."""
    kind, option = get_args(annotation)
    option = copy(option)
    option.show_default = True
    return Annotated[kind, option]
