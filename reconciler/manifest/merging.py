"""Later files over earlier ones: mapping by mapping, single values replaced whole, ``null`` to remove (docs/design.md §3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reconciler.manifest.kv import is_long_kv
from reconciler.manifest.secret_fields import is_reference
from reconciler.manifest.tree import Node, TreePath, Trouble, every

_WHOLE: Final[tuple[tuple[str, ...], ...]] = (
    ("consul", "token"),
    ("postgres", "*", "password"),
    ("postgres", "*", "sslpassword"),
    ("mesh_credentials", "policies", "*", "rules"),
    ("mesh_credentials", "cluster", "password"),
    ("intentions", "*", "sources", "*"),
    ("config_entries", "*", "Certificate"),
    ("config_entries", "*", "PrivateKey"),
    ("prepared_queries", "*", "token"),
    ("kv", "*", "value"),
    ("db_roles", "*", "password"),
)
"""Mappings that are one value: references, ``generate``, ``rules``, a source's intention."""


def merged(files: Sequence[Node]) -> Node:
    """One tree of the files' trees. Nulls that have nothing to remove are noted as troubles in their nodes."""
    base, *overlays = files
    _forbid_nulls(base, "is null", "write a value, or leave the key out")
    for overlay in overlays:
        base = _merge(base, overlay, ())
    return base


def _forbid_nulls(node: Node, what: str, what_to_do: str) -> None:
    for below in every(node):
        if below.value is None:
            below.add(Trouble(below.spot, what, what_to_do))


def _leave_none(node: Node) -> None:
    _forbid_nulls(node, "is null, but no earlier file has it", "leave it out, or correct the key")


def _is_one_value(base: Node, over: Node, path: TreePath) -> bool:
    """Whether one of them replaces the other. Inside a free map of a config entry a reference may stand anywhere, but not for the map itself."""
    in_free_map = path[:1] == ("config_entries",) and len(path) > len(("config_entries", 0, "Config"))
    return _is_whole(path) or (in_free_map and (is_reference(base.value) or is_reference(over.value)))


def _is_whole(path: TreePath) -> bool:
    return any(len(path) == len(whole) and all(w in ("*", part) for w, part in zip(whole, path, strict=True)) for whole in _WHOLE)


def _merge(base: Node, over: Node, path: TreePath) -> Node:
    """What stands at ``path`` when ``over`` is merged over ``base``."""
    base, over = _long_forms(base, over, path)
    if path == ("config_entries",) and isinstance(base.value, list) and isinstance(over.value, list):
        return _merge_config_entries(base, over)
    if not isinstance(base.value, dict) or not isinstance(over.value, dict) or _is_one_value(base, over, path):
        _leave_none(over)
        return over
    values, keys = dict(base.value), dict(base.keys or {})
    for key, value in over.value.items():
        if value.value is None and key in values:
            del values[key], keys[key]
        else:
            if key in values:
                values[key] = _merge(values[key], value, (*path, key))
            else:
                _leave_none(value)
                values[key] = value
            keys[key] = (over.keys or {})[key]
    node = Node(values, base.spot, None, keys)
    node.troubles = [*(base.troubles or ()), *(over.troubles or ())] or None
    return node


def _long_forms(base: Node, over: Node, path: TreePath) -> tuple[Node, Node]:
    """Both in the long form where one of them is, so that a KV entry keeps its options when an overlay only gives it another value."""
    if len(path) == 2 and path[0] == "kv":
        long = [node for node in (base, over) if isinstance(node.value, dict) and is_long_kv(node.value)]
        if long:
            base, over = (node if node in long else _wrapped(node, "value") for node in (base, over))
    elif len(path) == 2 and path[0] == "intentions" and isinstance(base.value, dict) and isinstance(over.value, dict):
        base, over = (node if _has_sources(node) else _wrapped(node, "sources") for node in (base, over))
    return base, over


def _has_sources(node: Node) -> bool:
    sources = node.child("sources")
    return sources is not None and isinstance(sources.value, dict)


def _wrapped(node: Node, key: str) -> Node:
    return Node({key: node}, node.spot, None, {key: node.spot})


def _identity(entry: Node) -> tuple[str, str] | None:
    kind = entry.text("Kind")
    name = "mesh" if kind == "mesh" and entry.child("Name") is None else entry.text("Name")
    return (kind.casefold(), name.casefold()) if kind is not None and name is not None else None


def _merge_config_entries(base: Node, over: Node) -> Node:
    entries: list[Node] = list(base.value)
    index = {identity: i for i, identity in reversed(list(enumerate(map(_identity, entries)))) if identity is not None}
    seen: set[tuple[str, str]] = set()
    for entry in over.value:
        identity = _identity(entry)
        if identity in index and identity not in seen:
            entries[index[identity]] = _merge(entries[index[identity]], entry, ("config_entries", index[identity]))
        else:
            # also a second one of the same identity in one file: the duplicate is to be reported, not merged away
            _leave_none(entry)
            entries.append(entry)
        if identity is not None:
            seen.add(identity)
    node = Node(entries, base.spot)
    node.troubles = [*(base.troubles or ()), *(over.troubles or ())] or None
    return node
