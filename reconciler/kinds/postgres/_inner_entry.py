"""What lies inside a database as a part of the database's entry, and where to look for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, LiteralString

from reconciler.kinds.postgres._inside import around
from reconciler.model.address import Address
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import InnerKind, Wanted
from reconciler.model.resource import Live
from reconciler.systems.postgres import Postgres, Session

_OPEN: Final[LiteralString] = """
SELECT d.datname::text AS name FROM pg_catalog.pg_database d
 WHERE NOT d.datistemplate AND d.datname <> 'postgres' AND d.datallowconn AND d.datconnlimit <> -2
   AND pg_catalog.has_database_privilege(d.oid, 'CONNECT') ORDER BY 1"""


def open_databases(server: Postgres) -> list[str]:
    """The databases that can be looked into: not templates, not ``postgres``."""
    return [row["name"] for row in server.query(_OPEN)]


def found_everywhere(kind: InnerKind, server: Postgres, names: LiteralString) -> list[Live]:
    """What is live in every database; ``names`` is the question for the rest of the addresses, one segment a column."""

    def inside(database: str, session: Session) -> list[Live]:
        wanted = [Wanted(kind.address(server.name, database, *row.values()), "") for row in session.query(names)]
        return list(kind.read_inside(session, wanted)) if wanted else []

    return server.in_each_database(open_databases(server), inside)


def part(live: Live, found: Found, at: tuple[str, ...], said: Any, roles: Iterable[str] = (), short: str = "") -> Expression:
    """``said`` as a part of the database's entry; ``roles`` are those that it names. For ``at`` and ``short`` see Expression."""
    database = around(live.address)
    label, named = found.label(*database.segments)
    body = said
    for key in reversed(at):
        body = {key: body}
    brought = [Address.of("db-role", database.segments[0], role) for role in roles]
    return Expression(
        ("databases",), label, {**named, **body}, goes_with=(database,), brings=tuple(a for a in brought if a in found.live), also=(database,),
        at=at, short=short,
    )  # fmt: skip


def no_part(live: Live, found: Found, why: str) -> Expression:
    """What cannot be said of a database's insides; a comment on the database says so."""
    database = around(live.address)
    label, _ = found.label(*database.segments)
    return Expression(("databases",), label, goes_with=(database,), why_not=why)
