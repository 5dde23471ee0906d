"""One Postgres server: who it is, what this role may do on it, and its connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeVar

from reconciler.model.errors import Rejected, SystemFault, Unreachable
from reconciler.model.secret import Secret
from reconciler.systems.postgres.faults import connection_fault, statement_fault
from reconciler.systems.postgres.peer import connecting_as
from reconciler.systems.postgres.rooms import Rooms
from reconciler.systems.postgres.session import Condition, Row, Session
from reconciler.systems.postgres.settings import ServerSettings, Way, server_settings
from reconciler.systems.postgres.statement import Statement
from reconciler.systems.scram import Verifications

if TYPE_CHECKING:
    import psycopg

_T = TypeVar("_T")

OLDEST_VERSION: Final = 120000
PARALLEL: Final = 4
"""How many statements outside transactions run at once. CREATE DATABASE takes half the time on two to four connections, and not less on eight."""

# Nothing of ours waits for ever: not for somebody's lock, not for a statement. An idle connection stays, however long the rest of a run takes.
_SETTINGS: Final = {"search_path": "pg_catalog", "lock_timeout": "30000", "statement_timeout": "1800000"}
# Whether a transaction is logged as a sample is settled when it begins: inside it is too late to keep a verifier out of the log.
_SUPERUSER_SETTINGS: Final = {"log_transaction_sample_rate": "0", "log_min_duration_sample": "-1"}
_SESSION: Final[LiteralString] = """
SELECT pg_catalog.current_setting('server_version_num')::int4 AS version,
       (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() c) AS identity,
       r.rolname::text AS name, r.rolsuper AS is_superuser, r.rolcreaterole AS can_create_role, r.rolcreatedb AS can_create_database,
       r.rolreplication AS can_replicate, r.rolbypassrls AS can_bypass_rls,
       pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS can_read_authid, pg_catalog.pg_is_in_recovery() AS is_standby,
       COALESCE(pg_catalog.current_setting('scram_iterations', true), '4096')::int4 AS scram_iterations,
       pg_catalog.pg_backend_pid() AS backend_pid,
       CASE WHEN pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) %(backend_pid)s THEN ARRAY[
         pg_catalog.set_config('search_path', %(search_path)s, false), pg_catalog.set_config('lock_timeout', %(lock_timeout)s, false),
         pg_catalog.set_config('statement_timeout', %(statement_timeout)s, false),
         CASE WHEN pg_catalog.current_setting('server_version_num')::int4 OPERATOR(pg_catalog.>=) 140000
           THEN pg_catalog.set_config('idle_session_timeout', '0', false) END,
         CASE WHEN r.rolsuper THEN pg_catalog.set_config('log_transaction_sample_rate', '0', false) END,
         CASE WHEN r.rolsuper AND pg_catalog.current_setting('server_version_num')::int4 OPERATOR(pg_catalog.>=) 130000
           THEN pg_catalog.set_config('log_min_duration_sample', '-1', false) END] END AS settings
  FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user"""
_REACHABLE: Final[LiteralString] = """
SELECT d.datname::text AS name, d.datconnlimit = -2 AS is_invalid,
       d.datconnlimit = -2 OR (d.datallowconn AND pg_catalog.has_database_privilege(d.oid, 'CONNECT')) AS can_connect
  FROM pg_catalog.pg_database d WHERE d.datname::text = ANY(%(names)s::text[]) ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Me:
    """The role this program is connected as, and what concerns it. ``scram_iterations`` is what the server wants for new verifiers."""

    name: str
    is_superuser: bool
    can_create_role: bool
    can_create_database: bool
    can_replicate: bool
    can_bypass_rls: bool
    can_read_authid: bool
    is_standby: bool
    scram_iterations: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What connecting told."""

    identity: str
    version: int
    me: Me
    host: str
    hostaddr: str
    port: int


class Postgres:
    """One server of the manifest; nothing is connected until something is asked. Safe for threads.

    Transactions run one after the other on one connection; statements that must be outside a transaction have up to :data:`PARALLEL` of their own.
    ``verifications`` remembers the checks of passwords. ``statements`` counts what was sent to it. ``alone`` is held by whoever changes
    something inside a database, or takes rights that are given back soon, which nobody else must rely on.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.name = settings.name
        self.label = settings.label
        self.statements = 0
        self.verifications = Verifications()
        self.alone = threading.RLock()
        self._settings = settings
        self._known: _Known | None = None
        self._counting = threading.Lock()
        self._main = Session(self.label, self._connect_main, self._count)
        self._spare: list[Session] = []
        self._places = threading.BoundedSemaphore(PARALLEL)
        self._changing = Rooms(self._session, self._await_end, self.alone)

    @classmethod
    def connect(
        cls, name: str, section: Any, environ: Mapping[str, str], secret: Callable[[Any], Secret], directory: Path | None = None,
        way: Way | None = None,
    ) -> Postgres:  # fmt: skip
        """The server ``name`` of the manifest, with its PostgresSection or None; reached by ``way``. It does not connect yet.

        ``secret`` resolves a reference; paths in the section are relative to ``directory``, the manifest's folder.
        """
        return cls(server_settings(name, section, environ, secret, directory or Path(), way))

    @property
    def identity(self) -> str:
        """The system identifier: the same for a server and its physical copies, another for every other. Raises a SystemFault, as all that follow."""
        return self._connected.identity

    @property
    def version(self) -> int:
        """``server_version_num``: 180004 is 18.4."""
        return self._connected.version

    @property
    def me(self) -> Me:
        """The role this program is connected as."""
        return self._connected.me

    def query(self, text: LiteralString, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a statement that only reads, with names looked up in pg_catalog alone."""
        _ = self._connected
        return self._main.query(text, parameters)

    def run(self, *steps: Statement | Condition, only_if: Condition | None = None) -> list[Row]:
        """Carry out statements in one transaction: see :meth:`Session.run`."""
        self._demand_primary()
        return self._main.run(*steps, only_if=only_if)

    def run_outside_transaction(self, statement: Statement) -> None:
        """Carry out one that Postgres refuses inside a transaction: see :meth:`Session.run_outside_transaction`."""
        self._demand_primary()
        self._changing.leave()
        with self._places:
            with self._counting:
                session = self._spare.pop() if self._spare else self._session(None)
            try:
                session.run_outside_transaction(statement)
            finally:
                with self._counting:
                    self._spare.append(session)

    @contextmanager
    def in_database(self, name: str, *, until_gone: bool = False) -> Iterator[Session]:
        """A connection to another database of this server, closed at the end; ``until_gone`` waits until the server has noticed."""
        _ = self._connected
        session = self._session(name)
        try:
            yield session
        finally:
            process = session.process
            session.close()
            if until_gone and process is not None:
                self._await_end(process)

    @contextmanager
    def changing(self, name: str) -> Iterator[Session]:
        """A connection for changes inside the database ``name``: one at a time on a server, and kept for the next change in the same database."""
        self._demand_primary()
        with self._changing.entered(name) as session:
            yield session

    def has_database(self, name: str) -> bool:
        """Whether there is such a database."""
        return bool(self.query(_REACHABLE, {"names": [name]}))

    def in_each_database(self, names: Iterable[str], ask: Callable[[str, Session], list[_T]]) -> list[_T]:
        """What ``ask`` finds inside each of these databases that exists, several at a time, with one connection to each.

        Raises Rejected for one that may not be connected to. One that an interrupted DROP DATABASE left has nothing in it that can be used.
        """
        rows = self.query(_REACHABLE, {"names": sorted(names)})
        closed = [row["name"] for row in rows if not row["can_connect"]]
        if closed:
            who = self.me.name.replace('"', '""')
            raise Rejected(
                f'{self.label}: {self.me.name} may not connect to the database {closed[0]}, to see what is in it: GRANT CONNECT to "{who}", '
                "or ALTER DATABASE … ALLOW_CONNECTIONS true"
            )

        def asked(name: str) -> list[_T]:
            with self.in_database(name) as session:
                return ask(name, session)

        if not rows:
            return []
        with ThreadPoolExecutor(PARALLEL) as pool:
            return [each for found in pool.map(asked, [row["name"] for row in rows if not row["is_invalid"]]) for each in found]

    def close(self) -> None:
        """Close every connection."""
        self._changing.leave()
        for session in (self._main, *self._spare):
            session.close()

    @property
    def _connected(self) -> _Known:
        if self._known is None:
            self._main.open()
        if self._known is None:
            raise Unreachable(f"{self.label} was closed while connecting")
        return self._known

    def _demand_primary(self) -> None:
        if self.me.is_standby:
            raise Rejected(f"{self.label} is a standby and cannot be written: name the primary")

    def _await_end(self, process: int) -> None:
        """Wait for the end of a server process, a second at most: DROP DATABASE looks for sessions ten times a second, and would wait for ours."""
        deadline = time.monotonic() + 1.0
        while self.query("SELECT a.pid FROM pg_catalog.pg_stat_activity a WHERE a.pid = %(process)s", {"process": process}):
            if time.monotonic() > deadline:
                return
            time.sleep(0.002)

    def _session(self, database: str | None) -> Session:
        _ = self._connected
        session = Session(self.label, lambda: self._connect_another(database), self._count)
        session.unlogged = self.me.is_superuser
        return session

    def _count(self, statements: int) -> None:
        with self._counting:
            self.statements += statements

    def _connect_main(self) -> psycopg.Connection[Row]:
        connection = self._open(self._settings.keywords)
        try:
            self._introduce(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _introduce(self, connection: psycopg.Connection[Row]) -> None:
        """The first statement on the main connection: who is there, and the settings of the session."""
        import psycopg

        self._count(1)
        try:
            [row] = connection.execute(_SESSION, {"backend_pid": connection.info.backend_pid, **_SETTINGS}).fetchall()
        except psycopg.Error as error:
            raise statement_fault(self.label, error, secret=False, lost=error.sqlstate is None, unknown=False) from error
        if row.pop("backend_pid") != connection.info.backend_pid:
            # no statement of ours may be undone or taken over by what shares the connection: docs/facts.md: Postgres 8
            raise Rejected(f"{self.label} is a connection pooler: connect to Postgres itself")
        del row["settings"]
        identity, version = row.pop("identity"), row.pop("version")
        if version < OLDEST_VERSION:
            raise Rejected(f"{self.label} has version {version // 10000}, but Postgres {OLDEST_VERSION // 10000} or later is needed")
        if self._known is not None and self._known.identity != identity:
            raise Unreachable(f"{self.label}: after the connection was lost another server answers at this address")
        info = connection.info
        self._known = _Known(identity, version, Me(**row), info.host, info.hostaddr, info.port)
        self._main.unlogged = self._known.me.is_superuser

    def _connect_another(self, database: str | None) -> psycopg.Connection[Row]:
        known = self._connected
        # to the very server that was asked first, also when several are named
        keywords: dict[str, str | int] = {**self._settings.keywords, "host": known.host, "port": known.port}
        if known.hostaddr:
            keywords["hostaddr"] = known.hostaddr
        if database is not None:
            keywords["dbname"] = database
        settings = _SETTINGS | _SUPERUSER_SETTINGS if known.me.is_superuser and known.version >= 130000 else _SETTINGS
        keywords["options"] = " ".join([self._settings.options, *(f"-c {name}={value}" for name, value in settings.items())]).strip()
        return self._open(keywords)

    def _open(self, keywords: Mapping[str, str | int]) -> psycopg.Connection[Row]:
        import psycopg
        from psycopg.rows import dict_row

        secrets = {k: s.reveal() for k, s in self._settings.secrets.items()}
        fault: SystemFault
        try:
            # no prepared statements: a pooler that was not recognised would mix them up
            with connecting_as(self.label, self._settings.os_user):
                options: Any = {**keywords, **secrets}
                connection = psycopg.connect(**options, autocommit=True, prepare_threshold=None, row_factory=dict_row)
        except (psycopg.Error, ValueError) as error:
            fault = connection_fault(
                self.label, str(error) if isinstance(error, psycopg.Error) else "a setting is no text that libpq takes", f"postgres.{self.name}"
            )
        else:
            return connection
        raise fault
