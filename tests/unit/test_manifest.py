"""Manifests and label files: read and written, searched for, dealt out."""

import os
from pathlib import Path

import pytest

import sounds
from auricle.errors import UserError
from auricle.manifest import (
    Entry,
    extensions_in,
    find,
    measure,
    read_labels,
    read_manifest,
    sample_counts,
    scan,
    split,
    write_manifest,
)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_read_and_write(tmp_path: Path) -> None:
    path = written(tmp_path / "train.tsv", "/root/folder\na/x.flac\t100\nb.zip:30:400\t7\n")
    manifest = read_manifest(path)
    assert manifest.root == Path("/root/folder") and manifest.source == path and len(manifest) == 2
    assert manifest.entries == (Entry("a/x.flac", 100, 2), Entry("b.zip:30:400", 7, 3))
    assert manifest.full_path(manifest.entries[0]) == "/root/folder/a/x.flac"
    write_manifest(tmp_path / "again.tsv", manifest.root, manifest.entries)
    assert (tmp_path / "again.tsv").read_text() == path.read_text()


def test_blank_lines_at_the_end_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path / "train.tsv", "/root\r\nx.wav\t5\r\n\r\n\r\n"))
    assert manifest.root == Path("/root") and manifest.entries == (Entry("x.wav", 5, 2),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"train.tsv:1: the first line has to be the root"),
        ("x.wav\t5\n", r"train.tsv:1: the first line has to be the root"),
        ("/r\nx.wav\n", r"train.tsv:2: expected 'path<TAB>number of samples', got 'x.wav'"),
        ("/r\nx.wav\t5\ty\n", r"train.tsv:2: expected"),
        ("/r\nx.wav\t5\nx.wav\tmany\n", r"train.tsv:3: expected"),
        ("/r\nx.wav\t-5\n", r"train.tsv:2: expected"),
        ("/r\n\nx.wav\t5\n", r"train.tsv:2: expected"),
        ("/r\n\t5\n", r"train.tsv:2: expected"),
        (f"/r\n{'x' * 5000}\n", r"train.tsv:2: expected .{100,200}$"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_manifest(written(tmp_path / "train.tsv", text))


def test_labels_have_the_manifests_number_of_lines(tmp_path: Path) -> None:
    manifest = sounds.listed(tmp_path, [1, 2, 3])
    labels = tmp_path / "train.ltr"
    assert read_labels(written(labels, "A |\n\nB |\n"), manifest) == ["A |", "", "B |"]
    assert read_labels(written(labels, "A |\n\n\n"), manifest) == ["A |", "", ""]
    assert read_labels(written(labels, "A |\nB |\nC |\n\n"), manifest) == ["A |", "B |", "C |"]
    for text, count in (("A |\nB |\n", 2), ("A |\nB |\nC |\nD |\n", 4)):
        with pytest.raises(UserError, match=f"train.ltr has {count} labels but .*train.tsv has 3 utterances"):
            read_labels(written(labels, text), manifest)


def test_search_is_deep_ordered_and_deaf_to_case(tmp_path: Path) -> None:
    for name in ("b/2.flac", "b/1.FLAC", "a/c/3.wav", "top.flac", ".hidden/4.flac", "b/._5.flac", "6.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find(tmp_path, ["flac"]) == ["b/1.FLAC", "b/2.flac", "top.flac"]
    assert find(tmp_path, [".wav", "FLAC"]) == ["a/c/3.wav", "b/1.FLAC", "b/2.flac", "top.flac"]
    assert find(tmp_path, ["flac"], "/b/") == ["b/1.FLAC", "b/2.flac"]
    assert extensions_in(tmp_path) == {".flac": 3, ".wav": 1, ".txt": 1}
    with pytest.raises(UserError, match="nowhere: no such folder"):
        find(tmp_path / "nowhere", ["flac"])


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.wav").touch()
    root = tmp_path / "root"
    root.mkdir()
    os.symlink(tmp_path / "outside", root / "link")
    os.symlink(root, root / "circle")
    assert find(root, ["wav"]) == ["link/x.wav"]


def test_scan_counts_samples_and_leaves_broken_files_out(tmp_path: Path) -> None:
    sounds.write(tmp_path / "a.wav", 321)
    sounds.write(tmp_path / "b.flac", 123, channels=2)
    sounds.write(tmp_path / "c.wav", 0)
    (tmp_path / "d.flac").touch()
    (tmp_path / "e.wav").write_text("not audio at all")
    sounds.write(tmp_path / "f\tg.wav", 10)
    entries, broken = scan(tmp_path, extensions=["wav", "flac"])
    assert entries == [Entry("a.wav", 321, 2), Entry("b.flac", 123, 3)]
    reasons = dict(broken)
    assert reasons["c.wav"] == "holds no samples"
    assert reasons["d.flac"] == "empty file"
    assert "corrupt, or not audio" in reasons["e.wav"]
    assert "tab" in reasons["f\tg.wav"]


def test_measuring_tells_of_every_file(tmp_path: Path) -> None:
    sounds.write(tmp_path / "a.wav", 5)
    done: list[int] = []
    measure(tmp_path, ["a.wav", "missing.wav"], on_progress=lambda: done.append(1))
    assert len(done) == 2


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    sounds.write(tmp_path / "x.wav", 77).rename(tmp_path / name)
    entries, _ = scan(tmp_path, extensions=["wav"])
    write_manifest(tmp_path / "train.tsv", tmp_path, entries)
    assert read_manifest(tmp_path / "train.tsv").entries == (Entry(name, 77, 2),)


def test_split_is_a_seeded_draw_an_entry() -> None:
    entries = [Entry(str(number), 1, number + 2) for number in range(200)]
    train, valid = split(entries, 0.25, 42)
    assert sorted([*train, *valid], key=lambda entry: entry.line) == entries
    assert 20 < len(valid) < 80
    assert split(entries, 0.25, 42) == (train, valid)
    assert split(entries, 0.25, 43) != (train, valid)
    assert split(entries, 0, 42) == (entries, [])
    assert split(entries, 1, 42) == ([], entries)


def test_sizes_at_the_wanted_rate(tmp_path: Path) -> None:
    manifest = sounds.corpus(tmp_path, [100, 200, 300])
    assert sample_counts(manifest, 16000) == [100, 200, 300]
    assert sample_counts(manifest, 8000) == [50, 100, 150]
    # one file of another rate among them: now every header counts
    sounds.write(tmp_path / "1.wav", 200, rate=48000)
    assert sample_counts(manifest, 16000) == [100, 67, 300]
    (tmp_path / "2.wav").unlink()
    assert sample_counts(manifest, 16000) == [100, 67, 300]


@pytest.mark.parametrize(
    "line", ["a.wav\t" + "9" * 5_000, "a.wav\t-1", "a.wav\t1e9", "x" * 10**6, "\t1", "a\t1\t2", "\0", "a\0\t"]
)
def test_hostile_lines_get_one_short_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "train.tsv").write_text(f"/root\n{line}\n")
    with pytest.raises(UserError, match=r"train\.tsv:2: ") as caught:
        read_manifest(tmp_path / "train.tsv")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
