"""Each family pre-trained for some hundred updates on real speech:

    python benchmarks/learn_families.py DATA DEST

DATA holds `train.tsv` and `valid.tsv`. Each run is stopped half-way with SIGTERM, goes on with the same
command, and is opened with `auricle.load` at its end. The table compares the first validation, after a tenth
of the updates, with the last: the loss of the prediction alone, in bits (chance is 4.83 for wav2vec 1.0, 3.46
for vq-wav2vec, 5.67 for wav2vec 2.0), accuracies, how many codebook entries are in use. Where codes are few,
many distractors equal the frame and count as beaten, so an accuracy may fall while the model learns.

wav2vec 1.0 and vq-wav2vec are started with fairseq's flat command lines, with an eighth of the published
channels. vq-wav2vec's differ in what makes 600 updates enough instead of 400,000: the choice among candidates
(--infonce), and for the Gumbel softmax latent features of half the published width and one layer
(--vq-depth 1), so that its first scores are large next to the noise: of two layers they are nearly equal.
Its diversity loss, of which the published line has none, keeps more codes in use; with ten times as much of
it, scores were nearly equal and nothing was predicted after 100 updates.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import auricle

CONVOLUTIONS = (
    "[(64, 10, 5), (64, 8, 4), (64, 4, 2), (64, 4, 2), (64, 4, 2), (64, 1, 1), (64, 1, 1), ({}, 1, 1)]"
)
AGGREGATOR = "[(64, 2, 1), (64, 3, 1), (64, 4, 1), (64, 5, 1), (64, 6, 1)]"
FLAT = [
    *("--num-workers", "0", "--no-epoch-checkpoints", "--arch", "wav2vec", "--task", "audio_pretraining"),
    *("--min-lr", "1e-06", "--stop-min-lr", "1e-09", "--optimizer", "adam", "--lr-scheduler", "cosine"),
    *("--conv-aggregator-layers", AGGREGATOR),
    *("--skip-connections-agg", "--residual-scale", "0.5"),
    *("--warmup-init-lr", "1e-07", "--criterion", "wav2vec", "--num-negatives", "10"),
    *("--prediction-steps", "12", "--min-sample-size", "16000"),
    *("--skip-invalid-size-inputs-valid-test", "--seed", "2"),
    *("--required-batch-size-multiple", "1", "--validate-interval", "0"),
]
QUANTIZED = [
    *("--infonce", "--activation", "gelu", "--offset", "auto", "--vq-groups", "2", "--combine-groups"),
    *("--max-sample-size", "24000", "--max-tokens", "120000"),
    *("--vq-vars", "64", "--log-keys", '["prob_perplexity","code_perplexity","temp"]'),
]
SMALL = ["--config-name", "small_pretrain", "dataset.max_tokens=240000"]
CONFORMER = [
    *SMALL,
    *("model.layer_type=conformer", "model.depthwise_conv_kernel_size=15", "--attn-type", "espnet"),
]
FAMILIES = {
    "wav2vec 1.0": [
        *(*FLAT, "--conv-feature-layers", CONVOLUTIONS.format(64), "--log-compression", "--lr", "0.003"),
        *("--max-sample-size", "48000", "--max-tokens", "240000"),
    ],
    "vq-wav2vec, Gumbel": [
        *(*FLAT, *QUANTIZED, "--lr", "0.001", "--vq-type", "gumbel", "--vq-depth", "1"),
        *("--conv-feature-layers", CONVOLUTIONS.format(256), "--vq-temp", "(2,0.5,0.995)"),
        *("--loss-weights", "[0.0002]"),
    ],
    "vq-wav2vec, k-means": [
        *(*FLAT, *QUANTIZED, "--lr", "0.001", "--vq-type", "kmeans", "--loss-weights", "[1]"),
        *("--conv-feature-layers", CONVOLUTIONS.format(64)),
    ],
    "wav2vec 2.0, Transformer": SMALL,
    "wav2vec 2.0, Conformer, relative positions": [*CONFORMER, "--pos-enc-type", "rel_pos"],
    "wav2vec 2.0, Conformer, rotary positions": [*CONFORMER, "--pos-enc-type", "rope"],
}


def run(data: Path, folder: Path, words: list[str], updates: int) -> list[dict[str, float]]:
    """Train, stop half-way, go on; gives the lines of validation."""
    every = max(1, updates // 10)
    command = [
        *(sys.executable, "-m", "auricle.cli.main", "train", str(data), *words),
        *("--save-dir", str(folder), f"optimization.max_update={updates}"),
        f"lr_scheduler.warmup_updates={updates // 12}",
        *(f"dataset.validate_interval_updates={every}", f"checkpoint.save_interval_updates={every}"),
        *("checkpoint.keep_interval_updates=1", "common.log_interval=20"),
    ]
    log = folder / "log.jsonl"
    with open(folder.with_name(f"{folder.name}.txt"), "w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        while process.poll() is None and (not log.exists() or last_update(log) < updates // 2):
            time.sleep(0.5)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait()
        subprocess.run(command, stdout=output, stderr=output, check=True)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["split"] == "valid"]


def last_update(log: Path) -> int:
    lines = log.read_text(encoding="utf-8").splitlines()
    return int(json.loads(lines[-1])["update"]) if lines and lines[-1].endswith("}") else 0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("data", type=Path)
    options.add_argument("dest", type=Path)
    options.add_argument("--updates", type=int, default=600)
    options.add_argument("--only", nargs="+", choices=FAMILIES, help="families")
    arguments = options.parse_args()
    arguments.dest.mkdir(parents=True, exist_ok=True)
    print(f"{arguments.updates} updates, threads: {os.environ.get('OMP_NUM_THREADS', os.cpu_count())}\n")
    print("| family | loss | accuracy | entries in use | minutes |\n|---|---|---|---|---|")
    for name in arguments.only or FAMILIES:
        started = time.monotonic()
        folder = arguments.dest / name.replace(",", "").replace(" ", "-")
        lines = run(arguments.data, folder, FAMILIES[name], arguments.updates)
        assert auricle.load(folder / "checkpoints" / "last").num_updates == arguments.updates
        first, last = lines[0], lines[-1]
        keys = ("loss_0" if "loss_0" in first else "loss", "accuracy", "code_perplexity")
        cells = [f"{first[key]:.3g} to {last[key]:.3g}" if key in first else "" for key in keys]
        minutes = (time.monotonic() - started) / 60
        print(f"| {name} | {' | '.join(cells)} | {minutes:.1f} |", flush=True)


if __name__ == "__main__":
    main()
