"""The evaluations on a page: a table of error rates, and the utterances that went worst."""

from collections.abc import Sequence

from auricle.decode.report import align_words
from auricle.errors import UserError
from auricle.report.curves import duration
from auricle.report.evaluation import Evaluation, Utterance
from auricle.report.html import NOTHING, Html, element, join, table
from auricle.report.sound import MAX_SECONDS, Clip, make_clip

MAX_AUDIO_BYTES = 8_000_000
_MAX_WORDS = 300
_MAX_SPEAKERS = 20

# Kinds of `AlignedWord`: the word for each, and its mark besides a colour.
_MARKS = {
    "equal": ("correct", ""),
    "substitute": ("substituted", "≠"),
    "insert": ("inserted", "+"),
    "delete": ("deleted", "−"),
}
_HEADER = ["Evaluation", "WER %", "CER %", "UER %", "Utterances", "Words", "Audio", "Speed", "Decoder"]


class AudioBudget:
    """How much audio the page may still take: its size stays bounded whatever was evaluated."""

    def __init__(self, num_bytes: int = MAX_AUDIO_BYTES) -> None:
        self.left = num_bytes

    def take(self, clip: Clip) -> bool:
        """Whether the clip fits; if so, it counts."""
        size = len(clip.audio) + len(clip.spectrogram)
        fits = size <= self.left
        self.left -= size if fits else 0
        return fits


def results_table(evaluations: Sequence[tuple[str, Evaluation]], *, with_run: bool) -> Html:
    """A row for each evaluation.

    Args:
        evaluations: with the name of the run that each belongs to, "" for none.
        with_run: whether to say which run that is.
    """
    rows = [[run or NOTHING, *_row(evaluation)] for run, evaluation in evaluations]
    return table(["Run", *_HEADER], rows) if with_run else table(_HEADER, [row[1:] for row in rows])


def _row(evaluation: Evaluation) -> list[str]:
    numbers = evaluation.numbers
    rates = [f"{numbers[key]:.2f}" if key in numbers else NOTHING for key in ("wer", "cer", "uer")]
    if numbers.get("wer_high"):  # evaluations of older versions have no interval
        rates[0] += f" ({numbers.get('wer_low', 0.0):.1f} to {numbers['wer_high']:.1f})"
    counts = [
        f"{int(numbers[key]):,}" if key in numbers else NOTHING for key in ("num_utterances", "num_words")
    ]
    audio, wall = numbers.get("audio_seconds"), numbers.get("wall_seconds")
    length = duration(audio) if audio is not None else NOTHING
    pace = audio / wall if audio is not None and wall else None
    speed = NOTHING if pace is None else f"{pace:{',.0f' if pace >= 100 else '.3g'}}× real time"
    return [evaluation.name, *rates, *counts, length, speed, evaluation.decoder or NOTHING]


def errors(evaluation: Evaluation) -> Html:
    """What kinds of errors there are, which words are taken for which, and who is understood worst."""
    kinds = [(kind, evaluation.numbers.get(kind)) for kind in ("substitutions", "deletions", "insertions")]
    told = [(kind if n != 1 else kind[:-1], int(n)) for kind, n in kinds if n is not None]
    counts = ", ".join(f"{count:,} {kind}" for kind, count in told)
    parts = [element("p", f"{counts}.")] if counts else []
    if evaluation.confusions:
        rows = [[said or NOTHING, heard or NOTHING, f"{n:,}"] for said, heard, n in evaluation.confusions]
        parts.append(table(["Said", "Understood", "Times"], rows))
    if evaluation.speakers:
        worst = sorted(evaluation.speakers, key=lambda one: (-one[1], one[0]))[:_MAX_SPEAKERS]
        title = "Speaker" if len(worst) == len(evaluation.speakers) else f"Speaker, the worst {len(worst)}"
        rows = [[name, f"{wer:.2f}", f"{words:,}"] for name, wer, words in worst]
        parts.append(table([title, "WER %", "Words"], rows))
    return join(*parts)


def legend() -> Html:
    """What the marks of an alignment mean."""
    return element("p", *(_example(kind, word) for kind, (word, _) in _MARKS.items()), class_="legend")


def _example(kind: str, word: str) -> Html:
    return element("span", _pair(kind, "reference", "understood"), element("span", word))


def worst_utterances(evaluation: Evaluation, count: int, budget: AudioBudget) -> Html:
    """The utterances with the most word errors: their words aligned, their sound, its spectrogram."""
    if not evaluation.utterances:
        return Html("")
    worst = evaluation.worst(count)
    right = sum(utterance.word_errors == 0 for utterance in evaluation.utterances)
    note = f"{right:,} of {len(evaluation.utterances):,} utterances have every word right."
    if not worst:
        return element("p", note)
    note += f" Below, the {len(worst)} with the most word errors."
    shown = element("ol", *(_utterance(one, budget) for one in worst), class_="worst")
    return join(element("p", note), shown)


def _utterance(utterance: Utterance, budget: AudioBudget) -> Html:
    errors = "1 error" if utterance.word_errors == 1 else f"{utterance.word_errors} errors"
    words = "1 word" if utterance.num_words == 1 else f"{utterance.num_words} words"
    head = element("p", element("b", utterance.name), element("span", f"{errors}, {words}"), class_="head")
    return element("li", head, _alignment(utterance), _sound(utterance, budget))


def _alignment(utterance: Utterance) -> Html:
    (steps,) = align_words([utterance.reference], [utterance.hypothesis])
    drawn = [_pair(step.kind, step.reference, step.hypothesis) for step in steps[:_MAX_WORDS]]
    if len(steps) > _MAX_WORDS:
        drawn.append(element("span", f"… and {len(steps) - _MAX_WORDS} more words", class_="note"))
    return element("div", _pair_names(), *drawn, class_="alignment")


def _pair_names() -> Html:
    return element("span", element("span", "reference"), element("span", "understood"), class_="names")


def _pair(kind: str, reference: str, hypothesis: str) -> Html:
    """A column of an alignment: what was said above what was understood, with a mark for what went wrong."""
    word, mark = _MARKS[kind]
    nothing = element("span", "·", class_="nothing")
    said = nothing if kind == "insert" else element("span", reference)
    understood = nothing if kind == "delete" else element("span", hypothesis)
    sign = element("i", mark, title=word) if mark else Html("")
    return element("span", said, understood, sign, class_=f"pair {word}", dir="auto")


def _sound(utterance: Utterance, budget: AudioBudget) -> Html:
    if not utterance.path:
        return element("p", "Its audio is not named in the evaluation.", class_="note")
    try:
        clip = make_clip(utterance.path)
    except UserError as error:
        return element("p", f"No audio: {error}", class_="note")
    if not budget.take(clip):
        return element("p", "Its audio is left out: the page holds as much as it may.", class_="note")
    length = f"{duration(clip.seconds)}, 0 to {clip.sample_rate / 2000:g} kHz"
    if clip.is_cut:
        length += f"; the first {MAX_SECONDS:.0f} s are here"
    return element(
        "div",
        element("img", src=clip.spectrogram, alt=f"Spectrogram of {utterance.name}"),
        element("audio", src=clip.audio, controls=True, preload="metadata"),
        element("p", length, class_="note"),
        class_="sound",
    )
