"""The page and the JSON of `auricle data check`."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from auricle.data.check import KINDS, Finding, Subset
from auricle.files import atomic_write_text
from auricle.report.charts import Line, line_chart
from auricle.report.curves import duration
from auricle.report.html import Html, document, element, join, table

JSON_NAME, PAGE_NAME = "data_check.json", "data_check.html"
SHOWN = 200
"""Findings of a kind on the page; all are in the JSON."""

_BINS = 40


def write_data_check(
    folder: Path, title: str, subsets: Sequence[Subset], findings: Sequence[Finding]
) -> tuple[Path, Path]:
    """Writes both files; gives their paths.

    Args:
        folder: Where.
        title: What was checked.
        subsets: What was looked at.
        findings: All of them.
    """
    content = {
        "checked": title,
        "subsets": {subset.name: summary(subset) for subset in subsets},
        "counts": dict(Counter(finding.kind for finding in findings)),
        "findings": [
            {
                "kind": finding.kind,
                "severity": KINDS[finding.kind][0],
                "subset": finding.subset,
                "path": finding.path,
                "detail": finding.detail,
            }
            for finding in findings
        ],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    atomic_write_text(folder / JSON_NAME, text + "\n")
    atomic_write_text(folder / PAGE_NAME, page(title, subsets, findings))
    return folder / JSON_NAME, folder / PAGE_NAME


def summary(subset: Subset) -> dict[str, Any]:
    """The figures of a subset: how many, how long, of how many speakers, at which rates."""
    seconds = subset.seconds
    read = [one.measured for one in subset.utterances if one.measured is not None]
    speakers = {one.speaker for one in subset.utterances if one.speaker is not None}
    return {
        "utterances": len(subset.utterances),
        "read": len(seconds),
        "hours": sum(seconds) / 3600,
        "seconds_min": min(seconds, default=0.0),
        "seconds_median": median(seconds) if seconds else 0.0,
        "seconds_mean": fmean(seconds) if seconds else 0.0,
        "seconds_max": max(seconds, default=0.0),
        "speakers": len(speakers),
        "sample_rates": dict(Counter(str(one.sample_rate) for one in read)),
        "channels": dict(Counter(str(one.channels) for one in read)),
    }


def page(title: str, subsets: Sequence[Subset], findings: Sequence[Finding]) -> Html:
    """The page as text."""
    sections = [
        element("section", element("h2", "Subsets"), _subsets(subsets)),
        element("section", element("h2", "Lengths"), _lengths(subsets)),
        element("section", element("h2", "Findings"), _overview(findings), _details(findings)),
    ]
    header = element("header", element("p", "auricle data check"), element("h1", title))
    return document(f"{title} · data check", header, element("main", *sections))


def _subsets(subsets: Sequence[Subset]) -> Html:
    header = ["Subset", "Utterances", "Audio", "Shortest", "Median", "Longest", "Speakers", "Hz"]
    rows = []
    for subset in subsets:
        figures = summary(subset)
        lengths = [f"{figures[f'seconds_{which}']:.2f} s" for which in ("min", "median", "max")]
        audio = duration(figures["hours"] * 3600)
        rates = ", ".join(figures["sample_rates"]) or "–"
        speakers = str(figures["speakers"]) if figures["speakers"] else "–"
        rows.append([subset.name, str(figures["utterances"]), audio, *lengths, speakers, rates])
    return table(header, rows)


def _lengths(subsets: Sequence[Subset]) -> Html:
    """How many utterances have which length, a curve a subset."""
    longest = max((max(subset.seconds, default=0.0) for subset in subsets), default=0.0)
    if longest == 0:
        return element("p", "nothing could be read")
    width = longest / _BINS
    lines = []
    for number, subset in enumerate(subsets):
        counts = Counter(min(int(seconds / width), _BINS - 1) for seconds in subset.seconds)
        if counts:
            places = [(bin_ + 0.5) * width for bin_ in range(_BINS)]
            lines.append(Line(subset.name, places, [counts[bin_] for bin_ in range(_BINS)], number))
    chart, _ = line_chart(
        lines, key="lengths", description="utterances by length", x_label="seconds", scale="zero"
    )
    caption = element(
        "figcaption", element("b", "Utterances by length"), element("span", f"a point each {width:.2g} s")
    )
    return element("div", element("figure", caption, chart), class_="charts")


def _overview(findings: Sequence[Finding]) -> Html:
    if not findings:
        return element("p", "Nothing was found.")
    counts = Counter(finding.kind for finding in findings)
    rows = [[kind, KINDS[kind][0], str(counts[kind]), KINDS[kind][1]] for kind in KINDS if counts[kind]]
    return table(["Kind", "Severity", "Found", "What it means"], rows)


def _details(findings: Sequence[Finding]) -> Html:
    parts = []
    for kind in KINDS:
        mine = [finding for finding in findings if finding.kind == kind]
        if not mine:
            continue
        rows = [[finding.subset, finding.path, finding.detail] for finding in mine[:SHOWN]]
        more = f" (the first {SHOWN} of {len(mine)}; all are in {JSON_NAME})" if len(mine) > SHOWN else ""
        parts.append(
            element("details", element("summary", f"{kind}{more}"), table(["Subset", "What", "Seen"], rows))
        )
    return join(*parts)
