import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import matplotlib as mpl
import pytest

from auricle.report.charts import MAX_POINTS, Line, Scale, line_chart, short_number

VALUES = [
    [0.0],
    [1e-300],
    [1e300, -1e300],
    [1e300] * 2,
    [-5.0, -5.0],
    [1e-12, 1e12],
    [0.0] * 500,
    [1e308, 1e-308],
]
HOSTILE = '<script>"id="x$\\frac{$ #fe0001 \u4e2d'


def draw(*lines: Line, scale: Scale = "plain", key: str = "loss") -> tuple[str, bool]:
    return line_chart(lines, key=key, description="a chart", x_label="updates", scale=scale)


def line(y: Sequence[float], label: str = "train", colour: int = 0) -> Line:
    return Line(label, list(range(1, len(y) + 1)), y, colour)


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_same_figures_give_the_same_bytes_and_other_keys_other_ids() -> None:
    first, again, other = draw(line([3, 2, 1])), draw(line([3, 2, 1])), draw(line([3, 2, 1]), key="lr")
    assert first == again
    ids = [set(re.findall(r'\bid="([^"]*)"', svg)) for svg, _ in (first, other)]
    assert ids[0] and not ids[0] & ids[1]


def test_every_reference_resolves_inside_the_picture() -> None:
    svg, _ = draw(line([3.0] * 300), line([1.0, 2.0], "valid", 1))
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', svg)) <= {(one, "") for one in ids} | {
        ("", one) for one in ids
    }


def test_colours_are_those_of_the_page_and_there_is_no_date_nor_style() -> None:
    svg, _ = draw(line([3, 2, 1]), line([3, 2, 1], "valid", 1))
    assert {"--series-0", "--series-1", "--muted", "--grid"} <= set(re.findall(r"var\((--[a-z0-9-]+)\)", svg))
    assert "#fe0" not in svg
    assert "<metadata" not in svg and "<style" not in svg and "font-family" not in svg


def test_curves_are_labelled_with_their_last_value() -> None:
    svg, _ = draw(line([3, 2, 1.25]), line([3, 2, 1.26], "valid", 1), line([9, 9], "", 2))
    assert {"train 1.25", "valid 1.26"} <= set(texts(svg))
    heights = [float(found) for found in re.findall(r'y="([\d.]+)"[^>]*>(?:train|valid) ', svg)]
    assert abs(heights[0] - heights[1]) > 10  # nearly equal values, and yet the labels do not touch


def test_long_names_keep_their_beginning_and_end() -> None:
    svg, _ = draw(line([1.0], "an4-10min-from-scratch"))
    assert "an4-1…om-scratch 1" in texts(svg)


def test_a_log_scale_is_taken_for_magnitudes_alone() -> None:
    wide, narrow, with_zero = [1000.0, 1.0], [2.0, 1.0], [1000.0, 0.0]
    assert draw(line(wide), scale="magnitude")[1]
    assert not draw(line(wide), scale="plain")[1]
    assert not draw(line(narrow), scale="magnitude")[1]
    assert not draw(line(with_zero), scale="magnitude")[1]


def test_an_axis_from_zero_shows_zero() -> None:
    assert "0" in texts(draw(line([80.0, 70.0]), scale="zero")[0])
    assert texts(draw(line([80.0, 70.0]))[0]).count("0") < texts(
        draw(line([80.0, 70.0]), scale="zero")[0]
    ).count("0")


def test_a_long_curve_is_drawn_with_few_points() -> None:
    short, _ = draw(line([float(step % 7) for step in range(MAX_POINTS)]))
    long, _ = draw(line([float(step % 7) for step in range(100 * MAX_POINTS)]))
    assert len(long) < 5 * len(short)


@pytest.mark.parametrize("y", VALUES, ids=str)
@pytest.mark.parametrize("scale", ["zero", "magnitude", "plain"])
def test_any_finite_values_can_be_drawn(y: list[float], scale: Scale) -> None:
    assert ElementTree.fromstring(draw(line(y), scale=scale)[0]) is not None


def test_a_name_is_text_whatever_it_holds() -> None:
    svg, _ = line_chart(
        [line([1.0], HOSTILE)], key="loss", description=HOSTILE, x_label=HOSTILE, scale="plain"
    )
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == HOSTILE
    assert not [node for node in root.iter() if node.tag.endswith("script")]


def test_more_curves_than_colours_are_told_apart_by_dashes() -> None:
    svg, _ = draw(*(line([float(index)] * 2, f"run {index}", index) for index in range(8)))
    assert svg.count("stroke-dasharray") == 2


def test_settings_of_the_caller_stay_as_they_are() -> None:
    before = dict(mpl.rcParams)
    draw(line([1.0]))
    assert dict(mpl.rcParams) == before


NUMBERS = {
    "0": 0,
    "0.5": 0.5,
    "5e-4": 5e-4,
    "1.2e-5": 1.2345e-5,
    "28.7": 28.743,
    "6000": 6000,
    "12k": 12_000,
    "-12.5k": -12_500,
    "1000k": 999_990,
    "1.5M": 1_500_000,
    "3e7": 3e7,
    "-0.25": -0.25,
}


@pytest.mark.parametrize("text", NUMBERS)
def test_short_number(text: str) -> None:
    assert short_number(NUMBERS[text]) == text


def test_updates_can_be_any_number() -> None:
    backwards = Line("valid", [5.0, 4.0, 4.0], [1.0, 1.0, 2.0], 1)
    svg, _ = draw(Line("train", [0.0, 1e300], [1.0, 2.0], 0), backwards)
    assert ElementTree.fromstring(svg) is not None
