"""Copies the committed subset of the golden data: ``python tools/make_golden_subset.py GOLDEN_FOLDER``.

Arrays are copied as they are. To stay under 2 MB, case.json loses its white space and checkpoint.pt its
optimizer state (two thirds of its size: `last_optimizer_state` becomes None).
Only for files of your own making: it unpickles them.
"""

import json
import shutil
import sys
import types
from pathlib import Path

import torch

CASES = {
    "ctc_base": ["checkpoint_legacy.pt", "dict.ltr.txt"],
    "ctc_large_blank": ["dict.ltr.txt"],
    "data_pipeline": ["train.tsv"],
    "lr_schedules": [],
    "mask_indices": [],
    "train_ctc_12": ["init.safetensors", "dict.ltr.txt"],
    "train_pretrain_20": ["init.safetensors"],
    "w2v2_base": [],
    "w2v2_large": [],
}
SUBSET = Path(__file__).parents[1] / "tests" / "golden_subset"


class Dictionary:
    """Stands for fairseq's class of this name while a fine-tuned checkpoint is rewritten."""


def pretend_fairseq() -> None:
    """Makes pickle find the class above under fairseq's name, and so write that name again."""
    for name in ("fairseq", "fairseq.data", "fairseq.data.dictionary"):
        sys.modules[name] = types.ModuleType(name)
    Dictionary.__module__ = "fairseq.data.dictionary"
    sys.modules["fairseq.data.dictionary"].Dictionary = Dictionary


def copy_case(source: Path, target: Path, extra: list[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in ["arrays.safetensors", *extra]:
        shutil.copyfile(source / name, target / name)
    case = json.loads((source / "case.json").read_text(encoding="utf-8"))
    (target / "case.json").write_text(json.dumps(case, separators=(",", ":")) + "\n", encoding="utf-8")
    checkpoint = source / "checkpoint.pt"
    if not checkpoint.exists():
        return
    content = torch.load(checkpoint, weights_only=False)
    content["last_optimizer_state"] = None
    torch.save(content, target / checkpoint.name)


def main() -> None:
    golden = Path(sys.argv[1])
    pretend_fairseq()
    for name, extra in CASES.items():
        copy_case(golden / name, SUBSET / name, extra)
    size = sum(path.stat().st_size for path in SUBSET.rglob("*") if path.is_file())
    print(f"{len(CASES)} cases, {size / 1e6:.2f} MB in {SUBSET}")


if __name__ == "__main__":
    main()
