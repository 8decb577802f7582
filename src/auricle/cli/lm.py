"""``auricle lm``: an n-gram language model from text, and a lexicon to go with it."""

from pathlib import Path
from typing import Annotated

import typer

Texts = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="TEXT",
        help="Files of a sentence a line (also .gz); .ltr label files are joined into words.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="The model, ARPA; gzipped if the name ends in .gz.", show_default=False
    ),
]
Order = Annotated[
    int | None,
    typer.Option("--order", "-n", min=1, max=10, help="Longest n-grams.", show_default="3"),
]
Prune = Annotated[
    str | None,
    typer.Option(
        help="For each order from 1, n-grams seen so often or less are left out: '0 0 1'.", show_default="0"
    ),
]
EntropyPrune = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="N-grams whose loss raises the perplexity by a smaller share than this are left out (Stolcke), "
        "of a --model too: 1e-8 takes little, 1e-6 most.",
        show_default=False,
    ),
]
Vocabulary = Annotated[
    Path | None,
    typer.Option(help="A word a line: all others count as <unk>.", show_default="the words of the text"),
]
Case = Annotated[str, typer.Option(help="keep, lower or upper: of all text and words.")]
Estimator = Annotated[
    str | None,
    typer.Option(
        help="own; lmplz, KenLM's, or mitlm, where they are installed; auto: lmplz where there is one.",
        show_default="auto",
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Instead of text: an ARPA model, to write in another case or whose words the lexicon is of.",
    ),
]
LexiconOutput = Annotated[
    Path | None,
    typer.Option("--lexicon", help="A lexicon to write: word<TAB>s p e l l i n g |.", show_default=False),
]
DictionaryFile = Annotated[
    Path | None,
    typer.Option("--dictionary", help="The recogniser's dict.ltr.txt: words it cannot write are left out."),
]
Pronunciations = Annotated[
    Path | None,
    typer.Option(help="A pronunciation dictionary, for recognisers of phonemes."),
]
Binary = Annotated[
    Path | None,
    typer.Option(help="KenLM's binary of the model too, with its build_binary.", show_default=False),
]


def command(
    texts: Texts = None,
    output: Output = None,
    order: Order = None,
    prune: Prune = None,
    entropy_prune: EntropyPrune = None,
    vocabulary: Vocabulary = None,
    case: Case = "keep",
    estimator: Estimator = None,
    model: Model = None,
    lexicon: LexiconOutput = None,
    dictionary: DictionaryFile = None,
    pronunciations: Pronunciations = None,
    binary: Binary = None,
) -> None:
    """Estimate an n-gram language model (modified Kneser-Ney), and write a lexicon of its words.

    auricle lm text.txt --order 4 --output lm.arpa.gz --lexicon lexicon.txt --dictionary dict.ltr.txt
    """
    from auricle.cli.language_models import Request, make

    request = Request(
        texts=tuple(texts or ()),
        output=output,
        order=order,
        prune=prune,
        entropy_prune=entropy_prune,
        vocabulary=vocabulary,
        case=case,
        estimator=estimator,
        model=model,
        lexicon=lexicon,
        dictionary=dictionary,
        pronunciations=pronunciations,
        binary=binary,
    )
    for line in make(request):
        typer.echo(line)
