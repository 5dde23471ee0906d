"""A manifest as a tree of nodes that know where they stand, before any meaning is given to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.manifest.mistake import PathPart
from reconciler.model.resource import Place

Spot = tuple[str, int, int]
"""File, line and column, the latter two from 1: a :class:`Place` that costs less to make."""

TreePath = tuple[PathPart, ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong with how a value or a key is written.

    ``what`` begins with a verb. ``masked`` replaces ``what_to_do`` where the value may be a secret. ``key`` is set when it is about a key.
    """

    spot: Spot
    what: str
    what_to_do: str
    masked: str = ""
    key: str | None = None


class Node:
    """One value. ``value`` is a dict or list of nodes, or a scalar; ``written`` its source text when it is a scalar but no string.

    ``keys`` are the places of a mapping's keys. A node is not changed once it has been composed, except that troubles are added.
    """

    __slots__ = ("keys", "spot", "troubles", "value", "written")

    def __init__(self, value: Any, spot: Spot, written: str | None = None, keys: dict[str, Spot] | None = None) -> None:
        self.value = value
        self.spot = spot
        self.written = written
        self.keys = keys
        self.troubles: list[Trouble] | None = None

    def add(self, trouble: Trouble) -> None:
        """Note something wrong here."""
        self.troubles = [*(self.troubles or ()), trouble]

    def child(self, part: PathPart) -> Node | None:
        """The node below, or None."""
        if isinstance(self.value, dict):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int) and 0 <= part < len(self.value):
            return self.value[part]  # type: ignore[no-any-return]  # a list of nodes
        return None

    def at(self, *path: PathPart) -> Node | None:
        """The node at a path below, or None."""
        node: Node | None = self
        for part in path:
            node = node.child(part) if node is not None else None
        return node

    def names(self, *path: PathPart) -> tuple[str, ...]:
        """The keys of the mapping at a path below; none where there is no mapping."""
        node = self.at(*path)
        return tuple(node.value) if node is not None and isinstance(node.value, dict) else ()

    def text(self, *path: PathPart) -> str | None:
        """The string at a path below, or None."""
        node = self.at(*path)
        return node.value if node is not None and isinstance(node.value, str) else None


def spot_at(text: str, index: int, file: str) -> Spot:
    """Where the character ``index`` of a file's text stands."""
    before = text[:index]
    return file, before.count("\n") + 1, index - before.rfind("\n")


def place(spot: Spot) -> Place:
    """A spot for people."""
    return Place(*spot)


def plain(node: Node) -> Any:
    """The values alone."""
    value = node.value
    if value.__class__ is dict:
        return {key: child.value if child.value.__class__ is str else plain(child) for key, child in value.items()}
    if value.__class__ is list:
        return [plain(child) for child in value]
    return value


def every(node: Node) -> Iterator[Node]:
    """Every node below, in no order; where only the few with something special matter, several times faster than :func:`walk`."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        value = node.value
        if value.__class__ is dict:
            waiting.extend(value.values())
        elif value.__class__ is list:
            waiting.extend(value)


def walk(node: Node, path: TreePath = ()) -> Iterator[tuple[TreePath, Node]]:
    """Every node below, with its path."""
    yield path, node
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            yield from walk(child, (*path, key))
    elif isinstance(node.value, list):
        for index, child in enumerate(node.value):
            yield from walk(child, (*path, index))


def follow(root: Node, path: Sequence[PathPart]) -> tuple[TreePath, Node]:
    """The deepest node on ``path``, and its path in the tree.

    Parts that are not in the tree are passed over: the models have some that no short form has (``value`` of a KV entry, the index of the only
    token file).
    """
    node, found = root, []
    for part in path:
        below = node.child(part)
        if below is not None:
            node = below
            found.append(part)
    return tuple(found), node


def spot_of(root: Node, path: Sequence[PathPart]) -> Spot:
    """Where the value at ``path``, or the nearest one around it, stands: for a mapping or list its key, which is what a person looks for."""
    found, node = follow(root, path)
    if found and isinstance(node.value, dict | list):
        parent = root.at(*found[:-1])
        if parent is not None and parent.keys is not None:
            return parent.keys[str(found[-1])]
    return node.spot


def entry_spot(root: Node, path: Sequence[PathPart]) -> Spot | None:
    """Where the label of an entry stands, when ``path`` leads to one; None for every other path."""
    depth = 3 if path[:1] == ("mesh_credentials",) else 2
    section = root.at(*path[:-1]) if len(path) == depth else None
    return section.keys.get(str(path[-1])) if section is not None and section.keys is not None else None
