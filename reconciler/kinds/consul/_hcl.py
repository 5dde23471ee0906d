"""The language that ACL rules are written in: HCL 1, or JSON read the way Consul's HCL library reads it.

Consul parses rules with hashicorp/hcl 1.x, which no Python package reads (python-hcl2 reads HCL 2 only). This is the whole syntax of HCL 1, with its
scanner's rules for strings, comments and here-documents, so that whatever Consul stored can be read; what it means is not decided here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from reconciler.model.value import JSON


class HclError(ValueError):
    """The text is neither HCL nor JSON. ``line`` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line
        self.what = what


class Numeral(str):
    """A number as it was written. In ACL rules, where Consul wants text, it is text."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a body: ``service "web" { … }`` has the keys ``service`` and ``web``. ``line`` counts from 1; JSON tells none (0)."""

    keys: tuple[str, ...]
    value: HclValue
    line: int = 0


@dataclass(frozen=True, slots=True)
class Body:
    """A mapping whose keys may stand several times, in the order written."""

    items: tuple[Item, ...]


HclValue = Body | list["HclValue"] | str | bool | int | float | None


def parse(text: str) -> Body:
    """The text as a tree. JSON is what begins with ``{``, as in Consul. Raises HclError, or RecursionError for hundreds of nested brackets."""
    return _parse_json(text) if text.lstrip().startswith("{") else _Parser(text.replace("\r\n", "\n")).body()


def as_json(value: HclValue) -> JSON:
    """The same as plain JSON, for showing what is not understood; a key that stands several times is numbered."""
    if isinstance(value, list):
        return [as_json(v) for v in value]
    if not isinstance(value, Body):
        return value
    result: dict[str, JSON] = {}
    for item in value.items:
        key = " ".join(item.keys)
        result[key if key not in result else f"{key} #{len(result) + 1}"] = as_json(item.value)
    return result


def _parse_json(text: str) -> Body:
    def body(pairs: Iterable[tuple[str, HclValue]]) -> Body:
        # json's own dict would drop the first of two equal keys; Consul honours both
        return Body(tuple(Item((key,), value) for key, value in pairs))

    for escape in _JSON_ESCAPE.finditer(text):
        if escape["refused"]:
            line = text.count("\n", 0, escape.start()) + 1
            raise HclError(line, f"has the escape {escape[0]}, which Consul does not read: write the character itself")
    try:
        tree: Body = json.loads(text, object_pairs_hook=body)
    except json.JSONDecodeError as error:
        raise HclError(error.lineno, f"is not JSON ({error.msg.lower()})") from None
    return tree


