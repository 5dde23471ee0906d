"""Dropping a role, which Postgres refuses as long as anything in any database knows it (docs/facts.md: Postgres 6).

DROP OWNED, in each of those databases, takes away the role's privileges there *and drops its objects*. So it is only sent where the role owns
nothing, or after the loss was consented to. It never drops a database or a tablespace. Sessions of the role are left: once it is gone they can do
nothing that not everybody can.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, LiteralString

from reconciler.model.errors import LostRace, Rejected
from reconciler.model.kind import Order
from reconciler.systems.postgres import Condition, Name, Postgres, Row, Statement, sql

_ROLE: Final[LiteralString] = """
SELECT r.oid::text AS oid, pg_catalog.pg_has_role(current_user, r.oid, 'USAGE') AS is_mine
  FROM pg_catalog.pg_roles r WHERE r.rolname::text = %(name)s"""

# One row for each database that knows the role, and one (database NULL) for what is shared by all.
_KNOWN_IN: Final[LiteralString] = """
SELECT d.datname::text AS database, count(*) FILTER (WHERE s.deptype = 'o') AS owned,
       d.datallowconn AND d.datconnlimit <> -2 AND pg_catalog.has_database_privilege(d.oid, 'CONNECT') AS can_connect,
       pg_catalog.array_agg(pg_catalog.pg_describe_object(s.classid, s.objid, s.objsubid)) FILTER (WHERE s.deptype = 'o' AND s.dbid = 0) AS described
  FROM pg_catalog.pg_shdepend s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
 WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.refobjid = %(oid)s::oid
 GROUP BY d.oid, d.datname, d.datallowconn, d.datconnlimit ORDER BY 1 NULLS FIRST"""

_OWNS_NOTHING: Final[LiteralString] = """
SELECT count(*) = 0 FROM pg_catalog.pg_shdepend s
 WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.refobjid = %(oid)s::oid AND s.deptype = 'o'"""
_IS_THE_ONE: Final[LiteralString] = "SELECT count(*) = 1 FROM pg_catalog.pg_roles r WHERE r.oid = %(oid)s::oid AND r.rolname::text = %(name)s"


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
    _demand_droppable(known_in, allow_data_loss=order.allow_data_loss)
    drop_owned = [sql("DROP OWNED BY {} RESTRICT", Name(name))]
    if not rows[0]["is_mine"]:
        drop_owned.insert(0, _join(server, name))
    is_the_one = Condition(_IS_THE_ONE, {"oid": oid, "name": name}, f"{name} was dropped or made anew meanwhile: run again")
    harmless = (
        is_the_one if order.allow_data_loss else Condition(_OWNS_NOTHING, {"oid": oid}, f"{name} has come to own something meanwhile: run again")
    )
    databases = [row["database"] for row in known_in if row["database"] is not None]
    for database in databases:
        with server.in_database(database) as session:
            session.run(*drop_owned, only_if=harmless)
    if known_in and not databases:
        server.run(*drop_owned, only_if=harmless)
    try:
        server.run(sql("DROP ROLE {}", Name(name)), only_if=is_the_one)
    except Rejected as fault:
        if server.me.is_superuser:
            raise
        # what others granted only they, or a superuser, can revoke; DROP OWNED passes over it in silence
        raise Rejected(f"{fault}: {server.me.name} may not revoke what others granted to it; do that first, or use a superuser") from fault


def _demand_droppable(known_in: Iterable[Row], *, allow_data_loss: bool) -> None:
    for row in known_in:
        if row["database"] is None and row["owned"]:
            raise Rejected(f"it owns {', '.join(sorted(row['described']))}: drop that first, or give it another owner")
        if row["owned"] and not allow_data_loss:
            raise Rejected(f"it owns {row['owned']} objects in database {row['database']}: plan again to see what would be lost")
        if row["database"] is not None and not row["can_connect"]:
            raise Rejected(f"it is known in database {row['database']}, which cannot be connected to: make that possible, or drop the database first")


def _join(server: Postgres, role: str) -> Statement:
    """What lets a role that is no superuser drop what belongs to ``role``; DROP ROLE ends the membership."""
    if server.version >= 160000:
        return sql("GRANT {} TO CURRENT_USER WITH INHERIT TRUE", Name(role))
    return sql("GRANT {} TO CURRENT_USER", Name(role))
