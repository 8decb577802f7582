"""Files and folders appear whole or not at all, whatever fails and whenever the process dies."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from auricle.errors import UserError
from auricle.files import (
    atomic_copy,
    atomic_file,
    atomic_folder,
    atomic_write_bytes,
    atomic_write_text,
    clean_leftovers,
    discard_folder,
    growing_file,
    resolve_folder,
    write_tensors,
)

SYSTEM_CALLS = ["mkdir", "rename", "fsync", "open", "unlink", "rmdir"]
"""Functions of `os` that a save goes through (removing a tree unlinks and rmdirs)."""


class Killed(BaseException):
    """Stands for a kill: from then on nothing the process tries has an effect."""


def interrupt(monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException, for_good: bool) -> list[int]:
    """Let the `call`-th system call (from 0) raise; with `for_good`, all that follow as well."""
    count = [0]

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] - 1 == call or (for_good and count[0] - 1 > call):
                raise error
            return original(*args, **kwargs)

        return wrapped

    for name in SYSTEM_CALLS:
        monkeypatch.setattr(os, name, wrap(getattr(os, name)))
    # The fast way through `rmtree` looks its functions up at import; this one takes the wrapped ones.
    monkeypatch.setattr(shutil, "rmtree", remove_tree)
    return count


def remove_tree(folder: Path) -> None:
    for root, folders, names in os.walk(folder, topdown=False):
        for name in names:
            os.unlink(os.path.join(root, name))
        for name in folders:
            os.rmdir(os.path.join(root, name))
    os.rmdir(folder)


def save(folder: Path, text: str) -> None:
    with atomic_folder(folder) as partial:
        (partial / "a.txt").write_text(text)
        (partial / "inner").mkdir(exist_ok=True)
        (partial / "inner" / "b.txt").write_text(text)


def content(folder: Path) -> str:
    """The text that a whole folder holds; fails on a half one."""
    source = resolve_folder(folder)
    first, second = (source / "a.txt").read_text(), (source / "inner" / "b.txt").read_text()
    assert first == second
    return first


def test_folder_is_written_and_replaced(tmp_path: Path) -> None:
    save(tmp_path / "last", "one")
    assert content(tmp_path / "last") == "one"
    save(tmp_path / "last", "two")
    assert content(tmp_path / "last") == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_failing_block_keeps_the_old_folder_and_its_own_exception(tmp_path: Path) -> None:
    save(tmp_path / "last", "one")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "last") as partial:
        (partial / "a.txt").write_text("two")
        raise KeyboardInterrupt
    assert content(tmp_path / "last") == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("before", ["nothing", "a folder", "an interrupted save"])
def test_a_kill_at_any_moment_leaves_a_whole_folder(tmp_path: Path, before: str) -> None:
    call, finished = 0, False
    while not finished:
        folder = tmp_path / str(call) / "last"
        if before != "nothing":
            save(folder, "old")
        if before == "an interrupted save":
            folder.rename(folder.with_name("last.previous"))
            folder.with_name("last.partial").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            count = interrupt(patch, call, Killed(), for_good=True)
            try:
                save(folder, "new")
                finished = count[0] <= call
            except Killed:
                pass
        if before != "nothing" or resolve_folder(folder).exists():
            assert content(folder) in ({"old", "new"} if before != "nothing" else {"new"})
        save(folder, "newer")
        assert content(folder) == "newer"
        assert [path.name for path in folder.parent.iterdir()] == ["last"]
        call += 1
    assert call > 10


@pytest.mark.parametrize("before", ["nothing", "a folder"])
def test_any_failing_call_keeps_the_old_folder_and_says_so(tmp_path: Path, before: str) -> None:
    call, finished, errors = 0, False, 0
    while not finished:
        folder = tmp_path / str(call) / "last"
        if before != "nothing":
            save(folder, "old")
        failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with pytest.MonkeyPatch.context() as patch:
            count = interrupt(patch, call, failure, for_good=False)
            try:
                save(folder, "new")
                expected = "new"
                finished = count[0] <= call
            except UserError as error:
                errors += 1
                expected = "old"
                assert str(folder) in str(error)
                assert "No space left on device" in str(error)
                assert "\n" not in str(error)
                assert ("is kept in" in str(error)) == (before != "nothing")
        if before == "nothing" and expected == "old":
            assert not resolve_folder(folder).exists()
        else:
            assert folder.exists()
            assert content(folder) == expected
        call += 1
    assert errors > 5


def test_a_folder_of_a_name_is_read_from_previous_only_while_it_is_missing(tmp_path: Path) -> None:
    assert resolve_folder(tmp_path / "last") == tmp_path / "last"
    save(tmp_path / "last.previous", "old")
    assert resolve_folder(tmp_path / "last") == tmp_path / "last.previous"
    save(tmp_path / "last", "new")
    assert resolve_folder(tmp_path / "last") == tmp_path / "last"


def test_leftovers_are_removed_except_what_still_stands_for_a_name(tmp_path: Path) -> None:
    for name in ("last", "last.previous", "best.previous", "update_5.partial", "last.previous.partial"):
        (tmp_path / name).mkdir()
    (tmp_path / "log.jsonl.partial").write_text("half a li")
    clean_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.previous", "last"]


def test_discarding_is_never_half_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "update_5", "old")

    def dies(folder: Path) -> None:
        raise Killed

    monkeypatch.setattr(shutil, "rmtree", dies)
    with pytest.raises(Killed):
        discard_folder(tmp_path / "update_5")
    assert not (tmp_path / "update_5").exists()


def test_a_link_to_a_folder_elsewhere_stays_a_link(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "last", "one")
    (tmp_path / "last").symlink_to(tmp_path / "elsewhere" / "last")
    save(tmp_path / "last", "two")
    assert (tmp_path / "last").is_symlink()
    assert content(tmp_path / "last") == "two"


def test_a_place_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot save .*file/last"):
        save(tmp_path / "file" / "last", "one")
    with pytest.raises(UserError, match=r"cannot write .*file/log"):
        atomic_write_text(tmp_path / "file" / "log", "one")


def test_file_is_written_and_replaced(tmp_path: Path) -> None:
    target = tmp_path / "new" / "recipe.yaml"
    atomic_write_text(target, "é")
    assert target.read_bytes() == "é".encode()
    atomic_write_bytes(target, b"two")
    assert target.read_bytes() == b"two"
    assert [path.name for path in target.parent.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    target = tmp_path / "recipe.yaml"
    target.write_text("one")

    def fails(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(UserError, match=r"cannot write .*recipe\.yaml: No space left on device"):
        atomic_write_text(target, "two")
    assert target.read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_file_that_a_block_writes_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    for text in ("one", "two"):
        with atomic_file(target) as partial:
            partial.write_text(text)
            assert not target.exists() or target.read_text() == "one"
        assert target.read_text() == text
    with pytest.raises(ValueError, match="mine"), atomic_file(target) as partial:
        partial.write_text("half")
        raise ValueError("mine")
    with pytest.raises(UserError, match=r"cannot write .*: No space"), atomic_file(target) as partial:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_text() == "two" and [path.name for path in target.parent.iterdir()] == ["file"]


def test_folders_that_a_file_system_cannot_flush_are_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def refuses_folders(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", refuses_folders)
    save(tmp_path / "last", "one")
    assert content(tmp_path / "last") == "one"


def test_tensors_are_written_exactly(tmp_path: Path) -> None:
    tensors = {
        "a": torch.randn(3, 4).t(),
        "b": torch.tensor(7),
        "c": torch.randn(2, dtype=torch.bfloat16, requires_grad=True),
    }
    write_tensors(tmp_path / "t.safetensors", tensors)
    loaded = load_file(tmp_path / "t.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_tensors_that_cannot_be_written_are_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"t\.safetensors"):
        write_tensors(tmp_path / "missing" / "t.safetensors", {"a": torch.zeros(1)})
    with (
        pytest.raises(UserError, match=r"cannot save .*last.*nothing was saved there before"),
        atomic_folder(tmp_path / "last") as partial,
    ):
        write_tensors(partial / "missing" / "t.safetensors", {"a": torch.zeros(1)})


# --- files that grow over several runs


def test_a_growing_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    with pytest.raises(KeyboardInterrupt), growing_file(target) as (stream, lines):
        assert lines == 0
        stream.write(b"one\ntwo\ncut o")
        raise KeyboardInterrupt
    assert not target.exists()
    with growing_file(target) as (stream, lines):
        assert lines == 2 and not target.exists()
        stream.write(b"three\n")
    assert target.read_bytes() == b"one\ntwo\nthree\n" and list(target.parent.iterdir()) == [target]


def test_a_growing_file_on_a_full_disk_is_kept_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, 1, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), for_good=False)
        message = r"cannot write .*file: No space left.*free some space.*goes on from here"
        with pytest.raises(UserError, match=message), growing_file(tmp_path / "file") as (stream, _):
            stream.write(b"one\n")
    with growing_file(tmp_path / "file") as (_, lines):
        assert lines == 1
    assert (tmp_path / "file").read_bytes() == b"one\n"


def test_a_copy_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "folder" / "target"
    source.write_bytes(bytes(range(256)) * 5000)
    with monkeypatch.context() as patch:
        interrupt(patch, 1, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), for_good=False)
        with pytest.raises(UserError, match=r"cannot copy .*source to .*target: No space left"):
            atomic_copy(source, target)
    assert list(target.parent.iterdir()) == []
    atomic_copy(source, target)
    assert target.read_bytes() == source.read_bytes()
    with pytest.raises(UserError, match=r"cannot copy .*nothing to"):
        atomic_copy(tmp_path / "nothing", target)
    assert target.read_bytes() == source.read_bytes()
