"""Where in a TOML text each key stands, which tomllib does not tell.

The text must be valid (tomllib has read it); so this only has to tell keys from values. The
grammar is that of TOML 1.0.0.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]
"""Keys and array indices from the top of the document."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_LONG = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\r\n]*")


def locate(text: str) -> dict[Path, int]:
    """Line numbers, from 1, of every table, key and array element of a valid TOML text."""
    return _Scanner(text).scan()


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest table around it where the key itself is not there."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}
        """How many elements each array of tables has so far."""

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self.lines

    def _header(self) -> Path:
        array = self.text.startswith("[[", self.at)
        line = self._line()
        self.at += 2 if array else 1
        keys = self._keys()
        self.at += 2 if array else 1
        path = self._within_arrays(keys[:-1]) + keys[-1:]
        self._note(path, line)
        if array:
            self.counts[path] = self.counts.get(path, 0) + 1
        elif path not in self.counts:
            return path
        element = (*path, self.counts[path] - 1)
        self._note(element, line)
        return element

    def _within_arrays(self, keys: Path) -> Path:
        """A header's path goes through the newest element of an array of tables."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table + self._keys()
        self._note(path, line)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _keys(self) -> Path:
        keys: list[str | int] = []
        while True:
            self._skip(_SPACE)
            keys.append(self._key())
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return tuple(keys)
            self.at += 1

    def _key(self) -> str:
        for pattern in (_BASIC, _LITERAL, _BARE):
            match = pattern.match(self.text, self.at)
            if match:
                self.at = match.end()
                return next(iter(tomllib.loads(f"{match[0]} = 0")))
        raise ValueError(f"line {self._line()}: no key; the text is not valid TOML")

    def _value(self, path: Path) -> None:
        first = self.text[self.at : self.at + 1]
        if first == "{":
            self._items(path, "}")
        elif first == "[":
            self._items(path, "]")
        else:
            self._skip_scalar()

    def _items(self, path: Path, end: str) -> None:
        """Pairs of an inline table or elements of an array, up to the closing bracket."""
        self.at += 1
        index = 0
        self._skip(_BLANK)
        while not self.text.startswith(end, self.at):
            if end == "}":
                self._pair(path)
            else:
                self._note((*path, index), self._line())
                self._value((*path, index))
                index += 1
            self._skip(_BLANK)
            if self.text.startswith(",", self.at):
                self.at += 1
                self._skip(_BLANK)
        self.at += 1

    def _skip_scalar(self) -> None:
        for pattern in (_LONG, _BASIC, _LITERAL, _SCALAR):
            match = pattern.match(self.text, self.at)
            if match:
                self.at = match.end()
                return

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1
