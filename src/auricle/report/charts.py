"""Line charts as inline SVG that takes its colours from the page, light or dark.

The same figures give the same bytes: no date, no random ids. Colours are drawn as place-holders and
replaced by the style sheet's variables, so that one picture serves both themes.
"""

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from auricle.report.html import Html, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scale = Literal["zero", "magnitude", "plain"]
"""A vertical axis that begins at 0, one that is logarithmic where the values span magnitudes, or neither."""

MAX_POINTS = 200
NUM_COLOURS = 6

_WIDTH_INCHES, _HEIGHT_INCHES = 4.8, 2.7
_POINTS_AN_INCH = 72
_FONT_POINTS = 11.0
_LETTER_POINTS = 6.3  # mean width of a character at that size, with room to spare
_LABEL_GAP = 0.1  # least distance of two labels, as a fraction of the axes' height
_LEFT, _BOTTOM, _TOP = 0.13, 0.2, 0.96
_LONGEST_LABEL = 16
_TINIEST = 1e-30  # below it, or above its inverse, there is no measurement that a log scale is for
_LOG_SCALE_FROM = 30.0  # max / min from which a positive quantity is drawn on a log scale

_INK, _GRID = "#fe0100", "#fe0200"
_PLACE_HOLDERS = {_INK: "var(--muted)", _GRID: "var(--grid)"}
_PLACE_HOLDERS |= {f"#fe00{index:02d}": f"var(--series-{index})" for index in range(NUM_COLOURS)}


@dataclass(frozen=True, slots=True)
class Line:
    """One curve.

    Attributes:
        label: what stands at its end, before its last value; "" for a curve in the background.
        x, y: finite values, x ascending, at least one.
        colour: an index; beyond the palette the colours come again, dashed.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int


def line_chart(
    lines: Sequence[Line], *, key: str, description: str, x_label: str, scale: Scale
) -> tuple[Html, bool]:
    """Draw curves with their names at their ends.

    A curve of more than `MAX_POINTS` values is drawn as the means of that many stretches, over a band
    from the least to the greatest value of each.

    Args:
        lines: the curves; those in the background first.
        key: unique in the page and of plain characters: ids inside the picture start with it.
        description: the text that stands for the picture where it cannot be seen.
        x_label: what the horizontal axis counts, from 0.
        scale: of the vertical axis.

    Returns:
        The picture, and whether its vertical axis is logarithmic.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    is_log = scale == "magnitude" and _spans_magnitudes(lines)
    with rc_context(_style(key)), warnings.catch_warnings():
        # The page's own fonts draw the text: what matplotlib's font lacks does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES))
        axes = figure.add_axes((_LEFT, _BOTTOM, _right_edge(lines) - _LEFT, _TOP - _BOTTOM))
        _dress(axes, is_log, x_label)
        for line in lines:
            _draw(axes, line)
        _set_limits(axes, scale)
        _label_ends(axes, [line for line in lines if line.label])
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    return _embeddable(buffer.getvalue(), key, description), is_log


_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


def _style(key: str) -> dict[Any, Any]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": key,
        "text.parse_math": False,
        "axes.unicode_minus": True,
        "font.size": _FONT_POINTS,
        "font.family": "sans-serif",
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _GRID,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "lines.solid_capstyle": "round",
    }


def _spans_magnitudes(lines: Sequence[Line]) -> bool:
    low, high = min(min(line.y) for line in lines), max(max(line.y) for line in lines)
    return low > _TINIEST and high > _LOG_SCALE_FROM * low and high * _TINIEST < 1


def _right_edge(lines: Sequence[Line]) -> float:
    """Where the axes end, as a fraction of the width, so that the longest label fits beside them."""
    longest = max((len(_label(line)) for line in lines), default=0)
    return 1 - (longest * _LETTER_POINTS + 8) / (_WIDTH_INCHES * _POINTS_AN_INCH)


def _label(line: Line) -> str:
    if not line.label:
        return ""
    name = line.label
    if len(name) > _LONGEST_LABEL:  # runs that are compared often begin alike and end differently
        name = f"{name[:5]}…{name[6 - _LONGEST_LABEL :]}"
    return f"{name} {short_number(line.y[-1])}"


def _dress(axes: "Axes", is_log: bool, x_label: str) -> None:
    """Only what helps to read values: a base line, faint horizontal rules, few ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if is_log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=5)
    axes.tick_params(axis="x", pad=7)
    axes.set_xlabel(x_label, labelpad=2)


def _draw(axes: "Axes", line: Line) -> None:
    colour = f"#fe00{line.colour % NUM_COLOURS:02d}"
    dashes = "-" if line.colour < NUM_COLOURS else "--"
    x, y, low, high = _bins(line)
    if len(line.x) > MAX_POINTS:
        axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
    marker = "o" if len(x) <= 12 else ""
    width, strength = (1.7, 1.0) if line.label else (1.1, 0.4)
    axes.plot(x, y, dashes, color=colour, linewidth=width, alpha=strength, marker=marker, markersize=3.5)


def _bins(line: Line) -> tuple[NDArray[np.float64], ...]:
    """Mean x, mean y, least y and greatest y of at most `MAX_POINTS` stretches, each [P] float64."""
    x, y = np.asarray(line.x, dtype=np.float64), np.asarray(line.y, dtype=np.float64)
    starts = np.linspace(0, len(x), min(len(x), MAX_POINTS), endpoint=False).astype(np.int64)
    counts = np.diff(np.append(starts, len(x)))
    mean_x, mean_y = np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts
    return mean_x, mean_y, np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)


def _set_limits(axes: "Axes", scale: Scale) -> None:
    axes.autoscale_view()
    axes.set_xlim(left=0)
    if scale == "zero":
        axes.set_ylim(bottom=min(0.0, float(axes.dataLim.y0)))


def _label_ends(axes: "Axes", lines: Sequence[Line]) -> None:
    """Write each curve's name and last value beside the axes, at its height, moved apart where they touch."""
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = to_axes.transform([(line.x[-1], line.y[-1]) for line in lines])[:, 1]
    order = np.argsort(ends, kind="stable")
    for height, index in zip(_spread(ends[order].tolist()), order, strict=True):
        line = lines[index]
        axes.annotate(
            _label(line),
            (1.0, height),
            xytext=(6, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center_baseline",
            color=f"#fe00{line.colour % NUM_COLOURS:02d}",
            annotation_clip=False,
        )


def _spread(heights: Sequence[float]) -> list[float]:
    """Ascending heights moved apart to at least `_LABEL_GAP`, kept inside the axes while they fit."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + _LABEL_GAP) if placed else height)
    ceiling = 1.0
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - _LABEL_GAP
    return placed


def _embeddable(svg: str, key: str, description: str) -> Html:
    """The picture as a part of a page: no prologue, ids of its own, the page's colours, a description."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", svg)
    # Fonts and line ends are the style sheet's; matplotlib's own rule would reach the whole page.
    svg = re.sub(r"font-family: [^;\"]*;?|<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub("|".join(_PLACE_HOLDERS), lambda found: _PLACE_HOLDERS[found[0]], svg)
    return Html(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1))


def short_number(value: float) -> str:
    """A figure as a person would write it on an axis: 0.5, 12k, 1.5M, 5e-4."""
    size = abs(value)
    if size >= 10_000_000 or 0 < size < 0.01:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    if size >= 1_000_000:
        return f"{value / 1_000_000:.3g}M"
    if size >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value:.4g}" if size >= 1000 else f"{value:.3g}"
