"""What cannot be meant by the rights in a database: privileges that there are none of, rights of an owner, two entries for one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reconciler.manifest.database_objects import ALL, PRIVILEGES, PUBLIC, DatabaseObject, normal_grantee, normal_privileges
from reconciler.manifest.models import Database, Grant, Manifest
from reconciler.manifest.suggestion import instead
from reconciler.manifest.tree import Node, TreePath
from reconciler.manifest.wording import diagnostic
from reconciler.model.diagnostic import Diagnostic


def broken_grants(manifest: Manifest, root: Node) -> Iterator[Diagnostic]:
    """Every such mistake in every database."""
    for label, database in manifest.databases.items():
        path: TreePath = ("databases", label)
        for grantee, grants in (database.grants or {}).items():
            yield from _of_grantee(database, normal_grantee(grantee), grants, root, (*path, "grants", grantee))
        for name, default in (database.default_privileges or {}).items():
            at = (*path, "default_privileges", name)
            yield from _unknown(default.privileges, default.on.removesuffix("s"), root, at)
            if default.on == "schemas" and default.into_schema is not None:
                yield diagnostic(root, (*at, "schema"), "is for what lies in a schema, and schemas lie in none", "take it out")
            if default.owner == default.to:
                yield diagnostic(root, (*at, "to"), "is the owner, who has every right on what it makes", "remove the entry, or name another role")


def _of_grantee(database: Database, grantee: str, grants: Mapping[str, Grant], root: Node, path: TreePath) -> Iterator[Diagnostic]:
    objects = {text: DatabaseObject.parse(text) for text in grants}
    sets = {(o.type, o.schema): text for text, o in objects.items() if o.is_set}
    owners = {o.name: s.owner for s in (database.schemas or {}).values() for o in [DatabaseObject("schema", name=s.name)]}
    for text, grant in grants.items():
        one, at = objects[text], (*path, text)
        yield from _unknown(grant.privileges, one.type, root, (*at, "privileges"))
        if grant.grantable and grantee == PUBLIC:
            yield diagnostic(root, (*at, "grantable"), "is for roles, and PUBLIC is none", "take it out")
        whole = sets.get((one.type, one.schema))
        if whole is not None and not one.is_set:
            yield diagnostic(root, at, f'is one of "{whole}" in the same grants', "name them one by one, or leave this out")
        owner = database.owner if one.type == "database" else owners.get(one.name) if one.type == "schema" else None
        if owner == grantee:
            yield diagnostic(root, at, f"is for {grantee}, who owns it and so has every right", "remove the entry")


def _unknown(privileges: Sequence[str], kind: str, root: Node, path: TreePath) -> Iterator[Diagnostic]:
    known = PRIVILEGES[kind]
    for one in normal_privileges(list(privileges)):
        if one not in known and one != ALL:
            yield diagnostic(root, path, f"has {one}, which there is not on a {kind}", instead(one, known))
