"""Which resources a manifest's entries are, so that two entries that mean one resource are noticed."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.manifest.database_objects import DatabaseObject, default_objects, normal_grantee
from reconciler.manifest.models import Database, Manifest
from reconciler.manifest.subjects import dotted
from reconciler.manifest.tree import Node, TreePath, place, spot_of
from reconciler.manifest.wording import diagnostic
from reconciler.model.address import Address
from reconciler.model.diagnostic import Diagnostic

Identity = tuple[Address, TreePath]


def identities(manifest: Manifest) -> Iterator[Identity]:
    """Each resource that an entry stands for, folded as the system that holds it folds names, and where the entry is."""
    credentials = manifest.mesh_credentials
    for label, policy in credentials.policies.items():
        yield Address.of("acl-policy", policy.name, fold=True), ("mesh_credentials", "policies", label)
    for label, role in credentials.roles.items():
        yield Address.of("acl-role", role.name, fold=True), ("mesh_credentials", "roles", label)
    for label, token in credentials.tokens.items():
        for index, file in enumerate(token.file):
            yield Address.of("file", file.host, file.path), ("mesh_credentials", "tokens", label, "file", index)
    for label, node in (credentials.cluster.nodes if credentials.cluster is not None else {}).items():
        yield Address.of("mesh-node", node.host), ("mesh_credentials", "cluster", "nodes", label)
    for label, plain in manifest.files.items():
        yield Address.of("file", plain.host, plain.path), ("files", label)
    yield from _consul(manifest)
    # without a server, which is a mistake of its own, nothing is known of what they are
    for label, db_role in manifest.db_roles.items():
        if db_role.server:
            yield Address.of("db-role", db_role.server, db_role.name), ("db_roles", label)
    for label, database in manifest.databases.items():
        if database.server:
            yield Address.of("database", database.server, database.name), ("databases", label)
            yield from _inside(database, ("databases", label))


def _consul(manifest: Manifest) -> Iterator[Identity]:
    for name in manifest.terminating_gateways:
        yield Address.of("config-entry", "terminating-gateway", name, fold=True), ("terminating_gateways", name)
    for name in manifest.intentions:
        yield Address.of("config-entry", "service-intentions", name, fold=True), ("intentions", name)
    for index, entry in enumerate(manifest.config_entries):
        yield Address.of("config-entry", entry.Kind, entry.Name, fold=True), ("config_entries", index)
    for label, service in manifest.external_services.items():
        yield Address.of("external-service", service.node, service.id, fold=True), ("external_services", label)
    for label, query in manifest.prepared_queries.items():
        yield Address.of("prepared-query", query.name, fold=True), ("prepared_queries", label)


def _inside(database: Database, path: TreePath) -> Iterator[Identity]:
    at = (database.server, database.name)
    for label, schema in (database.schemas or {}).items():
        yield Address.of("db-schema", *at, schema.name), (*path, "schemas", label)
    for label, extension in (database.extensions or {}).items():
        yield Address.of("db-extension", *at, extension.name), (*path, "extensions", label)
    for grantee, grants in (database.grants or {}).items():
        for text in grants:
            yield Address.of("db-grant", *at, str(DatabaseObject.parse(text)), normal_grantee(grantee)), (*path, "grants", grantee, text)
    for label, default in (database.default_privileges or {}).items():
        where = default_objects(default.on, default.into_schema)
        yield Address.of("db-default-privilege", *at, default.owner, where, normal_grantee(default.to)), (*path, "default_privileges", label)


def same_resource(manifest: Manifest, root: Node) -> Iterator[Diagnostic]:
    """Entries that mean one resource: each after the first names the first."""
    first: dict[Address, TreePath] = {}
    for address, path in identities(manifest):
        if address in first:
            yield _same(root, path, first[address], "is the same resource as", "remove one of them, or give it another name")
        else:
            first[address] = path


def _same(root: Node, path: TreePath, other: TreePath, what: str, what_to_do: str) -> Diagnostic:
    there = place(spot_of(root, other))
    return diagnostic(root, path, f"{what} {dotted(other)} ({there})", what_to_do)


def same_value(manifest: Manifest, root: Node) -> Iterator[Diagnostic]:
    """Values that must be different in every entry and are not: accessors, check IDs on one node, sources of one destination."""
    groups: list[tuple[object, TreePath, str]] = []
    for label, token in manifest.mesh_credentials.tokens.items():
        if token.accessor is not None:
            groups.append((("accessor", token.accessor), ("mesh_credentials", "tokens", label, "accessor"), "leave it out in one of them"))
    groups += _same_identities(manifest)
    for label, service in manifest.external_services.items():
        for name, check in (service.checks or {}).items():
            path: TreePath = ("external_services", label, "checks", name)
            groups.append((("check", service.node.lower(), check.id.lower()), path, "give it an id of its own: check IDs are unique on a node"))
    for name, intention in manifest.intentions.items():
        for label, source in intention.sources.items():
            groups.append((("source", name, source.name, source.peer), ("intentions", name, "sources", label), "remove one of them"))
    first: dict[object, TreePath] = {}
    for key, path, remedy in groups:
        if key in first:
            yield _same(root, path, first[key], "is the same as", remedy)
        else:
            first[key] = path


def _same_identities(manifest: Manifest) -> Iterator[tuple[object, TreePath, str]]:
    """The identities of each role and token: Consul merges those of one service, so that one of two is lost, or both mean less."""
    credentials = manifest.mesh_credentials
    for section, grantees in (("roles", credentials.roles), ("tokens", credentials.tokens)):
        for label, grantee in grantees.items():
            found: dict[str, list[object]] = {
                "service_identities": [i.service for i in grantee.service_identities or ()],
                "node_identities": [(i.node, i.datacenter) for i in grantee.node_identities or ()],
                "templated_policies": [(p.template, p.name) for p in grantee.templated_policies or ()],
            }
            for key, identities in found.items():
                for index, each in enumerate(identities):
                    yield (section, label, key, each), ("mesh_credentials", section, label, key, index), "make one of the two"


def disagreeing_nodes(manifest: Manifest, root: Node) -> Iterator[Diagnostic]:
    """Entries that name one node of the catalog but not the same address and metadata for it, or not the same spelling."""
    first: dict[str, str] = {}
    for label, service in manifest.external_services.items():
        other_label = first.setdefault(service.node.lower(), label)
        other = manifest.external_services[other_label]
        for key in ("node", "address", "node_meta"):
            if getattr(service, key) != getattr(other, key):
                remedy = "write the same in both, or give it a node of its own"
                yield _same(root, ("external_services", label, key), ("external_services", other_label), "is not that of the same node in", remedy)
