"""Checkpoint folders: exact, whole after any failure or kill, and no more of them than asked for."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from auricle import files
from auricle.convert.own import read_model
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.files import resolve_folder
from auricle.models.build import Model, build_model
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config
from auricle.train import checkpoint
from auricle.train.checkpoint import (
    TrainingState,
    copy_checkpoint,
    load_training_state,
    remove_old_updates,
    save_checkpoint,
    update_name,
)

KILLS = 10
DICTIONARY = Dictionary("AB|")
CONFIG = CTCConfig(
    encoder=Wav2Vec2Config(
        conv_layers=((8, 10, 5), (8, 3, 2)),
        encoder=EncoderConfig(
            num_layers=1, dim=8, ffn_dim=16, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2
        ),
        quantizer=None,
    ),
    num_labels=len(DICTIONARY),
)


def model_of(update: int) -> Model:
    """A model whose every weight is the number of the update."""
    model = build_model(CONFIG)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(update)
    return model


def state_of(update: int) -> TrainingState:
    tensors: dict[str, Tensor] = {
        "optimizer.proj.weight.exp_avg": torch.full((100,), float(update)),
        "rng": torch.full((7,), update % 256, dtype=torch.uint8),
    }
    return TrainingState(update, tensors, {"epoch": update})


def save(folder: Path, update: int) -> None:
    save_checkpoint(folder, model_of(update).state_dict(), CONFIG, DICTIONARY, state_of(update))


def saved_update(folder: Path) -> int:
    """The update that a checkpoint is of; fails on one that is not whole or mixes two."""
    source = resolve_folder(folder)
    state = load_training_state(folder)
    loaded = read_model(source)
    weights = torch.cat([parameter.detach().flatten() for parameter in loaded.model.parameters()])
    assert weights.unique().tolist() == [state.num_updates]
    assert loaded.num_updates == state.num_updates == state.values["epoch"]
    assert loaded.dictionary == DICTIONARY
    assert set(state.tensors["optimizer.proj.weight.exp_avg"].tolist()) == {float(state.num_updates)}
    return state.num_updates


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_training_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    tensors = {
        "float": torch.tensor([0.1, float("nan"), float("-inf"), 1e-45]),
        "half": torch.randn(3, dtype=torch.float16),
        "rng": torch.get_rng_state(),
        "step": torch.tensor(12),
        "empty": torch.zeros(0),
    }
    values = {"loss": 0.1 + 0.2, "big": 2**127, "best": float("inf"), "name": "é", "order": [[1, 2], []]}
    save_checkpoint(
        tmp_path / "last", model_of(3).state_dict(), CONFIG, DICTIONARY, TrainingState(3, tensors, values)
    )
    state = load_training_state(tmp_path / "last")
    assert state.num_updates == 3
    assert state.values == values
    assert state.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        loaded = state.tensors[name]
        assert loaded.dtype == tensor.dtype
        assert loaded.shape == tensor.shape
        assert loaded.numpy(force=True).tobytes() == tensor.numpy(force=True).tobytes()


def test_a_checkpoint_is_text_and_safetensors(tmp_path: Path) -> None:
    save(tmp_path / "last", 1)
    assert names(tmp_path / "last") == [
        "config.json",
        "dictionary.txt",
        "model.safetensors",
        "training_state.json",
        "training_state.safetensors",
    ]


def test_a_run_without_state_or_dictionary_can_be_saved(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", model_of(0).state_dict(), CONFIG, None, TrainingState(0))
    assert load_training_state(tmp_path / "last") == TrainingState(0, {}, {})
    assert read_model(tmp_path / "last").dictionary is None


def test_a_copy_outlives_its_source(tmp_path: Path) -> None:
    save(tmp_path / "last", 1)
    copy_checkpoint(tmp_path / "last", tmp_path / "best")
    copy_checkpoint(tmp_path / "last", tmp_path / "update_1")
    save(tmp_path / "last", 2)
    copy_checkpoint(tmp_path / "last", tmp_path / "best")
    found = {name: saved_update(tmp_path / name) for name in names(tmp_path)}
    assert found == {"best": 2, "last": 2, "update_1": 1}


def test_copies_share_their_tensors_where_the_file_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "last", 1)
    copy_checkpoint(tmp_path / "last", tmp_path / "best")
    for name, shared in [("model.safetensors", True), ("config.json", False)]:
        assert os.path.samefile(tmp_path / "last" / name, tmp_path / "best" / name) == shared

    def refuses(*args: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuses)
    copy_checkpoint(tmp_path / "last", tmp_path / "best")
    assert not os.path.samefile(
        tmp_path / "last" / "model.safetensors", tmp_path / "best" / "model.safetensors"
    )
    assert saved_update(tmp_path / "best") == 1


@pytest.mark.parametrize(
    ("keep", "left"), [(-1, [9, 10, 100]), (0, [9, 10, 100]), (1, [100]), (2, [10, 100])]
)
def test_old_updates_are_removed_by_number(tmp_path: Path, keep: int, left: list[int]) -> None:
    others = ["best", "last", "update_x"]
    for name in [*others, *(update_name(number) for number in (9, 10, 100))]:
        (tmp_path / name).mkdir()
    (tmp_path / "update_7.partial").mkdir()
    remove_old_updates(tmp_path, keep)
    assert names(tmp_path) == sorted([*others, *(update_name(number) for number in left)])


def test_what_cannot_be_removed_is_no_end_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        (tmp_path / update_name(number)).mkdir()

    def refuses(folder: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(checkpoint, "discard_folder", refuses)
    remove_old_updates(tmp_path, 1)
    assert "Permission denied" in caplog.text
    assert names(tmp_path) == ["update_1", "update_2"]


def test_a_folder_without_training_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing holds no training state"):
        load_training_state(tmp_path / "nothing")


def damaged(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / "training_state.json").read_text())
        changed = change(content) or content
        (folder / "training_state.json").write_text(json.dumps(changed))

    return damage


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut("training_state.json"), "damaged"),
        (cut("training_state.safetensors"), "damaged"),
        (lambda folder: (folder / "training_state.safetensors").unlink(), "damaged"),
        (lambda folder: (folder / "training_state.json").write_bytes(b"\xff"), "damaged"),
        (damaged(lambda content: content.pop("values") and None), "damaged"),
        (damaged(lambda content: [1]), "damaged"),
        (damaged(lambda content: content | {"format_version": 99}), "later version"),
    ],
)
def test_a_damaged_state_is_a_users_error(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    save(tmp_path / "last", 1)
    damage(tmp_path / "last")
    with pytest.raises(UserError, match=message) as caught:
        load_training_state(tmp_path / "last")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("call", "after"), [("fsync", 0), ("fsync", 4), ("rename", 0), ("rename", 1)])
def test_a_disk_that_fails_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: int
) -> None:
    save(tmp_path / "last", 1)
    original, calls = getattr(os, call), []

    def fails_once(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == after + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*args)

    monkeypatch.setattr(os, call, fails_once)
    with pytest.raises(UserError, match=r"cannot save .*last: No space left on device; .*is kept in .*last"):
        save(tmp_path / "last", 2)
    monkeypatch.undo()
    assert names(tmp_path) == ["last"]
    assert saved_update(tmp_path / "last") == 1
    save(tmp_path / "last", 2)
    assert saved_update(tmp_path / "last") == 2


def test_a_disk_that_fills_up_while_tensors_are_written_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "last", 1)

    def full(path: Path, tensors: Any, metadata: Any = None) -> None:
        path.write_bytes(b"half")
        raise OSError(f"{path.name}: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "write_tensors", full)
    with pytest.raises(UserError, match=r"cannot save .*last: .*No space left on device.*is kept"):
        save(tmp_path / "last", 2)
    assert names(tmp_path) == ["last"]
    assert saved_update(tmp_path / "last") == 1


def test_a_write_that_really_fails_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs limits on the size of files")
    save(tmp_path / "last", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(UserError, match=r"cannot save .*last: .*File too large.*is kept"):
            save(tmp_path / "last", 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["last"]
    assert saved_update(tmp_path / "last") == 1


def save_for_ever(folder: Path, told: int) -> None:
    """What the killed process does; it writes a byte to `told` after each round."""
    update = 1
    while True:
        save(folder / "last", update)
        copy_checkpoint(folder / "last", folder / "best")
        os.write(told, b"x")
        update += 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that kills with SIGKILL")
def test_a_process_killed_while_it_saves_leaves_loadable_checkpoints(tmp_path: Path) -> None:
    """Ten kills at moments spread over a round of saves; each time `last` and `best` load."""
    script = f"""
        import importlib.util, os, signal, time
        spec = importlib.util.spec_from_file_location("saver", {str(Path(__file__))!r})
        saver = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(saver)
        saver.torch.set_num_threads(1)
        folder = saver.Path({str(tmp_path)!r})
        for kill in range({KILLS}):
            heard, told = os.pipe()
            child = os.fork()
            if child == 0:
                saver.save_for_ever(folder, told)
            os.close(told)
            os.read(heard, 1)
            start = time.perf_counter()
            os.read(heard, 1)
            round = time.perf_counter() - start
            time.sleep(round * kill / {KILLS})
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            found = saver.names(folder)
            print("killed", saver.saved_update(folder / "last"), saver.saved_update(folder / "best"), *found)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    killed = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("killed")]
    assert len(killed) == KILLS
    assert all(int(last) >= int(best) >= 2 for last, best, *_ in killed)
    save(tmp_path / "last", 7)
    remove_old_updates(tmp_path, 1)
    assert names(tmp_path) == ["best", "last"]
    assert saved_update(tmp_path / "last") == 7


def test_a_kill_between_the_two_renames_is_read_from_previous(tmp_path: Path) -> None:
    save(tmp_path / "last", 1)
    os.rename(tmp_path / "last", tmp_path / ("last" + files.PREVIOUS))
    assert saved_update(tmp_path / "last") == 1
    copy_checkpoint(tmp_path / "last", tmp_path / "best")
    assert saved_update(tmp_path / "best") == 1
    save(tmp_path / "last", 2)
    assert names(tmp_path) == ["best", "last"]
