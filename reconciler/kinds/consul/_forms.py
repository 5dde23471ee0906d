"""The shapes that config entries are made of, and their normal form (facts/consul.md §3).

A kind of config entry is declared as a :class:`Table` of Consul's own field names. From that follow its normal form, in which what the manifest says
and what Consul answers are equal when they mean the same, and the body to be written:

* a key may be spelt ``MaxConnections``, ``maxconnections`` or ``max_connections``; the normal form has Consul's spelling;
* durations are as Go writes them (``"90s"`` → ``"1m30s"``, 0 → ``""``), words are in the case that Consul gives them;
* in the elements of lists, what is empty is left out. At the top the comparison takes emptiness for absence, but where it means something to Consul
  (``significant``) or in a free map;
* a list that means a mapping (intention sources by name) is one, ``Keyed``;
* what only Consul fills in is ``Dropped``; namespaces and partitions of Consul Enterprise are left out when they are ``default``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, Protocol

from reconciler.kinds.consul._durations import go_text, nanoseconds
from reconciler.model.value import JSON, Path, is_empty

Trail = tuple[str | int, ...]
"""Where a value stands, in the words of the manifest."""

_ENTERPRISE: Final = frozenset({"namespace", "partition"})


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a place, and what to do about it."""

    trail: Trail
    what: str
    what_to_do: str


@dataclass(slots=True)
class Reading:
    """One reading of an entry, and what was wrong with it."""

    faults: list[Fault] = field(default_factory=list)

    def fault(self, trail: Trail, what: str, what_to_do: str) -> None:
        """Note a mistake."""
        self.faults.append(Fault(trail, what, what_to_do))


class Shape(Protocol):
    """The shape of one value. ``significant``: its emptiness is not the same as its absence."""

    @property
    def significant(self) -> bool:
        """Whether 0, false or "" means something else than nothing."""
        ...

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:
        """The normal form. A value of another type is noted as a fault and left as it is. ``inside``: in a list, where empties are left out."""
        ...

    def body(self, normal: JSON) -> JSON:
        """What to send to Consul for a normal form."""
        ...


@dataclass(frozen=True, slots=True)
class _Plain:
    significant: bool = False

    def body(self, normal: JSON) -> JSON:
        """As it is."""
        return normal


@dataclass(frozen=True, slots=True)
class Text(_Plain):
    """Text; ``case`` is ``lower`` or ``upper`` where Consul stores it so, ``words`` are all that it takes, beside ""."""

    case: str = ""
    words: tuple[str, ...] = ()

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # one form everywhere
        """The text; a number as Consul would write it."""
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            reading.fault(trail, "must be text", "put it in quotes")
            return value
        text = value.lower() if self.case == "lower" else value.upper() if self.case == "upper" else value
        if self.words and text and text not in self.words:
            guess = get_close_matches(text, self.words, 1, 0.6)
            what_to_do = f"did you mean {guess[0]}?" if guess else f"write one of {', '.join(self.words)}"
            reading.fault(trail, f"{text!r} is none of the words it takes", what_to_do)
        return text


@dataclass(frozen=True, slots=True)
class Number(_Plain):
    """A whole number; digits in quotes are one too."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # one form everywhere
        """The number."""
        if isinstance(value, str) and value.lstrip("-").isdecimal():
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            reading.fault(trail, "must be a whole number", "write digits without quotes")
        return value


@dataclass(frozen=True, slots=True)
class Flag(_Plain):
    """True or false."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # one form everywhere
        """The truth."""
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            reading.fault(trail, "must be true or false", "write true or false, without quotes")
        return value


