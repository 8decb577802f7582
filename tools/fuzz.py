"""Lets coverage find bytes that break a reader: python tools/fuzz.py TARGET [libFuzzer's options].

For somebody's afternoon, not for the test suite: needs `pip install atheris`. Targets and what must hold of
them are in tests/attacks/targets.py; `-max_total_time=600` ends it after ten minutes, a file `crash-...` in
the current folder holds what broke.
"""

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
with atheris.instrument_imports(include=["auricle", "pickletools"]):
    from attacks.targets import TARGETS, seeds


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\nTargets: {', '.join(TARGETS)}")
    name = sys.argv.pop(1)
    with tempfile.TemporaryDirectory(prefix="auricle-fuzz-") as folder:
        place, corpus = Path(folder), Path(folder) / "corpus"
        corpus.mkdir()
        for number, content in enumerate(seeds(place)[name]):
            (corpus / f"seed-{number}").write_bytes(content)
        atheris.Setup([*sys.argv, str(corpus)], lambda content: TARGETS[name](content, place))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
