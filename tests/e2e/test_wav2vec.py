"""wav2vec 1.0 and vq-wav2vec on real speech, with fairseq's flat command lines: trained, resumed, opened."""

import csv
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

import auricle
from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.config.overrides import Flag, sort_words
from auricle.errors import UserError
from tiny_runs import assert_same_weights

DEMO = Path(str(files("auricle"))) / "demo"
CONVOLUTIONS = (
    "[(12, 10, 5), (12, 8, 4), (12, 4, 2), (12, 4, 2), (12, 4, 2), (12, 1, 1), (12, 1, 1), (12, 1, 1)]"
)
WAV2VEC = [
    *("--no-epoch-checkpoints", "--fp16", "--cpu", "--arch", "wav2vec", "--task", "audio_pretraining"),
    *("--min-lr", "1e-06", "--stop-min-lr", "1e-09", "--optimizer", "adam", "--lr", "0.01"),
    *("--lr-scheduler", "cosine", "--conv-feature-layers", CONVOLUTIONS),
    *("--conv-aggregator-layers", "[(12, 2, 1), (12, 3, 1)]", "--skip-connections-agg"),
    *("--residual-scale", "0.5", "--log-compression", "--warmup-updates", "2", "--warmup-init-lr", "1e-07"),
    *("--criterion", "wav2vec", "--num-negatives", "5", "--max-sample-size", "16000"),
    *("--min-sample-size", "12000", "--max-tokens", "64000", "--required-batch-size-multiple", "1"),
    *("--skip-invalid-size-inputs-valid-test", "--max-update", "30", "--log-interval", "1", "--seed", "2"),
]
VQ = [
    *WAV2VEC,
    *("--activation", "gelu", "--offset", "auto", "--vq-groups", "2", "--vq-depth", "2", "--combine-groups"),
    *("--vq-vars", "20", "--vq-temp", "(2,0.5,0.9)", "--prediction-steps", "4"),
    *("--log-keys", '["prob_perplexity","code_perplexity","temp"]', "--cross-sample-negatives", "1"),
]
LINES = {
    "wav2vec": WAV2VEC,
    "gumbel": [*VQ, "--vq-type", "gumbel", "--loss-weights", "[0.1]"],
    "kmeans": [*VQ, "--vq-type", "kmeans", "--loss-weights", "[1]", "--infonce", "--lr", "0.003"],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    with open(DEMO / "unlabelled.tsv", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t") if int(row["samples"]) >= 16000]
    for subset, chosen in (("train", rows[:10]), ("valid", rows[10:12])):
        lines = [f"{row['path']}\t{row['samples']}\n" for row in chosen]
        (folder / f"{subset}.tsv").write_text(f"{DEMO}\n" + "".join(lines))
    return folder


def train(corpus: Path, folder: Path, kind: str, *flags: str) -> list[dict[str, Any]]:
    """A run; gives its lines of the training log."""
    words = sort_words([*LINES[kind], "--save-dir", str(folder), *flags])
    recipe = load_recipe(None, flags=(*words.flags, Flag("data", str(corpus))))
    build_run(recipe).run()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == "train"]


@pytest.mark.parametrize("kind", LINES)
def test_a_run_learns_resumes_and_opens(corpus: Path, tmp_path: Path, kind: str) -> None:
    lines = train(corpus, tmp_path / "whole", kind)
    losses = [line["loss"] for line in lines]
    assert len(losses) == 30 and sum(losses[-5:]) < 0.97 * sum(losses[:5])
    if kind != "wav2vec":
        assert all(1.99 < line["code_perplexity"] <= 40 for line in lines)
        assert lines[-1]["code_perplexity"] > 3  # two groups of one code each would be 2
    if kind == "gumbel":
        assert lines[0]["temp"] == 2.0 and lines[10]["temp"] == pytest.approx(2.0 * 0.9**10, rel=1e-3)
        assert 20 < lines[-1]["prob_perplexity"] <= 40
    if kind == "kmeans":
        assert lines[-1]["kmeans_loss"] < lines[0]["kmeans_loss"]
        assert lines[-1]["accuracy"] > lines[0]["accuracy"]

    train(corpus, tmp_path / "parts", kind, "--stop-time-hours", "1e-9")
    partial = auricle.load(tmp_path / "parts")
    assert 0 < partial.num_updates < 30
    train(corpus, tmp_path / "parts", kind)
    whole, resumed = (auricle.load(tmp_path / run / "checkpoints" / "last") for run in ("whole", "parts"))
    assert whole.num_updates == resumed.num_updates == 30
    assert_same_weights(whole.model.state_dict(), resumed.model.state_dict())

    model = whole.model
    with torch.no_grad():
        z = model.feature_extractor(torch.randn(1, 10000))
        assert z.shape == (1, 12, 60)
        if kind != "wav2vec":
            z, codes = model.vector_quantizer.forward_idx(z)
            assert codes.shape == (1, 60, 2)
        assert model.feature_aggregator(z).shape == (1, 12, 60)


def test_padding_instead_of_cropping(corpus: Path, tmp_path: Path) -> None:
    lines = train(corpus, tmp_path / "run", "gumbel", "--enable-padding", "--max-update", "3")
    assert len(lines) == 3 and all(line["loss"] > 0 for line in lines)


def test_more_weights_than_penalties(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one penalty at most"):
        train(corpus, tmp_path / "run", "gumbel", "--loss-weights", "[1, 2]")
