"""Whether this run could still connect to a database after a plan: only a superuser always can (docs/facts.md: Postgres 11)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, LiteralString

from reconciler.manifest.database_objects import ALL, PUBLIC
from reconciler.model.address import Address
from reconciler.model.change import Action, Change, Refusal
from reconciler.systems.postgres import Postgres

_WRITTEN: Final = frozenset({Action.CREATE, Action.UPDATE, Action.ADOPT})

_ALLOWED: Final[LiteralString] = """
SELECT d.datname::text AS name, pg_catalog.pg_get_userbyid(d.datdba)::text AS owner,
       ARRAY(SELECT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(x.grantee)::text END
               FROM pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) x WHERE x.privilege_type = 'CONNECT') AS allowed
  FROM pg_catalog.pg_database d WHERE d.datname::text = ANY(%(names)s::text[])"""
_INHERITANCE: Final[LiteralString] = """
SELECT pg_catalog.pg_get_userbyid(a.roleid)::text AS role, m.rolname::text AS member
  FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles m ON m.oid = a.member
 WHERE COALESCE((pg_catalog.to_jsonb(a) ->> 'inherit_option')::bool, m.rolinherit)"""


def lockouts(server: Postgres, changes: Mapping[Address, Change], staying: Iterable[Address]) -> Iterator[Refusal]:
    """A refusal for each database that holds something of ``staying`` and that this run's own role could not connect to any more.

    ``changes`` are those of a whole plan. What is granted in the same plan counts, because rights of everybody are settled last.
    """
    if server.me.is_superuser:
        return
    grants = [c for a, c in changes.items() if a.kind == "db-grant" and a.segments[2] == "database" and _is_made(c)]
    memberships = [c for a, c in changes.items() if a.kind == "db-membership" and _is_made(c)]
    databases = [c for a, c in changes.items() if a.kind == "database" and any(f.path == ("owner",) for f in c.fields)]
    if not (grants or memberships or databases):
        return
    names = sorted({a.segments[1] for a in staying if a.kind.startswith("db-") and a.kind not in ("db-role", "db-membership")})
    live = {row["name"]: row for row in server.query(_ALLOWED, {"names": names})}
    edges = {(row["role"], row["member"]) for row in server.query(_INHERITANCE)}
    us_before, us_after = _with_all(server.me.name, edges), _with_all(server.me.name, _edited(edges, memberships))
    for name in names:
        row = live.get(name)
        before, owner = (set(row["allowed"]), row["owner"]) if row else ({PUBLIC}, server.me.name)
        mine = [c for c in grants if c.address.segments[1] == name]
        given = _given(before, owner, changes.get(Address.of("database", server.name, name)))
        shut = not given & us_before  # by the owner's change, which comes before the grants of the same plan
        if before & us_before and (shut or not _granted(given, mine) & us_after):
            when = "by an apply of its own before" if shut else "by the same manifest"
            yield Refusal(
                "own credentials", _closing(databases if shut else mine or memberships or databases).address,
                f"this run's own role, {server.me.name}, could not connect to database {name} any more",
                f'let it in {when} (grants: {{"{server.me.name}": {{database: [CONNECT]}}}}), or run as a superuser',
            )  # fmt: skip


def _is_made(change: Change) -> bool:
    return change.action is Action.DELETE or (change.action in _WRITTEN and (change.action is Action.CREATE or bool(change.fields)))


def _closing(changes: list[Change]) -> Change:
    """The one that closes the door: that of everybody, which is the widest, where it is among them."""
    return next((c for c in changes if c.address.segments[-1] == PUBLIC), changes[0])


def _given(before: set[str], owner: str, database: Change | None) -> set[str]:
    """Who is let in after the change of the database itself: a new owner takes the place of the old one."""
    new_owner = database.desired.fields.get("owner") if database is not None and database.desired is not None else None
    if database is not None and database.action is Action.CREATE:
        return before | {new_owner or owner}
    return before - {owner} | {new_owner} if new_owner is not None and owner in before else before


def _granted(before: set[str], grants: Iterable[Change]) -> set[str]:
    """Who is let in after the grants too. What is taken from everybody by hand Postgres gives back when the entry goes."""
    after = set(before)
    for grant in grants:
        grantee = grant.address.segments[3]
        privileges = grant.desired.fields["privileges"] if grant.desired is not None else ["CONNECT"] if grantee == PUBLIC else []
        after = after | {grantee} if "CONNECT" in privileges or list(privileges) == [ALL] else after - {grantee}
    return after


def _edited(edges: Iterable[tuple[str, str]], memberships: Iterable[Change]) -> set[tuple[str, str]]:
    after = set(edges)
    for change in memberships:
        role, member = change.address.segments[1:]
        fields: Mapping[str, Any] = change.desired.fields if change.desired is not None else {}
        inherits = fields.get("inherit", change.action is Action.CREATE or (role, member) in after)
        after = after | {(role, member)} if change.desired is not None and inherits else after - {(role, member)}
    return after


def _with_all(role: str, edges: Iterable[tuple[str, str]]) -> set[str]:
    """A role, everybody, and every role whose rights it has."""
    found, waiting, known = {role, PUBLIC}, [role], list(edges)
    while waiting:
        member = waiting.pop()
        more = {r for r, m in known if m == member} - found
        found |= more
        waiting += more
    return found
