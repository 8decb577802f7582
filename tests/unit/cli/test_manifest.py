"""``auricle manifest`` from the command line."""

from pathlib import Path

import pytest

import sounds
from auricle.cli.main import main
from auricle.manifest import read_manifest


@pytest.fixture
def waves(tmp_path: Path) -> Path:
    for number in range(30):
        sounds.write(tmp_path / "waves" / f"{number:02}.wav", 100 + number)
    sounds.write(tmp_path / "waves" / "more" / "30.flac", 50)
    return tmp_path / "waves"


def test_writes_both_parts(waves: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dest = tmp_path / "new" / "folder"
    assert main(["manifest", str(waves), "--dest", str(dest), "--ext", "wav", "--valid-percent", "0.3"]) == 0
    train, valid = (read_manifest(dest / f"{name}.tsv") for name in ("train", "valid"))
    assert train.root == valid.root == waves.resolve()
    sizes = {entry.path: entry.num_samples for entry in (*train.entries, *valid.entries)}
    assert sizes == {f"{number:02}.wav": 100 + number for number in range(30)}
    said = capsys.readouterr()
    assert f"{len(valid)} files" in said.out and said.err == ""


@pytest.mark.parametrize("extensions", [["--ext", "wav,flac"], ["--ext", "wav", "--ext", ".flac"]])
def test_several_extensions_and_no_valid_part(waves: Path, tmp_path: Path, extensions: list[str]) -> None:
    assert main(["manifest", str(waves), "--dest", str(tmp_path), "--valid-percent", "0", *extensions]) == 0
    assert len(read_manifest(tmp_path / "train.tsv")) == 31
    assert not (tmp_path / "valid.tsv").exists()


def test_flac_is_the_default_and_paths_can_be_chosen(waves: Path, tmp_path: Path) -> None:
    sounds.write(waves / "other.flac", 9)
    line = ["manifest", str(waves), "--dest", str(tmp_path), "--valid-percent", "0"]
    assert main([*line, "--path-must-contain", "/more/"]) == 0
    assert [entry.path for entry in read_manifest(tmp_path / "train.tsv").entries] == ["more/30.flac"]


def test_broken_files_are_named_and_left_out(
    waves: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (waves / "07.wav").write_bytes(b"")
    (waves / "08.wav").write_text("not sound")
    line = ["manifest", str(waves), "--dest", str(tmp_path), "--ext", "wav", "--valid-percent", "0"]
    assert main(line) == 0
    assert len(read_manifest(tmp_path / "train.tsv")) == 28
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"left out {waves / '07.wav'}: empty file"
    assert said[1].startswith(f"left out {waves / '08.wav'}: ") and said[2] == "2 files were left out"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (
            ["waves", "--ext", "mp3"],
            "no .mp3 file under waves (found by extension: 30 .wav, 1 .flac): see --ext",
        ),
        (["waves", "--path-must-contain", "zzz"], "no .flac file with 'zzz' in its path under waves"),
        (["waves", "--valid-percent", "3"], "--valid-percent"),
    ],
)
def test_mistakes_are_one_line(
    waves: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(waves.parent)
    assert main(["manifest", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_nothing_usable_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.flac").touch()
    assert main(["manifest", str(tmp_path), "--dest", str(tmp_path)]) == 2
    assert "none of the 1 files" in capsys.readouterr().err
    assert not (tmp_path / "train.tsv").exists()
