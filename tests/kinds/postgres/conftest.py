"""A kind on a real server, driven as the engine drives it: read, compare, merge, write, read again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from reconciler.engine.diff import Differences, compare, merged, recordable
from reconciler.kinds.postgres import database, role
from reconciler.model.address import Address
from reconciler.model.kind import DirectKind, Made, Order, Wanted
from reconciler.model.record import Origin, Record, State
from reconciler.model.resource import Desired, Live, Place, System
from reconciler.systems.postgres import Postgres
from tests.servers.postgres import PostgresServer

KINDS: Mapping[str, DirectKind] = {"db-role": role.KIND, "database": database.KIND}
OWNER = "test"


def connect(server: PostgresServer, **environment: str) -> Postgres:
    """The server as this tool sees it."""
    return Postgres.connect("default", None, {**os.environ, **server.environment, **environment}, lambda secret: secret)


@dataclass
class Bench:
    """One server seen from both sides. ``last`` is what was last applied, by address."""

    server: PostgresServer
    system: Postgres
    last: dict[Address, Record] = field(default_factory=dict)

    def desired(self, kind: str, name: str, fields: Mapping[str, Any]) -> Desired:
        return Desired(KINDS[kind].address("default", name), System("postgres", "default"), fields, name, Place("test.yaml", 1, 1))

    def read(self, kind: str, *names: str, leaving: bool = False) -> dict[str, Live]:
        """What is live of ``names``."""
        wanted = [Wanted(a := KINDS[kind].address("default", n), OWNER, record=self.last.get(a), leaving=leaving) for n in names]
        return {live.address.segments[1]: live for live in KINDS[kind].read(self.system, wanted)}

    def differences(self, desired: Desired) -> tuple[Live | None, Differences]:
        kind, record = KINDS[desired.address.kind], self.last.get(desired.address)
        found = list(kind.read(self.system, [Wanted(desired.address, OWNER, desired, record)]))
        return (found[0], compare(desired.fields, record, found[0], kind.rules)) if found else (None, Differences())

    def create(self, kind: str, name: str, **fields: Any) -> Made:
        return KINDS[kind].create(self.system, Order(KINDS[kind].address("default", name), fields, OWNER))

    def apply(self, kind: str, name: str, **fields: Any) -> Live:
        """Make it so, as the engine would, and insist that nothing is left to do; what is live then."""
        desired = self.desired(kind, name, fields)
        one, rules = KINDS[kind], KINDS[kind].rules
        live, differences = self.differences(desired)
        if live is None:
            made = one.create(self.system, Order(desired.address, fields, OWNER, desired=desired))
        elif differences.fields:
            order = Order(
                desired.address, merged(fields, differences.fields, live, rules), OWNER, tuple(f.path for f in differences.fields), desired, live,
                self.last.get(desired.address),
            )  # fmt: skip
            made = one.update(self.system, order)
        else:
            made = Made(live.incarnation, live.witness)
        self.last[desired.address] = record(desired, made)
        after, left = self.differences(desired)
        assert after is not None
        assert left.fields == ()
        assert (after.incarnation, after.witness) == (made.incarnation, made.witness)
        return after

    def delete(self, kind: str, name: str, *, allow_data_loss: bool = False) -> None:
        address = KINDS[kind].address("default", name)
        live = self.read(kind, name, leaving=True)[name]
        KINDS[kind].delete(self.system, Order(address, {}, OWNER, live=live, allow_data_loss=allow_data_loss))

    def sql(self, statement: str, database: str = "postgres") -> list[dict[str, Any]]:
        """A statement of somebody else, the superuser."""
        return self.server.query(statement, database=database)

    def value(self, statement: str, database: str = "postgres") -> Any:
        return next(iter(self.sql(statement, database)[0].values()))


def record(desired: Desired, made: Made) -> Record:
    return Record(
        key=str(desired.address), address=desired.address, system=desired.system, system_identity="", owner=OWNER, label=desired.label,
        state=State.OWNED, origin=Origin.CREATED, incarnation=made.incarnation, specification=recordable(desired.fields), witness=made.witness,
        on_removal=None, protect=False, needs=(), superseded=(), run="", written="",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def empty_maintenance_database(request: pytest.FixtureRequest) -> None:
    """Tests make tables in the database ``postgres`` too, which stays when a server is wiped."""
    if "postgres" in request.fixturenames:
        server: PostgresServer = request.getfixturevalue("postgres")
        server.query(
            "DROP SCHEMA IF EXISTS public, mine CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC"
        )


@pytest.fixture
def bench(postgres: PostgresServer) -> Iterator[Bench]:
    """A clean server of each version in turn, met as the superuser."""
    system = connect(postgres)
    yield Bench(postgres, system)
    system.close()


@pytest.fixture
def modest(postgres: PostgresServer) -> Iterator[Bench]:
    """The same, met as a role that may create roles and databases, and is no superuser."""
    postgres.query("CREATE ROLE modest LOGIN CREATEROLE CREATEDB PASSWORD 'modest'")
    system = connect(postgres, PGUSER="modest", PGPASSWORD="modest")
    yield Bench(postgres, system)
    system.close()
