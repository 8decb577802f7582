"""What `auricle featurize` and `auricle tokenize` write, against what fairseq made of the same samples."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from torch import Tensor

from auricle.cli.main import main
from golden import golden_cases, load_case, scalar

CODES = golden_cases(where=lambda meta: {"source", "idx"} <= meta["arrays"].keys())
# The recurrent aggregator runs over the wrong axis in fairseq, and over time here (docs/padding.md).
CONTEXTS = golden_cases(
    where=lambda meta: "c" in meta["arrays"] and meta["config"]["model"].get("aggregator") != "gru"
)
# Recorded from samples as they are: the command would normalise them for a model that says so.
LAYERS = golden_cases(
    where=lambda meta: (
        "nopad.layers" in meta["arrays"]
        and meta["config"]["model"].get("layer_type", "transformer") == "transformer"
        and not meta["config"]["task"]["normalize"]
    ),
)


def recordings(folder: Path, source: Tensor) -> None:
    """Rows of samples as files that hold them exactly."""
    (folder / "train").mkdir(parents=True)
    for number, row in enumerate(source):
        soundfile.write(folder / "train" / f"{number}.wav", row.numpy(), 16000, subtype="FLOAT")


def featurize(folder: Path, case: Path, *words: str) -> list[NDArray[np.float32]]:
    """The files of fairseq's layout, read as [N, C]."""
    model, output = str(case / "checkpoint.pt"), folder / "_".join(["out", *words])
    line = ["featurize", "--input", str(folder), "--output", str(output), "--model", model]
    assert main([*line, "--split", "train", "--device", "cpu", *words]) == 0
    arrays = []
    for path in sorted(output.rglob("*.h5context")):
        with h5py.File(path) as file:
            _, frames, channels = map(int, file["info"][:])
            assert file["features"].dtype == np.float32
            arrays.append(file["features"][:].reshape(frames, channels))
    return arrays


@pytest.mark.parametrize("case", CODES)
def test_codes(case: Path, tmp_path: Path) -> None:
    _, arrays = load_case(case)
    recordings(tmp_path, arrays["source"])
    words = [
        "tokenize",
        "--data-dir",
        str(tmp_path),
        "--output-dir",
        str(tmp_path / "out"),
        "--splits",
        "train",
    ]
    words += ["--extension", "wav", "--checkpoint", str(case / "checkpoint.pt"), "--device", "cpu"]
    assert main(words) == 0
    lines = (tmp_path / "out" / "train.src").read_text().splitlines()
    codes = [[[int(code) for code in token.split("-")] for token in line.split()] for line in lines]
    assert codes == arrays["idx"].tolist()


@pytest.mark.parametrize("words", [[], ["--use-feat"]], ids=["c", "z"])
@pytest.mark.parametrize("case", CONTEXTS)
def test_contexts_and_latent_features(case: Path, words: list[str], tmp_path: Path) -> None:
    _, arrays = load_case(case)
    recordings(tmp_path, arrays["source"])
    expected = arrays["z" if words else "c"].transpose(1, 2).numpy()
    for ours, recorded in zip(featurize(tmp_path, case, *words), expected, strict=True):
        np.testing.assert_allclose(ours, recorded, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("case", LAYERS)
def test_layers(case: Path, tmp_path: Path) -> None:
    meta, arrays = load_case(case)
    recordings(tmp_path, arrays["source"][:, : scalar(meta, "nopad_samples")])
    layers, last = arrays["nopad.layers"].permute(1, 2, 0, 3).flatten(2), len(arrays["nopad.layers"]) - 1
    for words, expected in [
        (["--layer", "all"], layers),
        (["--layer", str(last)], arrays["nopad.layers"][last]),
        ([], arrays["nopad.x"]),
        (["--use-feat"], arrays["nopad.features"]),
    ]:
        for ours, recorded in zip(featurize(tmp_path, case, *words), expected.numpy(), strict=True):
            np.testing.assert_allclose(ours, recorded, rtol=1e-4, atol=2e-5)
