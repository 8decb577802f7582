"""Audio packed into archives: what lies where, the same every time, and what is kept."""

import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import sounds
from auricle import audio
from auricle.data.shards import pack, plan
from auricle.errors import UserError
from auricle.manifest import Entry, Manifest, read_manifest, write_manifest

SIZES = (900, 400, 700, 1200, 300, 800)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Six files, of 44 bytes and two a sample."""
    return sounds.corpus(tmp_path / "audio", SIZES)


def packed(manifest: Manifest, dest: Path, **cut: int) -> list[str]:
    """Packs, and gives the paths that a manifest there has."""
    dest.mkdir(exist_ok=True)
    entries, _ = pack(plan(manifest, dest, **cut))
    assert [(entry.num_samples, entry.line) for entry in entries] == [
        (entry.num_samples, entry.line) for entry in manifest.entries
    ]
    return [entry.path for entry in entries]


def test_every_utterance_is_read_as_before(manifest: Manifest, tmp_path: Path) -> None:
    paths = packed(manifest, tmp_path / "packed", num_shards=3)
    for entry, path in zip(manifest.entries, paths, strict=True):
        assert (tmp_path / "packed" / path.partition(":")[0]).is_file()
        before, after = audio.read(manifest.full_path(entry)), audio.read(str(tmp_path / "packed" / path))
        assert torch.equal(before.samples, after.samples)


def test_unpacking_gives_the_files_back(manifest: Manifest, tmp_path: Path) -> None:
    packed(manifest, tmp_path / "packed", num_shards=2)
    for archive in sorted((tmp_path / "packed").iterdir()):
        with zipfile.ZipFile(archive) as opened:
            assert opened.testzip() is None
            assert {info.compress_type for info in opened.infolist()} == {zipfile.ZIP_STORED}
            opened.extractall(tmp_path / "unpacked")
    for number in range(len(SIZES)):
        unpacked, file = (tmp_path / folder / f"{number}.wav" for folder in ("unpacked", "audio"))
        assert unpacked.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("cut", "counts"),
    [
        ({"num_shards": 1}, [6]),
        ({"num_shards": 2}, [4, 2]),
        ({"num_shards": 5}, [1, 2, 1, 1, 1]),  # of about equal size, and none is empty
        ({"num_shards": 6}, [1] * 6),
        ({"num_shards": 100}, [1] * 6),
        ({"shard_bytes": 10**6}, [6]),
        ({"shard_bytes": 3000}, [2, 1, 1, 2]),
        ({"shard_bytes": 1}, [1] * 6),
    ],
)
def test_how_many_go_together(
    manifest: Manifest, tmp_path: Path, cut: dict[str, int], counts: list[int]
) -> None:
    shards = plan(manifest, tmp_path, **cut).shards
    assert [len(shard.recordings) for shard in shards] == counts
    assert [recording.name for shard in shards for recording in shard.recordings] == [
        f"{number}.wav" for number in range(len(SIZES))
    ]
    assert shards[0].path.name == f"train-00000-of-{len(counts):05}.zip"


def test_the_same_files_give_the_same_archives(manifest: Manifest, tmp_path: Path) -> None:
    first = packed(manifest, tmp_path / "first", num_shards=2)
    for entry in manifest.entries:
        os.utime(manifest.full_path(entry), (1e9, 1e9))
    assert packed(manifest, tmp_path / "second", num_shards=2) == first
    for archive in (tmp_path / "first").iterdir():
        assert archive.read_bytes() == (tmp_path / "second" / archive.name).read_bytes()


def test_an_utterance_may_be_listed_twice_and_lie_anywhere(tmp_path: Path) -> None:
    outside = sounds.write(tmp_path / "outside.wav", 500, seed=7)
    sounds.write(tmp_path / "audio" / "deep" / "é.wav", 600, seed=8)
    listed = ("deep/é.wav", "../outside.wav", str(outside), "deep/../deep/é.wav")
    manifest = Manifest(
        tmp_path / "audio",
        tuple(Entry(path, 5, line) for line, path in enumerate(listed, 2)),
        Path("train.tsv"),
    )
    paths = packed(manifest, tmp_path / "packed", num_shards=1)
    assert paths[0] == paths[3] and len(set(paths)) == 3
    with zipfile.ZipFile(tmp_path / "packed" / "train-00000-of-00001.zip") as archive:
        assert archive.namelist() == ["deep/é.wav", "_/000000001.wav", "_/000000002.wav"]


def test_what_is_packed_can_be_packed_anew(manifest: Manifest, tmp_path: Path) -> None:
    paths = packed(manifest, tmp_path / "many", num_shards=6)
    write_manifest(tmp_path / "many" / "train.tsv", tmp_path / "many", [
        Entry(path, entry.num_samples, 0) for path, entry in zip(paths, manifest.entries, strict=True)
    ])  # fmt: skip
    again = packed(read_manifest(tmp_path / "many" / "train.tsv"), tmp_path / "one", num_shards=1)
    for entry, path in zip(manifest.entries, again, strict=True):
        archive, offset, length = path.split(":")
        held = (tmp_path / "one" / archive).read_bytes()[int(offset) : int(offset) + int(length)]
        assert held == Path(manifest.full_path(entry)).read_bytes()


def test_archives_that_are_there_are_kept(manifest: Manifest, tmp_path: Path) -> None:
    first = packed(manifest, tmp_path, num_shards=3)
    (tmp_path / "train-00001-of-00003.zip").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.zip")}
    entries, kept = pack(plan(manifest, tmp_path, num_shards=3))
    assert kept == 2 and [entry.path for entry in entries] == first
    assert before.items() <= {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.zip")}.items()


@pytest.mark.parametrize("spoil", ["other", "cut", "newer", "text"])
def test_what_else_is_there_is_not_overwritten(manifest: Manifest, tmp_path: Path, spoil: str) -> None:
    packed(manifest, tmp_path, num_shards=2)
    archive, file = tmp_path / "train-00001-of-00002.zip", Path(manifest.full_path(manifest.entries[-1]))
    if spoil == "other":
        sounds.write(file, 801)
    elif spoil == "newer":
        os.utime(file, (2e9, 2e9))
    elif spoil == "text":
        archive.write_text("precious")
    else:
        os.truncate(archive, archive.stat().st_size - 30)
    before = archive.read_bytes()
    with pytest.raises(UserError, match=r"train-00001-of-00002\.zip is there and holds other or older audio"):
        pack(plan(manifest, tmp_path, num_shards=2))
    assert archive.read_bytes() == before


def test_missing_and_empty_files_are_named_before_anything_is_written(
    manifest: Manifest, tmp_path: Path
) -> None:
    Path(manifest.full_path(manifest.entries[1])).unlink()
    Path(manifest.full_path(manifest.entries[3])).write_bytes(b"")
    with pytest.raises(UserError, match=r"1.wav \(and 1 others\): no such file, or nothing in it"):
        plan(manifest, tmp_path / "packed", num_shards=2)


def test_a_file_that_changes_meanwhile_ends_it(manifest: Manifest, tmp_path: Path) -> None:
    planned = plan(manifest, tmp_path, num_shards=3)
    sounds.write(Path(manifest.full_path(manifest.entries[-1])), 805)
    with pytest.raises(UserError, match=r"5\.wav has changed while it was read"):
        pack(planned, num_workers=1)
    assert sorted(path.name for path in tmp_path.glob("train-*")) == [
        "train-00000-of-00003.zip",
        "train-00001-of-00003.zip",
    ]


def test_the_disk_is_asked_for_room_first(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(manifest, tmp_path, num_shards=3)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(UserError, match=r"are to be written and 0\.00 GB are free"):
        pack(planned)
    assert not list(tmp_path.glob("train-*"))
