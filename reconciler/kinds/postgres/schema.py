"""``db-schema/SERVER/DATABASE/NAME``: a schema in a database, with its owner.

``public`` is in every new database, so it is taken as it is there; when its entry goes, it stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, LiteralString

from reconciler.kinds.postgres import _inside
from reconciler.kinds.postgres._inner_entry import found_everywhere, part
from reconciler.kinds.postgres._joining import acting_for, owner_in
from reconciler.kinds.postgres._named import Named
from reconciler.kinds.postgres._on_server import OnServer
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.errors import AlreadyExists, LostRace
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.resource import Dependant, Desired, Live, System
from reconciler.systems.postgres import Name, Postgres, Row, Session, sql

# What lies in it, by type. What belongs to an extension goes with that; sequences of columns and all else that hangs on a table are not counted.
_SCHEMAS: Final[LiteralString] = """
SELECT n.oid::text AS oid, n.nspname::text AS name, pg_catalog.pg_get_userbyid(n.nspowner)::text AS owner,
       CASE WHEN n.nspname::text = ANY(%(leaving)s::text[]) THEN (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(c)) FROM (
         SELECT (pg_catalog.pg_identify_object(d.classid, d.objid, 0)).type AS type, count(*) AS objects,
                pg_catalog.array_agg(e.extname::text) FILTER (WHERE e.oid IS NOT NULL) AS extensions
           FROM pg_catalog.pg_depend d LEFT JOIN pg_catalog.pg_extension e ON d.classid = 'pg_catalog.pg_extension'::regclass AND e.oid = d.objid
          WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid
                 AND (o.deptype = 'e' OR (o.deptype IN ('a', 'i') AND o.refclassid = 'pg_catalog.pg_class'::regclass)))
          GROUP BY 1 ORDER BY 1) c) END AS contents
  FROM pg_catalog.pg_namespace n WHERE n.nspname::text = ANY(%(wanted)s::text[])"""
_IS_THE_ONE: Final[LiteralString] = "SELECT count(*) = 1 FROM pg_catalog.pg_namespace n WHERE n.oid::text = %(oid)s AND n.nspname::text = %(name)s"
_NAMES: Final[LiteralString] = """
SELECT n.nspname::text AS name FROM pg_catalog.pg_namespace n
 WHERE n.oid >= 16384 AND n.nspname !~ '^pg_' AND NOT EXISTS (
   SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e') ORDER BY 1"""
_NAMED: Final = Named("SCHEMA", _SCHEMAS, _IS_THE_ONE, "it is not empty")


class DatabaseSchema(_inside.Inside, OnServer):
    """Schemas."""

    name: ClassVar[str] = "db-schema"
    covers: ClassVar[frozenset[str]] = frozenset({"databases.schemas"})
    rules: ClassVar[FieldRules] = FieldRules(keeps=frozenset({"owner"}))

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """The schemas under ``databases.*.schemas``; each needs its database and its owner."""
        for label, database in manifest.manifest.databases.items():
            for key, schema in (database.schemas or {}).items():
                address = self.address(database.server, database.name, schema.name)
                owner = frozenset({Address.of("db-role", database.server, schema.owner)} if schema.owner is not None else ())
                yield Desired(
                    address, System("postgres", database.server), {"owner": schema.owner} if schema.owner is not None else {}, key,
                    manifest.place("databases", label, "schemas", key), needs=owner | {_inside.around(address)}, must_exist=owner,
                    on_removal=schema.on_removal, protect=schema.protect, adopt=schema.adopt,
                )  # fmt: skip

    def read_inside(self, session: Session, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """One statement for all schemas of a database; what is in those that are leaving included."""
        by_name = {w.address.segments[2]: w for w in wanted}
        parameters = {"wanted": list(by_name), "leaving": [name for name, w in by_name.items() if w.leaving]}
        return [_live(row, by_name[row["name"]]) for row in session.query(_SCHEMAS, parameters)]

    def create(self, system: Postgres, order: Order) -> Made:
        """CREATE SCHEMA; the one that a new database comes with is given its owner instead."""
        database, name = order.address.segments[1:]
        owner = order.fields.get("owner")
        with system.changing(database) as session, acting_for(system, owner or system.me.name, "give a schema to"):
            existing = _NAMED.find(session, name)
            if existing is not None and int(existing["oid"]) >= _inside.FIRST_OF_USERS:
                raise AlreadyExists(f"the database {database} has a schema {name} by now: plan again")
            if existing is not None:
                return self._take(system, session, order, existing)
            session.run(sql("CREATE SCHEMA {}{}", Name(name), sql(" AUTHORIZATION {}", Name(owner)) if owner else sql("")))
            made = _NAMED.find(session, name)
        if made is None:
            raise LostRace(f"the schema {name} was dropped by somebody else meanwhile: run again")
        return Made(made["oid"])

    def _take(self, system: Postgres, session: Session, order: Order, existing: Row) -> Made:
        owner = order.fields.get("owner", existing["owner"])
        if owner != existing["owner"]:
            with acting_for(system, owner_in(system, existing["owner"], _inside.database_of(order.address)), "take a schema from"):
                session.run(sql("ALTER SCHEMA {} OWNER TO {}", Name(existing["name"]), Name(owner)))
        return Made(existing["oid"])

    def update(self, system: Postgres, order: Order) -> Made:
        """ALTER SCHEMA … OWNER."""
        database, name = order.address.segments[1:]
        live = order.live
        incarnation = live.incarnation if live else None
        unchanged = _NAMED.unchanged(order.address, incarnation)
        owner, before = order.fields["owner"], owner_in(system, live.fields["owner"], database) if live else order.fields["owner"]
        with (
            system.changing(database) as session,
            acting_for(system, owner, "give a schema to"),
            acting_for(system, before, "take a schema from"),
        ):
            session.run(sql("ALTER SCHEMA {} OWNER TO {}", Name(name), Name(owner)), only_if=unchanged)
        return Made(incarnation)

    def delete(self, system: Postgres, order: Order) -> None:
        """DROP SCHEMA; only with consent to the loss what is in it goes too."""
        _NAMED.drop(system, order)

    def find(self, system: Postgres) -> list[Live]:
        """Every schema that somebody made, in every database."""
        return found_everywhere(self, system, _NAMES)

    def express(self, live: Live, found: Found) -> Expression:
        """Its owner."""
        owner = live.fields["owner"]
        return part(live, found, ("schemas", live.address.segments[2]), {"owner": owner}, [owner])


KIND = DatabaseSchema()


def _live(row: Row, wanted: Wanted) -> Live:
    foreign = ""
    if row["name"].startswith("pg_") or row["name"] == "information_schema":
        foreign = "is a schema of Postgres' own"
    elif int(row["oid"]) < _inside.FIRST_OF_USERS and wanted.desired is None:
        foreign = "is in every database from the start"
    dependants = [d for each in row["contents"] or () for d in _dependants(each, wanted.address)]
    return Live(
        wanted.address, {"owner": row["owner"]}, incarnation=row["oid"], foreign=foreign, within=_inside.around(wanted.address),
        dependants=tuple(dependants),
    )  # fmt: skip


def _dependants(contents: Row, schema: Address) -> Iterable[Dependant]:
    """What lies in it, in words; it is no loss of its own when the plan drops the whole database."""
    for name in contents["extensions"] or ():
        yield Dependant(f"extension {name}", Address.of("db-extension", *schema.segments[:2], name))
    if not contents["extensions"]:
        yield Dependant(f"{contents['objects']} {contents['type']}{'s' if contents['objects'] != 1 else ''}", _inside.around(schema))
