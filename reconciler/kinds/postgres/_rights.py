"""Which rights this run's role lacks for what a plan changes: what Postgres would surely refuse, before anything is written.

A superuser lacks nothing. What takes owning something, or acting for its owner, is left to Postgres to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, LiteralString

from reconciler.model.address import Address
from reconciler.model.change import Action, Change
from reconciler.systems.postgres import Postgres

_ADMIN_NEEDED: Final = 160000
"""Until 15 CREATEROLE was enough for every role that is no superuser, and only superusers gave REPLICATION and BYPASSRLS."""

_NOT_ADMIN: Final[LiteralString] = """
SELECT r.rolname::text AS name FROM pg_catalog.pg_roles r
 WHERE r.rolname::text = ANY(%(names)s::text[]) AND NOT pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION') ORDER BY 1"""


def for_roles(server: Postgres, changes: Mapping[Address, Change]) -> Iterator[str]:
    """CREATEROLE; from 16 on ADMIN on each role that exists, and what only those may give who have it."""
    mine = _made(changes, "db-role")
    if server.me.is_superuser or not mine:
        return
    if not server.me.can_create_role:
        yield "CREATEROLE"
    only_superusers = ("superuser",) if server.version >= _ADMIN_NEEDED else ("superuser", "replication", "bypassrls")
    if any(_sets(c, attribute) for c in mine for attribute in only_superusers):
        yield "SUPERUSER"
    if server.version >= _ADMIN_NEEDED:
        me = server.me
        has = {"createdb": me.can_create_database, "replication": me.can_replicate, "bypassrls": me.can_bypass_rls}
        yield from (attribute.upper() for attribute, mine_too in has.items() if not mine_too and any(_sets(c, attribute) for c in mine))
        yield from _admin(server, {c.address.segments[1] for c in mine if c.action is not Action.CREATE} - {server.me.name})


def for_memberships(server: Postgres, changes: Mapping[Address, Change]) -> Iterator[str]:
    """ADMIN on the role, which from 16 on who makes it has; until 15 CREATEROLE is enough."""
    mine = _made(changes, "db-membership")
    new = {a.segments[1] for a, c in changes.items() if a.kind == "db-role" and c.action is Action.CREATE}
    if not server.me.is_superuser and (server.version >= _ADMIN_NEEDED or not server.me.can_create_role):
        yield from _admin(server, {c.address.segments[1] for c in mine} - new)


def for_databases(server: Postgres, changes: Mapping[Address, Change]) -> Iterator[str]:
    """CREATEDB for new ones."""
    new = any(c.action is Action.CREATE for c in _made(changes, "database"))
    if new and not (server.me.is_superuser or server.me.can_create_database):
        yield "CREATEDB"


def _made(changes: Mapping[Address, Change], kind: str) -> list[Change]:
    written = (Action.CREATE, Action.UPDATE, Action.DELETE)
    return [c for a, c in changes.items() if a.kind == kind and (c.action in written or (c.action is Action.ADOPT and c.fields))]


def _sets(change: Change, attribute: str) -> bool:
    """Whether a change gives or takes an attribute."""
    if change.action is Action.CREATE:
        return change.desired is not None and bool(change.desired.fields.get(attribute))
    return any(f.path == (attribute,) for f in change.fields)


def _admin(server: Postgres, roles: set[str]) -> Iterator[str]:
    for row in server.query(_NOT_ADMIN, {"names": sorted(roles)}) if roles else ():
        yield f'ADMIN OPTION on "{row["name"]}"'
