"""Dropping a role, which Postgres refuses as long as anything in any database knows it (docs/facts.md: Postgres 6).

In each of those databases REASSIGN OWNED first gives what the role owns to its heir, where the manifest named one; then DROP OWNED takes away the
role's privileges there, *and drops its objects*. So that is only sent where the role owns nothing any more, or after the loss was consented to. It
never drops a database or a tablespace. Sessions of the role are left: once it is gone they can do nothing that not everybody can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final, LiteralString

from reconciler.kinds.postgres._joining import acting_for
from reconciler.kinds.postgres._on_server import still_there
from reconciler.model.errors import LostRace, Rejected
from reconciler.model.kind import Order
from reconciler.model.value import Value
from reconciler.systems.postgres import Condition, Name, Postgres, Row, Statement, sql

_ROLE: Final[LiteralString] = """
SELECT r.oid::text AS oid, pg_catalog.pg_has_role(current_user, r.oid, 'USAGE') AS is_mine
  FROM pg_catalog.pg_roles r WHERE r.rolname::text = %(name)s"""

# Default privileges and user mappings are its own settings rather than its objects; REASSIGN OWNED leaves them, and nobody misses them.
# One row for each database that knows the role, and one (database NULL) for what is shared by all.
_KNOWN_IN: Final[LiteralString] = """
SELECT d.datname::text AS database, count(*) FILTER (WHERE s.deptype = 'o'
         AND s.classid NOT IN ('pg_catalog.pg_default_acl'::regclass, 'pg_catalog.pg_user_mapping'::regclass)) AS owned,
       d.datallowconn AND d.datconnlimit <> -2 AND pg_catalog.has_database_privilege(d.oid, 'CONNECT') AS can_connect,
       pg_catalog.array_agg(pg_catalog.pg_describe_object(s.classid, s.objid, s.objsubid)) FILTER (WHERE s.deptype = 'o' AND s.dbid = 0) AS described
  FROM pg_catalog.pg_shdepend s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
 WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.refobjid = %(oid)s::oid
 GROUP BY d.oid, d.datname, d.datallowconn, d.datconnlimit ORDER BY 1 NULLS FIRST"""

_OWNS_NOTHING: Final[LiteralString] = """
SELECT count(*) = 0 FROM pg_catalog.pg_shdepend s
 WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.refobjid = %(oid)s::oid AND s.deptype = 'o'
   AND s.classid NOT IN ('pg_catalog.pg_default_acl'::regclass, 'pg_catalog.pg_user_mapping'::regclass)"""
_HERE: Final[LiteralString] = " AND s.dbid IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()))"
_OWNS_NOTHING_HERE: Final[LiteralString] = _OWNS_NOTHING + _HERE
IS_THE_ONE: Final[LiteralString] = "SELECT count(*) = 1 FROM pg_catalog.pg_roles r WHERE r.oid = %(oid)s::oid AND r.rolname::text = %(name)s"
"""Whether a role still is what was planned against."""

# Whoever owns what the role has rights on: only he, or who acts for him, can take them back.
_GRANTED_BY: Final[LiteralString] = """
SELECT DISTINCT pg_catalog.pg_get_userbyid(o.refobjid)::text AS owner
  FROM pg_catalog.pg_shdepend a JOIN pg_catalog.pg_shdepend o ON (o.dbid, o.classid, o.objid) = (a.dbid, a.classid, a.objid) AND o.deptype = 'o'
 WHERE a.refclassid = 'pg_catalog.pg_authid'::regclass AND a.refobjid = %(oid)s::oid AND a.deptype = 'a' AND o.refobjid <> a.refobjid ORDER BY 1"""


def heir_of(specification: Mapping[str, Value] | None) -> str | None:
    """Who is to get what a role owns, by the manifest or the record."""
    heir = (specification or {}).get("reassign_to")
    return str(heir) if heir is not None else None


def remove(server: Postgres, order: Order) -> None:
    """Drop the role of ``order``; nothing when it is gone already. Raises Rejected, before anything is lost, for what it must not or cannot lose."""
    name = order.address.segments[1]
    rows = server.query(_ROLE, {"name": name})
    if not rows:
        return
    oid = rows[0]["oid"]
    if order.live is not None and order.live.incarnation != oid:
        raise LostRace(f"{name} was dropped and made anew by somebody else meanwhile: run again")
    known_in = server.query(_KNOWN_IN, {"oid": oid})
    heir = _existing_heir(server, order)
    _demand_droppable(known_in, allow_data_loss=order.allow_data_loss, heir=heir)
    is_the_one = still_there(IS_THE_ONE, oid, name)
    join = () if rows[0]["is_mine"] else (_join(server, name),)
    steps = (is_the_one, *join, *_disowning(name, oid, heir, allow_data_loss=order.allow_data_loss))
    databases = [row["database"] for row in known_in if row["database"] is not None]
    with _acting_for_all(server, oid, heir if known_in else None):
        for database in databases:
            with server.in_database(database) as session:
                session.run(*steps)
        if known_in and not databases:
            server.run(*steps)
    try:
        server.run(sql("DROP ROLE {}", Name(name)), only_if=is_the_one)
    except Rejected as fault:
        if server.me.is_superuser:
            raise
        # what others granted only they, or a superuser, can revoke; DROP OWNED passes over it in silence
        raise Rejected(f"{fault}: {server.me.name} may not revoke what others granted to it; do that first, or use a superuser") from fault


def _disowning(role: str, oid: str, heir: str | None, *, allow_data_loss: bool) -> list[Statement | Condition]:
    """What makes one database forget the role, in one transaction; between the two nothing may have come to be its own."""
    otherwise = f"{role} has come to own something meanwhile: run again"
    drop = sql("DROP OWNED BY {} RESTRICT", Name(role))
    if heir is not None:
        return [sql("REASSIGN OWNED BY {} TO {}", Name(role), Name(heir)), Condition(_OWNS_NOTHING_HERE, {"oid": oid}, otherwise), drop]
    return [drop] if allow_data_loss else [Condition(_OWNS_NOTHING, {"oid": oid}, otherwise), drop]


@contextmanager
def _acting_for_all(server: Postgres, oid: str, heir: str | None) -> Iterator[None]:
    """The rights of the heir, and of those who granted something to the role, for one who is no superuser."""
    with ExitStack() as acting:
        if heir is not None:
            acting.enter_context(acting_for(server, heir, "give objects to"))
        for row in [] if server.me.is_superuser else server.query(_GRANTED_BY, {"oid": oid}):
            acting.enter_context(acting_for(server, row["owner"], "revoke what was granted by", if_possible=True))
        yield


def _existing_heir(server: Postgres, order: Order) -> str | None:
    heir = heir_of(order.record.specification if order.record else None)
    if heir is None or server.query(_ROLE, {"name": heir}):
        return heir
    if order.allow_data_loss:
        return None
    raise Rejected(f"there is no role {heir} any more to give to what it owns (reassign_to): make it, or agree to the loss")


def _demand_droppable(known_in: Iterable[Row], *, allow_data_loss: bool, heir: str | None) -> None:
    for row in known_in:
        if row["database"] is None and row["owned"] and heir is None:
            raise Rejected(f"it owns {', '.join(sorted(row['described']))}: drop that first, or give it another owner")
        if row["owned"] and not allow_data_loss and heir is None:
            raise Rejected(f"it owns {row['owned']} objects in database {row['database']}: plan again to see what would be lost")
        if row["database"] is not None and not row["can_connect"]:
            raise Rejected(f"it is known in database {row['database']}, which cannot be connected to: make that possible, or drop the database first")


def _join(server: Postgres, role: str) -> Statement:
    """What lets a role that is no superuser drop what belongs to ``role``; DROP ROLE ends the membership."""
    if server.version >= 160000:
        return sql("GRANT {} TO CURRENT_USER WITH INHERIT TRUE", Name(role))
    return sql("GRANT {} TO CURRENT_USER", Name(role))
