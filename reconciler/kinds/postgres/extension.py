"""``db-extension/SERVER/DATABASE/NAME``: an extension in a database, its schema and its version.

Without a version the newest is installed, and stays what it is. What other objects are made of an extension's types and functions is lost with it, so
dropping it then takes consent. ``plpgsql`` is in every new database; when its entry goes, it stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, LiteralString

from reconciler.kinds.postgres import _inside
from reconciler.kinds.postgres._inner_entry import found_everywhere, part
from reconciler.kinds.postgres._joining import acting_for
from reconciler.kinds.postgres._named import Named
from reconciler.kinds.postgres._on_server import OnServer
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.errors import AlreadyExists, LostRace
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.resource import Dependant, Desired, Live, System
from reconciler.model.value import Value
from reconciler.systems.postgres import Name, Postgres, Row, Session, Statement, sql

# What uses it: what depends on it or on one of its objects and is not one of them.
_EXTENSIONS: Final[LiteralString] = """
SELECT e.oid::text AS oid, e.extname::text AS name, e.extversion AS version, n.nspname::text AS schema,
       pg_catalog.pg_get_userbyid(e.extowner)::text AS owner,
       CASE WHEN e.extname::text = ANY(%(leaving)s::text[]) THEN (
         WITH mine AS (SELECT m.classid, m.objid FROM pg_catalog.pg_depend m
                        WHERE m.refclassid = 'pg_catalog.pg_extension'::regclass AND m.refobjid = e.oid AND m.deptype = 'e')
         SELECT pg_catalog.array_agg(DISTINCT CASE WHEN v.oid IS NULL THEN pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
                  ELSE pg_catalog.pg_describe_object('pg_catalog.pg_class'::regclass, v.ev_class, 0) END)
           FROM pg_catalog.pg_depend d LEFT JOIN pg_catalog.pg_rewrite v ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND v.oid = d.objid
          WHERE d.deptype IN ('n', 'a')
            AND ((d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid)
                 OR (d.refclassid, d.refobjid) IN (SELECT classid, objid FROM mine))
            AND (d.classid, d.objid) NOT IN (SELECT classid, objid FROM mine)) END AS users
  FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname::text = ANY(%(wanted)s::text[])"""
_IS_THE_ONE: Final[LiteralString] = "SELECT count(*) = 1 FROM pg_catalog.pg_extension e WHERE e.oid::text = %(oid)s AND e.extname::text = %(name)s"
_NAMES: Final[LiteralString] = "SELECT e.extname::text AS name FROM pg_catalog.pg_extension e WHERE e.oid >= 16384 ORDER BY 1"
_NAMED: Final = Named("EXTENSION", _EXTENSIONS, _IS_THE_ONE, "something uses it")


class DatabaseExtension(_inside.Inside, OnServer):
    """Extensions."""

    name: ClassVar[str] = "db-extension"
    covers: ClassVar[frozenset[str]] = frozenset({"databases.extensions"})
    rules: ClassVar[FieldRules] = FieldRules(keeps=frozenset({"schema", "version"}))

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """The extensions under ``databases.*.extensions``; each needs its database, and its schema where that is declared."""
        for label, database in manifest.manifest.databases.items():
            schemas = {s.name for s in (database.schemas or {}).values()}
            for key, extension in (database.extensions or {}).items():
                address = self.address(database.server, database.name, extension.name)
                fields: dict[str, Value] = {}
                needs = {_inside.around(address)}
                if extension.into_schema is not None:
                    fields["schema"] = extension.into_schema
                    needs |= {Address.of("db-schema", *address.segments[:2], extension.into_schema)} if extension.into_schema in schemas else set()
                if extension.version is not None:
                    fields["version"] = extension.version
                yield Desired(
                    address, System("postgres", database.server), fields, key, manifest.place("databases", label, "extensions", key),
                    needs=frozenset(needs), on_removal=extension.on_removal, protect=extension.protect, adopt=extension.adopt,
                )  # fmt: skip

    def read_inside(self, session: Session, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """One statement for all extensions of a database; what uses those that are leaving included."""
        by_name = {w.address.segments[2]: w for w in wanted}
        parameters = {"wanted": list(by_name), "leaving": [name for name, w in by_name.items() if w.leaving]}
        return [_live(row, by_name[row["name"]]) for row in session.query(_EXTENSIONS, parameters)]

    def create(self, system: Postgres, order: Order) -> Made:
        """CREATE EXTENSION; one that a new database comes with is moved and updated instead."""
        database, name = order.address.segments[1:]
        fields = order.fields
        with system.changing(database) as session:
            existing = _NAMED.find(session, name)
            if existing is not None and int(existing["oid"]) >= _inside.FIRST_OF_USERS:
                raise AlreadyExists(f"the database {database} has an extension {name} by now: plan again")
            if existing is not None:
                statements = _alterations(name, {k: v for k, v in fields.items() if existing[k] != v})
            else:
                schema = sql(" SCHEMA {}", Name(fields["schema"])) if "schema" in fields else sql("")
                version = sql(" VERSION {}", fields["version"]) if "version" in fields else sql("")
                statements = [sql("CREATE EXTENSION {}{}{}", Name(name), schema, version)]
            if statements:
                session.run(*statements)
            made = _NAMED.find(session, name)
        if made is None:
            raise LostRace(f"the extension {name} was dropped by somebody else meanwhile: run again")
        return Made(made["oid"])

    def update(self, system: Postgres, order: Order) -> Made:
        """ALTER EXTENSION … SET SCHEMA and UPDATE, in one transaction."""
        database, name = order.address.segments[1:]
        live = order.live
        incarnation = live.incarnation if live else None
        unchanged = _NAMED.unchanged(order.address, incarnation)
        with system.changing(database) as session:
            existing = _NAMED.find(session, name)
            changed = {path[0]: order.fields[path[0]] for path in order.changed}
            with acting_for(system, existing["owner"] if existing else system.me.name, "change an extension of"):
                session.run(*_alterations(name, changed), only_if=unchanged)
        return Made(incarnation)

    def delete(self, system: Postgres, order: Order) -> None:
        """DROP EXTENSION; only with consent to the loss what uses it goes too."""
        _NAMED.drop(system, order)

    def find(self, system: Postgres) -> list[Live]:
        """Every extension that somebody installed, in every database."""
        return found_everywhere(self, system, _NAMES)

    def express(self, live: Live, found: Found) -> Expression:
        """Its schema when it is not ``public``. The version is only said where the manifest said it, so that a newer one is no drift."""
        schema, record = live.fields["schema"], found.records.get(live.address)
        said = {"schema": schema} if schema != "public" else {}
        said |= {"version": live.fields["version"]} if record is not None and "version" in record.specification else {}
        return part(live, found, ("extensions", live.address.segments[2]), said)


KIND = DatabaseExtension()


def _alterations(name: str, changed: dict[str, Value]) -> list[Statement]:
    statements = []
    if "schema" in changed:
        statements.append(sql("ALTER EXTENSION {} SET SCHEMA {}", Name(name), Name(changed["schema"])))
    if "version" in changed:
        statements.append(sql("ALTER EXTENSION {} UPDATE TO {}", Name(name), changed["version"]))
    return statements


def _live(row: Row, wanted: Wanted) -> Live:
    in_every_database = int(row["oid"]) < _inside.FIRST_OF_USERS and wanted.desired is None
    return Live(
        wanted.address, {"schema": row["schema"], "version": row["version"]}, incarnation=row["oid"], within=_inside.around(wanted.address),
        foreign="is in every database from the start" if in_every_database else "",
        dependants=tuple(Dependant(text, _inside.around(wanted.address)) for text in row["users"] or ()),
    )  # fmt: skip
