"""How parts of manifests are drawn.

A name or a label in them begins with :data:`HERE`, which :func:`named` replaces, so that no two examples meet.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
Part = dict[str, Any]
HERE = "@"
ACCESSOR = "@accessor"
"""Stands for a token's accessor, which :func:`named` makes of the name."""


class Draw(Protocol):
    """What hypothesis gives to a composite strategy."""

    def __call__(self, strategy: st.SearchStrategy[T]) -> T: ...


def one_of(draw: Draw, *values: T) -> T:
    """One of these."""
    return draw(st.sampled_from(values))


def maybe(draw: Draw) -> bool:
    return draw(st.booleans())


def some(draw: Draw, values: Sequence[T], at_most: int | None = None) -> list[T]:
    """Some of these, in any order."""
    return draw(st.lists(st.sampled_from(values), unique=True, max_size=at_most)) if values else []


def labelled(draw: Draw, kind: str, entries: Iterable[Mapping[str, Any]]) -> Part:
    """The entries under labels that say nothing of their names: a label means another thing in another manifest, and a thing has another label."""
    listed = list(entries)
    labels = draw(st.permutations([f"{HERE}{kind}-{number}" for number in range(4)]))
    return {label: dict(entry) for label, entry in zip(labels, listed, strict=False)}


def without_nothing(**fields: Any) -> Part:
    """The fields that are set."""
    return {key: value for key, value in fields.items() if value is not None}


def named(value: Any, name: str) -> Any:
    """The same with ``name`` for :data:`HERE`."""
    if value == ACCESSOR:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    if isinstance(value, str):
        return value.replace(HERE, name)
    if isinstance(value, Mapping):
        return {named(key, name): named(inner, name) for key, inner in value.items()}
    return [named(inner, name) for inner in value] if isinstance(value, list) else value
