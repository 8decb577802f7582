"""How much of a corpus pre-training hears: batches cropped to the shortest clip, and padded ones.

    python benchmarks/audio_used.py MANIFEST.tsv ...

Counts only: no audio is read but headers. Batches are those of the recipe wav2vec2_base_librispeech
(1.4 million samples, clips cropped to 250,000), over three epochs.
"""

import argparse
from pathlib import Path

import numpy as np

from auricle.data import BatchLoader, SpeechDataset
from auricle.manifest import read_manifest


def audio_used(loader: BatchLoader, sizes: np.ndarray, longest: int, *, pad: bool, epochs: int = 3) -> str:
    whole = heard = filled = 0
    for epoch in range(1, epochs + 1):
        for batch in loader.batches(epoch):
            mine = sizes[batch]
            width = min(int(mine.max() if pad else mine.min()), longest)
            whole += int(mine.sum())
            heard += int(np.minimum(mine, width).sum())
            filled += width * len(batch)
    return f"{heard / whole:6.1%} of the audio heard, {1 - heard / filled:5.1%} of the batches padding"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("--max-tokens", type=int, default=1_400_000)
    parser.add_argument("--max-sample-size", type=int, default=250_000)
    options = parser.parse_args()
    for path in options.manifests:
        longest = options.max_sample_size
        dataset = SpeechDataset(read_manifest(path), max_sample_size=longest, min_sample_size=2000)
        print(f"{path}: {len(dataset)} clips, {dataset.sizes.sum() / 16000 / 3600:.2f} h")
        for pad in (False, True):
            loader = BatchLoader(dataset, max_tokens=options.max_tokens, pad=pad)
            used = audio_used(loader, dataset.sizes, longest, pad=pad)
            print(f"  {'padded' if pad else 'cropped':8} {used}")


if __name__ == "__main__":
    main()
