"""Embeddings and codes of real speech, from the commands: batched, killed, gone on with, and read again."""

import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import auricle
from auricle import audio
from auricle.cli.main import main
from auricle.convert.own import write_model
from auricle.dictionary import Dictionary
from auricle.models.build import build_model
from auricle.models.config import ModelConfig
from tiny_runs import CONFIG
from wav2vec_models import LAYOUTS

SPEECH = Path(str(files("auricle"))) / "demo" / "audio" / "en"
CONFIGS: dict[str, ModelConfig] = {"w2v2": CONFIG, "plain": LAYOUTS["plain"], "vq": LAYOUTS["gumbel"]}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models, and manifests of the bundled English recordings, with one more that is broken."""
    monkeypatch.chdir(tmp_path)
    for name, config in CONFIGS.items():
        torch.manual_seed(1)
        Path(name).mkdir()
        write_model(Path(name), build_model(config), config, None, {})
    assert main(["manifest", str(SPEECH), "--ext", "opus", "--dest", "data", "--valid-percent", "0.05"]) == 0
    Path("junk.opus").write_text("junk")
    with open("data/valid.tsv", "a") as manifest:
        manifest.write(f"{Path('junk.opus').absolute()}\t16000\n")


def samples_of(split: str) -> list[Path]:
    root, *lines = Path(f"data/{split}.tsv").read_text().splitlines()
    return [Path(root, line.split("\t")[0]) for line in lines]


@pytest.mark.parametrize("name", CONFIGS)
def test_embeddings_of_a_corpus_are_those_of_each_recording(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["featurize", "--input", "data", "--split", "valid", "--model", name, "--device", "cpu"]
    assert main([*words, "--output", "out"]) == 0
    assert "set aside" in capsys.readouterr().err
    *recordings, _ = samples_of("valid")
    assert len(list(Path("out/valid").rglob("*.h5context"))) == len(recordings) > 10
    for path in recordings:
        key = path.relative_to(SPEECH).with_suffix("")
        assert main(["featurize", str(path), "-o", "alone", "--model", name, "--device", "cpu"]) == 0
        with (
            h5py.File(f"out/valid/{key}.h5context") as batched,
            h5py.File(f"alone/{path.stem}.h5context") as alone,
        ):
            np.testing.assert_array_equal(batched["info"], alone["info"])
            np.testing.assert_allclose(batched["features"], alone["features"], rtol=1e-4, atol=2e-5)


def test_a_killed_run_of_tokens_goes_on_to_the_same_file() -> None:
    lines = Path("data/train.tsv").read_text().splitlines(keepends=True)
    Path("data/train.tsv").write_text("".join(lines[:100]))
    words = ["--data-dir", "data", "--checkpoint", "vq", "--splits", "train", "valid", "--extension", "tsv"]
    command = ["tokenize", *words, "--device", "cpu", "--max-tokens", "60000"]
    assert main([*command, "--output-dir", "whole"]) == 0
    partial = Path("killed/train.src.partial")
    program = [sys.executable, "-m", "auricle.cli.main", *command, "--output-dir", "killed"]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (partial.exists() and partial.stat().st_size):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not os.path.exists("killed/train.src")
    assert main([*command, "--output-dir", "killed"]) == 0
    for name in ("train.src", "valid.src", "dict.txt"):
        assert Path("killed", name).read_bytes() == Path("whole", name).read_bytes()
    assert not list(Path("killed").glob("*.partial"))

    lines = Path("whole/valid.src").read_text().splitlines()
    assert len(lines) == len(samples_of("valid")) and lines[-1] == "" and all(lines[:-1])
    dictionary = Dictionary.load("whole/dict.txt")
    assert len(dictionary) > 8 and not dictionary.unknown_symbols(Path("whole/train.src").read_text())


def test_codes_are_those_of_the_snippet() -> None:
    assert main(["tokenize", "data/valid.tsv", "-o", "out", "--model", "vq", "--device", "cpu"]) == 0
    model = auricle.load("vq").model
    for path, line in zip(samples_of("valid"), Path("out/valid.src").read_text().splitlines(), strict=True):
        if path.name == "junk.opus":
            continue
        with torch.no_grad():
            z = model.feature_extractor(audio.read(path).samples[None])
            _, codes = model.vector_quantizer.forward_idx(z)
        assert line == " ".join(f"{first}-{second}" for first, second in codes[0].tolist())
