import re
from collections.abc import Callable
from pathlib import Path

import pytest

from auricle.report.curves import curves, duration, key_figures
from auricle.report.run import read_run

from .conftest import finetuning_log, pretraining_log

MakeRun = Callable[..., Path]


def titles(html: str) -> list[str]:
    return re.findall("<figcaption><b>(.*?)</b>", html)


def test_a_pretraining_run_shows_what_it_logs(make_run: MakeRun) -> None:
    shown = titles(curves([read_run(make_run("a", pretraining_log()))]))
    assert shown[:4] == ["Loss", "Accuracy (%)", "Code perplexity", "Probability perplexity"]
    assert shown[4:8] == ["Learning rate", "Gradient norm", "Speed", "Gumbel temperature"]
    assert shown[8:] == ["Loss, contrastive", "Loss, diversity"]


def test_a_finetuning_run_shows_error_rates_over_updates_and_time(make_run: MakeRun) -> None:
    html = curves([read_run(make_run("a", finetuning_log()))])
    assert {"Word error rate (%)", "Word error rate (%) over time", "Unit error rate (%) over time"} <= set(
        titles(html)
    )
    assert "minutes of training" in html
    assert "train 9<" in html and "valid 10<" in html


def test_accuracy_is_shown_in_percent(make_run: MakeRun) -> None:
    assert "valid 50<" in curves([read_run(make_run("a", pretraining_log()))])


def test_several_runs_share_a_chart_and_stages_do_not(make_run: MakeRun) -> None:
    runs = [read_run(make_run("with", finetuning_log(20))), read_run(make_run("without", finetuning_log(50)))]
    html = curves([*runs, read_run(make_run("pre", pretraining_log()))])
    assert titles(html).count("Word error rate (%)") == 1
    assert titles(html).count("Loss") == 2
    assert re.findall("<h3>(.*?)</h3>", html) == ["Pre-training", "Fine-tuning"]
    assert "with 20<" in html and "without 50<" in html
    assert "<h3>" not in curves(runs)


def test_a_quantity_of_the_log_cannot_carry_markup(make_run: MakeRun) -> None:
    line = {"update": 1, "split": '"><script>', 'loss_"><script>': 1.0, "loss": 1.0, "loss_7": 1.0}
    html = curves([read_run(make_run("a", [line]))])
    assert "<script" not in html
    assert titles(html) == ["Loss", "Loss, part 7"]


def test_no_log_no_charts(make_run: MakeRun) -> None:
    assert curves([read_run(make_run("a", []))]) == ""


def test_key_figures(make_run: MakeRun) -> None:
    assert key_figures(read_run(make_run("a", finetuning_log(20)))) == [
        ("Stage", "Fine-tuning"),
        ("Updates", "100"),
        ("Best valid loss", "10"),
        ("Best WER", "20 %"),
        ("Best UER", "10 %"),
        ("Time", "8 min 20 s"),
        ("Speed", "60×"),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.24, "3.2 s"), (725, "12 min 5 s"), (7080, "1 h 58 min"), (0, "0.0 s"), (59.99, "60.0 s")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
