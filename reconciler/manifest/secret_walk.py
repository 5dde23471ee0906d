"""All places of a manifest that hold a secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.manifest.models import Manifest
from reconciler.manifest.tree import TreePath
from reconciler.model.address import Address
from reconciler.model.secret import Reference, Secret, SecretSource

Found = tuple[TreePath, str, Any]
"""Where it stands, what it belongs to (as in an address), and the secret: a literal, a source, a reference, a generated one."""


def secrets(manifest: Manifest) -> Iterator[Found]:
    """Every secret field that is set, those inside an archive's reference included. Of KV entries those that are masked or refer to something."""
    for path, subject, secret in _fields(manifest):
        if secret is None:
            continue
        yield path, subject, secret
        if isinstance(secret, SecretSource) and secret.form == "bootstrap_token":
            yield (*path, "bootstrap_token", "password"), subject, secret.argument["password"]


def connection_references(manifest: Manifest, servers: Iterable[str]) -> set[Address]:
    """What the secrets of these Postgres connections refer to."""
    sections = [(manifest.postgres or {}).get(name) for name in servers]
    found = [secret for section in sections if section is not None for secret in (section.password, section.sslpassword)]
    return {secret.address for secret in found if isinstance(secret, Reference)}


def _fields(manifest: Manifest) -> Iterator[Found]:
    if manifest.consul is not None:
        yield ("consul", "token"), "consul.token", manifest.consul.token
    for name, server in (manifest.postgres or {}).items():
        yield ("postgres", name, "password"), f"postgres.{name}.password", server.password
        yield ("postgres", name, "sslpassword"), f"postgres.{name}.sslpassword", server.sslpassword
    cluster = manifest.mesh_credentials.cluster
    if cluster is not None:
        yield ("mesh_credentials", "cluster", "password"), "mesh_credentials.cluster.password", cluster.password
    for label, role in manifest.db_roles.items():
        yield ("db_roles", label, "password"), f"db-role/{role.server}/{role.name}", role.password
    for label, query in manifest.prepared_queries.items():
        yield ("prepared_queries", label, "token"), f"prepared-query/{query.name}", query.token
    for index, config in enumerate(manifest.config_entries):
        for inner, value in _inside(config.body):
            subject = ".".join((f"config-entry/{config.Kind}/{config.Name}", *map(str, inner)))
            yield ("config_entries", index, *inner), subject, value
    yield from _contents(manifest)


def _contents(manifest: Manifest) -> Iterator[Found]:
    for key, entry in manifest.kv.items():
        if entry.is_masked(key) or not isinstance(entry.value, str):
            yield ("kv", key, "value"), f"kv/{key}", entry.value
    for label, file in manifest.files.items():
        if file.content is not None and (file.is_masked or not isinstance(file.content, str)):
            yield ("files", label, "content"), f"file/{file.host}{file.path}", file.content


def _inside(value: Any, path: TreePath = ()) -> Iterator[tuple[TreePath, Any]]:
    """The secrets in a value, at any depth, with their paths in it."""
    if isinstance(value, Secret | SecretSource | Reference):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _inside(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _inside(inner, (*path, index))
