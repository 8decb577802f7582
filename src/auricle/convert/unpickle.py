"""Pickles read as data: nothing is imported for them and nothing is called.

A pickle is a program for a small stack machine, two of whose instructions fetch any object of any Python
module and call it. This is that machine without those two. A name from the allow-list stands for itself
(`Global`); an instance made from it is a `StandIn` that keeps the arguments and the state it was given; the
few names that make plain data (ordered dictionaries, tensors) have builders here. A name that is not on the
list stops the reading. `pickletools` takes the instructions apart; it runs none.
"""

import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

from auricle.convert.literals import shortened
from auricle.convert.storages import STORAGE_DTYPES, DamagedError, Storage, StoredTensor

MAX_INSTRUCTIONS = 10_000_000
"""Each makes one object of 50 to 200 bytes; a dictionary of a million symbols takes some 6 million."""

MAX_CONTAINERS = 1_000_000
"""Lists, dictionaries, sets, tuples, instances; an empty set has 216 bytes. Real files have some 50,000."""

MAX_MEMO = 2_000_000
"""Things to be referred to by a number: one for each symbol of a dictionary."""

MAX_COPIES = 1_000_000
"""Items of containers that are made from other ones, which may be used any number of times."""

MAX_DEPTH = 1_000
"""Of unfinished containers inside one another; real files have some ten."""

MAX_INT_BITS = 256
"""Of a whole number; torch's own magic number has 77."""

MAX_STORAGE = 2**48
"""Elements of a storage; whether the file has room for them is checked besides."""

MAX_KEY = 2**60
"""Of a whole number as a key: below it no two have the same hash, so that none can be picked to collide."""

# These packages' classes of options are many: all their names are on the list.
_PACKAGES = ("fairseq", "omegaconf")

_DATA_NAMES = {
    "argparse": "Namespace",
    "builtins": "bool bytearray bytes complex dict float int list object str tuple",
    "typing": "Any Dict List Optional Sequence Tuple Union",
    "operator": "getitem",  # how the type List[int] is written down
    "pathlib": "Path PosixPath PurePosixPath",
    "numpy": "dtype ndarray",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "_codecs": "encode",  # how numpy's bytes are written down
    "torch": "device float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool",
}

# What names are called today that were others in older Pythons.
_RENAMED_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "_operator": "operator"}
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


FindStorage = Callable[[Any, str, int], Storage]
"""Finds a storage by its torch.dtype, its name and its number of elements."""


def unpickle(
    stream: BinaryIO, find_storage: FindStorage | None = None, *, max_instructions: int | None = None
) -> Any:
    """What the pickle at the stream's position holds; the stream is left behind its end.

    Args:
        stream: In memory, so that no instruction can ask for more bytes than there are.
        find_storage: For the references to storages outside the pickle; None where there are none.
        max_instructions: Of one that has to be short; MAX_INSTRUCTIONS by default.

    Returns:
        Plain Python data, with `StandIn` for instances of classes and `StoredTensor` for tensors.

    Raises:
        RefusedError: It names or calls something that is not on the list.
        ValueError, IndexError, KeyError, OverflowError, AssertionError: It is damaged.
    """
    return _Machine(find_storage).run(stream, max_instructions or MAX_INSTRUCTIONS)


