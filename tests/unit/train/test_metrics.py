"""Means in fairseq's units, the log file and its resumption, events, speed."""

import io
import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auricle.errors import UserError
from auricle.train import metrics
from auricle.train.metrics import Events, JsonLines, RunLog, RunningMeans


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_losses_are_bits_a_unit_of_the_denominator() -> None:
    means = RunningMeans()
    parts = {"loss_0": torch.tensor(2.0, requires_grad=True), "loss_1": torch.tensor(4.0)}
    means.add_loss(torch.tensor(6.0, requires_grad=True), torch.tensor(2), parts)
    means.add_loss(torch.tensor(14.0), torch.tensor(8), {"loss_0": torch.tensor(8.0)})
    assert means.means() == pytest.approx(
        {"loss": 2 / math.log(2), "loss_0": 1 / math.log(2), "loss_1": 2 / math.log(2)}
    )


def test_rates_are_percent_and_perplexities_mean_over_updates() -> None:
    means = RunningMeans()
    means.add_errors("wer", 1, 4)
    means.add_errors("wer", 2, 2)
    means.add("accuracy", torch.tensor(3), torch.tensor(4))
    means.add("prob_perplexity", torch.tensor(10.0))
    means.add("prob_perplexity", 20.0)
    assert means.means() == {"wer": 50.0, "accuracy": 0.75, "prob_perplexity": 15.0}


def test_what_has_no_weight_has_no_mean() -> None:
    means = RunningMeans()
    means.add_loss(0.0, 0)
    means.add("uer", 0, 0)
    assert means.means() == {}


def test_large_counts_are_exact() -> None:
    means = RunningMeans()
    for _ in range(3):
        means.add("accuracy", torch.tensor(2**24 - 1), torch.tensor(2**24))
    assert means.state() == {"accuracy": (3 * (2**24 - 1), 3 * 2**24)}


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 1000)), min_size=2), st.data())
def test_means_do_not_depend_on_where_a_run_was_interrupted(
    values: list[tuple[float, int]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    whole, first, second = RunningMeans(), RunningMeans(), RunningMeans()
    for i, (total, count) in enumerate(values):
        whole.add_loss(total, count)
        (first if i < cut else second).add_loss(total, count)
        if i == cut - 1:
            second.restore(json.loads(json.dumps(first.state())))
    assert second.means() == whole.means()
    whole.reset()
    assert whole.means() == {}


def test_lines_are_on_the_disk_at_once_and_hold_only_json(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "log.jsonl")
    lines.write({"update": 3, "split": "train", "loss": 1.23456789012, "wer": float("nan")})
    assert records(tmp_path) == [{"update": 3, "split": "train", "loss": 1.2345679, "wer": None}]
    assert "NaN" not in (tmp_path / "log.jsonl").read_text()
    lines.close()


def test_a_resumed_log_drops_what_will_be_done_again_and_a_torn_line(tmp_path: Path) -> None:
    lines = [json.dumps({"update": update, "split": "train"}) for update in (100, 200, 200, 300)]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, '{"update": 1', '{"other": 1}', "[]", "7"]))
    resumed = JsonLines(tmp_path / "log.jsonl", num_updates=200)
    assert resumed.last == {"update": 200, "split": "train"}
    resumed.write({"update": 300})
    resumed.close()
    assert [record["update"] for record in records(tmp_path)] == [100, 200, 200, 300]


def test_a_run_from_the_beginning_starts_a_new_log(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"update": 0, "split": "valid"}\n')
    JsonLines(tmp_path / "log.jsonl").close()
    assert records(tmp_path) == []


def test_a_log_that_cannot_be_written_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/log\.jsonl"):
        JsonLines(tmp_path / "file" / "log.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which is always full")
def test_a_full_disk_is_a_users_error(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "log.jsonl")
    lines.close()
    with open("/dev/full", "a", encoding="utf-8") as full:
        lines._stream = full
        with pytest.raises(UserError, match=r"cannot write .*log\.jsonl: No space left on device"):
            lines.write({"update": 1})
        lines.close()


def train(log: RunLog, clock: Clock, updates: range) -> None:
    for update in updates:
        log.train.add_loss(math.log(2) * update, 1)
        clock.now += 2
        log.update(update, epoch=1, lr=update / 1000, amount=8.0)


