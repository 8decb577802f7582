import os
from pathlib import Path

import pytest

from auricle.errors import UserError
from auricle.extract.clips import Clip, check_unique, clips_in, key_of
from auricle.manifest import write_manifest
from sounds import corpus


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("a.wav", "a"),
        ("19/198/19-198-0001.flac", "19/198/19-198-0001"),
        ("a.b.wav", "a.b"),
        ("without", "without"),
        ("/etc/x.wav", "etc/x"),
        ("../../x.wav", "x"),
        ("a/../../x.wav", "a/x"),
        ("..", "clip"),
        ("x/all.zip:120:4000", "x/all/120_4000"),
        ("ALL.ZIP:1:2", "ALL/1_2"),
    ],
)
def test_a_key_stays_below_the_output_folder(path: str, key: str) -> None:
    assert key_of(path) == key


def test_a_manifest_a_folder_and_a_file_are_the_same_recordings(tmp_path: Path) -> None:
    manifest = corpus(tmp_path / "in", [800, 900])
    write_manifest(tmp_path / "m.tsv", manifest.root, manifest.entries)
    folder = str(tmp_path / "in")
    expected = [Clip("0", os.path.join(folder, "0.wav")), Clip("1", os.path.join(folder, "1.wav"))]
    assert clips_in(str(tmp_path / "m.tsv"), ["wav"]) == expected
    assert clips_in(folder, ["wav"]) == expected
    assert clips_in(expected[0].path, ["flac"]) == expected[:1]


def test_slices_of_archives(tmp_path: Path) -> None:
    (tmp_path / "ALL.ZIP").write_bytes(b"")
    assert clips_in(f"{tmp_path}/ALL.ZIP:1:2", []) == [Clip("ALL/1_2", f"{tmp_path}/ALL.ZIP:1:2")]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    corpus(tmp_path, [800])
    (tmp_path / "m.tsv").write_text("/root\n")
    with pytest.raises(UserError, match=r"nothing: no such file or folder"):
        clips_in("nothing", ["wav"])
    with pytest.raises(UserError, match=r"none\.zip:1:2: no such file"):
        clips_in("none.zip:1:2", ["wav"])
    with pytest.raises(UserError, match=r"no \.flac or \.mp3 file \(found by extension: .*1 \.wav"):
        clips_in(str(tmp_path), ["flac", ".mp3"])
    with pytest.raises(UserError, match=r"m\.tsv: lists no recordings"):
        clips_in(str(tmp_path / "m.tsv"), ["wav"])
    (tmp_path / "m.tsv").write_text("/not/there\n0.wav\t800\n")
    with pytest.raises(UserError, match=r"m\.tsv:1: there is no folder /not/there"):
        clips_in(str(tmp_path / "m.tsv"), ["wav"])
    (tmp_path / "m.tsv").write_text(f"/not/there\n{tmp_path}/0.wav\t800\n")
    assert [clip.path for clip in clips_in(str(tmp_path / "m.tsv"), ["wav"])] == [f"{tmp_path}/0.wav"]


def test_two_recordings_for_one_place_are_refused() -> None:
    check_unique([Clip("a", "a.wav"), Clip("b", "b.wav"), Clip("a", "".join(["a", ".wav"]))])
    with pytest.raises(UserError, match=r"x/a\.wav and x/a\.flac would both be written as a: .*--ext"):
        check_unique([Clip("a", "x/a.wav"), Clip("a", "x/a.flac")])
