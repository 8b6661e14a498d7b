"""Reads the data of a pickle and runs none of it.

A pickle is a program for a stack machine that may call any function. This machine
knows plain values, containers, and the few calls its user gives it a meaning for; a
name of anything else is kept as a name, and what it would make as `Unknown`. The
format's own parser, `pickletools.genops` of the standard library, splits the program
into instructions; it executes nothing either.

A few bytes of program can stand for a large value, so every instruction is charged
for the memory and the time it takes, before it takes them where that can be, and a
pickle of more than `MAX_MEMORY` is refused.
"""

import dataclasses
import io
import pickletools
import sys

MAX_MEMORY = 1 << 26  # bytes of one pickle, and of all that comes of it
INSTRUCTION = 32  # bytes that a value takes beside itself, on the stack and in a list
ENTRY = 128  # bytes of an entry of a dict, of a set or of the memo
# Numbers can be chosen so that as keys they collide, and each costs a look at all
# before it; the hashes of texts are Python's secret.
MAX_NUMBERS, LARGEST_NUMBER = 1 << 15, 1 << 60
NUMBERS = (int, float)
PLAIN_KEYS = (str, bytes, type(None), *NUMBERS)
LONGEST_NAME = 1000  # characters
# Modules of Python 3 and 2: what they are called for is in `PYTHON`, or no data.
STANDARD_LIBRARY = sys.stdlib_module_names | {"__builtin__", "commands", "copy_reg"}

