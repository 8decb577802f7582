"""Whole runs of several workers: what they log and save, how they stop, go on, and end when one is killed."""

import itertools
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

import auricle
from auricle.data import Batch
from auricle.errors import UserError
from auricle.train.checkpoint import load_training_state
from auricle.train.engine import Engine
from auricle.train.step import UpdateResult
from gloo import PATIENCE_SECONDS, run_workers, start_workers
from sounds import speech
from tiny_runs import SIZES, assert_same_weights, ctc_model, pretraining_model, trainer_of

EPOCH = 4
"""Micro-batches, of the seven utterances of the tiny corpus."""


@pytest.fixture(autouse=True)
def audio(tmp_path: Path) -> None:
    """Recorded speech, there before any worker is."""
    speech(tmp_path / "audio", SIZES)


def train(engine: Engine, folder: Path, make: Callable[[], Any], options: dict[str, Any]) -> dict[str, Any]:
    """A run; gives the reason of its end and the utterances that this worker has learnt from, by epoch.

    What else `options` may hold: stop_at, the update before which one worker is asked to stop; pause, seconds
    before each update; journal, a file that takes what was heard in each, also of workers that are killed;
    begun, a folder that shows which workers have found each other.
    """
    options = dict(options)
    stop_at, pause = options.pop("stop_at", 0), options.pop("pause", 0.0)
    journal, begun = options.pop("journal", None), options.pop("begun", None)
    if begun:
        (begun / str(engine.rank)).touch()
    trainer = trainer_of(folder, make(), engine=engine, **options)
    update, heard = trainer.step.update, []

    def watched(batches: Sequence[Batch], epoch: int, num_updates: int, lr: float) -> UpdateResult:
        if num_updates + 1 == stop_at and engine.rank == engine.num_workers - 1:
            os.kill(os.getpid(), signal.SIGTERM)  # only one of them is asked
        time.sleep(pause)
        result = update(batches, epoch, num_updates, lr)
        ids = [index for batch in batches for index in batch.ids.tolist()]
        heard.extend((epoch, index) for index in ids)
        if journal:  # one line is one write, so that those of several workers do not mix
            with journal.open("a") as stream:
                stream.write(f"{json.dumps([num_updates + 1, epoch, ids])}\n")
        return result

    trainer.step.update = watched
    reason = trainer.run()
    return {"reason": reason, "heard": heard, "stopped_by": trainer.stopped_by}


def alone(folder: Path, make: Callable[[], Any], options: dict[str, Any]) -> dict[str, Any]:
    return train(Engine(torch.device("cpu")), folder, make, options)


def everything(folder: Path) -> dict[str, torch.Tensor]:
    """The parameters and the optimizer's state."""
    last = folder / "checkpoints" / "last"
    return {**auricle.load(last).model.state_dict(), **load_training_state(last).tensors}


TIMES = {"wall_seconds", "audio_seconds_per_second", "updates_per_second", "data_wait_share"}


def story(folder: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


OPTIONS = {"max_update": 6, "update_freq": (3,), "validate_interval_updates": 2, "save_interval_updates": 2}


@pytest.mark.parametrize(
    ("make", "sharded"),
    [
        (pretraining_model, False),
        (ctc_model, True),
        pytest.param(pretraining_model, True, marks=pytest.mark.slow),
        pytest.param(ctc_model, False, marks=pytest.mark.slow),
    ],
)
def test_a_run_of_two_is_the_run_of_one(make: Callable[[], Any], sharded: bool, tmp_path: Path) -> None:
    expected = alone(tmp_path / "one", make, OPTIONS)
    found = run_workers(2, train, tmp_path / "two", make, OPTIONS, sharded=sharded)
    assert {each["reason"] for each in found} == {expected["reason"]} == {"done: 6 updates"}
    assert sorted(item for each in found for item in each["heard"]) == sorted(expected["heard"])
    one, two = story(tmp_path / "one"), story(tmp_path / "two")
    assert [line.keys() for line in two] == [line.keys() for line in one]
    for mine, theirs in zip(two, one, strict=True):
        for name, value in mine.items():
            assert value == (
                pytest.approx(theirs[name], rel=1e-4, abs=1e-6) if value != theirs[name] else value
            )
    names = ("last", "best", "update_2", "update_4", "update_6")
    assert {path.name for path in (tmp_path / "two" / "checkpoints").iterdir()} == set(names)
    first, second = everything(tmp_path / "one"), everything(tmp_path / "two")
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-4, atol=1e-5)


# Another number of workers goes on where the last one stopped; updates are of two micro-batches.
STOPS = [("1 to 2", 1, 2, False), ("2 to 1", 2, 1, False), ("2 to 3", 2, 3, True)]


