"""References within a manifest: to hosts, Postgres servers, tokens and KV keys. They are followed in the tree, so that one wrong value in an
entry hides none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from reconciler.manifest.defaults import DEFAULT_SERVER
from reconciler.manifest.fields import OS_NAME
from reconciler.manifest.suggestion import instead
from reconciler.manifest.tree import Node, TreePath
from reconciler.manifest.wording import diagnostic
from reconciler.model.diagnostic import Diagnostic

LOCAL: Final = "local"
"""The machine this runs on, which needs no entry in ``hosts``."""

_HOSTS_USED: Final[tuple[TreePath, ...]] = (
    ("mesh_credentials", "tokens", "*", "file", "host"),
    ("mesh_credentials", "tokens", "*", "file", "*", "host"),
    ("mesh_credentials", "cluster", "nodes", "*", "host"),
    ("terminating_gateways", "*", "process", "host"),
    ("files", "*", "host"),
    ("postgres", "*", "via"),
)


def broken_references(root: Node) -> Iterator[Diagnostic]:
    """Every reference that leads nowhere, and every circle of KV entries."""
    yield from _unknown_hosts(root)
    yield from _unknown_servers(root)
    yield from _unknown_tokens(root)
    yield from _accounts_from_names(root)
    yield from _kv_circles(root)


def matching(root: Node, pattern: TreePath, path: TreePath = ()) -> Iterator[tuple[TreePath, Node]]:
    """The nodes at the paths that match ``pattern``, in which ``*`` is any key or index."""
    if not pattern:
        yield path, root
        return
    part, *rest = pattern
    value = root.value
    parts = [part] if part != "*" else list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for each in parts:
        child = root.child(each)
        if child is not None:
            yield from matching(child, tuple(rest), (*path, each))


def _unknown_hosts(root: Node) -> Iterator[Diagnostic]:
    known = [LOCAL, *(name for name in root.names("hosts") if name != LOCAL)]
    for pattern in _HOSTS_USED:
        for path, node in matching(root, pattern):
            if isinstance(node.value, str) and node.value not in known:
                yield diagnostic(root, path, f"is {node.value}, which is not in hosts", instead(node.value, known))
    for path, node in matching(root, ("mesh_credentials", "cluster", "nodes", "*")):
        if path[-1] not in known and node.child("host") is None:
            yield diagnostic(root, path, f"is {path[-1]}, which is not in hosts", instead(str(path[-1]), known))


def _unknown_servers(root: Node) -> Iterator[Diagnostic]:
    known = root.names("postgres") or (DEFAULT_SERVER,)
    for section in ("db_roles", "databases"):
        for path, node in matching(root, (section, "*")):
            server = node.child("server")
            if server is None and len(known) > 1 and isinstance(node.value, dict):
                yield diagnostic(root, path, "lacks server, and there are several", f"write server: and one of {', '.join(known)}")
            if server is not None and isinstance(server.value, str) and server.value not in known:
                yield diagnostic(root, (*path, "server"), f"is {server.value}, which is not in postgres", instead(server.value, known))


def _unknown_tokens(root: Node) -> Iterator[Diagnostic]:
    known = root.names("mesh_credentials", "tokens")
    used: tuple[TreePath, ...] = (("terminating_gateways", "*", "process", "token"), ("files", "*", "token"))
    for path, node in (found for pattern in used for found in matching(root, pattern)):
        if isinstance(node.value, str) and node.value not in known:
            yield diagnostic(root, path, f"is {node.value}, which is not in mesh_credentials.tokens", instead(node.value, known))


def _accounts_from_names(root: Node) -> Iterator[Diagnostic]:
    """A gateway's name stands for its account and group, where it can be one."""
    for path, node in matching(root, ("terminating_gateways", "*", "process")):
        name = str(path[1])
        lacking = [key for key in ("user", "group") if node.child(key) is None]
        if lacking and (OS_NAME.compiled.fullmatch(name) is None or len(name) > 32):
            what = f"lacks {' and '.join(lacking)}, and the gateway's name is no account's name"
            yield diagnostic(root, path, what, "write user: and group:, each with at most 32 letters, digits, _ . and -")


def _kv_circles(root: Node) -> Iterator[Diagnostic]:
    edges: dict[str, list[str]] = {}
    for pattern in (("kv", "*", "kv"), ("kv", "*", "value", "kv")):
        for path, node in matching(root, pattern):
            if isinstance(node.value, str):
                edges[str(path[1])] = [node.value]
    for circle in circles(edges):
        yield diagnostic(root, ("kv", circle[0]), f"refers to itself ({' → '.join(circle)})", "give one of these keys a value of its own")


def circles(edges: Mapping[str, Collection[str]]) -> Iterator[list[str]]:
    """The circles of a graph, as the nodes on each with the first again at the end, found by going down from each node in turn."""
    done: set[str] = set()
    for start in edges:
        trail: list[str] = []
        on_trail: dict[str, int] = {}
        waiting: list[tuple[str, int]] = [(start, 0)]
        while waiting:
            node, depth = waiting.pop()
            for left in trail[depth:]:
                del on_trail[left]
                done.add(left)
            del trail[depth:]
            if node in on_trail:
                yield [*trail[on_trail[node] :], node]
            elif node not in done and node in edges:
                on_trail[node] = depth
                trail.append(node)
                waiting.extend((below, depth + 1) for below in reversed(list(edges[node])))
        done.update(trail)
