"""What the sdist and the wheel hold, and that the wheel works from where it is installed."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "auricle"


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel made from it."""
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel alone, installed in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder, wheel, cwd=folder)
    return folder


def test_the_wheel_holds_the_whole_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        "auricle/" + path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert {"auricle/py.typed", "auricle/demo/COPYRIGHT", "auricle/demo/LICENSES/CC-BY-3.0.txt"} <= names
    assert any(name.startswith("auricle/recipes/") and name.endswith(".yaml") for name in names)
    assert any(name.endswith(".opus") for name in names)


def test_the_metadata_names_the_licences_and_carries_their_texts(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        licences = {Path(name).name for name in archive.namelist() if "/licenses/" in name}
    assert "License-Expression: MIT AND CC-BY-SA-3.0 AND CC-BY-3.0" in text
    assert {"LICENSE", "COPYRIGHT", "CC-BY-SA-3.0.txt", "CC-BY-3.0.txt"} <= licences


def test_the_sdist_holds_what_is_needed_to_build_and_test(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "constraints.txt", "tests/golden_subset/w2v2_base/case.json"} <= names
    assert not any(name.startswith((".venv", ".git/")) for name in names)


def test_the_wheel_alone_finds_its_recipes_and_its_speech(installed: Path) -> None:
    code = (
        "import auricle, pathlib, importlib.resources as r;"
        "root = pathlib.Path(str(r.files('auricle')));"
        "print(root); print(auricle.__version__, len(list((root / 'demo').rglob('*.opus'))))"
    )
    root, counts = run("-c", code, cwd=installed.parent, PYTHONPATH=str(installed)).splitlines()
    assert Path(root) == installed / "auricle"
    assert counts == "0.1.0 625"


def test_the_wheel_alone_trains_and_transcribes(installed: Path, tmp_path: Path) -> None:
    def auricle(*words: str | Path) -> str:
        return run("-m", "auricle.cli.main", *words, cwd=tmp_path, PYTHONPATH=str(installed))

    demo = installed / "auricle" / "demo"
    rows = [(demo / f"en_{part}.tsv").read_text(encoding="utf-8") for part in ("train", "test")]
    table = tmp_path / "transcripts.tsv"
    table.write_text(rows[0] + rows[1].partition("\n")[2], encoding="utf-8")
    english = ["--ext", "opus", "--path-must-contain", "/audio/en/", "--valid-percent", "0.05"]
    auricle("manifest", demo, "--dest", "data", *english)
    for subset in ("train", "valid"):
        auricle("labels", table, "--manifest", f"data/{subset}.tsv", "--output-dir", "data")
    tiny = ["model.w2v_args.model.encoder_layers=1", "dataset.max_tokens=200000"]
    auricle("train", "data", "--config-name", "small_ctc", "optimization.max_update=2", *tiny)
    text = auricle("transcribe", demo / "audio" / "en" / "added.opus", "--model", "runs/small_ctc")
    assert text.endswith("\n")