@pytest.mark.parametrize(
    ("before", "after", "sharded"),
    [pytest.param(*case[1:], id=case[0], marks=pytest.mark.slow if case[2] == 3 else ()) for case in STOPS],
)
def test_every_utterance_is_heard_once_an_epoch_when_the_number_of_workers_changes(
    before: int, after: int, sharded: bool, tmp_path: Path
) -> None:
    folder, options = tmp_path / "run", {"max_epoch": 2, "update_freq": (2,), "disable_validation": True}
    stopped = run_workers(
        before, train, folder, pretraining_model, {**options, "stop_at": 1}, sharded=sharded
    )
    assert {each["stopped_by"] for each in stopped} == {signal.SIGTERM}
    went_on = run_workers(after, train, folder, pretraining_model, options, sharded=sharded)
    assert {each["reason"] for each in went_on} == {"done: 2 epochs"}
    heard = Counter(item for each in (*stopped, *went_on) for item in each["heard"])
    assert heard == Counter({(epoch, index): 1 for epoch in (1, 2) for index in range(len(SIZES))})


def test_a_run_in_pieces_is_the_run_in_one(tmp_path: Path) -> None:
    options = {**OPTIONS, "validate_interval_updates": 4, "log_interval": 2}
    for name, stops in (("whole", ()), ("pieces", (1, 4))):
        for stop in (*stops, 0):
            run_workers(
                2, train, tmp_path / name, ctc_model, {**options, "stop_at": stop}, sharded=name == "pieces"
            )
    first, second = everything(tmp_path / "whole"), everything(tmp_path / "pieces")
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-4, atol=1e-5)
    lines = story(tmp_path / "pieces")
    # The validation that update 4 was due for came when the run went on.
    assert [line["update"] for line in lines if line["split"] == "valid"] == [2, 4, 6]


# --- kills


def last_saved(folder: Path) -> int:
    """The newest update of which a checkpoint is kept; 0 where there is none."""
    names = (path.name for path in (folder / "checkpoints").glob("update_*"))
    return max((int(name.removeprefix("update_")) for name in names if name[7:].isdigit()), default=0)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end_of(started: list[tuple[Any, Connection]]) -> None:
    """All workers end by themselves."""
    try:
        for process, _ in started:
            process.join(PATIENCE_SECONDS)
            assert process.exitcode is not None, "a worker hangs"
    finally:
        for process, _ in started:
            process.kill()
            process.join()


def is_done(heard: Connection) -> bool:
    try:
        return heard.poll() and bool(heard.recv()[0])
    except EOFError:  # it was killed
        return False


def kill(
    folder: Path, count: int, ranks: Sequence[int], options: dict[str, Any], rng: random.Random, sharded: bool
) -> int:
    """Start `count` workers and kill some of them at a random moment; gives the update to go on from.

    It may be before the first update or within one, a validation or a save, but comes before the run is done,
    and after all have found each other: until then they would wait for the one that is missing.
    """
    update = last_saved(folder) + rng.randrange(3)
    begun = Path(tempfile.mkdtemp(dir=folder.parent))
    options = {**options, "begun": begun, "pause": 0.05}  # the moment is not over when it is noticed
    started = start_workers(count, train, folder, pretraining_model, options, sharded=sharded)
    wait_until(lambda: len(list(begun.iterdir())) == count and last_saved(folder) >= update)
    time.sleep(rng.uniform(0.0, 0.2))
    for rank in ranks:
        os.kill(started[rank][0].pid, signal.SIGKILL)
    end_of(started)
    assert not any(is_done(heard) for _, heard in started), "the kill came too late"
    last = folder / "checkpoints" / "last"
    return load_training_state(last).num_updates if last.exists() else 0


LONG = {
    "max_update": 40,
    "update_freq": (3,),
    "save_interval_updates": 2,
    "keep_interval_updates": 2,
    "validate_interval_updates": 5,
    "log_interval": 5,
}


