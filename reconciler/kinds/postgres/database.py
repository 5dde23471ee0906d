"""``database/SERVER/NAME``: a database of a Postgres server.

It is created by one statement that says everything, so that an interrupted run leaves nothing half made: Postgres finishes or undoes it. ``template``
only counts then. Encoding and locale cannot be changed later. Changing the owner leaves the objects inside with theirs.

An *invalid* database is what an interrupted DROP DATABASE leaves: it cannot be used, only dropped. One that is to be deleted is dropped; one that the
manifest wants is a conflict, and a person has to drop it, because this program deletes nothing that is wanted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import ClassVar, Final, LiteralString

from reconciler.kinds.postgres import _contents, _rights, _unsaid
from reconciler.kinds.postgres._joining import acting_for
from reconciler.kinds.postgres._locale import normal_encoding, normal_locale
from reconciler.kinds.postgres._on_server import OnServer, still_there
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import Database
from reconciler.model.address import Address
from reconciler.model.change import Change
from reconciler.model.errors import LostRace, Rejected, Unreachable
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found, stated
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.record import State
from reconciler.model.resource import Dependant, Desired, Live, System
from reconciler.model.value import Value
from reconciler.systems.postgres import InUse, Name, Postgres, Row, Statement, joined, sql

_INVALID: Final = -2
_PATIENCE_S: Final = 30.0
_POLL_S: Final = 0.1
_GIVE: Final = "give a database to"
_TEMPLATES: Final = frozenset({"template0", "template1"})
_DEFAULT_TEMPLATE: Final = "template0"
"""Never touched by anybody, so the result is the same everywhere; and a session in template1 would make CREATE DATABASE fail."""

_DATABASES: Final[LiteralString] = """
SELECT d.oid::text AS oid, d.datname::text AS name, pg_catalog.pg_get_userbyid(d.datdba)::text AS owner,
       pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding, d.datcollate::text AS lc_collate, d.datctype::text AS lc_ctype,
       d.datconnlimit AS connection_limit,
       d.datallowconn AND pg_catalog.has_database_privilege(d.oid, 'CONNECT') AS can_connect
  FROM pg_catalog.pg_database d WHERE d.datname::text = ANY(%(wanted)s::text[])"""
_EVERY_NAME: Final[LiteralString] = """
SELECT d.datname::text AS name, d.datistemplate AS is_template FROM pg_catalog.pg_database d
 WHERE d.datname NOT IN ('template0', 'template1', 'postgres') ORDER BY 1"""
_USUAL: Final[LiteralString] = """
SELECT pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding, d.datcollate::text AS lc_collate, d.datctype::text AS lc_ctype
  FROM pg_catalog.pg_database d WHERE d.datname = 'template0'"""
_NAME_WORDS: Final = ("name", "database", "db")
_OID: Final[LiteralString] = "SELECT d.oid::text AS oid FROM pg_catalog.pg_database d WHERE d.datname::text = %(name)s"
_IS_THE_ONE: Final[LiteralString] = "SELECT count(*) = 1 FROM pg_catalog.pg_database d WHERE d.oid::text = %(oid)s AND d.datname::text = %(name)s"
# What a run that was killed had sent goes on: Postgres looks for its client only when it has something to tell.
_UNDER_WAY: Final[LiteralString] = """
SELECT w.name FROM pg_catalog.unnest(%(names)s::text[]) AS w(name)
 WHERE EXISTS (SELECT FROM pg_catalog.pg_stat_activity a, pg_catalog.unnest(ARRAY['CREATE', 'DROP']) AS v(verb)
   WHERE a.state = 'active' AND a.pid <> pg_catalog.pg_backend_pid()
     AND pg_catalog.starts_with(a.query, v.verb || ' DATABASE "' || replace(w.name, '"', '""') || '"'))"""
_SESSIONS: Final[LiteralString] = """
SELECT a.usename::text AS role, a.application_name AS application, pg_catalog.host(a.client_addr) AS address, count(*) AS sessions
  FROM pg_catalog.pg_stat_activity a WHERE a.datname::text = %(name)s AND a.pid <> pg_catalog.pg_backend_pid()
 GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3"""


class PostgresDatabase(OnServer):
    """Databases."""

    name: ClassVar[str] = "database"
    covers: ClassVar[frozenset[str]] = frozenset({"databases"})
    rules: ClassVar[FieldRules] = FieldRules(
        immutable=frozenset({"encoding", "lc_collate", "lc_ctype"}),
        keeps=frozenset({"owner", "encoding", "lc_collate", "lc_ctype"}),
        defaults={"connection_limit": -1},
        not_compared=frozenset({"template"}),
    )

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """The databases under ``databases``. A database needs its owner, and comes after its template when that is declared too."""
        databases = manifest.manifest.databases
        declared = {self.address(d.server, d.name) for d in databases.values()}
        for label, database in databases.items():
            owner = frozenset({Address.of("db-role", database.server, database.owner)} if database.owner is not None else ())
            template = frozenset(declared & {self.address(database.server, database.template or _DEFAULT_TEMPLATE)})
            yield Desired(
                self.address(database.server, database.name), System("postgres", database.server), _fields(database), label,
                manifest.place("databases", label), needs=owner, must_exist=owner, after=template, on_removal=database.on_removal,
                protect=database.protect, adopt=database.adopt,
            )  # fmt: skip

    def read(self, system: Postgres, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """One statement for all, and one inside each that is leaving."""
        by_name = {w.address.segments[1]: w for w in wanted}
        _wait_for_what_is_under_way(system, by_name)
        rows = system.query(_DATABASES, {"wanted": list(by_name)})
        leaving = [row for row in rows if by_name[row["name"]].leaving and row["connection_limit"] != _INVALID]
        contents = dict(_contents.contents_of_each(system, (row["name"] for row in leaving if row["can_connect"])))
        contents |= {
            row["name"]: (Dependant("contents that cannot be seen (nobody may connect to it)"),) for row in leaving if not row["can_connect"]
        }
        return [_live(row, by_name[row["name"]], contents.get(row["name"], ())) for row in rows]

    def create(self, system: Postgres, order: Order) -> Made:
        """One CREATE DATABASE; its oid is read afterwards."""
        name, fields = order.address.segments[1], order.fields
        with acting_for(system, fields.get("owner", system.me.name), _GIVE):
            system.run_outside_transaction(sql("CREATE DATABASE {}{}", Name(name), _options(fields)))
        [row] = system.query(_OID, {"name": name})
        return Made(row["oid"])

    def update(self, system: Postgres, order: Order) -> Made:
        """Owner and connection limit, in one transaction."""
        name, changed = order.address.segments[1], {path[0] for path in order.changed}
        incarnation = order.live.incarnation if order.live else None
        statements: list[Statement] = []
        if "owner" in changed:
            statements.append(sql("ALTER DATABASE {} OWNER TO {}", Name(name), Name(order.fields["owner"])))
        if "connection_limit" in changed:
            statements.append(sql("ALTER DATABASE {} CONNECTION LIMIT {}", Name(name), order.fields["connection_limit"]))
        unchanged = still_there(_IS_THE_ONE, incarnation, name, order.address)
        if statements:
            with (
                acting_for(system, order.fields.get("owner", system.me.name), _GIVE),
                _acting_for_owner(system, order.live.fields["owner"] if order.live else None),
            ):
                system.run(*statements, only_if=unchanged)
        return Made(incarnation)

    def delete(self, system: Postgres, order: Order) -> None:
        """DROP DATABASE. With consent to the loss, sessions in it are ended; without, its contents are looked at once more."""
        name = order.address.segments[1]
        rows = system.query(_DATABASES, {"wanted": [name]})
        if not rows:
            return
        row = rows[0]
        if order.live is not None and order.live.incarnation != row["oid"]:
            raise LostRace(f"{name} was dropped and made anew by somebody else meanwhile: run again")
        if not order.allow_data_loss and row["connection_limit"] != _INVALID:
            lost = _contents.contents(system, name, before_dropping=True)
            if lost:
                raise Rejected(f"it is not empty any more: it has {', '.join(d.text for d in lost)}: plan again")
        force = sql(" WITH (FORCE)" if order.allow_data_loss and system.version >= 130000 else "")
        try:
            with _acting_for_owner(system, row["owner"]):
                system.run_outside_transaction(sql("DROP DATABASE {}{}", Name(name), force))
        except InUse as fault:
            raise Rejected(f"{fault}{_named(system.query(_SESSIONS, {'name': name}))}") from fault

    def lacking(self, system: Postgres, changes: Mapping[Address, Change]) -> Iterable[str]:
        """CREATEDB."""
        return _rights.for_databases(system, changes)

    def find(self, system: Postgres) -> list[Live]:
        """Every database but those that every server has."""
        templates = {row["name"]: row["is_template"] for row in system.query(_EVERY_NAME)}
        usual = {k: normal_locale(v) for k, v in system.query(_USUAL)[0].items()}
        unsaid = _unsaid.of_databases(system)
        live = [(one.address.segments[1], one) for one in self.read(system, [Wanted(self.address(system.name, name), "") for name in templates])]
        return [replace(one, raw={"usual": usual, "is_template": templates[name]}, unsaid=unsaid.get(name, ())) for name, one in live]

    def express(self, live: Live, found: Found) -> Expression:
        """Its owner and connection limit; encoding and locale where they are not those of template0."""
        server, name = live.address.segments
        label, said = found.label(server, name)
        keys = found.keys_with(name, _NAME_WORDS)
        if live.fields["connection_limit"] == _INVALID:
            return Expression(services=(name,), goes_with=keys, why_not="an interrupted DROP DATABASE has left it, and it can only be dropped")
        if live.raw["is_template"]:
            return Expression(services=(name,), goes_with=keys, why_not="it is a template, and a manifest has no word for that")
        fields = {k: v for k, v in stated(live.fields, self.rules).items() if v != live.raw["usual"].get(k)}
        owner = Address.of("db-role", server, live.fields["owner"])
        return Expression(("databases",), label, {**said, **fields}, (name,), keys, (owner,) if owner in found.live else ())


KIND = PostgresDatabase()


def _wait_for_what_is_under_way(server: Postgres, wanted: Mapping[str, Wanted]) -> None:
    """Wait until nobody is creating or dropping one of them any more. Raises Unreachable when that takes too long.

    A claim without a database would else be forgotten while its database is on its way, and nobody would own it.
    """
    names = [n for n, w in wanted.items() if w.record is not None and (w.leaving or w.record.state is State.CLAIMING)]
    deadline = time.monotonic() + _PATIENCE_S
    while names and (under_way := server.query(_UNDER_WAY, {"names": names})):
        if time.monotonic() > deadline:
            raise Unreachable(
                f"{server.label}: {under_way[0]['name']} is still being created or dropped by another session: run again when that has ended"
            )
        time.sleep(_POLL_S)


def _fields(database: Database) -> dict[str, Value]:
    fields: dict[str, Value] = {k: v for k in ("owner", "template", "connection_limit") if (v := getattr(database, k)) is not None}
    if database.encoding is not None:
        fields["encoding"] = normal_encoding(database.encoding)
    for key in ("lc_collate", "lc_ctype"):
        locale = getattr(database, key) or database.locale
        if locale is not None:
            fields[key] = normal_locale(locale)
    return fields


def _live(row: Row, wanted: Wanted, dependants: tuple[Dependant, ...]) -> Live:
    fields: dict[str, Value] = {k: row[k] for k in ("owner", "encoding", "connection_limit")}
    fields |= {k: normal_locale(row[k]) for k in ("lc_collate", "lc_ctype")}
    foreign = ""
    if row["name"] in _TEMPLATES:
        foreign = "is a template that every new database is made from"
    elif row["connection_limit"] == _INVALID and wanted.desired is not None:
        foreign = f"is what an interrupted DROP DATABASE left, and cannot be used: drop it (DROP DATABASE {row['name']})"
    return Live(wanted.address, fields, incarnation=row["oid"], dependants=dependants, foreign=foreign)


def _options(fields: Mapping[str, Value]) -> Statement:
    """The options of CREATE DATABASE, each with a space before it."""
    options = [sql("TEMPLATE {}", Name(fields.get("template", _DEFAULT_TEMPLATE)))]
    if "owner" in fields:
        options.append(sql("OWNER {}", Name(fields["owner"])))
    if "encoding" in fields:
        options.append(sql("ENCODING {}", fields["encoding"]))
    # not LOCALE, which in a cluster of another locale provider would mean that provider's
    if "lc_collate" in fields:
        options.append(sql("LC_COLLATE {}", fields["lc_collate"]))
    if "lc_ctype" in fields:
        options.append(sql("LC_CTYPE {}", fields["lc_ctype"]))
    if "connection_limit" in fields:
        options.append(sql("CONNECTION LIMIT {}", fields["connection_limit"]))
    return joined("", [sql(" {}", option) for option in options])


def _acting_for_owner(server: Postgres, owner: str | None) -> AbstractContextManager[None]:
    return acting_for(server, owner or server.me.name, "change a database of", if_possible=True)


def _named(sessions: Iterable[Row]) -> str:
    """The sessions in a database, in words: who to ask to leave."""
    words = []
    for each in sessions:
        who = each["role"] or "a role that may not be seen"
        where = f" from {each['address']}" if each["address"] else ""
        what = f" ({each['application']})" if each["application"] else ""
        words.append(f"{who}{where}{what}" + (f" ×{each['sessions']}" if each["sessions"] > 1 else ""))
    return f": {', '.join(words)}" if words else ""
