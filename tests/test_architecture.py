"""The boundaries of the package, as tables that are held against every file of it.

A test that fails here either found a shortcut to take back, or a decision to write down: change the table
together with a page in docs/decisions.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "auricle"
FILES = sorted(SOURCE.rglob("*.py"))

# Small modules that know nothing of speech: everyone may import them.
LEAVES = {"errors", "textfile", "files", "literal"}
SOUND_AND_TEXT = {"audio", "pipe", "manifest", "dictionary", "masking"}
NETWORKS = {"models", "losses"}
MIDDLE = SOUND_AND_TEXT | NETWORKS
USES = {"data", "decode"}
PROGRAMS = {"convert", "train", "extract", "report"}

# Layer (a folder or a module under auricle): what of the package it may import besides itself and the leaves,
# and which libraries besides the standard one.
TABLE: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), set()),
    "literal": (set(), set()),
    "textfile": (set(), set()),
    "files": (set(), {"numpy", "torch", "safetensors"}),
    "media": (set(), {"numpy", "av"}),
    "audio": ({"media"}, {"numpy", "torch", "soundfile", "soxr"}),
    "pipe": ({"audio"}, {"numpy", "torch", "sounddevice"}),
    "manifest": ({"audio"}, {"numpy", "torch", "pyarrow", "fsspec"}),
    "dictionary": (set(), {"numpy", "torch"}),
    "zoo": (set(), set()),
    "masking": (set(), {"numpy", "torch"}),
    "models": (NETWORKS, {"torch", "transformers"}),
    "losses": (NETWORKS, {"torch"}),
    "data": (MIDDLE, {"numpy", "torch", "phonemizer", "espeakng_loader", "phonetisaurus"}),
    "decode": (MIDDLE, {"numpy", "torch", "jiwer", "flashlight", "kenlm"}),
    "convert": (MIDDLE | USES | {"zoo"}, {"numpy", "torch", "safetensors"}),
    "train": (MIDDLE | USES | {"convert"}, {"numpy", "torch", "safetensors", "tensorboard", "rich"}),
    "extract": (MIDDLE | USES | {"convert"}, {"numpy", "torch", "safetensors", "h5py", "pyarrow"}),
    "report": (MIDDLE | USES, {"numpy", "torch", "jiwer", "matplotlib", "PIL"}),
    "config": (MIDDLE | USES | PROGRAMS, {"numpy", "torch", "omegaconf", "hydra", "yaml"}),
    "cli": (MIDDLE | USES | PROGRAMS | {"config", "zoo"}, {"numpy", "torch", "rich", "typer", "submitit"}),
    "__init__": ({"convert", "decode"}, {"torch"}),
}

# What only one file may import or call, wherever its layer stands.
ONLY_IN = {
    "torch.distributed": "train/engine.py",
    "torch_xla": "train/engine.py",
    "pickle": "convert/unpickle.py",
    "flashlight": "decode/lexicon.py",
    "kenlm": "decode/lexicon.py",
    "onnx": "convert/onnx_file.py",
    "onnxruntime": "decode/backend.py",
    "openvino": "decode/backend.py",
    "phonemizer": "data/phonemes.py",
    "phonetisaurus": "data/phonemes.py",
}
# What runs or unpickles what it reads.
NOWHERE = {
    *("eval", "exec", "compile", "__import__"),
    *("torch.load", "numpy.load", "np.load", "marshal", "shelve", "dill", "yaml.load", "yaml.safe_load"),
}

LONGEST_FILE, LONGEST_FUNCTION = 400, 60


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """The dotted name of everything imported: `from a import b` counts as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def used_names(tree: ast.AST) -> Iterator[str]:
    """The dotted name of every import, and of everything used as a.b.c or called as f()."""
    yield from imports(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            yield ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def is_under(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_stay_within_the_layer(path: Path) -> None:
    layer = layer_of(path)
    assert layer in TABLE, f"{name_of(path)}: give the new layer a line in TABLE"
    inside, libraries = TABLE[layer]
    for name in imports(parse(path)):
        top, _, rest = name.partition(".")
        if top == "auricle":
            assert rest.split(".")[0] in inside | LEAVES | {layer}, f"{name_of(path)} may not import {name}"
        elif top not in sys.stdlib_module_names:
            assert top in libraries, f"{name_of(path)} may not import {name}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_dangerous_and_bound_names_stay_where_they_belong(path: Path) -> None:
    for name in used_names(parse(path)):
        assert not any(is_under(name, forbidden) for forbidden in NOWHERE), f"{name_of(path)} uses {name}"
        for bound, home in ONLY_IN.items():
            assert not is_under(name, bound) or name_of(path) == home, f"{name} belongs in {home}"


@pytest.mark.parametrize("path", [path for path in FILES if layer_of(path) == "models"], ids=name_of)
def test_models_are_built_from_parts_not_probed(path: Path) -> None:
    assert "hasattr" not in set(used_names(parse(path)))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # A command's signature is its table of options: there, the body alone is code.
            first = node.body[0].lineno if layer_of(path) == "cli" else node.lineno
            length = (node.end_lineno or first) - first + 1
            assert length <= LONGEST_FUNCTION, f"{name_of(path)}:{node.lineno} {node.name} has {length} lines"


def test_no_import_cycles() -> None:
    """Counted are imports that run with the module's own: none in functions or under TYPE_CHECKING."""
    modules = {"auricle." + name_of(path).removesuffix(".py").replace("/", "."): path for path in FILES}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        statements = [node for node in parse(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = set(imports(ast.Module(statements, [])))
        graph[module] = ((names | {name.rpartition(".")[0] for name in names}) & modules.keys()) - {module}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import torch.distributed as dist", "torch.distributed"),
        ("from torch import distributed", "torch.distributed"),
        ("from torch.distributed import all_reduce", "torch.distributed"),
        ("import torch\ntorch.distributed.barrier()", "torch.distributed"),
        ("def f():\n    import pickle", "pickle"),
        ("x = eval('1')", "eval"),
        ("hasattr(x, 'y')", "hasattr"),
    ],
)
def test_the_reader_of_this_file_sees_every_way_to_use_a_name(code: str, name: str) -> None:
    assert any(is_under(used, name) for used in used_names(ast.parse(code)))


def test_nothing_imports_the_command_line() -> None:
    assert all("cli" not in inside for inside, _ in TABLE.values())


def test_the_package_is_marked_as_typed() -> None:
    assert (SOURCE / "py.typed").exists()
