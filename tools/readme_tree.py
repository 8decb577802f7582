"""Rewrites the tree in README.md from the files' own first lines: ``python tools/readme_tree.py``.

With ``--check`` it only says whether the tree is up to date. Python files are described by the first line of
their docstring; what has none is described here.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "auricle"
START, END = "<!-- tree -->\n```text\n", "```\n<!-- /tree -->"

# Folders, in the order of the tree, which is that of the pipeline.
FOLDERS = {
    "": "",
    "models": "networks: built from parts, knowing nothing of files, recipes or losses",
    "data": "from a manifest to batches",
    "train": "from batches to checkpoints",
    "decode": "from emissions to words and error rates",
    "convert": "checkpoints of others and our own",
    "report": "the page of a run",
    "config": "recipes and overrides",
    "recipes": "fairseq's recipes by name, and small ones of our own (.yaml)",
    "cli": "one file a command",
    "demo": "real speech in five languages, under its own licences",
}
REST = {
    "tests/": "unit/ mirrors src; property/, parity/, known_issues/, attacks/, e2e/, docs/",
    "docs/": "one page per mechanism; decisions/ says why",
    "benchmarks/": "what measures speed and learning",
    "examples/": "short programs",
    "tools/": "what made the demo's speech, the golden subset and this tree",
}
PIPELINE = (
    *("__init__", "errors", "textfile", "files", "media", "audio", "pipe"),
    *("manifest", "dictionary", "masking", "losses"),
)


def summary(path: Path) -> str:
    """The first line of a file's docstring, for a line of the tree."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].replace("``", "`").rstrip(".")


def python_files(folder: str) -> list[Path]:
    """The folder's files, those of the package itself in the order of the pipeline; no empty __init__.py."""
    files = sorted(path for path in (PACKAGE / folder).glob("*.py") if path.stat().st_size)
    return files if folder else sorted(files, key=lambda path: PIPELINE.index(path.stem))


def rows() -> Iterator[tuple[str, str]]:
    """Each line of the tree: name, indented, and description."""
    yield "src/auricle/", ""
    for folder, description in FOLDERS.items():
        if folder:
            yield f"  {folder}/", description
        indent = "    " if folder else "  "
        yield from ((f"{indent}{path.name}", summary(path)) for path in python_files(folder))
    # git knows no empty folders: one that is empty here is absent in a clone.
    yield from (row for row in REST.items() if any((REPOSITORY / row[0]).glob("*.*")))


def tree() -> str:
    """The tree, with the descriptions in one column."""
    lines = list(rows())
    width = max(len(name) for name, _ in lines) + 2
    return "".join(f"{name:<{width}}{description}".rstrip() + "\n" for name, description in lines)


def main() -> int:
    """Writes the tree, or compares it."""
    readme = REPOSITORY / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    updated = before + START + tree() + END + after
    if "--check" in sys.argv:
        if updated != text:
            print("the tree in README.md is out of date: run `python tools/readme_tree.py`", file=sys.stderr)
        return int(updated != text)
    readme.write_text(updated, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