def test_a_run_is_logged(tmp_path: Path) -> None:
    clock, stream = Clock(), io.StringIO()
    with RunLog(tmp_path, total_updates=5, log_interval=2, stream=stream, clock=clock) as log:
        train(log, clock, range(1, 3))
        with log.paused():
            clock.now += 10
            log.record("valid", 2, {"loss": 3.0, "wer": 50.0})
        train(log, clock, range(3, 6))
    found = records(tmp_path)
    assert [(record["update"], record["split"]) for record in found] == [
        (2, "train"),
        (2, "valid"),
        (4, "train"),
        (5, "train"),
    ]
    assert [record["loss"] for record in found] == [1.5, 3.0, 3.5, 5.0]
    assert [record["wall_seconds"] for record in found] == [4.0, 14.0, 18.0, 20.0]
    assert [found[i]["audio_seconds_per_second"] for i in (0, 2, 3)] == [4.0, 4.0, 4.0]
    assert found[0]["lr"] == 0.002
    assert found[0]["epoch"] == 1
    shown = stream.getvalue().splitlines()
    assert shown[0].startswith("train: update 2/5  epoch 1  loss 1.5  lr 0.002  audio-s/s 4  updates/s 0.5")
    assert shown[0].endswith("0:00:06 left")
    assert shown[1].startswith("valid: update 2/5  loss 3  wer 50")


def test_a_resumed_run_goes_on_where_its_log_is(tmp_path: Path) -> None:
    clock = Clock()
    with RunLog(tmp_path, log_interval=2, stream=io.StringIO(), clock=clock) as log:
        train(log, clock, range(1, 8))
    clock.now += 5000
    with RunLog(tmp_path, num_updates=4, log_interval=2, stream=io.StringIO(), clock=clock) as log:
        train(log, clock, range(5, 7))
    assert [record["update"] for record in records(tmp_path)] == [2, 4, 6]
    assert [record["wall_seconds"] for record in records(tmp_path)] == [4.0, 8.0, 12.0]


def test_what_the_last_interval_left_over_is_logged_at_the_end(tmp_path: Path) -> None:
    clock, stream = Clock(), io.StringIO()
    with RunLog(tmp_path, log_interval=2, stream=stream, clock=clock) as log:
        train(log, clock, range(1, 4))
        log.say("done: 3 updates")
    with RunLog(tmp_path, num_updates=3, log_interval=2, stream=stream, clock=clock):
        pass
    assert [(record["update"], record["loss"]) for record in records(tmp_path)] == [(2, 1.5), (3, 3.0)]
    assert "done: 3 updates\n" in stream.getvalue()


def test_events_are_one_folder_a_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.summary.writer import event_file_writer as writer

    # The files of one process and one second go by this number, read as text: 10 comes before 9.
    monkeypatch.setattr(writer, "_global_uid", writer.AtomicCounter(0))
    for start in (0, 2):  # the second goes on after update 2, and replaces what came later
        events = Events(tmp_path, num_updates=start)
        for update in range(start + 1, 5):
            events.write("train", update, {"loss": update + start, "epoch": 1})
        events.write("valid", 4, {"wer": 10.0})
        events.close()
    curves = EventAccumulator(str(tmp_path / "train")).Reload()
    assert sorted(curves.Tags()["scalars"]) == ["epoch", "loss"]
    assert [(event.step, event.value) for event in curves.Scalars("loss")] == [(1, 1), (2, 2), (3, 5), (4, 6)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train", "valid"]


def test_one_notice_where_tensorboard_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    metrics._say_once.cache_clear()
    clock = Clock()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with RunLog(tmp_path, log_interval=1, stream=io.StringIO(), clock=clock) as log:
                train(log, clock, range(1, 3))
    assert [record.message for record in caplog.records] == [
        "no TensorBoard events are written: pip install 'auricle[tensorboard]' to have them"
    ]
    assert len(records(tmp_path)) == 2


def test_tensorboard_can_be_left_out(tmp_path: Path) -> None:
    RunLog(tmp_path, tensorboard=False, stream=io.StringIO()).close()
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_perplexity_is_two_to_the_power_of_the_mean_bits() -> None:
    means = RunningMeans()
    means.add_perplexity(3 * math.log(2), 2)
    means.add_perplexity(torch.tensor(5 * math.log(2)), torch.tensor(2))
    assert means.means()["ppl"] == pytest.approx(2**2)
    means.add_perplexity(1e9, 1)
    assert math.isfinite(means.means()["ppl"])
