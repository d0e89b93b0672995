"""JSON files part by part: the entries of a long list are read one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from jrepose.errors import InputError
from jrepose.files import Budget, open_regular
from jrepose.restricted_pickle import reading

_CHUNK = 2**20
_MOST = 2**26  # characters that one entry of a list may have

LIST = "list"
"""What a part of a file is under that is a list itself."""

Part = tuple[str, Any]


def json_parts(path: str | os.PathLike[str]) -> Iterator[Part]:
    """The parts of a JSON file: `(key, entry)` for each entry of each list in it.

    Args:
        path: a list, whose entries come under `LIST`; or an object: a list under a key comes
            entry by entry, everything else as a whole.

    Raises:
        InputError: no such file, or no JSON of these two kinds; in one line.
    """
    with reading(str(path), "JSON file"), open_regular(path) as file:
        budget = Budget(os.fstat(file.fileno()).st_size, path)
        text = _Text(file, budget)
        if not (first := text.peek()):
            raise InputError(f"{path}: an empty file")
        if first == "[":
            for entry in text.entries():
                yield LIST, entry
        elif first == "{":
            yield from text.members()
        else:
            raise InputError(f"{path}: damaged JSON file (it begins with {first!r})")
        if left := text.peek():
            raise InputError(f"{path}: damaged JSON file ({left!r} follows its end)")


def parse_json(path: str | os.PathLike[str]) -> Any:
    """The content of a small JSON file, of one frame.

    Raises:
        InputError: as `json_parts`.
    """
    with reading(str(path), "JSON file"), open_regular(path) as file:
        content = file.read(_MOST + 1)
        if len(content) > _MOST:
            raise InputError(f"{path}: too large for the keypoints of one frame")
        if not content.strip():
            raise InputError(f"{path}: an empty file")
        return json.loads(content.decode("utf-8-sig"))


class _Text:
    """A file's text, of which only the part is kept that is being read."""

    def __init__(self, file: BinaryIO, budget: Budget):
        self._file, self._budget = file, budget
        self._text, self._at, self._ended = "", 0, False
        self._tail = b""
        self._decode = json.JSONDecoder().raw_decode

    def _more(self, amount: int = _CHUNK) -> bool:
        """Reads on; False at the end."""
        if self._ended:
            return False
        given = self._file.read(amount)
        self._ended = not given
        content = self._tail + given
        # The last character may be cut.
        keep = 0 if self._ended else _cut(content)
        self._tail = content[len(content) - keep :]
        new = content[: len(content) - keep].decode("utf-8")
        if self._at == 0 and not self._text:
            new = new.removeprefix("\ufeff")
        self._text, self._at = self._text[self._at :] + new, 0
        return True

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            raise ValueError(f"{found!r} where {' or '.join(expected)} should be")
        self._at += 1
        return found

    def value(self) -> Any:
        """The next value as a whole."""
        self.peek()
        amount = _CHUNK
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._more(amount):
                    raise
            else:
                # A number at the end of the text may go on.
                if end < len(self._text) or not self._more(amount):
                    self._at = end
                    return value
            amount *= 2
            if len(self._text) - self._at > _MOST:
                raise InputError(f"{self._budget.where}: refused, one entry of a list is larger "
                                 f"than {_MOST >> 20} MiB")  # fmt: skip

    def entries(self) -> Iterator[Any]:
        """The entries of the list that begins here."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def members(self) -> Iterator[Part]:
        """The members of the object that begins here."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise ValueError("a key that is no text")
            self.take(":")
            if self.peek() == "[":
                empty = True
                for entry in self.entries():
                    empty = False
                    yield key, entry
                if empty:
                    yield key, []
            else:
                yield key, self.value()
            if self.take(",}") == "}":
                return


def _cut(content: bytes) -> int:
    """How many bytes at the end are the beginning of a character of UTF-8."""
    for back in range(1, min(4, len(content) + 1)):
        byte = content[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return back if length > back else 0
    return 0
