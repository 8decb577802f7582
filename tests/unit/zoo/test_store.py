"""The cache of published models, filled from a server on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import auricle
import forged
from auricle.errors import UserError
from auricle.zoo import Entry, copy_in_cache, download, entries, find, is_in_cache, local_copy, verify
from auricle.zoo.cache import Place, cache_folder, is_offline, locked
from file_server import FileServer, serving

NAME = "wav2vec2-base-960h"
WEIGHTS = "/fairseq/wav2vec/wav2vec_small_960h.pt"
DICTIONARY = "/fairseq/wav2vec/dict.ltr.txt"
FOLDER = "facebook/wav2vec2-base-960h"
HUB = f"/{FOLDER}/resolve/main/"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A mirror with one fine-tuned checkpoint of 2020, which holds no dictionary, and its dictionary."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AURICLE_OFFLINE", raising=False)
    monkeypatch.setattr("auricle.zoo.transfer.WAITS_SECONDS", (0.0,))
    checkpoint = forged.save(forged.flat(forged.ctc_checkpoint()), tmp_path / "made.pt").read_bytes()
    dictionary = "".join(f"{symbol} 1\n" for symbol in forged.SYMBOLS).encode()
    with serving(files={WEIGHTS: checkpoint, DICTIONARY: dictionary}) as started:
        monkeypatch.setenv("AURICLE_MIRROR", started.address)
        yield started


def get(name: str = NAME, **options: bool) -> Path:
    return download(find(name), watch=lambda *_: None, **options).path


def test_a_name_loads_with_its_dictionary(server: FileServer) -> None:
    loaded = auricle.load(NAME)
    assert loaded.dictionary is not None and loaded.dictionary.symbols[4:] == forged.SYMBOLS
    assert loaded.source == cache_folder() / "models" / NAME / "wav2vec_small_960h.pt"
    server.files.clear()
    again = auricle.load(NAME)  # from the cache
    assert len(server.requests) == 2
    expected, found = loaded.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_the_checkpoints_own_dictionary_goes_first(server: FileServer, tmp_path: Path) -> None:
    own = forged.save(forged.ctc_checkpoint(["|", "X", "Y", "Z"]), tmp_path / "made.pt")
    server.files[WEIGHTS] = own.read_bytes()
    dictionary = auricle.load(NAME).dictionary
    assert dictionary is not None and dictionary.symbols[4:] == ["|", "X", "Y", "Z"]


def test_a_path_of_that_name_goes_first(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    forged.save(forged.ctc_checkpoint(), tmp_path / NAME)
    assert auricle.load(NAME).source == Path(NAME) and not server.requests


def test_names_that_are_nearly_right(server: FileServer) -> None:
    with pytest.raises(UserError, match="there is a published model called wav2vec2-base-960h"):
        auricle.load("wav2vec2-base-960")
    with pytest.raises(UserError, match="there is wav2vec2-base-960h"):
        find("wav2vec2-base-960")
    with pytest.raises(UserError, match="lists and downloads it, and cannot run it"):
        auricle.load("wav2vec2-xls-r-1b-21-to-en")


def test_what_is_there_is_not_downloaded_again(server: FileServer) -> None:
    get()
    get()
    assert [path for path, _, _ in server.requests] == [WEIGHTS, DICTIONARY]
    get(again=True)
    assert len(server.requests) == 4
    assert not list((cache_folder() / "incoming").iterdir())


def test_an_interrupted_download_goes_on(server: FileServer) -> None:
    server.cut_after = [1000] + [0] * 5
    with pytest.raises(UserError, match="1000 bytes are kept, run it again to go on"):
        get()
    assert not is_in_cache(find(NAME)) and copy_in_cache(find(NAME)) is None
    server.cut_after = []
    assert get().read_bytes() == server.files[WEIGHTS]
    assert server.requests[-2][1] == "bytes=1000-"


def test_damage_is_refused_and_mended(server: FileServer) -> None:
    path = get()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=r"has changed since it was first seen .* --again wav2vec2-base-960h"):
        auricle.load(NAME)
    assert [checked.is_same for checked in verify(find(NAME))] == [False, True]
    get(again=True)
    assert all(checked.is_same for checked in verify(find(NAME)))
    assert auricle.load(NAME)


def test_damage_that_keeps_size_and_time_shows_when_verified(server: FileServer) -> None:
    path = get()
    status, whole = path.stat(), path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert copy_in_cache(find(NAME)) is not None
    assert [checked.is_same for checked in verify(find(NAME))] == [False, True]


def test_a_copy_with_another_time_is_read_once(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = get()
    os.utime(path, ns=(1, 1))
    assert copy_in_cache(find(NAME)) is not None
    monkeypatch.setattr("auricle.zoo.store.sha256_of", lambda _: pytest.fail("read again"))
    assert copy_in_cache(find(NAME)) is not None


def test_another_file_at_the_publishers_is_refused(server: FileServer) -> None:
    path = get()
    first = path.read_bytes()
    server.files[WEIGHTS] = first + b"x"
    with pytest.raises(UserError, match=r"another file than the one first seen .* --accept-new"):
        get(again=True)
    assert path.read_bytes() == first and all(checked.is_same for checked in verify(find(NAME)))
    path.unlink()  # the record outlives the file
    with pytest.raises(UserError, match="another file"):
        get()
    get(accept_new=True)
    assert path.read_bytes() == first + b"x" and all(checked.is_same for checked in verify(find(NAME)))


def test_a_file_that_is_gone(server: FileServer) -> None:
    path = get()
    path.unlink()
    assert [checked.sha256 is None for checked in verify(find(NAME))] == [True, False]
    assert copy_in_cache(find(NAME)) is None
    assert get().is_file()


def test_files_that_were_copied_there_are_taken(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache_folder() / "models" / NAME
    folder.mkdir(parents=True)
    (folder / "wav2vec_small_960h.pt").write_bytes(server.files[WEIGHTS])
    (folder / "dict.ltr.txt").write_bytes(server.files[DICTIONARY])
    monkeypatch.setenv("AURICLE_OFFLINE", "1")
    assert auricle.load(NAME).dictionary is not None and not server.requests
    assert all(checked.is_same for checked in verify(find(NAME)))


def test_offline(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURICLE_OFFLINE", "1")
    with pytest.raises(UserError, match=r"not in the cache .* AURICLE_OFFLINE"):
        auricle.load(NAME)
    monkeypatch.setenv("AURICLE_OFFLINE", "0")
    get()
    monkeypatch.setenv("AURICLE_OFFLINE", "yes")
    assert auricle.load(NAME)
    with pytest.raises(UserError, match="AURICLE_OFFLINE"):
        get(again=True)
    assert len(server.requests) == 2


def test_a_cache_that_cannot_be_made(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"cannot be written .* set AURICLE_CACHE"):
        auricle.load(NAME)
    assert not server.requests


def test_a_cache_that_is_read_only(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = get()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert auricle.load(NAME)  # which nobody has to write for
    with pytest.raises(UserError, match=r"is read-only.*set AURICLE_CACHE"):
        get(again=True)
    os.utime(path, ns=(1, 1))

    def refuse(*_: object) -> None:
        raise UserError("cannot write")

    monkeypatch.setattr("auricle.zoo.cache.atomic_write_text", refuse)
    assert auricle.load(NAME)  # checked in full, each time


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"files": {}}',
        '{"files": [], "complete": true}',
        '{"complete": true, "files": {"../../x": {"sha256": "", "num_bytes": 0, "mtime_ns": 0, "address": "",'
        ' "seen": ""}}}',
        '{"complete": true, "files": {"x": {"sha256": 1, "num_bytes": 0, "mtime_ns": 0, "address": "",'
        ' "seen": ""}}}',
        "[" * 10_000,
    ],
)
def test_a_damaged_record(server: FileServer, content: str) -> None:
    get()
    Place.of(NAME).record.write_text(content)
    with pytest.raises(UserError, match="is damaged: remove it"):
        auricle.load(NAME)


def test_a_hub_folder(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hub does not have is left out; of the weights, the first kind that it has is taken."""
    server.files |= {
        HUB + "config.json": b"{}",
        HUB + "pytorch_model.bin": b"weights",
        HUB + "vocab.json": b"{}",
    }
    copy = download(find(FOLDER), watch=lambda *_: None)
    assert copy.path == cache_folder() / "models" / "facebook--wav2vec2-base-960h"
    assert {path.name for path in copy.path.iterdir()} == {"config.json", "pytorch_model.bin", "vocab.json"}
    assert copy.dictionary is None and is_in_cache(find(FOLDER))
    assert local_copy(FOLDER) == copy
    asked = len(server.requests)
    get(FOLDER)
    assert [path.rpartition("/")[2] for path, _, _ in server.requests[asked:]] == [  # maybe there by now
        "preprocessor_config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
    ]
    del server.files[HUB + "pytorch_model.bin"]
    with pytest.raises(UserError, match=r"pytorch_model\.bin does not exist"):
        get(FOLDER, again=True)