@pytest.mark.parametrize(
    ("num_kills", "sharded"),
    [
        (2, False),
        pytest.param(10, False, marks=pytest.mark.slow),
        pytest.param(10, True, marks=pytest.mark.slow),
    ],
)
def test_killed_workers_leave_a_run_that_goes_on_to_the_same_end(
    num_kills: int, sharded: bool, tmp_path: Path
) -> None:
    """Kill the second worker, both, and the first, in turn."""
    options = {**LONG, "max_update": 4 * num_kills}
    run_workers(2, train, tmp_path / "whole", pretraining_model, options, sharded=sharded)
    rng, places = random.Random(num_kills), []
    for _, ranks in zip(range(num_kills), itertools.cycle([[1], [0, 1], [0]]), strict=False):
        places.append(kill(tmp_path / "killed", 2, ranks, options, rng, sharded))
    assert places == sorted(places) and 0 < places[-1] < options["max_update"]
    for each in run_workers(2, train, tmp_path / "killed", pretraining_model, options, sharded=sharded):
        assert each["reason"] == f"done: {options['max_update']} updates"
    assert_same_weights(everything(tmp_path / "killed"), everything(tmp_path / "whole"))
    assert story(tmp_path / "killed") == story(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_runs_killed_and_taken_up_by_other_numbers_of_workers_hear_everything_once(
    sharded: bool, tmp_path: Path
) -> None:
    """2 workers, 3, 2, 1, 2: what they heard on the way from checkpoint to checkpoint is whole epochs."""
    options = {"max_epoch": 10, "update_freq": (1,), "save_interval_updates": 1, "disable_validation": True}
    folder, rng, places, journals = tmp_path / "run", random.Random(0), [0], []
    for sitting, count in enumerate((2, 3, 2, 1)):
        journals.append(tmp_path / f"heard{sitting}")
        journals[-1].touch()  # none of them may come so far
        ranks = rng.choice([range(count), [rng.randrange(count)]])
        written = {**options, "journal": journals[-1]}
        places.append(kill(folder, count, ranks, written, rng, sharded))
    assert any(place % EPOCH for place in places), "none was killed within an epoch"
    journals.append(tmp_path / "heard")
    ended = {**options, "journal": journals[-1]}
    for each in run_workers(2, train, folder, pretraining_model, ended, sharded=sharded):
        assert each["reason"] == "done: 10 epochs"
    heard = Counter[tuple[int, int]]()
    for journal, end in zip(journals, [*places[1:], 10 * EPOCH], strict=True):
        for line in journal.read_text().splitlines():
            update, epoch, ids = json.loads(line)
            # What came after the checkpoint is lost, and done again.
            heard.update((epoch, index) for index in ids if update <= end)
    assert heard == Counter({(epoch, index): 1 for epoch in range(1, 11) for index in range(len(SIZES))})
    alone(tmp_path / "one", pretraining_model, options)
    first, second = everything(tmp_path / "one"), everything(folder)
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-4, atol=1e-5)


def test_what_is_left_of_a_run_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = {**LONG, "pause": 0.3}
    started = start_workers(2, train, tmp_path / "run", pretraining_model, options)
    wait_until(lambda: last_saved(tmp_path / "run") >= 1)
    os.kill(started[1][0].pid, signal.SIGKILL)
    started[1][0].join()
    done, told = started[0][1].recv() if started[0][1].poll(PATIENCE_SECONDS) else (True, "nothing")
    end_of(started)
    assert not done and "another worker has ended, and the run with it" in told


# --- mistakes


def mistaken(engine: Engine, rank: int) -> None:
    with engine.together():
        if engine.rank >= rank:
            raise UserError("there is no such file")


@pytest.mark.parametrize(
    ("rank", "said"), [(0, "there is no such file"), (1, "worker 1: there is no such file")]
)
def test_a_mistake_in_one_is_said_once_and_ends_all(rank: int, said: str) -> None:
    endings = []
    started = start_workers(2, mistaken, rank)
    for _, heard in started:
        assert heard.poll(PATIENCE_SECONDS)
        endings.append(heard.recv()[1].strip().splitlines()[-1])
    end_of(started)
    others = "SystemExit: 2"
    assert endings == (
        [f"auricle.errors.UserError: {said}", others]
        if rank == 0
        else [others, f"auricle.errors.UserError: {said}"]
    )


def with_other_data(engine: Engine, folder: Path) -> str:
    trainer = trainer_of(folder / "run", engine=engine, max_update=1)
    trainer.train.dataset.sizes = trainer.train.dataset.sizes + engine.rank
    return trainer.run()


def test_workers_that_see_other_data_are_told(tmp_path: Path) -> None:
    started = start_workers(2, with_other_data, tmp_path)
    for _, heard in started:
        assert heard.poll(PATIENCE_SECONDS)
        assert "worker 1 has utterances" in heard.recv()[1]
    end_of(started)


def test_one_disk_that_is_full_ends_all(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("a file stands where the folder should be")
    started = start_workers(2, train, tmp_path / "run", pretraining_model, {"max_update": 1})
    endings = []
    for _, heard in started:
        assert heard.poll(PATIENCE_SECONDS)
        endings.append(heard.recv()[1].strip().splitlines()[-1])
    end_of(started)
    assert "cannot save" in endings[0] and endings[1] == "SystemExit: 2"


def test_workers_listen_on_this_machine_alone() -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("needs Linux, which lists the sockets of a process")
    addresses = {address for each in run_workers(2, listening) for address in each}
    assert addresses == {"127.0.0.1"}


def listening(engine: Engine) -> list[str]:
    """Addresses that this process accepts connections at."""
    engine.gather("hello")
    own = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:  # the one that lists them
            continue
        own.add(target.removeprefix("socket:[").removesuffix("]"))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in own:
                packed = bytes.fromhex(fields[1].split(":")[0])
                found.append(
                    ".".join(str(part) for part in reversed(packed[-4:])) if len(packed) == 4 else "v6"
                )
    engine.gather("bye")
    assert found or engine.rank
    return found
