"""``db-grant/SERVER/DATABASE/OBJECT/GRANTEE``: what one grantee may do with one object of a database, or with all of one type in a schema.

It says everything about that pair and nothing about others: what somebody else granted to it is revoked in his name, what the manifest does not name
is taken away. What the grantee passed on to others depends on it: that is lost with it only with consent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

from reconciler.kinds.postgres import _grant_catalogue, _inside, _way_in
from reconciler.kinds.postgres._grant_entry import Given, granted, sets
from reconciler.kinds.postgres._inner_entry import open_databases
from reconciler.kinds.postgres._joining import acting_for, owner_in
from reconciler.kinds.postgres._on_server import OnServer
from reconciler.kinds.postgres._privileges import Goal, Held, Step, counts_as_there, goal, grouped, statement, steps
from reconciler.manifest.database_objects import PUBLIC, DatabaseObject, normal_grantee, normal_privileges
from reconciler.manifest.databases import Database
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.change import Change, Refusal
from reconciler.model.errors import AlreadyExists, LostRace, Rejected
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.resource import Dependant, Desired, Live, System
from reconciler.systems.postgres import Name, Postgres, Row, Session, Statement, joined, sql


class DatabaseGrant(_inside.Inside, OnServer):
    """Rights on what is in a database."""

    name: ClassVar[str] = "db-grant"
    covers: ClassVar[frozenset[str]] = frozenset({"databases.grants"})
    rules: ClassVar[FieldRules] = FieldRules(defaults={"grantable": False})

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """The grants under ``databases.*.grants``. Each needs its database, its grantee, and its schema where that is declared."""
        for label, database in manifest.manifest.databases.items():
            for grantee, grants in (database.grants or {}).items():
                for text, grant in grants.items():
                    one, who = DatabaseObject.parse(text), normal_grantee(grantee)
                    roles = frozenset(() if who == PUBLIC else {Address.of("db-role", database.server, who)})
                    fields: dict[str, Any] = {"privileges": normal_privileges(grant.privileges)}
                    if grant.grantable is not None:
                        fields["grantable"] = grant.grantable
                    yield Desired(
                        self.address(database.server, database.name, str(one), who), System("postgres", database.server), fields,
                        f"{grantee}: {text}",
                        manifest.place("databases", label, "grants", grantee, text), needs=roles | _around(database, one.within), must_exist=roles,
                        on_removal=grant.on_removal, protect=grant.protect, adopt=grant.adopt, after=_before(database, who),
                    )  # fmt: skip

    def read_inside(self, session: Session, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """One statement for all grants of a database."""
        rows = session.query(_grant_catalogue.STATES, _grant_catalogue.parameters(w.address for w in wanted))
        return [live for row in rows if (live := _live(row, wanted[row["number"]])) is not None]

    def create(self, system: Postgres, order: Order) -> Made:
        """One transaction. Raises AlreadyExists when the grantee has got something else meanwhile than what Postgres gives by itself."""
        with system.changing(_inside.database_of(order.address)) as session:
            state = _state(session, order.address)
            held, by_default = _held(state)
            wanted = goal(order, frozenset(state["every"] or ()))
            if held != by_default and set(held.privileges) != set(wanted.privileges):
                raise AlreadyExists(f"{order.address.segments[3]} has {', '.join(sorted(held.privileges)) or 'nothing'} there by now: plan again")
            _change(system, session, order, wanted)
        return Made(_incarnation(state))

    def update(self, system: Postgres, order: Order) -> Made:
        """One transaction."""
        with system.changing(_inside.database_of(order.address)) as session:
            state = _state(session, order.address)
            incarnation = _incarnation(state)
            if order.live is not None and order.live.incarnation != incarnation:
                raise LostRace(f"{order.address} was made anew by somebody else meanwhile: run again")
            _change(system, session, order, goal(order, frozenset(state["every"] or ())))
        return Made(incarnation)

    def delete(self, system: Postgres, order: Order) -> None:
        """Back to what Postgres gives by itself, which is nothing but for PUBLIC. What was passed on goes with it only after consent."""
        with _inside.deleting(system, order) as session:
            rows = session.query(_grant_catalogue.STATES, _grant_catalogue.parameters([order.address])) if session else []
            if session is None or not rows or (order.live is not None and order.live.incarnation != _incarnation(rows[0])):
                return
            initial = frozenset(r["privilege"] for r in rows[0]["by_default"] or ())
            _change(system, session, order, Goal(initial))

    def objections(self, system: Postgres, changes: Mapping[Address, Change], staying: Iterable[Address]) -> Iterable[Refusal]:
        """That this run could not connect to a database any more."""
        return _way_in.lockouts(system, changes, staying)

    def find(self, system: Postgres) -> list[Live]:
        """What somebody granted or revoked on the objects of each database; on all of a schema where it is the same on all."""

        def inside(database: str, session: Session) -> list[Live]:
            def read(pairs: Iterable[tuple[DatabaseObject, str]]) -> list[Live]:
                wanted = [Wanted(self.address(system.name, database, str(one), who), "") for one, who in pairs]
                return list(self.read_inside(session, wanted)) if wanted else []

            given = [Given.of(row) for row in session.query(_grant_catalogue.GIVEN)]
            alike = {live.address.segments[2:]: live for live in read(sets(given)) if _is_alike(live)}
            rest = [one for one in given if one.address_of_set not in alike]
            mute = [Live(self.address(system.name, database, str(g.object), g.grantee), {}) for g in rest if not g.can_be_said and not g.is_usual]
            return [*alike.values(), *read((g.object, g.grantee) for g in rest if g.can_be_said), *mute]

        return system.in_each_database(open_databases(system), inside)

    def express(self, live: Live, found: Found) -> Expression:
        """The list of privileges, and whether they may be passed on."""
        return granted(live, found)


KIND = DatabaseGrant()


def _around(database: Database, schema: str | None) -> frozenset[Address]:
    at = (database.server, database.name)
    declared = {s.name for s in (database.schemas or {}).values()}
    return frozenset({Address.of("database", *at)} | ({Address.of("db-schema", *at, schema)} if schema in declared and schema else set()))


def _before(database: Database, grantee: str) -> frozenset[Address]:
    """Extensions bring schemas, tables and functions. What everybody may do is settled last: connecting may be taken from all but who is named."""
    at = (database.server, database.name)
    named = {(str(DatabaseObject.parse(text)), normal_grantee(who)) for who, grants in (database.grants or {}).items() for text in grants}
    others = {Address.of("db-grant", *at, *pair) for pair in named if pair[1] != PUBLIC} if grantee == PUBLIC else set()
    return frozenset(others) | frozenset(Address.of("db-extension", *at, e.name) for e in (database.extensions or {}).values())


def _is_alike(live: Live) -> bool:
    """Whether what is held is held on every object of a set."""
    some = live.fields["grantable"]
    return not any(" " in privilege for privilege in [*live.fields["privileges"], *(some if isinstance(some, list) else ())])


def _held(row: Row) -> tuple[Held, Held]:
    return Held.of(row["objects"], row["held"] or ()), Held.of(row["objects"], row["by_default"] or ())


def _live(row: Row, wanted: Wanted) -> Live | None:
    held, by_default = _held(row)
    # of all tables of a schema nothing may be held because they came later: that is a difference, and nobody took the grant away
    applied = wanted.record.specification if row["is_set"] and wanted.record and wanted.record.incarnation == _incarnation(row) else None
    if row["objects"]:
        fields = held.specification(frozenset(row["every"] or ()), wanted)
        if not counts_as_there(held, by_default, fields, wanted) and (applied is None or wanted.leaving):
            return None
    elif applied is not None:
        # there is no table in the schema yet, or no more: nothing contradicts what was applied
        fields = dict(applied)
    else:
        return None
    dependants = [Dependant(f"{d['privilege']} on {d['object']} that it granted to {d['grantee']}", _inside.around(wanted.address))
                  for d in row["passed_on"] or ()]  # fmt: skip
    return Live(
        wanted.address,
        fields,
        incarnation=_incarnation(row),
        within=_inside.around(wanted.address),
        dependants=tuple(dependants) if wanted.leaving else (),
    )


def _incarnation(row: Row) -> str:
    """What tells this pair from another of the same names: the object, or its schema, and the grantee."""
    return f"{row['place']}:{row['grantee_oid']}"


def _state(session: Session, address: Address) -> Row:
    rows = session.query(_grant_catalogue.STATES, _grant_catalogue.parameters([address]))
    database, text, grantee = address.segments[1:]
    if not rows:
        raise Rejected(f"there is no role {grantee}: run again")
    if not rows[0]["objects"] and not rows[0]["is_set"]:
        raise Rejected(f"there is no {text} in the database {database}: make it first, or take the entry out")
    if rows[0]["place"] is None:
        raise Rejected(f"there is no schema for {text} in the database {database}: make it first, or take the entry out")
    return rows[0]


def _change(server: Postgres, session: Session, order: Order, wanted: Goal) -> None:
    """Bring every object of the pair to ``wanted``, in one transaction."""
    rows = session.query(_grant_catalogue.ENTRIES, _grant_catalogue.parameters([order.address]))
    one, grantee = DatabaseObject.parse(order.address.segments[2]), order.address.segments[3]
    if not one.is_set and any(row["owner"] == grantee for row in rows) and order.desired is not None:
        raise Rejected(f"{grantee} owns it, and so has every right: take the entry out")
    alike: dict[tuple[str, tuple[Step, ...]], list[Statement]] = {}
    for row in rows:
        for grantor, found in _steps_by_grantor(row, wanted, server.me.name).items():
            for group in grouped(found):
                alike.setdefault((grantor, tuple(group)), []).append(_reference(one, row))
    statements: list[Statement] = []
    for (grantor, alike_steps), objects in sorted(alike.items(), key=lambda item: (item[0][0], item[0][1][0].grant)):
        what = sql("{} {}", _type(one), joined(", ", objects))
        change = statement(alike_steps, what, grantee, cascade=order.allow_data_loss)
        statements += [sql("SET LOCAL ROLE {}", Name(grantor)), change, sql("RESET ROLE")] if grantor else [change]
    if not statements:
        return
    with ExitStack() as acting:
        for owner in {owner_in(server, row["owner"], _inside.database_of(order.address)) for row in rows} - {server.me.name}:
            acting.enter_context(acting_for(server, owner, "grant what belongs to", if_possible=True))
        session.run(*statements)


def _steps_by_grantor(row: Row, wanted: Goal, me: str) -> dict[str, list[Step]]:
    """What to do on one object, by whom: "" for its owner. Only who granted something can revoke it (docs/facts.md: Postgres 11)."""
    has: dict[str, bool] = {}
    by_grantor: dict[str, list[Step]] = {}
    for entry in row["entries"] or ():
        privilege, grantor = entry["privilege"], entry["grantor"]
        if grantor in (row["owner"], me):
            has[privilege] = has.get(privilege, False) or entry["grantable"]
        elif privilege not in wanted.privileges:
            by_grantor.setdefault(grantor, []).append(Step(False, privilege))
        elif entry["grantable"] and wanted.grantable is False:
            by_grantor.setdefault(grantor, []).append(Step(False, privilege, option=True))
    by_others = {e["privilege"]: e["grantable"] for e in row["entries"] or () if e["grantor"] not in (row["owner"], me)}
    own = [s for s in steps(has, wanted) if not (s.grant and s.privilege in by_others and (not s.option or by_others[s.privilege]))]
    return {**by_grantor, **({"": own} if own else {})}


def _type(one: DatabaseObject) -> Statement:
    match one.type:
        case "database":
            return sql("DATABASE")
        case "schema":
            return sql("SCHEMA")
        case "table":
            return sql("TABLE")
        case "sequence":
            return sql("SEQUENCE")
        case "function":
            return sql("ROUTINE")


def _reference(one: DatabaseObject, row: Mapping[str, Any]) -> Statement:
    if one.type in ("database", "schema"):
        return sql("{}", Name(row["name"]))
    if one.type != "function":
        return sql("{}.{}", Name(row["schema"]), Name(row["name"]))
    types = joined(", ", [sql("{}.{}", Name(schema), Name(name)) for schema, name in row["types"] or ()])
    return sql("{}.{}({})", Name(row["schema"]), Name(row["name"]), types)
