"""Small corpora of noise with manifests and labels, and recipes for models that train on them in a second."""

from pathlib import Path

import numpy as np

from recognisers import LETTERS, write_speech

TINY = [
    "conv_feature_layers='[(8, 10, 5)] + [(8, 3, 2)] * 2 + [(8, 2, 2)]'",
    "encoder_layers=1",
    "encoder_embed_dim=16",
    "encoder_ffn_embed_dim=24",
    "encoder_attention_heads=2",
    "conv_pos=4",
    "conv_pos_groups=2",
]
TINY_RUN = ["dataset.num_workers=0", "dataset.max_tokens=24000", "optimization.max_update=2"]
TINY_PRETRAINING = [
    *(f"model.{change}" for change in TINY),
    *("model.final_dim=8", "model.latent_vars=4", "task.min_sample_size=2000", *TINY_RUN),
]
TINY_CTC = [*(f"model.w2v_args.model.{change}" for change in TINY), *TINY_RUN]


def write_corpus(folder: Path, *, num_utterances: int = 6) -> Path:
    """A corpus with the subsets train and valid, labels and dictionary; of a second or less each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for subset in ("train", "valid"):
        lines, labels = [str(folder)], []
        for i in range(num_utterances):
            path = write_speech(folder / f"{subset}{i}.wav", rng.uniform(0.3, 1.0), seed=i)
            lines.append(f"{path.name}\t{(path.stat().st_size - 44) // 2}")
            labels.append(" ".join([*rng.choice(LETTERS[1:], size=4), "|"]))
        (folder / f"{subset}.tsv").write_text("\n".join(lines) + "\n")
        (folder / f"{subset}.ltr").write_text("\n".join(labels) + "\n")
    (folder / "dict.ltr.txt").write_text("".join(f"{letter} 1\n" for letter in LETTERS))
    return folder
