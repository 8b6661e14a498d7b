"""Reads the data of a pickle and runs none of it.

A pickle is a program for a stack machine that may call any function. This machine
knows plain values, containers, and the few calls its user gives it a meaning for; a
name of anything else is kept as a name, and calling it is an error. The format's own
parser, `pickletools.genops` of the standard library, splits the program into
instructions; it executes nothing either.
"""

import dataclasses
import io
import pickletools

PLAIN_KEYS = (str, int, float, bool, bytes, type(None))

# The instructions whose argument is the value to push.
PUSH = {
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
STORE = {"PUT", "BINPUT", "LONG_BINPUT"}
FETCH = {"GET", "BINGET", "LONG_BINGET"}
NOTHING = {"PROTO", "FRAME", "STOP"}


@dataclasses.dataclass(frozen=True)
class Name:
    """A function or class the pickle refers to, never looked up."""

    path: str


@dataclasses.dataclass(frozen=True)
class Unknown:
    """An object of a class that means nothing here; its contents are dropped."""

    path: str


def read(source, calls, persistent=None):
    """The value of one pickle.

    Args:
        source: Bytes, or an open binary file, which is left behind the pickle's end.
        calls: Dotted name -> function of the arguments: the calls that are allowed.
        persistent: Function of a persistent id, or `None` where there must be none.

    Returns:
        Plain values and containers, what `calls` and `persistent` gave, and `Name`
        and `Unknown` for the rest.

    Raises:
        ValueError: If it is no whole pickle, or calls anything else.
    """
    machine = _Machine(calls, persistent)
    source = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        for opcode, argument, _ in pickletools.genops(source):
            machine.step(opcode.name, argument)
        (value,) = machine.stack
    except (AttributeError, IndexError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"it is no whole pickle ({error!r})") from None
    return value


class _Machine:
    def __init__(self, calls, persistent):
        self.stack, self.marked, self.memo = [], [], {}
        self.calls, self.persistent = calls, persistent

    def step(self, opcode, argument):
        if opcode in PUSH:
            self.stack.append(argument)
        elif opcode in STORE:
            self.memo[argument] = self.stack[-1]
        elif opcode in FETCH:
            self.stack.append(self.memo[argument])
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in EMPTY:
            self.stack.append(EMPTY[opcode]())
        elif opcode in TUPLES:
            self.stack[-TUPLES[opcode] :] = [tuple(self.stack[-TUPLES[opcode] :])]
        elif opcode not in NOTHING:
            instruction = getattr(self, f"_{opcode.lower()}", None)
            if instruction is None:
                raise ValueError(f"it holds the instruction {opcode}")
            instruction(argument)

    def _mark(self, _):
        self.marked.append(self.stack)
        self.stack = []

    def _pop_to_mark(self):
        items, self.stack = self.stack, self.marked.pop()
        return items

    def _pop(self, _):
        self.stack.pop() if self.stack else self._pop_to_mark()

    def _memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def _tuple(self, _):
        items = self._pop_to_mark()
        self.stack.append(tuple(items))

    def _list(self, _):
        items = self._pop_to_mark()
        self.stack.append(items)

    def _dict(self, _):
        items = self._pop_to_mark()
        self.stack.append({})
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
        self.stack[-1].update(map(plain_key, items))

    def _setitem(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _setitems(self, _):
        self._set(self._pop_to_mark())

    def _set(self, items):
        if isinstance(self.stack[-1], Unknown):
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][plain_key(key)] = value

    def _global(self, argument):
        self.stack.append(Name(argument.replace(" ", ".")))

    def _stack_global(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Name(f"{module}.{name}"))

    def _reduce(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        path = function.path
        if path not in self.calls:
            raise ValueError(f"it calls {path}, which is not data")
        self.stack.append(self.calls[path](*arguments))

    def _newobj(self, _):
        self.stack.pop()
        self.stack.append(Unknown(self.stack.pop().path))

    def _build(self, _):
        self.stack.pop()  # the attributes of an object: none of the plain ones has any

    def _binpersid(self, _):
        if self.persistent is None:
            raise ValueError("it holds a persistent id")
        self.stack.append(self.persistent(self.stack.pop()))


def plain_key(key):
    """Returns `key` if it is a plain value: nested tuples may hash for ever."""
    if not isinstance(key, PLAIN_KEYS):
        raise ValueError(f"it holds a key of type {type(key).__name__}")
    return key