class _Machine:
    """The stack machine. Containers under construction stand on the stack, cut up by marks."""

    def __init__(self, find_storage: FindStorage | None) -> None:
        self.find_storage = find_storage
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.num_containers = 0
        self.num_copies = 0

    def run(self, stream: BinaryIO, max_instructions: int) -> Any:
        """Follow the instructions up to the one that ends the pickle, and give what they leave."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count == max_instructions:
                raise DamagedError("its pickle is too long")
            if opcode.name == "STOP":
                break
            instruction = _INSTRUCTIONS.get(opcode.name)
            if instruction is None:
                raise RefusedError(f"holds the pickle instruction {opcode.name}, which no checkpoint needs")
            instruction(self, argument)
        return self.stack.pop()

    def push(self, value: Any) -> None:
        """Put data on the stack."""
        if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
            raise DamagedError("a number is too large")
        self.stack.append(value)

    def push_new(self, container: Any) -> None:
        """Put something on the stack that takes more memory than the instruction that makes it."""
        self.num_containers += 1
        if self.num_containers > MAX_CONTAINERS:
            raise DamagedError("it holds more containers than any checkpoint")
        self.stack.append(container)

    def mark(self, _: Any) -> None:
        """Begin a new stretch of the stack."""
        if len(self.marks) == MAX_DEPTH:
            raise DamagedError("it is nested too deep")
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        """Take everything since the last mark off the stack."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def discard(self, _: Any) -> None:
        """Take one thing off the stack, be it a mark."""
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def tuple_of(self, count: int) -> None:
        """Make a tuple of the topmost things."""
        if len(self.stack) < count:
            raise DamagedError("a tuple of nothing")
        self.push_new(tuple(self.stack.pop(position) for position in range(-count, 0)))

    def remember(self, index: int) -> None:
        """Keep the topmost thing under a number."""
        self.memo[index] = self.stack[-1]
        if len(self.memo) > MAX_MEMO:
            raise DamagedError("it remembers more than any checkpoint")

    def recall(self, index: int) -> None:
        """Push what was kept."""
        self.stack.append(self.memo[index])

    def extend(self, values: list[Any]) -> None:
        """Append to the topmost thing, a list."""
        if type(self.stack[-1]) is not list:
            raise DamagedError("something is appended to what is no list")
        self.stack[-1].extend(values)

    def update(self, keys_and_values: list[Any]) -> None:
        """Set keys of the topmost thing, a dictionary."""
        if type(self.stack[-1]) is not dict:
            raise DamagedError("a key is set in what is no dictionary")
        self.stack[-1].update(_dictionary(keys_and_values))

    def add(self, values: list[Any]) -> None:
        """Add to the topmost thing, a set."""
        if type(self.stack[-1]) is not set:
            raise DamagedError("something is added to what is no set")
        self.stack[-1].update(map(_key, values))

    def name(self, module_and_name: str) -> None:
        """GLOBAL."""
        module, _, name = module_and_name.partition(" ")
        self.stack.append(_allowed(module, name))

    def name_on_stack(self, _: Any) -> None:
        """STACK_GLOBAL."""
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise DamagedError("a name that is no text")
        self.stack.append(_allowed(module, name))

    def make(self, _: Any) -> None:
        """REDUCE and NEWOBJ: a class and a tuple of arguments."""
        args, target = self.stack.pop(), self.stack.pop()
        self.push_made(target, args)

    def push_made(self, target: object, args: object) -> None:
        """Put on the stack what a class makes of arguments."""
        if isinstance(args, tuple) and args and isinstance(args[0], list | tuple):
            self.num_copies += len(args[0])
        if self.num_copies > MAX_COPIES:
            raise DamagedError("it copies more than any checkpoint")
        self.push_new(_made(target, args))

    def make_with_keywords(self, _: Any) -> None:
        """NEWOBJ_EX."""
        if self.stack.pop() != {}:
            raise RefusedError("makes an object from keywords, which no checkpoint needs")
        self.make(None)

    def make_since_mark(self, _: Any) -> None:
        """OBJ: the class and its arguments stand after the mark."""
        target, *args = self.since_mark()
        self.push_made(target, tuple(args))

    def make_named(self, module_and_name: str) -> None:
        """INST: the class is named, its arguments stand after the mark."""
        args = self.since_mark()
        self.name(module_and_name)
        self.push_made(self.stack.pop(), tuple(args))

    def set_state(self, _: Any) -> None:
        """BUILD."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, StandIn):
            target.state = state
        elif type(target) is not dict:  # an ordered dictionary may have attributes, which nobody needs
            raise DamagedError("a state is set for what has none")

    def refer(self, _: Any) -> None:
        """BINPERSID: a storage, which stands outside the pickle."""
        identity = self.stack.pop()
        if isinstance(identity, tuple) and identity[5:] == (None,):  # views of a storage are of 2017
            identity = identity[:5]
        match identity:
            case ("storage", Global(name=kind), str(key), _, int(count)) if self.find_storage is not None:
                if kind not in STORAGE_DTYPES or not 0 <= count < MAX_STORAGE:
                    raise DamagedError("a storage of an unknown type or an impossible size")
                self.stack.append(self.find_storage(STORAGE_DTYPES[kind], key, count))
            case _:
                raise DamagedError("a reference to something other than a storage")


def _allowed(module: str, name: str) -> Global:
    module = _RENAMED_MODULES.get(module, module)
    found = Global(module, _RENAMED_BUILTINS.get(name, name) if module == "builtins" else name)
    if module.split(".")[0] in _PACKAGES or str(found) in _ALLOWED:
        return found
    raise RefusedError(f"asks for {shortened(str(found))}, which no checkpoint needs")


def _made(target: object, args: object) -> Any:
    if not isinstance(target, Global):
        raise RefusedError("calls something that is no class of a checkpoint")
    if type(args) is not tuple:
        raise DamagedError("arguments that are no tuple")
    builder = _BUILDERS.get(str(target))
    return StandIn(target, args) if builder is None else builder(args)


def _key(value: Any) -> Any:
    """`value` as a key, if it is of a type whose hash nobody can steer."""
    if value is None or isinstance(value, str | bytes | Global | StandIn):
        return value
    if isinstance(value, int) and abs(value) < MAX_KEY:
        return value
    raise DamagedError("a key that is neither text nor a number")


def _dictionary(keys_and_values: list[Any]) -> dict[Any, Any]:
    keys, values = keys_and_values[::2], keys_and_values[1::2]
    return {_key(key): value for key, value in zip(keys, values, strict=True)}


def _ordered_dictionary(args: tuple[Any, ...]) -> dict[Any, Any]:
    """Old Pythons give the items here, as pairs; newer ones set them one by one afterwards."""
    items = _items(args)
    if not all(isinstance(item, list | tuple) and len(item) == 2 for item in items):
        raise DamagedError("an ordered dictionary of something other than pairs")
    return {_key(key): value for key, value in items}


def _items(args: tuple[Any, ...]) -> Iterable[Any]:
    items = args[0] if args else ()
    if not isinstance(items, list | tuple):
        raise DamagedError("a container of something other than a list")
    return items


def _set(args: tuple[Any, ...]) -> set[Any]:
    return {_key(item) for item in _items(args)}


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
    "builtins.set": _set,
    "builtins.frozenset": _set,
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

_PUSHED = """INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING
    UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"""

# By `pickletools`' names. What is not here is refused: the registry of extensions (EXT1, EXT2, EXT4),
# references by text (PERSID) and buffers outside the pickle.
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(_PUSHED.split(), _Machine.push),
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push_new([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push_new({}),
    "EMPTY_SET": lambda machine, _: machine.push_new(set()),
    "LIST": lambda machine, _: machine.push_new(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.push_new(tuple(machine.since_mark())),
    "DICT": lambda machine, _: machine.push_new(_dictionary(machine.since_mark())),
    "FROZENSET": lambda machine, _: machine.push_new(_set((machine.since_mark(),))),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.since_mark()),
    "MARK": _Machine.mark,
    "POP": _Machine.discard,
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.remember),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.make,
    "NEWOBJ": _Machine.make,
    "NEWOBJ_EX": _Machine.make_with_keywords,
    "OBJ": _Machine.make_since_mark,
    "INST": _Machine.make_named,
    "BUILD": _Machine.set_state,
    "BINPERSID": _Machine.refer,
}
