"""The rules between the entries of a manifest, and what deserves a warning."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from reconciler.manifest.grant_rules import broken_grants
from reconciler.manifest.identities import disagreeing_nodes, same_resource, same_value
from reconciler.manifest.models import Manifest
from reconciler.manifest.references import LOCAL, circles
from reconciler.manifest.secret_walk import secrets
from reconciler.manifest.tree import Node
from reconciler.manifest.wording import diagnostic
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.secret import Secret


def broken_rules(manifest: Manifest, root: Node) -> list[Diagnostic]:
    """All that is wrong between entries. ``root`` may have entries that ``manifest`` lacks because they are wrong themselves."""
    return list(
        chain(
            same_resource(manifest, root),
            same_value(manifest, root),
            disagreeing_nodes(manifest, root),
            _hosts_without_ssh(manifest, root),
            _role_circles(manifest, root),
            broken_grants(manifest, root),
        )
    )


def _hosts_without_ssh(manifest: Manifest, root: Node) -> Iterator[Diagnostic]:
    for name, host in manifest.hosts.items():
        if name != LOCAL and host.ssh is None:
            yield diagnostic(root, ("hosts", name), "lacks ssh", "add it, as in ssh: root@gateway.example.com")
        if name == LOCAL and (host.ssh is not None or host.port is not None):
            yield diagnostic(root, ("hosts", name), "is the machine this runs on and needs no ssh", "remove ssh and port, or give it another name")


def _role_circles(manifest: Manifest, root: Node) -> Iterator[Diagnostic]:
    labels = {(role.server, role.name): label for label, role in manifest.db_roles.items()}
    edges = {
        label: [labels[role.server, name] for name in role.member_of or () if (role.server, name) in labels]
        for label, role in manifest.db_roles.items()
    }
    for circle in circles(edges):
        what = f"makes a role a member of itself ({' → '.join(circle)})"
        yield diagnostic(root, ("db_roles", circle[0], "member_of"), what, "take one of them out")
    for label, role in manifest.db_roles.items():
        if role.reassign_to == role.name:
            yield diagnostic(root, ("db_roles", label, "reassign_to"), "is the role itself", "name the role that shall inherit its objects")


def warnings(manifest: Manifest, root: Node) -> Iterator[Diagnostic]:
    """What is allowed and unwise."""
    for path, _, secret in secrets(manifest):
        if isinstance(secret, Secret | str):
            also = ", or sensitive: false when it is none" if path[0] == "kv" else ""
            yield diagnostic(root, path, "holds a secret in plain text", f"write a reference such as {{env: NAME}} or {{file: PATH}}{also}")
    for name, gateway in manifest.terminating_gateways.items():
        if len(gateway.services) > 1:
            remedy = "give each service a gateway of its own, as Carbonio expects; if Carbonio has no part in this, leave it: Consul takes several"
            yield diagnostic(root, ("terminating_gateways", name), f"stands in for {len(gateway.services)} services", remedy)