@dataclass(frozen=True, slots=True)
class Span(_Plain):
    """A duration: text as Go reads it, or a number of nanoseconds."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # one form everywhere
        """As Go writes it."""
        try:
            duration_ns = nanoseconds(value) if isinstance(value, str) and value else int(value or 0)
        except (ValueError, TypeError):
            reading.fault(trail, "must be a duration", 'write it as in "10s" or "1m30s"')
            return value
        return go_text(duration_ns) if duration_ns or self.significant else ""


@dataclass(frozen=True, slots=True)
class Free(_Plain):
    """A mapping whose keys and values are nobody's business but its user's; with ``texts`` the values are text."""

    texts: bool = False

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:
        """As it is."""
        if not isinstance(value, Mapping):
            if value is not None:
                reading.fault(trail, "must be a mapping", "write {key: value}")
            return {} if value is None else value
        if not self.texts:
            return dict(value)
        return {str(key): Text().normal(inner, (*trail, key), reading, inside=inside) for key, inner in value.items()}


@dataclass(frozen=True, slots=True)
class Dropped(_Plain):
    """What only Consul fills in, and a manifest may repeat for nothing."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # whatever it is
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Enterprise(_Plain):
    """A field that only Consul Enterprise takes."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # whatever it is
        """As it is, and a fault unless it says nothing."""
        if not is_empty(value):
            reading.fault(trail, "is a feature of Consul Enterprise", "remove it")
        return value


@dataclass(frozen=True, slots=True)
class Rows:
    """A list. ``ordered``: whether its order means something; if not, it is sorted."""

    element: Shape
    ordered: bool = True
    significant: bool = False

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # its elements are always inside
        """The elements in normal form."""
        rows = [self.element.normal(row, (*trail, index), reading, inside=True) for index, row in _listed(value, trail, reading)]
        return rows if self.ordered else sorted(rows, key=str)

    def body(self, normal: JSON) -> JSON:
        """The elements as they are sent."""
        return [self.element.body(row) for row in normal] if isinstance(normal, list) else normal


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with known keys."""

    fields: Mapping[str, Shape]
    significant: bool = False

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:
        """The fields in normal form, in Consul's spelling. What is not known is kept as it is: a newer Consul may have written it."""
        if isinstance(value, list) and len(value) == 1:
            value = value[0]  # so does Consul: HCL has blocks, which may be repeated
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            reading.fault(trail, "must be a mapping", f"write {{{next(iter(self.fields), 'Key')}: …}}")
            return value
        result: dict[str, JSON] = {}
        for key, inner in value.items():
            name = self._name(str(key))
            if name is None and _folded(str(key)) in _ENTERPRISE:
                if inner not in ("", "default", None):
                    reading.fault((*trail, key), "is a feature of Consul Enterprise", "remove it")
                continue
            if name is None:
                reading.fault((*trail, key), "is not a field of this kind of config entry", self._instead(str(key)))
            elif name in result:
                reading.fault((*trail, key), f"stands twice, as {key} and in another spelling", "leave one of them out")
            shape = self.fields[name] if name is not None else Free()
            if isinstance(shape, Dropped) or inner is None:
                continue
            normal = shape.normal(inner, (*trail, key), reading, inside=inside) if name is not None else inner
            if not (inside and is_empty(normal) and not shape.significant):
                result[name if name is not None else str(key)] = normal
        return result

    def body(self, normal: JSON) -> JSON:
        """The fields as they are sent."""
        if not isinstance(normal, Mapping):
            return normal
        return {key: self.fields[key].body(value) if key in self.fields else value for key, value in normal.items()}

    def _name(self, key: str) -> str | None:
        return key if key in self.fields else next((name for name in self.fields if _folded(name) == _folded(key)), None)

    def _instead(self, key: str) -> str:
        known = {_folded(name): name for name, shape in self.fields.items() if not isinstance(shape, Dropped)}
        guess = get_close_matches(_folded(key), known, 1, 0.6)
        return f"did you mean {known[guess[0]]}?" if guess else f"write one of {', '.join(known.values())}"


@dataclass(frozen=True, slots=True)
class Keyed:
    """A list that means a mapping: each element is known by its first key, or by all of ``keys`` when the others are set. Its order means nothing."""

    keys: tuple[str, ...]
    element: Table
    significant: bool = False

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # its elements are always inside
        """The elements by name, in the order written; the name itself is left out of an element that has no other keys."""
        result: dict[str, JSON] = {}
        for index, row in _listed(value, trail, reading):
            element = self.element.normal(row, (*trail, index), reading, inside=True)
            if not isinstance(element, dict):
                continue
            name = " ".join(str(element[key]) for key in self.keys if key in element)
            if self.keys[0] not in element:
                reading.fault((*trail, index), f"has no {self.keys[0]}", f"add {self.keys[0]}")
            if name in result:
                reading.fault((*trail, index), f"{name!r} stands twice", "leave one of them out")
            if name == element.get(self.keys[0]):
                del element[self.keys[0]]
            result[name] = element
        return result

    def body(self, normal: JSON) -> JSON:
        """The list, in the order of the mapping."""
        if not isinstance(normal, Mapping):
            return normal
        return [self.element.body({self.keys[0]: name, **element} if self.keys[0] not in element else element) for name, element in normal.items()]


def whole_paths(shape: Shape, at: Path = ()) -> Iterator[Path]:
    """The paths of the mappings under ``shape`` that belong wholly to the manifest."""
    if isinstance(shape, Keyed):
        yield at
    if isinstance(shape, Table):
        for name, inner in shape.fields.items():
            yield from whole_paths(inner, (*at, name))


def free_paths(shape: Shape, at: Path = ()) -> Iterator[Path]:
    """The paths of the free maps under ``shape``, but for those in lists."""
    if isinstance(shape, Free):
        yield at
    if isinstance(shape, Table):
        for name, inner in shape.fields.items():
            yield from free_paths(inner, (*at, name))


def significant_paths(shape: Shape, at: Path = ()) -> Iterator[Path]:
    """The paths of single fields under ``shape`` whose emptiness is not the same as their absence."""
    if isinstance(shape, _Plain) and shape.significant:
        yield at
    if isinstance(shape, Table):
        for name, inner in shape.fields.items():
            yield from significant_paths(inner, (*at, name))


def _listed(value: JSON, trail: Trail, reading: Reading) -> Iterable[tuple[int, JSON]]:
    if isinstance(value, list):
        return enumerate(value)
    if isinstance(value, Mapping) and value:
        return [(0, value)]  # so does Consul
    if not is_empty(value):
        reading.fault(trail, "must be a list", "write [ … ]")
    return ()


def _folded(key: str) -> str:
    return key.replace("_", "").lower()
