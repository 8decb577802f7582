"""The worked example: audio, codes, a RoBERTa over them, features: what docs/codes.md describes runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import auricle
from auricle.models.roberta import Roberta

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "codes_to_features.py"


@pytest.mark.slow
def test_from_speech_to_features_of_codes(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = [sys.executable, EXAMPLE, "all", "--quick", "--updates", "3"]
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "features of 12 clips" in done.stdout
    loaded = auricle.load(tmp_path / "all" / "roberta")
    assert isinstance(loaded.model, Roberta) and loaded.num_updates == 3 and loaded.dictionary is not None
    lines = (tmp_path / "all" / "codes" / "valid.src").read_text().splitlines()
    features = load_file(tmp_path / "all" / "features.safetensors")
    assert len(lines) == len(features) == 12
    for number, line in enumerate(lines):
        codes = loaded.dictionary.encode(line, unknown="unk")
        tokens = torch.cat([torch.tensor([0]), codes, torch.tensor([2])])[None]
        with torch.no_grad():
            expected = loaded.model.extract_features(tokens)[0, 1:-1]
        assert features[str(number)].shape == (len(line.split()), 128)
        torch.testing.assert_close(features[str(number)], expected)
