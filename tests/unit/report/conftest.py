"""Run and evaluation folders as training and decoding leave them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch

from auricle import audio

Lines = Sequence[Mapping[str, object] | str]


def json_lines(path: Path, lines: Lines) -> None:
    """Objects as JSON, and texts (damaged lines) as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def pretraining_log(num_lines: int = 40) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for update in range(1, num_lines + 1):
        values = {"loss": 6.0 - update / 20, "accuracy": update / 100, "code_perplexity": 10.0 + update}
        values |= {"prob_perplexity": 12.0 + update, "loss_0": 5.0, "loss_1": 0.5, "temp": 2.0}
        values |= {"lr": 1e-4 * update, "grad_norm": 3.0 + update % 3, "audio_seconds_per_second": 70.0}
        lines.append({"update": update, "split": "train", "wall_seconds": 9.0 * update, **values})
        if update % 10 == 0:
            lines.append(
                {
                    "update": update,
                    "split": "valid",
                    "wall_seconds": 9.0 * update,
                    "loss": 5.0,
                    "accuracy": 0.5,
                }
            )
    return lines


def finetuning_log(best_wer: float = 20.0) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for update in range(10, 110, 10):
        train = {"loss": 900.0 / update, "lr": 1e-3, "grad_norm": 2.0, "audio_seconds_per_second": 60.0}
        lines.append({"update": update, "split": "train", "wall_seconds": 5.0 * update, **train})
        valid = {"loss": 1000.0 / update, "wer": best_wer + 100 - update, "uer": 110.0 - update}
        lines.append({"update": update, "split": "valid", "wall_seconds": 5.0 * update, **valid})
    return lines


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, lines: Lines, recipe: str | None = "model:\n  _name: wav2vec2\n") -> Path:
        folder = tmp_path / name
        json_lines(folder / "log.jsonl", lines)
        if recipe is not None:
            (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def make_evaluation() -> Callable[..., Path]:
    def make(folder: Path, utterances: Lines, **summary: object) -> Path:
        json_lines(folder / "utterances.jsonl", utterances)
        rates: dict[str, object] = {
            "wer": 25.0,
            "cer": 12.5,
            "uer": 12.0,
            "num_utterances": 4,
            "num_words": 12,
        }
        rates |= {"audio_seconds": 90.0, "wall_seconds": 3.0, "decoder": "viterbi", **summary}
        (folder / "summary.json").write_text(json.dumps(rates), encoding="utf-8")
        return folder

    return make


def utterance(
    number: int, reference: str, hypothesis: str, word_errors: int, path: str = ""
) -> dict[str, object]:
    texts = {"id": number, "path": path, "reference": reference, "hypothesis": hypothesis}
    return {**texts, "word_errors": word_errors, "num_words": len(reference.split())}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Half a second of a tone that rises, at 16 kHz."""
    time = torch.arange(8000) / 16000
    samples = 0.3 * torch.sin(2 * torch.pi * (300 + 2000 * time) * time)
    data, media_type = audio.encode(audio.Waveform(samples, 16000))
    path = tmp_path / ("clip.ogg" if media_type == "audio/ogg" else "clip.flac")
    path.write_bytes(data)
    return path
