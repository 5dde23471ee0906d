"""The shapes that config entries are made of, and their normal form (docs/facts.md: Consul 6).

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

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from reconciler.kinds.consul._values import ENTERPRISE, Dropped, Free, Plain, Reading, Shape, Trail
from reconciler.model.value import JSON, Path, is_secret

_ENTERPRISE: Final = frozenset({"namespace", "partition"})
_NEAR_MISS: Final = 0.75
"""How alike (as difflib counts) an unknown field must be to a known one to be taken for a slip."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A list. ``ordered``: whether its order means something; if not, it is sorted."""

    element: Shape
    ordered: bool = True
    significant: bool = False

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # its elements are always inside
        """The elements in normal form."""
        rows = [self.element.normal(row, (*trail, index), reading, inside=True) for index, row in _listed(value, trail, reading)]
        return rows if self.ordered else sorted(rows, key=_order)

    def body(self, normal: JSON) -> JSON:
        """The elements as they are sent."""
        return [self.element.body(row) for row in normal] if isinstance(normal, list) else normal


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with known keys. ``aliases``: other names that Consul reads, folded."""

    fields: Mapping[str, Shape]
    significant: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)

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
                    reading.fault((*trail, key), ENTERPRISE, "remove it")
                continue
            if name is None:
                meant = self._meant(str(key))
                if meant and reading.strict:
                    reading.fault((*trail, key), "is not a field of this kind of config entry", f"did you mean {meant}?")
            elif name in result:
                reading.fault((*trail, key), f"stands twice, as {key} and in another spelling", "leave one of them out")
            shape = self.fields[name] if name is not None else Free()
            if isinstance(shape, Dropped) or inner is None:
                continue
            normal = shape.normal(inner, (*trail, key), reading, inside=inside) if name is not None else inner
            if is_secret(normal) or normal or not inside or shape.significant:
                result[name if name is not None else str(key)] = normal
        return result

    def body(self, normal: JSON) -> JSON:
        """The fields as they are sent."""
        if not isinstance(normal, Mapping):
            return normal
        return {key: self.fields[key].body(value) if key in self.fields else value for key, value in normal.items()}

    def _name(self, key: str) -> str | None:
        if key in self.fields:
            return key
        return self.aliases.get(_folded(key)) or next((name for name in self.fields if _folded(name) == _folded(key)), None)

    def _meant(self, key: str) -> str:
        """The field that ``key`` is a slip for; empty for one that only a newer Consul may know."""
        known = {_folded(name): name for name, shape in self.fields.items() if not isinstance(shape, Dropped)}
        guess = get_close_matches(_folded(key), known, 1, _NEAR_MISS)
        return known[guess[0]] if guess else ""


@dataclass(frozen=True, slots=True)
class Named:
    """A mapping by names that are its user's, such as the subsets of a service. It belongs wholly to the manifest: an empty element is one."""

    element: Table
    significant: bool = False

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # its elements are always inside
        """The elements in normal form."""
        if not isinstance(value, Mapping):
            if value is not None:
                reading.fault(trail, "must be a mapping", "write {NAME: {…}}")
            return {}
        return {str(name): self.element.normal(inner, (*trail, name), reading, inside=True) for name, inner in value.items()}

    def body(self, normal: JSON) -> JSON:
        """The elements as they are sent."""
        return {name: self.element.body(inner) for name, inner in normal.items()} if isinstance(normal, Mapping) else normal


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
    if isinstance(shape, Keyed | Named):
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
    if isinstance(shape, Plain) and shape.significant:
        yield at
    if isinstance(shape, Table):
        for name, inner in shape.fields.items():
            yield from significant_paths(inner, (*at, name))


def _order(row: JSON) -> str:
    """Neither the order of its keys counts, nor what is secret in it."""
    return json.dumps(row, sort_keys=True, default=lambda _: "")


def _listed(value: JSON, trail: Trail, reading: Reading) -> Iterable[tuple[int, JSON]]:
    if isinstance(value, list):
        return enumerate(value)
    if isinstance(value, Mapping) and value:
        return [(0, value)]  # so does Consul
    if value:
        reading.fault(trail, "must be a list", "write [ … ]")
    return ()


def _folded(key: str) -> str:
    return key.replace("_", "").lower()
