"""Options of beam search that several commands have, in fairseq's words; None where not given."""

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Beam search"

Decoder = Annotated[
    str,
    typer.Option(
        "--w2l-decoder",
        "--decoder",
        help="viterbi; kenlm, a beam search with an n-gram model; fairseqlm, one with a Transformer.",
    ),
]
LmModel = Annotated[
    Path | None,
    typer.Option(
        "--lm-model",
        "--kenlm-model",
        help="ARPA (also gzipped) or KenLM binary; with fairseqlm a checkpoint of a transformer_lm.",
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
BEAM = typer.Option(
    "--beam",
    help="Hypotheses kept; of sequence-to-sequence models too.",
    show_default="50; sequence-to-sequence 5",
    rich_help_panel=PANEL,
)
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
    typer.Option(help="Hypotheses of each utterance.", show_default="1", rich_help_panel=PANEL),
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
