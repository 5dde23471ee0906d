"""A manifest's text as a tree of nodes with their places. With :mod:`writing` the only importer of ruamel.

libyaml (ruamel's C parser) reads a manifest of 10,000 entries some twenty times faster than the parser in pure Python, which stands in where the
extension is not installed. Both only give events; the tree is made here, because the constructors of the library lose the places and guess types.
What a manifest does not need, and what hides its meaning, is refused: tags, directives, merge keys, several documents, endless aliases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent, StreamEndEvent

from reconciler.manifest.mistake import shown
from reconciler.manifest.scalars import CONSTANTS, Odd, resolve
from reconciler.manifest.tree import Node, Spot, Trouble, place, spot_at
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError

try:
    from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]  # it is there, and not listed
except ImportError:  # an installation without the C extension
    CParser = None

MAX_DEPTH: Final = 100

MAX_EXPANDED_NODES: Final = 100_000
"""How many values aliases may stand for, all together: enough for a person, too few for an alias bomb."""

Events = Callable[[str], Iterator[Any]]
"""A parser: from a text to the events of YAML."""

# What YAML forbids, and what YAML 1.1 takes for a line break and editors do not.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def c_events(text: str) -> Iterator[Any]:
    """The events of libyaml."""
    # an iterator without a frame of Python's: a tenth of the time of reading a large manifest
    return iter(CParser(text).get_event, None)


def pure_events(text: str) -> Iterator[Any]:
    """The events of the parser in Python."""
    yield from YAML(typ="safe", pure=True).parse(text)


PARSERS: Final[tuple[Events, ...]] = (c_events, pure_events) if CParser is not None else (pure_events,)
"""The parsers to try, in turn. The bundled libyaml is of 2016 and refuses what YAML 1.2 allows, such as ``{tcp: db.example.com:5432}``."""

MAX_SECOND_TRY: Final = 2 * 1024 * 1024
"""A text longer than this is not read again: the parser in Python takes some seconds for a megabyte."""


def parse(text: str, file: str, parsers: Sequence[Events] = PARSERS) -> Node:
    """The tree of one document. Raises ManifestError when there is no tree: not YAML, several documents, an alias bomb, not a mapping."""
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        code = f"U+{ord(forbidden.group()):04X}"
        remedy = 'remove it, or write it as an escape in a "double-quoted" string'
        _refuse(spot_at(text, forbidden.start(), file), f"holds the character {code}", remedy)
    *first, last = parsers if len(text) <= MAX_SECOND_TRY else parsers[:1]
    for events in first:
        try:
            return _Composer(file).document(events(text))
        except YAMLError:
            continue
    return _last_try(text, file, last)


def _last_try(text: str, file: str, events: Events) -> Node:
    try:
        return _Composer(file).document(events(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        spot = (file, mark.line + 1, mark.column + 1) if mark is not None else (file, 1, 1)
        _refuse(spot, f"is not YAML ({said})", "look for a missing quote, bracket or colon, or for wrong indentation, here or above")
    except YAMLError as error:
        _refuse((file, 1, 1), f"is not YAML ({str(error).splitlines()[0]})", "save the manifest as YAML in UTF-8")


def _refuse(spot: Spot, what: str, what_to_do: str) -> NoReturn:
    raise ManifestError([Diagnostic(place(spot), "", what, what_to_do)])


class _Composer:
    """Makes the tree of one file. What is wrong with a single value or key is noted in its node; what leaves no tree raises ManifestError."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._nodes = 0
        self._expanded = 0
        self._depth = 0
        self._anchors: dict[str, tuple[Node, int] | None] = {}

    def document(self, events: Iterator[Any]) -> Node:
        """The tree of the only document."""
        root: Node | None = None
        for event in events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    self._stop(event, "begins a second document", "put it into a file of its own")
                if event.version or event.tags:
                    self._stop(event, "has a %YAML or %TAG directive", "remove it")
                root = self._node(next(events), events)
            elif isinstance(event, StreamEndEvent):
                break
        if root is None:
            _refuse((self.file, 1, 1), "is empty", "write at least version: 1 and name: NAME")
        if not isinstance(root.value, dict):
            _refuse(root.spot, "is not a mapping", "begin with version: 1 and name: NAME")
        return root

    def _stop(self, event: Any, what: str, what_to_do: str) -> NoReturn:
        mark = event.start_mark
        _refuse((self.file, mark.line + 1, mark.column + 1), what, what_to_do)

    def _node(self, event: Any, events: Iterator[Any]) -> Node:
        if event.__class__ is AliasEvent:
            return self._alias(event)
        self._nodes += 1
        mark = event.start_mark
        spot = self.file, mark.line + 1, mark.column + 1
        if event.anchor is None:
            node = _scalar(event, spot) if event.__class__ is ScalarEvent else self._collection(event, events, spot)
        else:
            before = self._nodes + self._expanded
            self._anchors[event.anchor] = None
            node = _scalar(event, spot) if event.__class__ is ScalarEvent else self._collection(event, events, spot)
            self._anchors[event.anchor] = node, self._nodes + self._expanded - before + 1
        if event.tag is not None:
            node.add(Trouble(spot, "has a tag", "remove it; quotes make a string"))
        return node

    def _collection(self, event: Any, events: Iterator[Any], spot: Spot) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._stop(event, f"is nested more than {MAX_DEPTH} levels deep", "write it flatter")
        node = self._mapping(events, spot) if event.__class__ is MappingStartEvent else self._list(events, spot)
        self._depth -= 1
        return node

    def _list(self, events: Iterator[Any], spot: Spot) -> Node:
        items = []
        for event in events:
            if event.__class__ is SequenceEndEvent:
                break
            items.append(self._node(event, events))
        return Node(items, spot)

    def _mapping(self, events: Iterator[Any], spot: Spot) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Spot] = {}
        node = Node(values, spot, None, keys)
        for event in events:
            if event.__class__ is MappingEndEvent:
                break
            mark = event.start_mark
            key_spot = self.file, mark.line + 1, mark.column + 1
            key, trouble = _plain_key(event), None
            if key is None or key in keys:
                key_node = self._node(event, events)
                key, trouble = key_node.value, _key_trouble(key_node, key_spot, event, keys)
            value = self._node(next(events), events)
            if trouble is not None:
                node.add(trouble)
            else:
                values[key] = value
                keys[key] = key_spot
        return node

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            # it is not named: an unquoted password may begin with *
            self._stop(event, "refers to an anchor that is not set above", "correct its name, or put quotes around text that begins with *")
        anchored = self._anchors[event.anchor]
        if anchored is None:
            self._stop(event, "refers to an anchor from within it", "write the value here")
        node, size = anchored
        self._expanded += size
        if self._expanded > MAX_EXPANDED_NODES:
            self._stop(event, f"makes aliases stand for more than {MAX_EXPANDED_NODES} values", "write them out, or use fewer")
        return node


