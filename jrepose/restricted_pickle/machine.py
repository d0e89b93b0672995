"""Executes pickles, as far as that is harmless.

A machine of our own: the standard library's looks up, calls and changes whatever a file says,
and takes memory for lengths that a file merely declares.
"""

from __future__ import annotations

import codecs
import collections
import io
import pickle
import pickletools
import struct
from collections.abc import Callable, Mapping
from sys import getsizeof
from typing import Any

from jrepose.errors import InputError
from jrepose.files import Budget
from jrepose.restricted_pickle.admitted import (
    DEEPEST,
    NAMES,
    Discarded,
    PickledDtype,
    check_elements,
    check_keys,
    count,
    frozen_set,
    new_array,
    raw,
    unpickled_dtype,
)
from jrepose.restricted_pickle.messages import shown

_LONGEST_NUMBER = 5000  # characters of a number in text
# Strings up to this length exist once, up to so many of them: lists of names repeat themselves
# millions of times over.
_SHARED_LENGTH, _SHARED_STRINGS = 256, 2**16
_MOST_COPIES, _SPARE_COPIES = 8, 2**20
_OPERATION = 16  # bytes that any operation may take on the stack and in the memo
_VERIFIED = 250  # bytes that it takes to verify a container


def load(
    stream: io.BufferedIOBase,
    size: int,
    where: str,
    names: Mapping[tuple[str, str], Any] = NAMES,
    persistent_load: Callable[[Any], Any] | None = None,
    budget: Budget | None = None,
) -> Any:
    """One pickle, read to its end and no further.

    The content is made of what `names` and the pickle format can make, in whatever arrangement
    the file says: to limit nesting, cycles and repetition is for the caller.

    Args:
        stream: buffered, where the pickle starts.
        size: bytes that the stream has in all; nothing longer is attempted.
        where: what messages start with.
        names: `{(module, name): value}` that the file may ask for.  Functions and classes among
            the values may be called by the file.
        persistent_load: gives the object of a persistent id; by default there are none.
        budget: of the file that the pickle is in; by default one of `size` bytes.

    Raises:
        InputError: the file asks for something else.
        Exception: of any kind, where the pickle is damaged; see `reading`.
    """
    budget = budget or Budget(size, where)
    return _Machine(stream, size, where, names, persistent_load, budget).run()


def read_bytearray(stream: io.BufferedIOBase, length: int, size: int) -> bytearray:
    """The next bytes, if a file of `size` bytes can have that many."""
    if length > size:
        raise EOFError(f"{length} bytes expected, which the file does not have")
    data = bytearray(length)
    if stream.readinto(data) != length:
        raise EOFError("it ends early")
    return data


