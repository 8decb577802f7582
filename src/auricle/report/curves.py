"""What is drawn of the log: which quantities, from which runs, over what."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from auricle.report.charts import MAX_POINTS, Line, Scale, line_chart
from auricle.report.html import Html, element, join
from auricle.report.run import PRETRAINING, STAGES, Run


@dataclass(frozen=True, slots=True)
class Quantity:
    """A column of the log.

    Attributes:
        key: its name there.
        title: its name on the page.
        meaning: what it tells, and which way is good.
        scale: of its axis.
        is_fraction: whether to show it in percent.
    """

    key: str
    title: str
    meaning: str
    scale: Scale = "zero"
    is_fraction: bool = False


QUANTITIES = (
    Quantity("loss", "Loss", "what training minimises, in bits; lower is better", "magnitude"),
    Quantity(
        "accuracy",
        "Accuracy (%)",
        "the true frame beats its distractors, the true symbol all others; higher is better",
        is_fraction=True,
    ),
    Quantity("ppl", "Perplexity", "2 to the power of the bits a symbol; lower is better", "magnitude"),
    Quantity("wer", "Word error rate (%)", "of what validation decodes; lower is better"),
    Quantity("raw_wer", "Word error rate without a language model (%)", "greedy; lower is better"),
    Quantity("cer", "Character error rate (%)", "of what validation decodes; lower is better"),
    Quantity("uer", "Unit error rate (%)", "letters or phonemes, greedy; lower is better"),
    Quantity("code_perplexity", "Code perplexity", "codebook entries in use; a collapse shows here"),
    Quantity("prob_perplexity", "Probability perplexity", "codebook entries in use, before the hard choice"),
    Quantity("lr", "Learning rate", "of the optimizer"),
    Quantity("grad_norm", "Gradient norm", "before clipping", "magnitude"),
    Quantity("audio_seconds_per_second", "Speed", "seconds of audio trained on a second"),
    Quantity("tokens_per_second", "Speed", "symbols trained on a second"),
    Quantity("temp", "Gumbel temperature", "of the quantizer's choice", "plain"),
)

_LOSS_PART = re.compile("loss_[0-9]+")
_OVER_TIME = ("wer", "cer", "uer")
_PRETRAINING_PARTS = {"loss_0": "contrastive", "loss_1": "diversity", "loss_2": "feature penalty"}


@dataclass(frozen=True, slots=True)
class Across:
    """A horizontal axis: what of a log line it shows, divided by what, and its name."""

    key: str
    unit: float
    label: str


_UPDATES = Across("update", 1.0, "updates")
_HOURS, _MINUTES, _SECONDS = (
    Across("wall_seconds", unit, f"{name} of training")
    for unit, name in ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
)


def curves(runs: Sequence[Run]) -> Html:
    """The charts of all runs, stage by stage: losses of different stages do not compare."""
    stages = [(stage, [run for run in runs if run.records and run.stage == stage]) for stage in STAGES]
    stages = [(stage, members) for stage, members in stages if members]
    colours = {run.name: index for index, run in enumerate(runs)}
    sections = [element("p", _how_to_read(runs), class_="note")] if stages else []
    for stage, members in stages:
        heading = element("h3", stage) if len(stages) > 1 else Html("")
        sections += [heading, element("div", *_charts(members, colours), class_="charts")]
    return join(*sections)


def _how_to_read(runs: Sequence[Run]) -> str:
    notes = ["The figure at the end of a curve is its last value."]
    if len(runs) > 1:
        notes.append(
            "Strong curves: validation, or training where nothing was validated; faint ones: training."
        )
    if any(len(run.curve("loss", split)[0]) > MAX_POINTS for run in runs for split in run.splits):
        notes.append(f"Long curves: the means of {MAX_POINTS} stretches, over a band that holds every value.")
    return " ".join(notes)


def _charts(runs: Sequence[Run], colours: Mapping[str, int]) -> list[Html]:
    seconds = max(run.last("wall_seconds") or 0.0 for run in runs)
    clock = _HOURS if seconds >= 7200 else _MINUTES if seconds >= 300 else _SECONDS
    wanted = [(quantity, _UPDATES) for quantity in (*QUANTITIES, *_loss_parts(runs))]
    wanted += [
        (replace(quantity, title=f"{quantity.title} over time"), clock)
        for quantity in QUANTITIES
        if quantity.key in _OVER_TIME
    ]
    return [_chart(runs, colours, quantity, across) for quantity, across in wanted]


def _loss_parts(runs: Sequence[Run]) -> list[Quantity]:
    logged = {key for run in runs for record in run.records for key in record.values}
    keys = sorted(key for key in logged if _LOSS_PART.fullmatch(key))
    names = _PRETRAINING_PARTS if runs[0].stage == PRETRAINING else {}
    meaning = "weighted, as it enters the loss"
    return [Quantity(key, f"Loss, {names.get(key, 'part ' + key[5:])}", meaning, "magnitude") for key in keys]


_Wanted = list[tuple[str, int, Run, str]]
"""Curves to draw: label, colour, run and split of each."""


def _chart(runs: Sequence[Run], colours: Mapping[str, int], quantity: Quantity, across: Across) -> Html:
    """One chart with its title; nothing where no run logged the quantity."""
    factor = 100.0 if quantity.is_fraction else 1.0
    lines = []
    wanted = _splits(runs[0]) if len(colours) == 1 else _compared(runs, colours, quantity.key)
    for label, colour, run, split in wanted:
        x, y = run.curve(quantity.key, split, across.key)
        if x:
            lines.append(Line(label, [one / across.unit for one in x], [factor * one for one in y], colour))
    if not lines:
        return Html("")
    ends = "; ".join(f"{one.label} goes from {one.y[0]:.4g} to {one.y[-1]:.4g}" for one in lines if one.label)
    svg, is_log = line_chart(
        lines,
        key=f"{runs[0].stage}-{quantity.key}-{across.key}".lower(),
        description=f"{quantity.title}, over {across.label}: {ends}",
        x_label=across.label,
        scale=quantity.scale,
    )
    meaning = f"{quantity.meaning}; log scale" if is_log else quantity.meaning
    caption = element("figcaption", element("b", quantity.title), element("span", meaning))
    return element("figure", caption, svg)


def _splits(run: Run) -> _Wanted:
    """A run by itself: a colour for each split, the same in every chart."""
    return [(split, index, run, split) for index, split in enumerate(run.splits)]


def _compared(runs: Sequence[Run], colours: Mapping[str, int], key: str) -> _Wanted:
    """Several runs: a colour for each; what was validated stands in front, what was trained behind it."""
    behind: _Wanted = []
    front: _Wanted = []
    for run in runs:
        logged = [split for split in run.splits if run.curve(key, split)[0]]
        validated = [split for split in logged if split != "train"]
        for split in logged:
            is_front = split != "train" or not validated
            name = f"{run.name} {split}" if len(validated) > 1 else run.name
            (front if is_front else behind).append((name if is_front else "", colours[run.name], run, split))
    return behind + front


def key_figures(run: Run) -> list[tuple[str, str]]:
    """The few figures that sum a run up, as they are known: label and value."""
    best: list[tuple[str, str, Callable[..., tuple[float, int]], float, str]] = [
        ("Best valid loss", "loss", min, 1.0, ""),
        ("Best perplexity", "ppl", min, 1.0, ""),
        ("Best WER", "wer", min, 1.0, " %"),
        ("Best UER", "uer", min, 1.0, " %"),
        ("Best accuracy", "accuracy", max, 100.0, " %"),
    ]
    figures = [
        ("Stage", run.stage),
        ("Updates", f"{max((record.update for record in run.records), default=0):,}"),
    ]
    for label, key, choose, scale, unit in best:
        found = run.best(key, choose)
        if found:
            figures.append((label, f"{scale * found[0]:.4g}{unit}"))
    seconds, speed = run.last("wall_seconds"), run.last("audio_seconds_per_second")
    if seconds is not None:
        figures.append(("Time", duration(seconds)))
    if speed is not None:
        figures.append(("Speed", f"{speed:.3g}×"))
    return figures


def duration(seconds: float) -> str:
    """A length of time in the two units that matter: 3.2 s, 12 min 5 s, 1 h 58 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
