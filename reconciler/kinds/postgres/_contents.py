"""What would be lost with a database: counted inside it, so only for databases that are about to be deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, LiteralString

from reconciler.model.errors import LostRace, SystemFault
from reconciler.model.resource import Dependant
from reconciler.systems.postgres import PARALLEL, Postgres, Session

# Not counted: what belongs to an extension, and sequences that belong to a column.
_COUNTS: Final[LiteralString] = """
WITH relation AS (
  SELECT c.oid, c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v', 'S') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.objsubid = 0
                        AND (e.deptype = 'e' OR (c.relkind = 'S' AND e.deptype IN ('a', 'i')))))
SELECT (SELECT count(*) FROM relation WHERE relkind IN ('r', 'p', 'f')) AS table,
       (SELECT count(*) FROM relation WHERE relkind = 'm') AS "materialized view",
       (SELECT count(*) FROM relation WHERE relkind = 'v') AS view,
       (SELECT count(*) FROM relation WHERE relkind = 'S') AS sequence,
       (SELECT count(*) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                            WHERE e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')) AS function,
       (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata) AS "large object",
       CASE WHEN %(sized)s THEN (SELECT sum(pg_catalog.pg_total_relation_size(oid)) FROM relation WHERE relkind IN ('r', 'm'))::int8 END AS size_bytes
"""


def contents_of_each(server: Postgres, databases: Iterable[str]) -> Mapping[str, tuple[Dependant, ...]]:
    """What is in each of ``databases``, which are asked several at a time."""
    names = list(databases)
    if not names:
        return {}
    with ThreadPoolExecutor(PARALLEL) as pool:
        return dict(zip(names, pool.map(lambda name: contents(server, name), names), strict=True))


def contents(server: Postgres, database: str, *, before_dropping: bool = False) -> tuple[Dependant, ...]:
    """What is in ``database``: ``12 tables, 3.4 MB``, ``2 views``; nothing when it is empty. One that cannot be looked into counts as not empty."""
    try:
        with server.in_database(database, until_gone=before_dropping) as session:
            row = _counted(session)
    except SystemFault as fault:
        return (Dependant(f"contents that cannot be seen ({fault})"),)
    size = row.pop("size_bytes")
    found = [f"{count} {what}{'s' if count != 1 else ''}" for what, count in row.items() if count]
    if size and found:
        found[0] += f", {_readable(size)}"
    return tuple(Dependant(text) for text in found)


def _counted(session: Session) -> dict[str, int]:
    try:
        return session.query(_COUNTS, {"sized": True})[0]
    except LostRace:
        # somebody holds an exclusive lock on a table, whose size cannot be told then; that it is there can
        return session.query(_COUNTS, {"sized": False})[0]


def _readable(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