_JSON_ESCAPE: Final = re.compile(r"\\(?:(?P<refused>/|u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)
"""``\\/`` is an error to Consul 1.22, and the two halves of a character beyond U+FFFF make its request end in a panic, without any answer."""


class _Token(NamedTuple):
    type: str
    text: str
    line: int


_SCANNER: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<comment>\#[^\n]*|//[^\n]*|/\*.*?\*/)
      | (?P<word>[^\W\d][\w.-]*)
      | (?P<number>-?(?:0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?))
      | (?P<quote>")
      | (?P<heredoc><<-?(?P<anchor>\w+)\n(?P<lines>.*?\n)??[ \t\r\f\v]*(?P=anchor)\r*\n)
      | (?P<mark>[{}\[\],=])""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN: Final = re.compile(r'(?:[^"\\$\n]|\\.|\$(?!\{))*')
_ESCAPE: Final = re.compile(
    r"""\\(?: (?P<one>[abfnrtv\\"]) | (?P<octal>[0-7]{3}) | x(?P<byte>[0-9a-fA-F]{2}) | u(?P<four>[0-9a-fA-F]{4}) | U(?P<eight>[0-9a-fA-F]{8}) )
      | \\""",
    re.VERBOSE,
)
_ESCAPED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


def _tokens(text: str) -> Iterator[_Token]:
    reserved = re.search("[\0\ue123]", text)
    if reserved is not None:
        raise HclError(text.count("\n", 0, reserved.start()) + 1, f"has the character U+{ord(reserved[0]):04X}, which HCL does not take")
    at, line = 0, 1
    while at < len(text):
        match = _SCANNER.match(text, at)
        if match is None:
            raise HclError(line, f"has an unexpected {text[at]!r}")
        kind, end = str(match.lastgroup), match.end()
        if kind == "quote":
            value, end = _string(text, end, line)
            yield _Token("string", value, line)
        elif match["heredoc"] is not None:
            yield _Token("heredoc", match["lines"] or "", line)
        elif kind not in ("space", "comment"):
            yield _Token(kind if kind != "mark" else match["mark"], match[0], line)
        line += text.count("\n", at, end)
        at = end
    yield _Token("end", "", line)


def _string(text: str, start: int, line: int) -> tuple[str, int]:
    """The value of the string whose opening quote ends at ``start``, and where it ends. ``${…}`` is kept as it stands, quotes and all."""
    parts: list[str] = []
    at = start
    while True:
        end = _end_of_plain(text, at)
        parts.append(_ESCAPE.sub(lambda m: _unescaped(m, line), text[at:end]))
        at = end
        if text.startswith('"', at):
            return _joined(parts), at + 1
        if not text.startswith("${", at):
            raise HclError(line, "has a string without an end")
        end = _closing_brace(text, at + 2, line)
        parts.append(text[at:end])
        at = end


def _end_of_plain(text: str, at: int) -> int:
    match = _PLAIN.match(text, at)
    return match.end() if match else at


def _closing_brace(text: str, at: int, line: int) -> int:
    depth = 1
    while depth:
        if at >= len(text):
            raise HclError(line, "has a string without an end")
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return at


def _unescaped(match: re.Match[str], line: int) -> str:
    if match["one"]:
        return _ESCAPED[match["one"]]
    byte = int(match["octal"], 8) if match["octal"] else int(match["byte"], 16) if match["byte"] else None
    if byte is not None and byte < 256:
        # it need not be a character by itself: kept as a surrogate until the whole string is known
        return chr(byte) if byte < 128 else chr(0xDC00 + byte)
    code_point = int(match["four"] or match["eight"] or "110000", 16)
    if code_point > 0x10FFFF:
        raise HclError(line, "has a string with an unknown escape")
    return "\N{REPLACEMENT CHARACTER}" if 0xD800 <= code_point < 0xE000 else chr(code_point)


def _joined(parts: list[str]) -> str:
    return "".join(parts).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = next(self._tokens)

    def body(self, end: str = "end") -> Body:
        """Items up to the token ``end``, which is consumed."""
        items: list[Item] = []
        assigned: set[_Token] = set()
        while self._next.type != end:
            keys = self._keys()
            if self._take().type == "{":
                value: HclValue = self.body("}")
            else:
                name = keys[0]._replace(line=0)
                if name in assigned:
                    raise HclError(keys[0].line, f"sets {name.text!r} twice")
                assigned.add(name)
                value = self._value()
            items.append(Item(tuple(key.text for key in keys), value, keys[0].line))
            if self._next.type == ",":
                self._take()
        self._take()
        return Body(tuple(items))

    def _keys(self) -> list[_Token]:
        """The names before ``=`` or ``{``, which is not consumed."""
        keys: list[_Token] = []
        while self._next.type not in ("=", "{"):
            token = self._take()
            if token.type not in ("word", "string") or _is_boolean(token):
                raise _unexpected(token, "a name")
            keys.append(token)
        if not keys:
            raise _unexpected(self._next, "a name")
        if len(keys) > 1 and self._next.type == "=":
            raise _unexpected(self._next, "{")
        return keys

    def _value(self) -> HclValue:
        token = self._take()
        if _is_boolean(token):
            return token.text == "true"
        match token.type:
            case "string" | "heredoc":
                return token.text
            case "number":
                return Numeral(token.text)
            case "{":
                return self.body("}")
            case "[":
                return self._list()
        raise _unexpected(token, "a value")

    def _list(self) -> list[HclValue]:
        values: list[HclValue] = []
        while self._next.type != "]":
            if self._next.type == ",":
                self._take()
                continue
            values.append(self._value())
            if self._next.type not in (",", "]"):
                raise _unexpected(self._next, "a comma")
        self._take()
        return values

    def _take(self) -> _Token:
        token = self._next
        if token.type != "end":
            self._next = next(self._tokens)
        return token


def _is_boolean(token: _Token) -> bool:
    return token.type == "word" and token.text in ("true", "false")


def _unexpected(token: _Token, wanted: str) -> HclError:
    return HclError(token.line, f"ends where {wanted} is expected" if token.type == "end" else f"has {token.text!r} where {wanted} is expected")