def test_the_locks_keep_two_processes_apart(server: FileServer, tmp_path: Path) -> None:
    """Two that start at once: one downloads, both end well."""
    server.pause = 0.3
    code = f"import auricle; print(auricle.load({NAME!r}).source)"
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ})
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0].strip() for process in both]
    assert outputs == [str(cache_folder() / "models" / NAME / "wav2vec_small_960h.pt")] * 2
    assert [path for path, _, _ in server.requests] == [WEIGHTS, DICTIONARY]


def test_waiting_for_a_lock_is_said(tmp_path: Path) -> None:
    said: list[bool] = []
    holder = "import sys; from auricle.zoo.cache import locked; from pathlib import Path\n"
    holder += "with locked(Path(sys.argv[1]), print):\n    print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "x.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout and process.stdout.readline() == "held\n"

        def release() -> None:
            assert process.stdin
            said.append(True)
            process.stdin.close()

        with locked(tmp_path / "x.lock", release):
            assert said == [True]


def test_progress_goes_to_the_log(server: FileServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "auricle"):
        auricle.load(NAME)
    assert any(f"downloading {NAME}: wav2vec_small_960h.pt" in line for line in caplog.messages)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AURICLE_CACHE": "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({"AURICLE_CACHE": "", "XDG_CACHE_HOME": "/c"}, "/c/auricle"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/x/.cache/auricle"),
        ({}, "/home/x/.cache/auricle"),
    ],
)
def test_where_the_cache_is(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AURICLE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/x")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_what_says_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in [("1", True), ("true", True), ("0", False), ("", False), ("no", False)]:
        monkeypatch.setenv("AURICLE_OFFLINE", value)
        assert is_offline() is expected


def test_the_record_says_what_was_downloaded_from_where(server: FileServer) -> None:
    get()
    content = json.loads(Place.of(NAME).record.read_text())
    assert content["files"]["dict.ltr.txt"]["address"] == server.address + DICTIONARY
    assert content["complete"] is True


def test_no_entry_writes_outside_its_folder() -> None:
    def names(entry: Entry) -> Iterator[str]:
        for wanted in entry.files:
            yield from (address.rpartition("/")[2] for address in wanted.addresses)

    for entry in entries().values():
        assert all(name and ".." not in name and "\\" not in name for name in names(entry))
        assert Place.of(entry.name).files.parent == cache_folder() / "models"
    assert len({Place.of(name) for name in entries()}) == len(entries())