class _Machine:
    """A stack of operands, and a memo of those that are needed again.

    Names are looked up in `names` and nowhere else; only the functions in it are called; lists,
    dictionaries and sets are filled only if they are such; nothing has its attributes set.
    """

    def __init__(self, stream, size, where, names, persistent_load, budget):
        self.budget = budget
        self.read, self.stream, self.size, self.where = stream.read, stream, size, where
        self.names, self.persistent_load = names, persistent_load
        self.functions = {id(value) for value in names.values() if callable(value)}
        self.stack, self.marks, self.memo, self.strings = [], [], [], {}
        self.push = self.stack.append
        # Arrays that wait for their content, and how deep object arrays are nested, by id; the
        # arrays are kept, for an id is good only while the object lives.
        self.unbuilt, self.heights = {}, {}
        # Bytes and elements that may be copied: what is in the file once is copied once or twice.
        self.copies_left = _MOST_COPIES * size + _SPARE_COPIES

    def run(self):
        read, operation_of = self.read, _OPERATIONS.get
        done = 0
        for done in range(self.budget.left // _OPERATION):  # noqa: B007
            operation = operation_of(code := read(1))
            if operation is None:
                break
            operation(self)
        else:
            raise self.refused("unpacks to far more than its size")
        self.budget.take(done * _OPERATION)
        if code != pickle.STOP:
            raise self.unknown(code)
        if self.unbuilt:
            raise pickle.UnpicklingError("an array without content")
        return self.stack.pop()

    def unknown(self, code):
        if not code:
            return EOFError("it ends early")
        operation = pickletools.code2op.get(code.decode("latin1"))
        if operation is None:
            return pickle.UnpicklingError(f"{code!r} is no pickle operation")
        return self.refused(f"uses the operation {operation.name}")

    def refused(self, what):
        return InputError(
            f"{self.where}: refused, the file {what}; only arrays, numbers, strings and plain "
            "containers are read"
        )

    # Operands of operations.

    def number(self, width):
        # What the end of the file cuts short here is found at the next operation.
        return int.from_bytes(self.read(width), "little")

    def sized(self, width):
        """Bytes after their number."""
        length = int.from_bytes(self.read(width), "little")
        if length > self.size:
            raise EOFError(f"{length} bytes expected, which the file does not have")
        if len(data := self.read(length)) != length:
            raise EOFError("it ends early")
        return data

    def line(self, longest=-1):
        line = self.stream.readline(longest)
        if line[-1:] != b"\n":
            raise EOFError("a line without end")
        return line[:-1]

    # What takes memory.

    def spend(self, amount):
        self.budget.left -= amount
        if self.budget.left < 0:
            raise self.refused("unpacks to far more than its size")

    def make(self, item):
        self.spend(getsizeof(item))
        self.push(item)

    def make_container(self, item):
        self.spend(getsizeof(item) + _VERIFIED)
        self.push(item)

    # Stack and memo.

    def mark(self):
        self.marks.append(len(self.stack))

    def pop_mark(self):
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def put(self, index):
        memo = self.memo
        if index != len(memo):  # the order in which nearly all are written
            if not 0 <= index <= self.size:
                raise pickle.UnpicklingError(f"memo index {index}")
            if index > len(memo):
                self.spend(8 * (index - len(memo)))
                memo.extend([None] * (index - len(memo)))
            else:
                memo[index] = self.stack[-1]
                return
        memo.append(self.stack[-1])

    def memoize(self):
        self.memo.append(self.stack[-1])

    def get(self, index):
        item = self.memo[index] if 0 <= index < len(self.memo) else None
        if item is None:
            raise pickle.UnpicklingError(f"memo index {index} is empty")
        self.push(item)

    # Numbers and strings.

    def int_line(self):
        line = self.line(_LONGEST_NUMBER)
        self.make(line == b"01" if line in (b"00", b"01") else int(line))

    def signed(self, data):
        self.make(int.from_bytes(data, "little", signed=True))

    def string(self, data, encoding="utf-8", errors="surrogatepass"):
        text = self.strings.get(data) if len(data) <= _SHARED_LENGTH else None
        if text is None:
            text = data.decode(encoding, errors)
            self.spend(getsizeof(text))
            if len(data) <= _SHARED_LENGTH and data.isascii():
                if len(self.strings) < _SHARED_STRINGS:
                    self.strings[data] = text
        self.push(text)

    def quoted_string(self):
        line = self.line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise pickle.UnpicklingError("a string without quotes")
        self.string(codecs.escape_decode(line[1:-1])[0], "latin1")

    # Containers.

    def make_tuple(self, length):
        if len(self.stack) < length:
            raise pickle.UnpicklingError("a tuple of what is not there")
        items = tuple(self.stack[-length:])
        del self.stack[-length:]
        self.make_container(items)

    def top(self, *kinds):
        if type(self.stack[-1]) not in kinds:
            raise pickle.UnpicklingError(f"an operation meant for a {kinds[0].__name__}")
        return self.stack[-1]

    def add_to(self, container, add, items):
        before = getsizeof(container)
        add(container, items)
        self.spend(getsizeof(container) - before)

    def extend(self, items):
        if type(self.stack[-1]) is not Discarded:
            self.add_to(self.top(list), list.extend, items)

    def fill(self, items):
        """Keys and values by turns, into a dictionary."""
        if type(self.stack[-1]) is Discarded:
            return
        check_keys(items[::2])
        target = self.top(dict, collections.OrderedDict)
        self.add_to(target, type(target).update, zip(items[::2], items[1::2], strict=True))

    def set_item(self):
        value, key = self.stack.pop(), self.stack.pop()
        self.fill([key, value])

    def make_dict(self):
        items = self.pop_mark()
        self.make_container({})
        self.fill(items)

    def add(self, items):
        check_keys(items)
        self.add_to(self.top(set), set.update, items)

    # Names, calls, states.

    def name(self, module, name):
        if type(module) is not str or type(name) is not str:
            raise pickle.UnpicklingError("a name that is no string")
        if (module, name) not in self.names:
            raise self.refused(f"asks for {shown(f'{module}.{name}')}")
        self.push(self.names[module, name])

    def global_lines(self):
        self.name(self.line().decode(), self.line().decode())

    def global_stack(self):
        name, module = self.stack.pop(), self.stack.pop()
        self.name(module, name)

    def instance(self):
        self.global_lines()
        raise self.unknown(pickle.INST)

    def reduce(self):
        arguments, function = self.stack.pop(), self.stack.pop()
        if id(function) not in self.functions or type(arguments) is not tuple:
            raise pickle.UnpicklingError("a call of something that is no function")
        for argument in arguments:
            self.copy(argument)
        result = function(*arguments)
        if function is new_array:
            self.unbuilt[id(result)] = result
        self.make_container(result)

    def new_object(self):
        _, kind = self.stack.pop(), self.stack.pop()
        if kind is not Discarded:
            raise self.unknown(pickle.NEWOBJ)
        self.make(Discarded())

    def copy(self, item):
        """Refuses a memoised item that is copied again and again."""
        length = len(item) if hasattr(item, "__len__") else 1
        self.copies_left -= length
        if self.copies_left < 0:
            raise self.refused("repeats its content far beyond its size")
        self.spend(8 * length if type(item) in (list, tuple) else 2 * length)

    def persistent(self, pid):
        if self.persistent_load is None:
            raise self.refused("refers to objects outside of it")
        self.push(self.persistent_load(pid))

    def build(self):
        state, item = self.stack.pop(), self.stack[-1]
        if type(item) is PickledDtype:
            item.set_state(state)
        elif id(item) in self.unbuilt:
            self.build_array(item, state)
        # The state of the others is not needed.
        elif type(item) not in (collections.OrderedDict, Discarded):
            raise pickle.UnpicklingError("a state for something that has none")

    def build_array(self, array, state):
        _, shape, dtype, fortran_order, data = state
        dtype = unpickled_dtype(dtype)
        self.copy(data)
        if dtype.hasobject:
            self.check_objects(array, data, count(shape))
        else:
            data = bytes(raw(data, dtype, count(shape)))
        del self.unbuilt[id(array)]
        array.__setstate__((1, shape, dtype, bool(fortran_order), data))
        check_elements(array)

    def check_objects(self, array, data, length):
        # NumPy would read beyond the end of a list that is too short.
        if type(data) is not list or len(data) != length:
            raise pickle.UnpicklingError(f"an object array of {length} elements, not in its list")
        # And it frees arrays in arrays by recursion, without limit.
        if not self.unbuilt.keys().isdisjoint(map(id, data)):
            raise pickle.UnpicklingError("an array in an array before its content")
        inner = [self.heights[id(item)][1] for item in data if id(item) in self.heights]
        if (height := 1 + max(inner, default=0)) > DEEPEST:
            raise RecursionError
        self.heights[id(array)] = array, height


# fmt: off
_OPERATIONS: dict[bytes, Callable[[Any], Any]] = {
    pickle.PROTO: lambda m: m.read(1),
    pickle.FRAME: lambda m: m.read(8),  # a hint for those who read ahead
    pickle.MARK: _Machine.mark,
    pickle.POP: lambda m: m.stack.pop(),
    pickle.POP_MARK: _Machine.pop_mark,
    pickle.DUP: lambda m: m.push(m.stack[-1]),

    pickle.PUT: lambda m: m.put(int(m.line(_LONGEST_NUMBER))),
    pickle.BINPUT: lambda m: m.put(m.read(1)[0]),
    pickle.LONG_BINPUT: lambda m: m.put(int.from_bytes(m.read(4), "little")),
    pickle.MEMOIZE: _Machine.memoize,
    pickle.GET: lambda m: m.get(int(m.line(_LONGEST_NUMBER))),
    pickle.BINGET: lambda m: m.get(m.read(1)[0]),
    pickle.LONG_BINGET: lambda m: m.get(m.number(4)),

    pickle.NONE: lambda m: m.push(None),
    pickle.NEWTRUE: lambda m: m.push(True),
    pickle.NEWFALSE: lambda m: m.push(False),
    pickle.INT: _Machine.int_line,
    pickle.BININT: lambda m: m.signed(m.read(4)),
    pickle.BININT1: lambda m: m.push(m.read(1)[0]),
    pickle.BININT2: lambda m: m.make(m.number(2)),
    pickle.LONG: lambda m: m.make(int(m.line(_LONGEST_NUMBER).removesuffix(b"L"))),
    pickle.LONG1: lambda m: m.signed(m.sized(1)),
    pickle.LONG4: lambda m: m.signed(m.sized(4)),
    pickle.FLOAT: lambda m: m.make(float(m.line(_LONGEST_NUMBER))),
    pickle.BINFLOAT: lambda m: m.make(struct.unpack(">d", m.read(8))[0]),

    # Python 2 did not say what its strings are; Latin-1 can hold them all.
    pickle.STRING: _Machine.quoted_string,
    pickle.SHORT_BINSTRING: lambda m: m.string(m.sized(1), "latin1", "strict"),
    pickle.BINSTRING: lambda m: m.string(m.sized(4), "latin1", "strict"),
    pickle.UNICODE: lambda m: m.make(m.line().decode("raw_unicode_escape")),
    pickle.SHORT_BINUNICODE: lambda m: m.string(m.sized(1)),
    pickle.BINUNICODE: lambda m: m.string(m.sized(4)),
    pickle.BINUNICODE8: lambda m: m.string(m.sized(8)),
    pickle.SHORT_BINBYTES: lambda m: m.make(m.sized(1)),
    pickle.BINBYTES: lambda m: m.make(m.sized(4)),
    pickle.BINBYTES8: lambda m: m.make(m.sized(8)),
    pickle.BYTEARRAY8: lambda m: m.make(read_bytearray(m.stream, m.number(8), m.size)),

    pickle.EMPTY_LIST: lambda m: m.make_container([]),
    pickle.EMPTY_TUPLE: lambda m: m.push(()),
    pickle.EMPTY_DICT: lambda m: m.make_container({}),
    pickle.EMPTY_SET: lambda m: m.make_container(set()),
    pickle.LIST: lambda m: m.make_container(m.pop_mark()),
    pickle.TUPLE: lambda m: m.make_container(tuple(m.pop_mark())),
    pickle.TUPLE1: lambda m: m.make_tuple(1),
    pickle.TUPLE2: lambda m: m.make_tuple(2),
    pickle.TUPLE3: lambda m: m.make_tuple(3),
    pickle.DICT: _Machine.make_dict,
    pickle.FROZENSET: lambda m: m.make_container(frozen_set(m.pop_mark())),
    pickle.NEWOBJ: lambda m: m.new_object(),
    pickle.APPEND: lambda m: m.extend([m.stack.pop()]),
    pickle.APPENDS: lambda m: m.extend(m.pop_mark()),
    pickle.SETITEM: _Machine.set_item,
    pickle.SETITEMS: lambda m: m.fill(m.pop_mark()),
    pickle.ADDITEMS: lambda m: m.add(m.pop_mark()),

    pickle.GLOBAL: _Machine.global_lines,
    pickle.STACK_GLOBAL: _Machine.global_stack,
    pickle.INST: _Machine.instance,
    pickle.REDUCE: _Machine.reduce,
    pickle.BUILD: _Machine.build,
    pickle.PERSID: lambda m: m.persistent(m.line().decode()),
    pickle.BINPERSID: lambda m: m.persistent(m.stack.pop()),
}
# fmt: on
