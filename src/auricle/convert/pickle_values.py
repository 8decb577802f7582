"""What the names in a pickle stand for here: plain data, stand-ins, or nothing at all.

A name from the allow-list stands for itself (`Global`); an instance made from it is a `StandIn` that keeps
the arguments and the state it was given; the few names that make plain data (ordered dictionaries, tensors)
have builders. A name that is not on the list stops the reading.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from auricle.convert.literals import shortened
from auricle.convert.storages import STORAGE_DTYPES, DamagedError, StoredTensor

MAX_KEY = 2**60
"""Of a whole number as a key: below it no two have the same hash, so that none can be picked to collide."""

MAX_TEXT = 4_096
"""Characters of a key or of a name: text of megabytes, compared a million times, would take hours."""

# These packages' classes of options are many: all their names are on the list.
_PACKAGES = ("fairseq", "omegaconf")

_DATA_NAMES = {
    "argparse": "Namespace",
    "builtins": "bool bytearray bytes complex dict float int list object str tuple",
    "typing": "Any Dict List Optional Sequence Tuple Union",
    "operator": "getitem",  # how the type List[int] is written down
    "pathlib": "Path PosixPath PurePosixPath PureWindowsPath WindowsPath",
    "numpy": "dtype ndarray",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "_codecs": "encode",  # how numpy's bytes are written down
    "torch": "device float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool",
}

# What names are called that were or are others in some Pythons; pathlib's in 3.13.
_RENAMED_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "_operator": "operator",
    "pathlib._local": "pathlib",
}
_RENAMED_BUILTINS = {"long": "int", "unicode": "str"}


class RefusedError(Exception):
    """The pickle asks for something that is not on the list."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name in a pickle; what it named where the pickle was written is unknown here."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class StandIn:
    """What a pickle holds of an instance of some class.

    Attributes:
        kind: The class's name.
        args: What it was made with.
        state: Its attributes, as a rule a dictionary.
    """

    kind: Global
    args: tuple[Any, ...]
    state: Any = None


def allowed(module: str, name: str) -> Global:
    """A name, if it is on the list.

    Raises:
        RefusedError: It is not.
    """
    if len(module) + len(name) > MAX_TEXT:
        raise RefusedError(f"asks for {shortened(module)}, a name longer than any")
    module = _RENAMED_MODULES.get(module, module)
    found = Global(module, _RENAMED_BUILTINS.get(name, name) if module == "builtins" else name)
    if module.split(".")[0] in _PACKAGES or str(found) in _ALLOWED:
        return found
    raise RefusedError(f"asks for {shortened(str(found))}, which no checkpoint needs")


def made(target: object, args: object) -> Any:
    """What a name makes of arguments: plain data, where it has a builder, else a stand-in.

    Raises:
        RefusedError: It is no name.
        DamagedError: The arguments are none of its.
    """
    if not isinstance(target, Global):
        raise RefusedError("calls something that is no class of a checkpoint")
    if type(args) is not tuple:
        raise DamagedError("arguments that are no tuple")
    builder = _BUILDERS.get(str(target))
    return StandIn(target, args) if builder is None else builder(args)


def key_of(value: Any) -> Any:
    """`value` as a key, if it is of a type whose hash nobody can steer."""
    if value is None or isinstance(value, Global | StandIn):
        return value
    if isinstance(value, str | bytes):
        if len(value) > MAX_TEXT:
            raise DamagedError("a key longer than any")
        return value
    if isinstance(value, int) and abs(value) < MAX_KEY:
        return value
    raise DamagedError("a key that is neither text nor a number")


def dictionary_of(keys_and_values: list[Any]) -> dict[Any, Any]:
    """Of keys and values that take turns."""
    keys, values = keys_and_values[::2], keys_and_values[1::2]
    return {key_of(key): value for key, value in zip(keys, values, strict=True)}


def _ordered_dictionary(args: tuple[Any, ...]) -> dict[Any, Any]:
    """Old Pythons give the items here, as pairs; newer ones set them one by one afterwards."""
    items = _items(args)
    if not all(isinstance(item, list | tuple) and len(item) == 2 for item in items):
        raise DamagedError("an ordered dictionary of something other than pairs")
    return {key_of(key): value for key, value in items}


def _items(args: tuple[Any, ...]) -> Iterable[Any]:
    items = args[0] if args else ()
    if not isinstance(items, list | tuple):
        raise DamagedError("a container of something other than a list")
    return items


def set_of(args: tuple[Any, ...]) -> set[Any]:
    """Of the items of the first argument."""
    return {key_of(item) for item in _items(args)}


def _tensor(args: tuple[Any, ...]) -> StoredTensor:
    if len(args) < 4:
        raise DamagedError("a tensor without a shape")
    return StoredTensor.checked(*args[:4])


def _parameter(args: tuple[Any, ...]) -> StoredTensor:
    if not args or not isinstance(args[0], StoredTensor):
        raise DamagedError("a parameter without a tensor")
    return args[0]


def _instance(args: tuple[Any, ...]) -> StandIn:
    """How protocols 0 and 1 make an object: its class is the first argument."""
    if not args or not isinstance(args[0], Global):
        raise DamagedError("an object without a class")
    return StandIn(args[0], ())


_BUILDERS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _ordered_dictionary,
    "collections.defaultdict": lambda args: {},
    "builtins.set": set_of,
    "builtins.frozenset": set_of,
    "torch.Size": lambda args: tuple(_items(args)),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "copyreg._reconstructor": _instance,
}

_ALLOWED = frozenset(
    {f"{module}.{name}" for module, names in _DATA_NAMES.items() for name in names.split()}
    | {f"{module}.{name}" for module in ("torch", "torch.cuda", "torch.storage") for name in STORAGE_DTYPES}
    | _BUILDERS.keys()
)
