"""What of the manifest's format a manifest uses: what no kind covers, ``plan`` refuses as not supported yet."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.manifest.models import AclToken, Database, DbRole, Manifest
from reconciler.manifest.secret_walk import secrets
from reconciler.manifest.tree import TreePath
from reconciler.model.secret import Reference, SecretSource

Feature = tuple[str, str, TreePath]
"""The feature's name, what uses it, and where."""

LOCAL = "local"


def features(manifest: Manifest) -> Iterator[Feature]:
    """Every feature that ``manifest`` uses, once for each entry that uses it."""
    yield from _connections(manifest)
    yield from _credentials(manifest)
    yield from _mesh(manifest)
    yield from _postgres(manifest)
    for label, file in manifest.files.items():
        yield "files", f"file/{file.host}{file.path}", ("files", label)
    for path, subject, secret in secrets(manifest):
        if isinstance(secret, SecretSource) and secret.form == "bootstrap_token":
            yield "secrets.bootstrap_token", subject, path
        if isinstance(secret, Reference) and path[0] == "postgres":
            yield "postgres.password.kv", subject, path


def _connections(manifest: Manifest) -> Iterator[Feature]:
    for name in manifest.hosts:
        if name != LOCAL:
            yield "hosts", f"hosts.{name}", ("hosts", name)
    for name, server in (manifest.postgres or {}).items():
        for key in ("via", "os_user"):
            if getattr(server, key) is not None:
                yield f"postgres.{key}", f"postgres.{name}", ("postgres", name, key)


def _credentials(manifest: Manifest) -> Iterator[Feature]:
    credentials = manifest.mesh_credentials
    for label, policy in credentials.policies.items():
        yield "mesh_credentials.policies", f"acl-policy/{policy.name}", ("mesh_credentials", "policies", label)
    for label, role in credentials.roles.items():
        yield "mesh_credentials.roles", f"acl-role/{role.name}", ("mesh_credentials", "roles", label)
    for label, token in credentials.tokens.items():
        yield from _token(label, token)
    if credentials.cluster is not None:
        yield "mesh_credentials.cluster", "mesh_credentials.cluster", ("mesh_credentials", "cluster")


def _token(label: str, token: AclToken) -> Iterator[Feature]:
    path, subject = ("mesh_credentials", "tokens", label), f"acl-token/{label}"
    yield "mesh_credentials.tokens", subject, path
    for index, file in enumerate(token.file):
        remote = "" if file.host == LOCAL else ".remote"
        yield f"mesh_credentials.tokens.file{remote}", subject, (*path, "file", index)


def _mesh(manifest: Manifest) -> Iterator[Feature]:
    for name, gateway in manifest.terminating_gateways.items():
        yield "terminating_gateways", f"config-entry/terminating-gateway/{name}", ("terminating_gateways", name)
        if gateway.process is not None:
            yield "terminating_gateways.process", f"config-entry/terminating-gateway/{name}", ("terminating_gateways", name, "process")
    for label, service in manifest.external_services.items():
        yield "external_services", f"external-service/{service.node}/{service.id}", ("external_services", label)
    for name in manifest.intentions:
        yield "intentions", f"config-entry/service-intentions/{name}", ("intentions", name)
    for index, entry in enumerate(manifest.config_entries):
        yield f"config_entries.{entry.Kind}", f"config-entry/{entry.Kind}/{entry.Name}", ("config_entries", index)
    for label, query in manifest.prepared_queries.items():
        yield "prepared_queries", f"prepared-query/{query.name}", ("prepared_queries", label)
    for key in manifest.kv:
        yield "kv", f"kv/{key}", ("kv", key)


def _postgres(manifest: Manifest) -> Iterator[Feature]:
    for label, role in manifest.db_roles.items():
        yield from _used("db_roles", role, f"db-role/{role.server}/{role.name}", label, ("member_of", "reassign_to"))
    for label, database in manifest.databases.items():
        subject = f"database/{database.server}/{database.name}"
        yield from _used("databases", database, subject, label, ("grants", "schemas", "extensions", "default_privileges"))


def _used(section: str, entry: DbRole | Database, subject: str, label: str, keys: tuple[str, ...]) -> Iterator[Feature]:
    yield section, subject, (section, label)
    for key in keys:
        if getattr(entry, key) is not None:
            yield f"{section}.{key}", subject, (section, label, key)
