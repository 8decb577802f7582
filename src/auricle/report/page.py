"""The page itself: what stands where, and the file it becomes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.report.curves import curves, key_figures
from auricle.report.evaluation import Evaluation, find_evaluations, is_evaluation, read_evaluation
from auricle.report.html import NOTHING, Html, document, element, join, table
from auricle.report.results import AudioBudget, errors, legend, results_table, worst_utterances
from auricle.report.run import Run, is_run, read_run

PAGE = "report.html"
WORST = 8


def write_report(
    folders: Sequence[Path],
    *,
    output: Path | None = None,
    evaluations: Sequence[Path] = (),
    worst: int = WORST,
    note: str = "",
) -> Path:
    """Write the page of a run, or one that compares several.

    Args:
        folders: run folders, with the evaluations inside them; or folders that ``auricle evaluate`` wrote.
        output: the page; ``report.html`` in the folder where there is only one.
        evaluations: further folders that ``auricle evaluate`` wrote.
        worst: how many utterances of each evaluation to show.
        note: what a reader should know first.

    Returns:
        The file written, whole or not at all.

    Raises:
        UserError: A folder is neither a run nor an evaluation, something cannot be read or written, or
            several folders are given and no output.
    """
    folders = list({folder.resolve(): folder for folder in folders}.values())
    if output is None and len(folders) != 1:
        raise UserError(f"{len(folders)} folders make one page: say where to write it with --output FILE")
    if worst < 0:
        raise UserError(f"--worst {worst}: give the number of utterances to show, 0 or more")
    only_evaluated = [folder for folder in folders if is_evaluation(folder) and not is_run(folder)]
    runs = _with_different_names([read_run(folder) for folder in folders if folder not in only_evaluated])
    results = [(run.name, read_evaluation(folder)) for run in runs for folder in find_evaluations(run.folder)]
    results += [("", read_evaluation(folder)) for folder in (*only_evaluated, *evaluations)]
    target = output or folders[0] / PAGE
    atomic_write_text(target, render(runs, results, worst, note))
    return target


def render(
    runs: Sequence[Run], evaluations: Sequence[tuple[str, Evaluation]], worst: int = WORST, note: str = ""
) -> Html:
    """The page as text. The same figures give the same page, but for the bytes of compressed audio.

    Args:
        runs: with different names.
        evaluations: with the name of the run that each belongs to, "" for none.
        worst: how many utterances of each evaluation to show.
        note: what a reader should know first.
    """
    names = [run.name for run in runs] or [evaluation.name for _, evaluation in evaluations]
    title = " · ".join(names)
    sections = [
        ("Summary", _summary(runs)),
        ("Results", results_table(evaluations, with_run=len(runs) > 1) if evaluations else Html("")),
        ("Curves", curves(runs)),
        ("Errors", _each(evaluations, errors)),
        ("Worst utterances", _worst(evaluations, worst)),
        ("Recipe" if len(runs) == 1 else "Recipes", _recipes(runs)),
    ]
    shown = [(name, name.lower().replace(" ", "-"), content) for name, content in sections if content]
    navigation = element("nav", *(element("a", name, href=f"#{anchor}") for name, anchor, _ in shown))
    notices = [(run.name, run.notices) for run in runs] + [(one.name, one.notices) for _, one in evaluations]
    return document(
        f"{title} · auricle",
        element("header", element("p", "auricle report"), element("h1", title), navigation),
        element(
            "main",
            element("p", note) if note else Html(""),
            _notices(notices),
            *(element("section", element("h2", name), content, id=anchor) for name, anchor, content in shown),
        ),
    )


def _with_different_names(runs: Sequence[Run]) -> list[Run]:
    """Runs named by their folders, with as many of the folders above as it takes to tell them apart."""
    paths = [run.folder.resolve() for run in runs]
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(set(paths)):
        depth += 1
    return [replace(run, name="/".join(path.parts[-depth:])) for run, path in zip(runs, paths, strict=True)]


def _notices(notices: Sequence[tuple[str, Sequence[str]]]) -> Html:
    lines = [element("li", element("b", f"{name}: "), text) for name, texts in notices for text in texts]
    return element("aside", element("ul", *lines)) if lines else Html("")


def _summary(runs: Sequence[Run]) -> Html:
    """Tiles for one run, a table for several."""
    if not any(run.records for run in runs):
        return Html("")
    if len(runs) == 1:
        figures = key_figures(runs[0])
        tiles = (element("div", element("dt", label), element("dd", value)) for label, value in figures)
        return element("dl", *tiles, class_="tiles")
    known = [dict(key_figures(run)) for run in runs]
    labels = list(dict.fromkeys(label for figures in known for label in figures))
    swatches = (element("span", class_=f"swatch series-{index % 6}") for index in range(len(runs)))
    rows = [
        [join(swatch, run.name), *(figures.get(label, NOTHING) for label in labels)]
        for swatch, run, figures in zip(swatches, runs, known, strict=True)
    ]
    return table(["Run", *labels], rows)


def _worst(evaluations: Sequence[tuple[str, Evaluation]], count: int) -> Html:
    budget = AudioBudget()
    content = _each(evaluations, lambda evaluation: worst_utterances(evaluation, count, budget))
    return join(legend(), content) if content and count else Html("")


def _each(evaluations: Sequence[tuple[str, Evaluation]], draw: Callable[[Evaluation], Html]) -> Html:
    """What is drawn of each; the first evaluation open, the others folded."""
    parts = []
    for index, (run, evaluation) in enumerate(evaluations):
        content = draw(evaluation)
        if not content:
            continue
        if len(evaluations) == 1:
            parts.append(content)
        else:
            name = f"{run} · {evaluation.name}" if run else evaluation.name
            parts.append(element("details", element("summary", name), content, open=index == 0))
    return join(*parts)


def _recipes(runs: Sequence[Run]) -> Html:
    return join(
        *(
            element("details", element("summary", f"recipe.yaml of {run.name}"), element("pre", run.recipe))
            for run in runs
            if run.recipe is not None
        )
    )
