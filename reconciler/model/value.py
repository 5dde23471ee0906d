"""What a field of a specification can hold, and when two such values mean the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from reconciler.model.secret import Generate, Hidden, Pending, Reference, Secret, SecretSource, Verifies

JSON = Any
"""None, bool, int, float, str, list or dict of these: what `json.loads` gives."""

Value = Any
"""JSON, :class:`Semantic`, or one of the types of :mod:`reconciler.model.secret`."""

_T = TypeVar("_T")

Path = tuple[str, ...]
"""Where a field stands in a specification, outermost key first."""

LONG_TEXT_BYTES: Final = 4096


class Absent:
    """The type of :data:`ABSENT`: there is no value, which is not the same as an empty one."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class Semantic:
    """A text that is compared by meaning, such as ACL rules.

    ``normal`` is the meaning as JSON (this is what is compared and recorded), ``written`` what is sent to the system, ``shown`` one canonical
    rendering of the meaning, so that a diff of two of them shows only what matters.
    """

    normal: JSON
    written: str = field(compare=False)
    shown: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Digest:
    """Stands in an ownership record for a text over 4 KiB: the SHA-256 of its UTF-8 bytes, in hex."""

    sha256: str

    @classmethod
    def of(cls, text: str) -> Digest:
        """The digest of ``text``."""
        return cls(hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest())


class Withheld:
    """The type of :data:`WITHHELD`: in a record, a field that was set to a secret; nothing else is said of it."""

    def __repr__(self) -> str:
        return "(withheld)"


WITHHELD: Final = Withheld()


def canonical(value: Value) -> str:
    """One text for a value that has no secret in it, for digests: a string as it is, anything else as sorted JSON."""
    if isinstance(value, Semantic):
        value = value.normal
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def is_secret(value: Value) -> bool:
    """Whether ``value`` is, or stands for, something that must not be shown or recorded."""
    if isinstance(value, Reference | SecretSource):
        return value.masked
    return isinstance(value, Secret | Generate | Pending | Hidden | Withheld | Verifies)


def is_empty(value: Value) -> bool:
    """Whether ``value`` means the same as its absence to Consul: null, "", 0, false, an empty list or mapping."""
    return value is None or value is ABSENT or (not isinstance(value, Semantic) and not is_secret(value) and not value)


def leaves(tree: Mapping[str, Value], whole: frozenset[Path], at: Path = ()) -> Iterable[tuple[Path, Value]]:
    """The fields of a specification that are compared one by one, with their paths.

    Mappings are descended into, so that a key the manifest does not set is not compared; those at a path in ``whole``, lists, and everything
    that is not a mapping are values. ``"*"`` in a ``whole`` path stands for any key.
    """
    for key, value in tree.items():
        path = (*at, key)
        if isinstance(value, Mapping) and not is_whole(path, whole):
            yield from leaves(value, whole, path)
        else:
            yield path, value


def is_whole(path: Path, whole: frozenset[Path]) -> bool:
    """Whether the mapping at ``path`` belongs wholly to the manifest."""
    return path in whole or any(len(w) == len(path) and all(a in ("*", b) for a, b in zip(w, path, strict=True)) for w in whole)


def look_up(tree: Mapping[str, Value], path: Path) -> Value:
    """The value at ``path``, or :data:`ABSENT`."""
    value: Value = tree
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return ABSENT
        value = value[key]
    return value


def all_of(value: Value, type_: type[_T]) -> Iterator[_T]:
    """Everything of this type in ``value``, at any depth."""
    if isinstance(value, type_):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from all_of(inner, type_)


def replaced(value: Value, type_: type[_T], by: Callable[[_T], Value]) -> Value:
    """``value`` with ``by`` of everything of this type in it, at any depth, instead."""
    if isinstance(value, type_):
        return by(value)
    if isinstance(value, Mapping):
        return {key: replaced(inner, type_, by) for key, inner in value.items()}
    return [replaced(inner, type_, by) for inner in value] if isinstance(value, list) else value


def names_of_secrets(value: Value, name: str = "") -> frozenset[str]:
    """The keys under which ``value`` holds secrets, at any depth; ``name`` is its own. An element of a list goes by the list's."""
    if isinstance(value, Mapping):
        return frozenset(found for key, inner in value.items() for found in names_of_secrets(inner, key))
    if isinstance(value, list):
        return frozenset(found for inner in value for found in names_of_secrets(inner, name))
    return frozenset({name}) if is_secret(value) else frozenset()


def put(tree: dict[str, Value], path: Path, value: Value) -> dict[str, Value]:
    """A copy of ``tree`` with ``value`` at ``path``; :data:`ABSENT` removes what is there, and the mappings that become empty."""
    key, rest = path[0], path[1:]
    copy = dict(tree)
    if rest:
        inner = copy.get(key)
        value = put(dict(inner) if isinstance(inner, Mapping) else {}, rest, value)
        if not value:
            value = ABSENT
    if value is ABSENT:
        copy.pop(key, None)
    else:
        copy[key] = value
    return copy
