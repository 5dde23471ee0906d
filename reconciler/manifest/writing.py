"""Parts of a manifest's text, from values. With :mod:`source` the only importer of ruamel.

A text is written without quotes only when nobody could read it as anything else; the loader refuses what is ambiguous.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.emitter import RoundTripEmitter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

_PLAIN: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Za-z/][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+(-][A-Za-z0-9_./@+)(-]*)*")
# What YAML 1.1 takes for something else; our own loader does not, an editor may.
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_LINE: Final = re.compile(r"[^\s](?:[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe]*[^\s])?|")
_FLOW_WIDTH: Final = 100
_INDENT: Final = 2


class _Emitter(RoundTripEmitter):
    # KV keys have up to 512 bytes, and "? key" is for nobody to read
    MAX_SIMPLE_KEY_LENGTH = 1000


def entry(label: str | None, body: Any, depth: int) -> str:
    """One entry, under its label or as an element of a list, indented ``depth`` times; with a newline at its end."""
    value = CommentedSeq([_value(body)]) if label is None else CommentedMap({_text(label, is_key=True): _value(body)})
    stream = io.StringIO()
    _writer().dump(value, stream)
    return _indented(stream.getvalue(), depth)


def comment(text: str, depth: int = 0) -> str:
    """A comment of one line or several. What would not show as itself is escaped."""
    lines = (" " * _INDENT * depth + f"# {_visible(line)}".rstrip() for line in text.split("\n"))
    return "".join(f"{line}\n" for line in lines)


def key(name: str, depth: int) -> str:
    """The line that begins a section."""
    return " " * _INDENT * depth + f"{name}:\n"


def _writer() -> YAML:
    yaml = YAML()
    yaml.Emitter = _Emitter
    yaml.width = 1 << 20
    yaml.indent(mapping=_INDENT, sequence=_INDENT, offset=0)
    return yaml


def _indented(text: str, depth: int) -> str:
    margin = " " * _INDENT * depth
    return "\n".join(margin + line if line else line for line in text.split("\n"))


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        mapping = CommentedMap({_text(str(k), is_key=True): _value(v) for k, v in value.items()})
        if _is_short(value):
            mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list | tuple):
        sequence = CommentedSeq([_value(v) for v in value])
        if _is_short(value):
            sequence.fa.set_flow_style()
        return sequence
    if value is not None and not isinstance(value, str | int | float):
        raise TypeError(f"a {type(value).__name__} cannot be written into a manifest")
    return _text(value) if isinstance(value, str) else value


def _is_short(value: Any) -> bool:
    """Whether a mapping or list reads well on one line."""
    return _is_flat(value, 2) and len(str(value)) <= _FLOW_WIDTH


def _is_flat(value: Any, depth: int) -> bool:
    if not isinstance(value, Mapping | list | tuple):
        return not isinstance(value, str) or "\n" not in value
    inner: Iterable[Any] = value.values() if isinstance(value, Mapping) else value
    many = isinstance(value, Mapping) and len(value) > 1 and any(isinstance(v, Mapping | list | tuple) and len(v) for v in value.values())
    return depth > 0 and not many and all(_is_flat(v, depth - 1) for v in inner)


def _text(text: str, *, is_key: bool = False) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    lines = text.split("\n")
    several = not is_key and len(lines) > 2 and lines[-1] == "" and bool(lines[-2]) and _LINE.fullmatch(lines[0]) and lines[0]
    is_literal = several and all(_LINE.fullmatch(line.lstrip(" ")) for line in lines)
    written: str = LiteralScalarString(text) if is_literal else DoubleQuotedScalarString(text)
    return written


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii") for char in text)
