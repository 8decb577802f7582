"""Audio that was packed anew lost its names: its files were all called `.zip`."""

import zipfile
from pathlib import Path

import sounds
from auricle.data.shards import pack, plan
from auricle.manifest import Entry, Manifest, read_manifest, write_manifest


def names_in(folder: Path) -> list[str]:
    names = []
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as opened:
            names += opened.namelist()
    return names


def packed(manifest: Manifest, dest: Path, num_shards: int) -> Manifest:
    dest.mkdir()
    entries, _ = pack(plan(manifest, dest, num_shards=num_shards))
    write_manifest(dest / "train.tsv", dest, entries)
    return read_manifest(dest / "train.tsv")


def test_names_stay(tmp_path: Path) -> None:
    outside = sounds.write(tmp_path / "outside.wav", 500, seed=7)
    sounds.write(tmp_path / "audio" / "deep" / "é.wav", 600, seed=8)
    listed = (Entry("deep/é.wav", 600, 2), Entry(str(outside), 500, 3))
    first = packed(Manifest(tmp_path / "audio", listed, Path("train.tsv")), tmp_path / "first", 2)
    packed(first, tmp_path / "second", 1)
    assert names_in(tmp_path / "first") == names_in(tmp_path / "second") == ["deep/é.wav", "_/000000001.wav"]


def test_equal_names_of_two_archives_are_told_apart(tmp_path: Path) -> None:
    entries = []
    for folder, size in (("a", 500), ("b", 600)):
        one = packed(sounds.corpus(tmp_path / "audio" / folder, [size]), tmp_path / folder, 1)
        entries.append(Entry(one.full_path(one.entries[0]), size, 2))
    both = Manifest(tmp_path, tuple(entries), Path("train.tsv"))
    packed(both, tmp_path / "both", 1)
    assert names_in(tmp_path / "both") == ["0.wav", "_/000000001.wav"]


def test_a_container_that_is_no_zip_file_has_no_names(tmp_path: Path) -> None:
    data = sounds.write(tmp_path / "0.wav", 500).read_bytes()
    (tmp_path / "all.bin.zip").write_bytes(b"head" + data)
    entry = Entry(f"all.bin.zip:4:{len(data)}", 500, 2)
    packed(Manifest(tmp_path, (entry,), Path("train.tsv")), tmp_path / "packed", 1)
    assert names_in(tmp_path / "packed") == ["_/000000000"]
