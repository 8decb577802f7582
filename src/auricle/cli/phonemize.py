"""``auricle phonemize``: phoneme labels and their dictionary from word labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from auricle.cli.label_dictionary import write_or_check
from auricle.cli.output import check_writable
from auricle.cli.progress import Advance, progress
from auricle.data.phonemes import Espeak, FromLexicon, Phonemizer, read_lexicon, train_g2p
from auricle.dictionary import WORD_END
from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.textfile import read_lines

DICTIONARY = "dict.phn.txt"


def command(
    texts: Annotated[
        list[Path],
        typer.Argument(
            metavar="TEXT",
            help="Words, a line an utterance, such as train.wrd valid.wrd.",
            show_default=False,
        ),
    ],
    output_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where to write NAME.phn; made where it does not exist.", show_default="beside each"
        ),
    ] = None,
    backend: Annotated[
        Literal["espeak", "phonetisaurus"], typer.Option(help="Who knows how words are said.")
    ] = "espeak",
    language: Annotated[str, typer.Option(help="espeak's name of the language.")] = "en-us",
    lexicon: Annotated[
        Path | None,
        typer.Option(help="Of phonetisaurus: 'word p h o n e m e s' a line.", show_default=False),
    ] = None,
    g2p: Annotated[
        Path | None,
        typer.Option(
            "--g2p",
            help="Of phonetisaurus: the model that guesses what the lexicon lacks; trained from the lexicon "
            "where it does not exist.",
            show_default=False,
        ),
    ] = None,
    word_ends: Annotated[
        bool, typer.Option("--word-ends", help=f"Write {WORD_END} after each word, as letter labels have it.")
    ] = False,
    new_dictionary: Annotated[
        bool,
        typer.Option("--new-dictionary", help=f"Write {DICTIONARY} anew even where there is one already."),
    ] = False,
) -> None:
    """Write NAME.phn and dict.phn.txt from the words of utterances.

    The dictionary is made from all texts together and kept where there is one already: labels with a phoneme
    that it lacks are then refused, as a model trained with it could not write them.

    Phonemes of espeak need the extra phonemes, those of a lexicon with --g2p the extra phonetisaurus.
    """
    folder = output_dir or texts[0].parent
    check_writable(folder)
    lines = [read_lines(path) for path in texts]
    phonemize = _phonemizer(backend, language, lexicon, g2p)
    with progress("utterances", sum(map(len, lines))) as advance:
        labels = [_labels(phonemize, each, word_ends, advance) for each in lines]
    phonemes = [line for each in labels for line in each]
    advice = "take the phonemizer that it was made with"
    write_or_check(folder / DICTIONARY, phonemes, new=new_dictionary, mend=advice)
    for path, each in zip(texts, labels, strict=True):
        target = (output_dir or path.parent) / f"{path.stem}.phn"
        atomic_write_text(target, "".join(f"{line}\n" for line in each))
        typer.echo(f"{target}: {len(each)} utterances")


def _phonemizer(backend: str, language: str, lexicon: Path | None, g2p: Path | None) -> Phonemizer:
    if backend == "espeak":
        if lexicon is not None or g2p is not None:
            raise UserError("--lexicon and --g2p belong to --backend phonetisaurus: add it")
        return Espeak(language)
    if lexicon is None and g2p is None:
        raise UserError("--backend phonetisaurus needs a --lexicon, or a model that was made of one (--g2p)")
    words = read_lexicon(lexicon) if lexicon is not None else {}
    if g2p is not None and not g2p.exists() and words:
        train_g2p(words, g2p)
        typer.echo(f"{g2p}: a model of {len(words)} words")
    return FromLexicon(words, g2p)


def _labels(phonemize: Phonemizer, lines: Sequence[str], word_ends: bool, advance: Advance) -> list[str]:
    labels = []
    for words in phonemize(lines):
        labels.append(" ".join(f"{word} {WORD_END}" if word_ends else word for word in words))
        advance()
    return labels
