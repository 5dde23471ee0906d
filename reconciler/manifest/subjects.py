"""What to call the thing that a mistake is about: the address of its resource where that is known, else the dotted path of the setting."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from reconciler.manifest.defaults import DEFAULT_SERVER
from reconciler.manifest.mistake import PathPart
from reconciler.manifest.tree import Node, TreePath
from reconciler.model.address import Address

_SIMPLE: Final = re.compile(r"[A-Za-z0-9_*-]+")


def dotted(path: Sequence[PathPart]) -> str:
    """A path for people: ``file.mode``, ``policies[0]``, ``settings["app.mode"]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _SIMPLE.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def subject(root: Node, path: TreePath) -> tuple[str, TreePath]:
    """The address that ``path`` is about and the rest of the path within it; without an address the first is the whole path, the rest empty."""
    depth = 4 if path[:2] == ("mesh_credentials", "cluster") else 3 if path[:1] == ("mesh_credentials",) else 2
    rule = _ADDRESSES.get(".".join(str(part) for part in path[: depth - 1])) if len(path) >= depth else None
    entry = root.at(*path[:depth])
    address = rule(root, entry, str(path[depth - 1])) if rule is not None and entry is not None else None
    if address is None:
        return dotted(path), ()
    return str(address), path[depth:]


def _name(entry: Node, label: str, key: str = "name") -> str:
    return entry.text(key) or label


def _server(root: Node, entry: Node) -> str | None:
    written = entry.text("server")
    if written is not None:
        return written
    servers = root.child("postgres")
    names = list(servers.value) if servers is not None and isinstance(servers.value, dict) and servers.value else [DEFAULT_SERVER]
    return names[0] if len(names) == 1 else None


def _on_server(kind: str) -> Callable[[Node, Node, str], Address | None]:
    def address(root: Node, entry: Node, label: str) -> Address | None:
        server = _server(root, entry)
        return Address.of(kind, server, _name(entry, label)) if server else None

    return address


def _config_entry(_root: Node, entry: Node, _label: str) -> Address | None:
    kind, name = entry.text("Kind"), entry.text("Name")
    name = "mesh" if kind == "mesh" and name is None else name
    return Address.of("config-entry", kind, name) if kind and name else None


def _external_service(_root: Node, entry: Node, label: str) -> Address | None:
    node = entry.text("node")
    return Address.of("external-service", node, entry.text("id") or _name(entry, label, "service")) if node else None


def _file(_root: Node, entry: Node, _label: str) -> Address | None:
    path = entry.text("path")
    return Address.of("file", _name(entry, "local", "host"), path) if path else None


_ADDRESSES: Final[dict[str, Callable[[Node, Node, str], Address | None]]] = {
    "mesh_credentials.policies": lambda _, entry, label: Address.of("acl-policy", _name(entry, label)),
    "mesh_credentials.roles": lambda _, entry, label: Address.of("acl-role", _name(entry, label)),
    "mesh_credentials.tokens": lambda _, _entry, label: Address.of("acl-token", label),
    "mesh_credentials.cluster.nodes": lambda _, entry, label: Address.of("mesh-node", _name(entry, label, "host")),
    "terminating_gateways": lambda _, _entry, label: Address.of("config-entry", "terminating-gateway", label),
    "external_services": _external_service,
    "intentions": lambda _, _entry, label: Address.of("config-entry", "service-intentions", label),
    "config_entries": _config_entry,
    "prepared_queries": lambda _, entry, label: Address.of("prepared-query", _name(entry, label)),
    "kv": lambda _, _entry, label: Address.of("kv", label),
    "db_roles": _on_server("db-role"),
    "databases": _on_server("database"),
    "files": _file,
}
