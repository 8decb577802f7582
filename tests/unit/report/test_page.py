import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from auricle.decode.report import Summary, Utterance, write_evaluation
from auricle.errors import UserError
from auricle.report import write_report
from auricle.train.metrics import RunLog

from .conftest import finetuning_log, pretraining_log, utterance

Make = Callable[..., Path]


class Checker(HTMLParser):
    """Holds a page to what it promises: balanced, ids unique, links inside, nothing loaded, nothing run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open
        assert len(self.ids) == len(set(self.ids))
        assert {link for link in self.links if not link.startswith("data:")} <= {
            f"#{name}" for name in self.ids
        }

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe", "object", "base", "form")
        if tag not in ("meta", "img"):
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value or "")
            elif name in ("src", "href", "xlink:href", "srcset", "action"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_of(path: Path) -> str:
    page = path.read_text(encoding="utf-8")
    Checker(page)
    return page


def test_the_page_of_a_run(make_run: Make, make_evaluation: Make, clip: Path) -> None:
    folder = make_run("base", finetuning_log(), recipe="model:\n  note: <b>\n")
    make_evaluation(folder / "evaluations" / "test", [utterance(0, "A B", "A", 1, str(clip))])
    target = write_report([folder])
    page = text_of(target)
    assert target == folder / "report.html"
    assert [path.name for path in folder.glob("report*")] == ["report.html"]
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "Summary",
        "Results",
        "Curves",
        "Worst utterances",
        "Recipe",
    ]
    assert (
        "<details><summary>recipe.yaml of base</summary><pre>model:\n  note: &lt;b&gt;\n</pre></details>"
        in page
    )
    assert "<aside>" not in page


def test_the_same_run_gives_the_same_page(make_run: Make, tmp_path: Path) -> None:
    folder = make_run("base", pretraining_log())
    first = write_report([folder]).read_bytes()
    assert write_report([folder], output=tmp_path / "again.html").read_bytes() == first


def test_reads_what_training_and_evaluating_write(tmp_path: Path) -> None:
    with RunLog(tmp_path, total_updates=2, log_interval=1, tensorboard=False, stream=io.StringIO()) as log:
        for update in (1, 2):
            log.train.add_loss(10.0 / update, 4.0)
            log.update(update, epoch=1, lr=1e-3, amount=5.0)
        log.record("valid", 2, {"loss": 1.0, "wer": 50.0})
    said = Utterance(
        index=0, path="/data/a.flac", reference="H E | I T |", hypothesis="H E |", score=-1.0, seconds=2.0
    )
    summary = Summary(
        50.0, 40.0, 40.0, 1, 2, 2.0, 1.0, "viterbi", "m", "test", [{"name": "b", "reason": "empty"}]
    )
    write_evaluation(tmp_path / "evaluations" / "test", "m", "test", [said], summary)
    page = text_of(write_report([tmp_path]))
    assert "valid 50<" in page and "<dd>50 %</dd>" in page
    assert "<b>a.flac</b><span>1 error, 2 words</span>" in page
    assert re.findall("<li><b>(.*?)</b>(.*?)</li>", page.split("</aside>")[0]) == [
        ("test: ", "summary.json names clips that were set aside and that no rate counts: 1.")
    ]


def test_several_runs_are_compared(make_run: Make, make_evaluation: Make, tmp_path: Path) -> None:
    folders = [
        make_run(f"{name}/run", finetuning_log(wer)) for name, wer in (("with", 20.0), ("without", 50.0))
    ]
    for folder in folders:
        make_evaluation(folder / "evaluations" / "test", [utterance(0, "A B", "A", 1)])
    page = text_of(write_report([*folders, folders[0]], output=tmp_path / "both.html"))
    assert "<title>with/run · without/run · auricle</title>" in page
    assert '<span class="swatch series-1"></span>without/run' in page
    assert "<td>with/run</td><td>test</td>" in page
    assert "<details open><summary>with/run · test</summary>" in page
    assert "<details><summary>without/run · test</summary>" in page


def test_a_note_stands_before_all_else(make_run: Make) -> None:
    page = text_of(write_report([make_run("base", finetuning_log())], note="mind <this>"))
    assert "<main><p>mind &lt;this&gt;</p>" in page


def test_several_runs_need_an_output(make_run: Make) -> None:
    with pytest.raises(UserError, match="2 folders make one page: say where to write it with --output FILE"):
        write_report([make_run("a", finetuning_log()), make_run("b", finetuning_log())])


def test_an_evaluation_alone_and_one_from_elsewhere(
    make_run: Make, make_evaluation: Make, tmp_path: Path
) -> None:
    folder = make_evaluation(tmp_path / "results", [utterance(0, "A B", "A", 1)])
    alone = text_of(write_report([folder]))
    assert re.findall("<h2>(.*?)</h2>", alone) == ["Results", "Worst utterances"]
    with_run = text_of(write_report([make_run("a", finetuning_log())], evaluations=[folder]))
    assert "<td>results</td>" in with_run


def test_what_could_not_be_read_is_said_on_the_page(make_run: Make) -> None:
    page = text_of(write_report([make_run("a", [*finetuning_log(), '{"update": 101, "spl'])]))
    assert "<aside><ul><li><b>a: </b>log.jsonl: line 21 is damaged and left out" in page


def test_a_run_that_has_not_begun_has_a_page(make_run: Make) -> None:
    page = text_of(write_report([make_run("a", [])]))
    assert "holds no measurements yet" in page
    assert re.findall("<h2>(.*?)</h2>", page) == ["Recipe"]


def test_no_worst_utterances_when_none_are_wanted(make_evaluation: Make, tmp_path: Path) -> None:
    folder = make_evaluation(tmp_path / "e", [utterance(0, "A B", "A", 1)])
    assert "Worst utterances" not in text_of(write_report([folder], worst=0))
    with pytest.raises(UserError, match="--worst -1"):
        write_report([folder], worst=-1)


def test_names_cannot_carry_markup(make_run: Make, make_evaluation: Make, tmp_path: Path) -> None:
    bad = '"><img src=x onerror=alert(1)>'
    folders = [make_run(f"{bad}{number}", finetuning_log()) for number in range(2)]
    make_evaluation(folders[0] / "evaluations" / bad, [utterance(0, bad, "A", 1)])
    text_of(write_report(folders, output=tmp_path / "page.html"))


def test_an_old_page_stays_when_a_new_one_cannot_be_written(make_run: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_report([make_run("a", finetuning_log())], output=tmp_path / "file" / "page.html")