def _plain_key(event: Any) -> str | None:
    """The key, when it is nothing but an ordinary word; None when a closer look is needed."""
    if event.__class__ is not ScalarEvent or event.anchor is not None or event.tag is not None:
        return None
    text: str = event.value
    if event.style == '"' and not text.isascii():
        return None
    return text if event.style or (text[:1].isalpha() and text not in CONSTANTS) else None


def _scalar(event: Any, spot: Spot) -> Node:
    text = event.value
    if event.style or not event.implicit[0]:
        return Node(text, spot) if text.isascii() else _beyond_ascii(text, spot)
    try:
        value = resolve(text)
    except Odd as odd:
        node = Node(text, spot)
        quoted = f"write {shown(text)}"
        remedy = f"{quoted} for text, {odd.number} for a number" if odd.number else quoted
        node.add(Trouble(spot, odd.what, remedy, "write it in quotes for text" if odd.number else "write it in quotes"))
        return node
    return Node(value, spot, None if value.__class__ is str else text)


def _beyond_ascii(text: str, spot: Spot) -> Node:
    # JSON writes "\\ud83d\\ude00" for one character beyond 16 bits; half of such a pair is no text
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if _SURROGATE.search(text) else text
    node = Node(whole, spot)
    if "\ufffd" in whole and "\ufffd" not in text:
        node.add(Trouble(spot, "holds half of a surrogate pair", "write the character itself"))
    return node


def _key_trouble(key: Node, spot: Spot, event: Any, keys: dict[str, Spot]) -> Trouble | None:
    """What is wrong with a key, so that it is left out."""
    if isinstance(key.value, dict | list):
        return Trouble(spot, "has a key that is no text", "write a name before the colon")
    if key.troubles:
        return Trouble(spot, f"has a key that {key.troubles[0].what}", "write it in quotes")
    if not isinstance(key.value, str):
        return Trouble(
            spot, "has a key that is no text", f"write {shown(key.written)}: in quotes" if key.written else "write a name before the colon"
        )
    if key.value == "<<" and event.__class__ is ScalarEvent and not event.style:
        return Trouble(spot, "has a merge key <<", "write the keys out, or give a second file to be merged over this one")
    if key.value in keys:
        _, line, column = keys[key.value]
        return Trouble(spot, "stands a second time", f"remove one; the first is at line {line}, column {column}", key=key.value)
    return None
