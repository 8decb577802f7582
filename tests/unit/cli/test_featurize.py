import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.cli.main import main
from auricle.convert.loaded import Loaded
from recognisers import tiny_recogniser
from sounds import corpus, write
from wav2vec_models import LAYOUTS, model_of

RECOGNISER = tiny_recogniser()
WAV2VEC = Loaded(model_of(LAYOUTS["plain"]), None, LAYOUTS["plain"], 0, Path("wav2vec.pt"))


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "auricle.convert.load.load", lambda path, **options: WAV2VEC if "wav2vec" in str(path) else RECOGNISER
    )
    monkeypatch.chdir(tmp_path)


def run(*words: object, model: str = "m") -> int:
    return main(["featurize", *map(str, words), "--model", model, "--device", "cpu"])


def names(folder: str) -> list[str]:
    root = Path(folder)
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_the_command_line_of_fairseq(capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "valid", "test"):
        corpus(Path("W") / split, [900, 1200])
        (Path("W") / split / "0.txt").write_text(f"hello {split}")
        write(Path("W") / split / "0.flac", 900)
    words = "--input W --output O --split train valid test"
    assert run(*words.split(), model="wav2vec.pt") == 0
    each = ["0.h5context", "0.txt", "1.h5context", "featurize.json"]
    assert names("O") == sorted(f"{split}/{name}" for split in ("train", "valid", "test") for name in each)
    assert Path("O/valid/0.txt").read_text() == "hello valid"
    assert capsys.readouterr().out == "O: 6 files written, 0 were there\n"


def test_the_other_words_of_fairseq() -> None:
    corpus(Path("W/train"), [900], extension="flac")
    Path("W/train/0.txt").write_text("hello")
    words = "-i W -o O --split train --ext flac --no-copy-labels --use-feat"
    assert run(*words.split(), model="wav2vec.pt") == 0
    assert names("O") == ["train/0.h5context", "train/featurize.json"]


def test_a_split_may_be_a_manifest() -> None:
    corpus(Path("W/audio/deep"), [900, 1200])
    Path("W/train.tsv").write_text("W/audio\ndeep/0.wav\t900\ndeep/1.wav\t1200\n")
    assert run("--input", "W", "--output", "O", "--split", "train", "--format", "npy") == 0
    assert names("O") == ["train/deep/0.npy", "train/deep/1.npy", "train/featurize.json"]


def test_files_folders_manifests_and_slices(capsys: pytest.CaptureFixture[str]) -> None:
    corpus(Path("folder/deep"), [900])
    write(Path("x.flac"), 1000)
    corpus(Path("listed"), [1200])
    Path("m.tsv").write_text("listed\n0.wav\t1200\n")
    data = Path("x.flac").read_bytes()
    Path("all.zip").write_bytes(b"head" + data)
    words = ["folder", "x.flac", "m.tsv", f"all.zip:4:{len(data)}"]
    assert run(*words, "-o", "O", "--format", "npy") == 0
    assert names("O") == ["0.npy", f"all/4_{len(data)}.npy", "deep/0.npy", "featurize.json", "x.npy"]
    np.testing.assert_array_equal(np.load("O/x.npy"), np.load(f"O/all/4_{len(data)}.npy"))
    assert run(*words, "-o", "O", "--format", "npy") == 0
    assert capsys.readouterr().out.endswith("O: 0 files written, 4 were there\n")


def test_layers_and_weights() -> None:
    write(Path("x.wav"), 1000)
    Path("w.txt").write_text("0.5\n")
    for name, words in {
        "layer": ["--layer", "0"],
        "all": ["--layer", "all"],
        "weights": ["--layer-weights", "0.5"],
        "file": ["--layer-weights", "w.txt"],
    }.items():
        assert run("x.wav", "-o", name, "--format", "npy", *words) == 0
    layer, each, weights, file = (np.load(f"{name}/x.npy") for name in ("layer", "all", "weights", "file"))
    assert layer.shape == (24, 16) and each.shape == (1, 24, 16)
    np.testing.assert_array_equal(layer, each[0])
    np.testing.assert_array_equal(weights, file)
    np.testing.assert_allclose(weights, 0.5 * layer, rtol=1e-6)


def test_runs_that_share_the_work() -> None:
    corpus(Path("in"), [900, 1000, 1100, 1200, 1300])
    for shard in (0, 1):
        words = ["--shard", shard, "--num-shards", 2, "--format", "safetensors"]
        assert run("in", "-o", "O", *words) == 0
    assert names("O") == ["featurize.json", "shard000-00000.safetensors", "shard001-00000.safetensors"]


def test_what_cannot_be_used_is_counted_and_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    corpus(Path("in"), [900, 50])
    assert run("in", "-o", "O") == 0
    out, err = capsys.readouterr()
    assert out == "O: 1 files written, 0 were there\n"
    assert "1.wav: too short: 50 samples" in err and "1 files were set aside, see above" in err


def keep_nothing() -> None:
    shutil.rmtree("in")
    corpus(Path("in"), [50])


def twins() -> None:
    soundfile.write("in/0.flac", np.zeros(900), 16000)


MISTAKES: dict[str, tuple[str, Callable[[], object], str]] = {
    "nothing to read": ("-o O", dict, "give files, folders or manifests"),
    "path": ("inn -o O", dict, "inn: no such file or folder"),
    "folder without audio": (
        "in -o O --ext flac",
        dict,
        r"in: no \.flac file \(found by extension: 2 \.wav\)",
    ),
    "split without input": ("--split train -o O", dict, "--split needs one --input"),
    "no such split": ("--input in --split dev -o O", dict, r"neither a folder in/dev nor a manifest in/dev"),
    "twins": ("in -o O", twins, r"in/0\.\w+ and in/0\.\w+ would both be written as 0: .*--ext"),
    "nothing usable": ("in -o O", keep_nothing, "none of the 1 files can be used"),
    "output": ("in -o in/0.wav", dict, "in/0.wav: cannot be made"),
    "layer": ("in -o O --layer last", dict, "--layer last: give a number from 0, or all"),
    "layer that is not there": ("in -o O --layer 9", dict, "--layer 9: this model has the layers 0 to 0"),
    "weights": ("in -o O --layer-weights 1,x", dict, "could not convert string to float: 'x'.*with commas"),
    "no weights": ("in -o O --layer-weights ,", dict, "there are none"),
    "shard": ("in -o O --shard 2 --num-shards 2", dict, "--shard 2: .* there are 0 to 1"),
    "half a shard": ("in -o O --shard 2", dict, "--shard and --num-shards go together"),
    "gpu": ("in -o O --gpu 99", dict, "--device cuda:99 cannot be used here"),
    "format": ("in -o O --format mat", dict, "'mat'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, spoil, message = MISTAKES[name]
    corpus(Path("in"), [900, 1000])
    spoil()
    assert run(*words.split()) == 2
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert out == "" and last.startswith("auricle: ")
    assert re.search(message, last), last
