"""Codes of speech, a RoBERTa over them, its features: the road of vq-wav2vec, in small, on bundled speech.

    python examples/codes_to_features.py [FOLDER] [--updates N] [--quick]

Writes FOLDER (codes_demo): manifests, the run of a small vq-wav2vec, its codes as text, the run of a small
RoBERTa over them, and the features of the held-out clips. Every step is a command that goes on where it was
interrupted. docs/codes.md explains it and has the numbers.
"""

import argparse
import csv
import math
import subprocess
from collections import Counter
from importlib.resources import files
from pathlib import Path

import torch

import auricle
from auricle.files import write_tensors

DEMO = Path(str(files("auricle"))) / "demo"
SUBSETS = {"train": ("en_train.tsv", "unlabelled.tsv"), "valid": ("en_test.tsv",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("codes_demo"))
    parser.add_argument("--updates", type=int, help="of each training; by default, what the recipes say")
    parser.add_argument("--quick", action="store_true", help="a few clips, to see that everything works")
    options = parser.parse_args()
    speech, codes = options.folder / "speech", options.folder / "codes"
    vq, roberta = options.folder / "vq_wav2vec", options.folder / "roberta"
    limit = [] if options.updates is None else ["--max-update", str(options.updates)]

    write_manifests(speech, num_clips=12 if options.quick else None)
    run("train", speech, "--config-name", "small_vq_wav2vec", "--save-dir", vq, *limit)
    run(
        *("tokenize", "--data-dir", speech, "--output-dir", codes, "--checkpoint", vq),
        *("--split", "train", "valid", "--extension", "tsv"),
    )
    run("train", codes, "--config-name", "small_code_roberta", "--save-dir", roberta, *limit)
    print(f"a code by itself, guessed by its frequency: ppl {unigram_perplexity(codes):.1f}")
    features = code_features(roberta, codes / "valid.src")
    write_tensors(options.folder / "features.safetensors", features)
    first = features["0"]
    print(f"features of {len(features)} clips; the first: {len(first)} frames of {first.shape[1]} channels")


def run(*words: object) -> None:
    """One command of the package, shown before it runs."""
    print("+ auricle", *words, flush=True)
    subprocess.run(["auricle", *map(str, words)], check=True)


def write_manifests(folder: Path, num_clips: int | None) -> None:
    """Manifests of the speech in the package: one speaker a language, five languages, 24 minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    for subset, tables in SUBSETS.items():
        rows: list[dict[str, str]] = []
        for table in tables:
            with open(DEMO / table, encoding="utf-8") as stream:
                rows += csv.DictReader(stream, delimiter="\t")
        lines = [f"{row['path']}\t{row['samples']}\n" for row in rows[:num_clips]]
        (folder / f"{subset}.tsv").write_text(f"{DEMO}\n" + "".join(lines), encoding="utf-8")


def unigram_perplexity(codes: Path) -> float:
    """Of the held-out codes, where each is guessed by how often it was seen in training (add-one)."""
    train, valid = (
        (codes / f"{subset}.src").read_text(encoding="utf-8").split() for subset in ("train", "valid")
    )
    seen, vocabulary = Counter(train), {*train, *valid}
    bits = sum(-math.log2((seen[code] + 1) / (len(train) + len(vocabulary))) for code in valid)
    return float(2 ** (bits / len(valid)))


@torch.no_grad()
def code_features(run: Path, path: Path) -> dict[str, torch.Tensor]:
    """What RoBERTa makes of each line of codes: float32 [frames, C], without those of <s> and </s>."""
    loaded = auricle.load(run)
    model, dictionary = loaded.model.eval(), loaded.dictionary
    assert dictionary is not None
    features = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        symbols = dictionary.encode(line, unknown="unk")
        if len(symbols):
            tokens = torch.cat([torch.tensor([0]), symbols, torch.tensor([2])])[None]
            features[str(number)] = model.extract_features(tokens)[0, 1:-1].contiguous()
    return features


if __name__ == "__main__":
    main()
