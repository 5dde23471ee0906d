"""``db-default-privilege/SERVER/DATABASE/OWNER/OBJECTS/GRANTEE``: what a grantee may do with the objects that OWNER will make.

OBJECTS is ``tables``, or ``tables in schema NAME``; what is said for a schema comes on top of what is said for all. It says everything about that
pair and nothing about others. Objects that exist are not touched: for those there are grants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final, LiteralString

from reconciler.kinds.postgres import _inside
from reconciler.kinds.postgres._inner_entry import open_databases, part
from reconciler.kinds.postgres._joining import acting_for
from reconciler.kinds.postgres._on_server import OnServer
from reconciler.kinds.postgres._privileges import Goal, Held, counts_as_there, goal, grouped, statement, steps
from reconciler.manifest.database_objects import PUBLIC, default_objects, normal_grantee, normal_privileges, parse_default_objects
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.errors import AlreadyExists, LostRace, Rejected
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.resource import Desired, Live, System
from reconciler.systems.postgres import Name, Postgres, Row, Session, Statement, sql

# pg_default_acl's letter for each type of object, and acldefault's
_LETTERS: Final[Mapping[str, tuple[str, str]]] = {
    "tables": ("r", "r"), "sequences": ("S", "s"), "functions": ("f", "f"), "types": ("T", "T"), "schemas": ("n", "n"),
}  # fmt: skip
_ON: Final[Mapping[str, LiteralString]] = {
    "tables": "TABLES", "sequences": "SEQUENCES", "functions": "FUNCTIONS", "types": "TYPES", "schemas": "SCHEMAS",
}  # fmt: skip

# For all schemas the ACL stands in place of the built-in one, for one schema it comes on top.
_DEFAULTS: Final[LiteralString] = """
SELECT w.number, o.oid::text AS owner_oid, n.oid::text AS schema_oid, COALESCE(g.oid, 0::oid)::text AS grantee_oid,
       (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('privilege', x.privilege_type, 'objects', 1, 'grantable', x.is_grantable::int4))
          FROM pg_catalog.aclexplode(COALESCE(a.defaclacl, CASE WHEN w.schema IS NULL THEN b.acl END)) x
         WHERE x.grantee = COALESCE(g.oid, 0::oid)) AS held,
       (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('privilege', x.privilege_type, 'objects', 1, 'grantable', x.is_grantable::int4))
          FROM pg_catalog.aclexplode(CASE WHEN w.schema IS NULL THEN b.acl END) x WHERE x.grantee = COALESCE(g.oid, 0::oid)) AS by_default,
       (SELECT pg_catalog.array_agg(x.privilege_type ORDER BY 1) FROM pg_catalog.aclexplode(b.acl) x WHERE x.grantee = o.oid) AS every
  FROM ROWS FROM (pg_catalog.unnest(%(numbers)s::int4[]), pg_catalog.unnest(%(owners)s::text[]), pg_catalog.unnest(%(schemas)s::text[]),
                  pg_catalog.unnest(%(letters)s::text[]), pg_catalog.unnest(%(builtin)s::text[]), pg_catalog.unnest(%(grantees)s::text[]))
       AS w(number, owner, schema, letter, builtin, grantee)
  JOIN pg_catalog.pg_roles o ON o.rolname::text = w.owner
  CROSS JOIN LATERAL (SELECT pg_catalog.acldefault(w.builtin::"char", o.oid) AS acl) b
  LEFT JOIN pg_catalog.pg_roles g ON g.rolname::text = w.grantee
  LEFT JOIN pg_catalog.pg_namespace n ON n.nspname::text = w.schema
  LEFT JOIN pg_catalog.pg_default_acl a ON a.defaclrole = o.oid AND a.defaclobjtype = w.letter::"char"
       AND a.defaclnamespace = CASE WHEN w.schema IS NULL THEN 0::oid ELSE n.oid END
 WHERE (w.grantee IS NULL OR g.oid IS NOT NULL) AND (w.schema IS NULL OR n.oid IS NOT NULL)"""
_SET: Final[LiteralString] = """
SELECT DISTINCT o.rolname::text AS owner, a.defaclobjtype::text AS letter, n.nspname::text AS schema,
       CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(x.grantee)::text END AS grantee
  FROM pg_catalog.pg_default_acl a JOIN pg_catalog.pg_roles o ON o.oid = a.defaclrole
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = a.defaclnamespace
  CROSS JOIN LATERAL (SELECT grantee FROM pg_catalog.aclexplode(a.defaclacl) UNION SELECT 0::oid WHERE a.defaclnamespace = 0) x
 WHERE x.grantee <> a.defaclrole ORDER BY 1, 2, 3, 4"""
_OF_LETTERS: Final = {"r": "tables", "S": "sequences", "f": "functions", "T": "types", "n": "schemas"}


class DatabaseDefaultPrivilege(_inside.Inside, OnServer):
    """Rights on objects to come."""

    name: ClassVar[str] = "db-default-privilege"
    covers: ClassVar[frozenset[str]] = frozenset({"databases.default_privileges"})
    rules: ClassVar[FieldRules] = FieldRules()

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """The entries under ``databases.*.default_privileges``; each needs its database, both roles, and its schema where that is declared."""
        for label, database in manifest.manifest.databases.items():
            declared = [s.name for s in (database.schemas or {}).values()]
            at = (database.server, database.name)
            for key, entry in (database.default_privileges or {}).items():
                grantee = normal_grantee(entry.to)
                roles = frozenset(Address.of("db-role", database.server, name) for name in (entry.owner, grantee) if name != PUBLIC)
                schema = (
                    {Address.of("db-schema", *at, entry.into_schema)} if entry.into_schema is not None and entry.into_schema in declared else set()
                )
                yield Desired(
                    self.address(*at, entry.owner, default_objects(entry.on, entry.into_schema), grantee), System("postgres", database.server),
                    {"privileges": normal_privileges(entry.privileges)}, key, manifest.place("databases", label, "default_privileges", key),
                    needs=roles | schema | {Address.of("database", *at)}, must_exist=roles, on_removal=entry.on_removal, protect=entry.protect,
                    # what this run makes gets the rights that are written for it, and no others
                    adopt=entry.adopt, after=frozenset(Address.of("db-schema", *at, name) for name in declared),
                )  # fmt: skip

    def read_inside(self, session: Session, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """One statement for all default privileges of a database."""
        rows = session.query(_DEFAULTS, _parameters(w.address for w in wanted))
        return [live for row in rows if (live := _live(row, wanted[row["number"]])) is not None]

    def create(self, system: Postgres, order: Order) -> Made:
        """One transaction. Raises AlreadyExists when the grantee has got something else meanwhile than what Postgres gives by itself."""
        with system.changing(_inside.database_of(order.address)) as session:
            row = _state(session, order.address)
            held, by_default = _held(row)
            wanted = goal(order, frozenset(row["every"] or ()))
            if held != by_default and set(held.privileges) != set(wanted.privileges):
                raise AlreadyExists(f"{order.address.segments[4]} is given {', '.join(sorted(held.privileges)) or 'nothing'} by now: plan again")
            _change(system, session, order, row, wanted)
        return Made(_incarnation(row))

    def update(self, system: Postgres, order: Order) -> Made:
        """One transaction."""
        with system.changing(_inside.database_of(order.address)) as session:
            row = _state(session, order.address)
            if order.live is not None and order.live.incarnation != _incarnation(row):
                raise LostRace(f"{order.address} was made anew by somebody else meanwhile: run again")
            _change(system, session, order, row, goal(order, frozenset(row["every"] or ())))
        return Made(_incarnation(row))

    def delete(self, system: Postgres, order: Order) -> None:
        """Back to what Postgres gives by itself."""
        with _inside.deleting(system, order) as session:
            rows = session.query(_DEFAULTS, _parameters([order.address])) if session else []
            if session is None or not rows or (order.live is not None and order.live.incarnation != _incarnation(rows[0])):
                return
            _change(system, session, order, rows[0], Goal(frozenset(r["privilege"] for r in rows[0]["by_default"] or ())))

    def find(self, system: Postgres) -> list[Live]:
        """All that somebody set, in every database."""

        def inside(database: str, session: Session) -> list[Live]:
            rows = [row for row in session.query(_SET) if row["letter"] in _OF_LETTERS]
            objects = [default_objects(_OF_LETTERS[row["letter"]], row["schema"]) for row in rows]
            addresses = [self.address(system.name, database, row["owner"], o, row["grantee"]) for row, o in zip(rows, objects, strict=True)]
            return list(self.read_inside(session, [Wanted(address, "") for address in addresses])) if addresses else []

        return system.in_each_database(open_databases(system), inside)

    def express(self, live: Live, found: Found) -> Expression:
        """Under a label that says it in words."""
        owner, objects, grantee = live.address.segments[2:]
        on, schema = parse_default_objects(objects)
        said = {
            "owner": owner,
            **({"schema": schema} if schema is not None else {}),
            "on": on,
            "to": grantee,
            "privileges": live.fields["privileges"],
        }
        return part(live, found, ("default_privileges", f"{owner}: {objects} to {grantee}"), said, [owner, grantee])


KIND = DatabaseDefaultPrivilege()


def _parameters(addresses: Iterable[Address]) -> dict[str, list[object]]:
    found = [(a.segments[2], *parse_default_objects(a.segments[3]), a.segments[4]) for a in addresses]
    return {
        "numbers": list(range(len(found))),
        "owners": [owner for owner, _, _, _ in found],
        "schemas": [schema for _, _, schema, _ in found],
        "letters": [_LETTERS[on][0] for _, on, _, _ in found],
        "builtin": [_LETTERS[on][1] for _, on, _, _ in found],
        "grantees": [None if grantee == PUBLIC else grantee for _, _, _, grantee in found],
    }


def _held(row: Row) -> tuple[Held, Held]:
    return Held.of(1, row["held"] or ()), Held.of(1, row["by_default"] or ())


def _live(row: Row, wanted: Wanted) -> Live | None:
    held, by_default = _held(row)
    fields = held.specification(frozenset(row["every"] or ()), wanted)
    if not counts_as_there(held, by_default, fields, wanted):
        return None
    _, _, owner, objects, grantee = wanted.address.segments
    unsaid = (f"that {grantee} may pass on rights on {objects} of {owner}",) if fields.pop("grantable") else ()
    return Live(wanted.address, fields, incarnation=_incarnation(row), within=_inside.around(wanted.address), unsaid=unsaid)


def _incarnation(row: Row) -> str:
    return f"{row['owner_oid']}:{row['schema_oid'] or 0}:{row['grantee_oid']}"


def _state(session: Session, address: Address) -> Row:
    rows = session.query(_DEFAULTS, _parameters([address]))
    if not rows:
        schema = parse_default_objects(address.segments[3])[1]
        raise Rejected(
            f"there is no schema {schema} in the database {address.segments[1]}: make it first" if schema else "a role of it is gone: run again"
        )
    return rows[0]


def _change(server: Postgres, session: Session, order: Order, row: Row, wanted: Goal) -> None:
    owner, objects, grantee = order.address.segments[2:]
    on, schema = parse_default_objects(objects)
    has = {r["privilege"]: bool(r["grantable"]) for r in row["held"] or ()}
    head = sql("ALTER DEFAULT PRIVILEGES FOR ROLE {}{} ", Name(owner), sql(" IN SCHEMA {}", Name(schema)) if schema is not None else sql(""))
    statements: list[Statement] = [
        sql("{}{}", head, statement(group, sql(_ON[on]), grantee, cascade=False)) for group in grouped(steps(has, wanted))
    ]  # fmt: skip
    if statements:
        with acting_for(server, owner, "set default privileges for"):
            session.run(*statements)
