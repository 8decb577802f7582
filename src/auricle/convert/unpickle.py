"""Pickles read as data: nothing is imported for them and nothing is called.

A pickle is a program for a small stack machine, two of whose instructions fetch any object of any Python
module and call it. This is that machine without those two: `pickle_values` says what names stand for here.
`pickletools` takes the instructions apart; it runs none.
"""

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO

from auricle.convert.pickle_values import (
    MAX_TEXT,
    Global,
    RefusedError,
    StandIn,
    allowed,
    dictionary_of,
    key_of,
    made,
    set_of,
)
from auricle.convert.storages import STORAGE_DTYPES, DamagedError, Storage

__all__ = ["Global", "RefusedError", "StandIn", "unpickle"]

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
        self.stack[-1].update(dictionary_of(keys_and_values))

    def add(self, values: list[Any]) -> None:
        """Add to the topmost thing, a set."""
        if type(self.stack[-1]) is not set:
            raise DamagedError("something is added to what is no set")
        self.stack[-1].update(map(key_of, values))

    def name(self, module_and_name: str) -> None:
        """GLOBAL."""
        module, _, name = module_and_name.partition(" ")
        self.stack.append(allowed(module, name))

    def name_on_stack(self, _: Any) -> None:
        """STACK_GLOBAL."""
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise DamagedError("a name that is no text")
        self.stack.append(allowed(module, name))

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
        self.push_new(made(target, args))

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
                if kind not in STORAGE_DTYPES or not 0 <= count < MAX_STORAGE or len(key) > MAX_TEXT:
                    raise DamagedError("a storage of an unknown type or an impossible size")
                self.stack.append(self.find_storage(STORAGE_DTYPES[kind], key, count))
            case _:
                raise DamagedError("a reference to something other than a storage")


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
    "DICT": lambda machine, _: machine.push_new(dictionary_of(machine.since_mark())),
    "FROZENSET": lambda machine, _: machine.push_new(set_of((machine.since_mark(),))),
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