# The instructions whose argument is the value to push.
PUSH = {
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
STORE = {"PUT", "BINPUT", "LONG_BINPUT"}
FETCH = {"GET", "BINGET", "LONG_BINGET"}
NOTHING = {"PROTO", "FRAME", "STOP"}


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """A function or class the pickle refers to, never looked up."""

    path: str


@dataclasses.dataclass(slots=True)
class Unknown:
    """An object of a class that means nothing here; its contents are dropped.

    Attributes:
        path: What was to make it.
        is_module: Whether it is a module of PyTorch, pickled with its code's name.
    """

    path: str
    is_module: bool = dataclasses.field(default=False, compare=False)


def read(source, calls, persistent=None, limit=MAX_MEMORY):
    """The value of one pickle.

    Args:
        source: Bytes, or an open binary file, which is left behind the pickle's end.
        calls: Dotted name -> function of the arguments: calls that have a meaning
            here, beside those of Python's own containers.
        persistent: Function of a persistent id, or `None` where there must be none.
        limit: The bytes that the pickle, and that its value, may have.

    Returns:
        Plain values and containers, what `calls` and `persistent` gave, and `Name`
        and `Unknown` for the rest. Entries of dicts and sets whose key is neither are
        left out.

    Raises:
        ValueError: If it is no whole pickle, is too large, or calls functions of
            Python's own library that do not make data, as an attack would.
    """
    machine = _Machine(calls, persistent, limit)
    source = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        for opcode, argument, _ in pickletools.genops(_Bounded(source, limit)):
            machine.step(opcode.name, argument)
        (value,) = machine.stack
    except (AttributeError, IndexError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"it is no whole pickle ({error!r})") from None
    return value


class _Bounded:
    """A file of which a parser can read so many bytes."""

    def __init__(self, file, limit):
        self.file, self.left = file, limit

    def read(self, size):
        self.left -= size
        if self.left < 0:
            raise ValueError("its pickle is too large")
        return self.file.read(size)

    def readline(self):
        line = self.file.readline(self.left + 1)
        self.left -= len(line)
        if self.left < 0:
            raise ValueError("its pickle is too large")
        return line


class _Machine:
    def __init__(self, calls, persistent, limit):
        self.stack, self.marked, self.memo = [], [], {}
        self.calls, self.persistent = calls, persistent
        self.left, self.numbers = limit, 0

    def spend(self, size):
        self.left -= size
        if self.left < 0:
            raise ValueError("the values in its pickle are too large")

    def push(self, value):
        self.spend(sys.getsizeof(value))
        self.stack.append(value)

    def step(self, opcode, argument):
        self.spend(INSTRUCTION)
        if opcode in PUSH:
            self.push(argument)
        elif opcode in STORE:
            self._store(argument)
        elif opcode in FETCH:
            self.stack.append(self.memo[str(argument)])
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in EMPTY:
            self.push(EMPTY[opcode]())
        elif opcode in TUPLES:
            items = self.stack[-TUPLES[opcode] :]
            del self.stack[-TUPLES[opcode] :]
            self.push(tuple(items))
        elif opcode not in NOTHING:
            instruction = getattr(self, f"_{opcode.lower()}", None)
            if instruction is None:
                raise ValueError(f"it holds the instruction {opcode}")
            instruction(argument)

    def _store(self, place):
        self.spend(ENTRY)
        self.memo[str(place)] = self.stack[-1]

    def _memoize(self, _):
        self._store(len(self.memo))

    def _mark(self, _):
        self.marked.append(self.stack)
        self.stack = []
        self.spend(sys.getsizeof(self.stack))

    def _pop_to_mark(self):
        items, self.stack = self.stack, self.marked.pop()
        return items

    def _pop(self, _):
        self.stack.pop() if self.stack else self._pop_to_mark()

    def _pop_mark(self, _):
        self._pop_to_mark()

    def _tuple(self, _):
        self.push(tuple(self._pop_to_mark()))

    def _list(self, _):
        self.push(self._pop_to_mark())

    def _frozenset(self, _):
        self.push(self.filled(frozenset, self._pop_to_mark()))

    def _dict(self, _):
        items = self._pop_to_mark()
        self.push({})
        self._set(items)

    def _append(self, _):
        self._extend([self.stack.pop()])

    def _appends(self, _):
        self._extend(self._pop_to_mark())

    def _extend(self, items):
        if not isinstance(self.stack[-1], Unknown):
            self.stack[-1].extend(items)

    def _additems(self, _):
        items = self._pop_to_mark()
        if not isinstance(self.stack[-1], Unknown):
            self.stack[-1].update(self.filled(set, items))

    def _setitem(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _setitems(self, _):
        self._set(self._pop_to_mark())

    def _set(self, items):
        if isinstance(self.stack[-1], Unknown):
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            if self.is_plain(key):
                self.stack[-1][key] = value

    def filled(self, kind, items):
        """A set of the plain ones among the items."""
        return kind(item for item in items if self.is_plain(item))

    def is_plain(self, key):
        """Whether a key is a plain value: a nested tuple may be hashed for ever."""
        self.spend(ENTRY)
        if isinstance(key, (list, dict, set, bytearray)):
            raise ValueError(f"it holds a key of type {type(key).__name__}")
        if not isinstance(key, NUMBERS):
            return isinstance(key, (Name, *PLAIN_KEYS))
        self.numbers += 1
        if self.numbers > MAX_NUMBERS:
            raise ValueError(f"it holds more than {MAX_NUMBERS} numbers as keys")
        return type(key) is float or abs(key) < LARGEST_NUMBER

    def _global(self, argument):
        self.stack.append(self.name(argument.replace(" ", ".")))

    def _stack_global(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("it holds a name that is no text")
        self.stack.append(self.name(f"{module}.{name}"))

    def name(self, path):
        """A `Name`, paid for."""
        if len(path) > LONGEST_NAME:
            raise ValueError("it holds a name that is too long")
        self.spend(2 * sys.getsizeof(path))
        return Name(path)

    def _reduce(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        self._call(function, arguments)

    def _inst(self, argument):
        self._call(Name(argument.replace(" ", ".")), tuple(self._pop_to_mark()))

    def _obj(self, _):
        function, *arguments = self._pop_to_mark()
        self._call(function, tuple(arguments))

    def _call(self, function, arguments):
        if type(arguments) is not tuple:
            raise ValueError("it holds a call without arguments")
        self.spend(sys.getsizeof(arguments))
        for argument in arguments:
            self.spend(sys.getsizeof(argument))
        self.push(self.result_of(function.path, arguments))

    def result_of(self, path, arguments):
        """What a call stands for."""
        if path in self.calls:
            return self.calls[path](*arguments)
        if path in PYTHON:
            return PYTHON[path](self, *arguments)
        if path.partition(".")[0] in STANDARD_LIBRARY and path not in OBJECTS:
            raise ValueError(f"it calls {path}, which is not data")
        return Unknown(path)

    def _newobj(self, _):
        self.stack.pop()
        self.push(Unknown(self.stack.pop().path))

    def _newobj_ex(self, _):
        self.stack.pop()
        self._newobj(None)

    def _build(self, _):
        """Drops the attributes of an object: none of the plain ones has any."""
        attributes, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, Unknown) and isinstance(attributes, dict):
            made.is_module = "_modules" in attributes

    def _binpersid(self, _):
        if self.persistent is None:
            raise ValueError("it holds a persistent id")
        identity = self.stack.pop()
        self.spend(sys.getsizeof(identity))
        self.push(self.persistent(identity))


def _dict(machine, items=(), *_):
    items = items.items() if isinstance(items, dict) else items
    return {key: value for key, value in items if machine.is_plain(key)}


def _set(machine, items=()):
    return machine.filled(set, items)


def _encode(_, text, *encoding):
    return text.encode("latin-1")


def _list(_, items=(), *__):
    return list(items) if isinstance(items, (list, tuple)) else []


def _attribute(machine, owner, name):
    return machine.name(f"{owner.path}.{name}" if type(name) is str else owner.path)


# The calls of Python's own containers, by their names in Python 3 and 2.
PYTHON = {
    "collections.OrderedDict": _dict,
    "collections.Counter": _dict,
    "collections.defaultdict": lambda *_: {},
    "collections.deque": _list,
    "_codecs.encode": _encode,
    **{
        f"{module}.{name}": call
        for module in ("builtins", "__builtin__")
        for name, call in {
            "bytes": lambda *_: b"",
            "bytearray": lambda *_: b"",
            "set": _set,
            "frozenset": lambda machine, items=(): machine.filled(frozenset, items),
            "getattr": _attribute,  # a member of an enumeration
        }.items()
    },
}
# What else of the standard library is called to make data that means nothing here.
OBJECTS = {
    *("argparse.Namespace", "types.SimpleNamespace", "functools.partial"),
    *("copyreg._reconstructor", "copy_reg._reconstructor", "logging.getLogger"),
    *(
        f"{module}.{pure}{kind}Path"
        for module in ("pathlib", "pathlib._local")  # as Python 3.13 calls it
        for pure in ("", "Pure")
        for kind in ("", "Posix", "Windows")
    ),
    *("datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta"),
    *("datetime.timezone", "decimal.Decimal", "fractions.Fraction", "uuid.UUID"),
    *("array.array", "array._array_reconstructor", "re._compile", "random.Random"),
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("complex", "object", "range", "slice", "xrange")
    ),
}
