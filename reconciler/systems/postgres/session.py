"""One connection to one database: queries, transactions, and the statements that refuse to be in one."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeVar

from reconciler.model.errors import LostRace, SystemFault
from reconciler.systems.postgres.faults import is_contended, statement_fault
from reconciler.systems.postgres.statement import Statement, joined, rendered

if TYPE_CHECKING:
    import psycopg

Row = dict[str, Any]
_T = TypeVar("_T")

_ATTEMPTS: Final = 6
_FIRST_PAUSE_S: Final = 0.05

# A statement with a verifier in it must leave no trace in the log: a verifier can be guessed at offline (docs/facts.md: Postgres 1). These settings
# hold until COMMIT, which is sent by itself: log_min_duration_statement is looked at after the message it logs. What is sampled is settled earlier,
# and so for the whole session: see server.py.
_UNLOGGED: Final[LiteralString] = """BEGIN; SELECT
  pg_catalog.set_config('log_statement', 'none', true), pg_catalog.set_config('log_min_duration_statement', '-1', true),
  pg_catalog.set_config('log_min_error_statement', 'panic', true), pg_catalog.set_config('pg_stat_statements.track_utility', 'off', true)"""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must still be so inside a transaction: a query whose first row's only column is true. ``otherwise`` says what happened instead."""

    text: LiteralString
    parameters: Mapping[str, Any]
    otherwise: str


class Session:
    """One connection, opened at its first use and again after it was lost. Safe for threads: one transaction at a time.

    ``connect`` opens it, ``counted`` is told of each statement sent. ``unlogged`` says whether this session may and must keep secrets out of the
    server's log.
    """

    def __init__(self, label: str, connect: Callable[[], psycopg.Connection[Row]], counted: Callable[[int], None]) -> None:
        self.label = label
        self.unlogged = False
        self._connect = connect
        self._counted = counted
        self._connection: psycopg.Connection[Row] | None = None
        self._lock = threading.RLock()

    def query(self, text: LiteralString, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a statement that only reads; it is sent once more when the connection turns out to be lost. Raises a SystemFault."""
        with self._lock:
            try:
                return self._query(text, parameters)
            except _Lost:
                return self._query(text, parameters, last=True)

    def run(self, *steps: Statement | Condition, only_if: Condition | None = None) -> list[Row]:
        """Carry out statements in one transaction; the rows of the last one. A condition among them is looked at in its turn, ``only_if`` first.

        They must mean the same when sent twice: a transaction that was undone because somebody else changed the same rows is sent again. Raises
        LostRace when a condition does not hold, OutcomeUnknown when the connection was lost while committing, or another SystemFault.
        """
        secret = any(s.carries_secret for s in steps if isinstance(s, Statement))
        every = steps if only_if is None else (only_if, *steps)
        with self._lock:
            return _persist(lambda: self._transaction(every, secret=secret))

    def run_outside_transaction(self, statement: Statement) -> None:
        """Carry out a statement that Postgres refuses inside a transaction, such as CREATE DATABASE. Raises as :meth:`run`."""
        with self._lock:
            _persist(lambda: self._single(rendered(statement, self._open()), secret=statement.carries_secret))

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @property
    def process(self) -> int | None:
        """The server process behind the connection; None when there is no connection."""
        with self._lock:
            return None if self._connection is None or self._connection.closed else self._connection.info.backend_pid

    def open(self) -> None:
        """Make sure that there is a connection."""
        with self._lock:
            self._open()

    def _open(self) -> psycopg.Connection[Row]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def _query(self, text: LiteralString, parameters: Mapping[str, Any] | None, *, last: bool = False) -> list[Row]:
        import psycopg

        connection = self._open()
        self._counted(1)
        try:
            return connection.execute(text, parameters).fetchall()
        except psycopg.Error as error:
            if connection.closed and not last:
                raise _Lost from None
            raise statement_fault(self.label, error, secret=False, lost=self._is_lost(error), unknown=False) from error

    def _transaction(self, steps: tuple[Statement | Condition, ...], *, secret: bool) -> list[Row]:
        connection = self._open()
        messages = [m if isinstance(m, Condition) else rendered(m, connection) for m in _messages(steps)]
        unlogged = secret and self.unlogged
        if not unlogged and len(messages) == 1 and isinstance(messages[0], str):
            return self._single(messages[0], secret=secret)  # several statements in one message are one transaction
        rows: list[Row] = []
        try:
            self._send(_UNLOGGED if unlogged else "BEGIN", secret=False, unknown=False)
            for message in messages:
                if isinstance(message, Condition):
                    self._demand(message)
                else:
                    rows = self._send(message, secret=secret, unknown=False)
            self._send("COMMIT", secret=secret, unknown=True)
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise
        return rows

    def _demand(self, condition: Condition) -> None:
        rows = self._send(condition.text, condition.parameters, secret=False, unknown=False)
        if not rows or not next(iter(rows[0].values())):
            raise LostRace(condition.otherwise)

    def _single(self, text: str, *, secret: bool) -> list[Row]:
        return self._send(text, secret=secret, unknown=True)

    def _send(self, text: str, parameters: Mapping[str, Any] | None = None, *, secret: bool, unknown: bool) -> list[Row]:
        """Send one message; the rows of its last statement. ``unknown``: losing the connection leaves open whether it was carried out."""
        import psycopg

        connection = self._open()
        self._counted(1)
        fault: SystemFault | _Contended
        try:
            cursor = connection.execute(text.encode(), parameters)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            lost = self._is_lost(error)
            fault = statement_fault(self.label, error, secret=secret, lost=lost, unknown=unknown)
            fault = _Contended(fault) if is_contended(error) else fault
            fault.__cause__ = None if secret else error
        raise fault  # outside the except block: psycopg's error, which quotes the statement, is not even its context

    def _is_lost(self, error: psycopg.Error) -> bool:
        """Whether the server has not said what became of the statement. A FATAL error is its word, though it ends the connection."""
        return error.sqlstate is None and self._connection is not None and (self._connection.closed or self._connection.broken)


def _messages(steps: tuple[Statement | Condition, ...]) -> list[Statement | Condition]:
    """The steps with all statements that follow each other as one, which is one round trip."""
    together: list[Statement | Condition] = []
    for step in steps:
        if together and isinstance(step, Statement) and isinstance(last := together[-1], Statement):
            together[-1] = joined("; ", (last, step))
        else:
            together.append(step)
    return together


class _Lost(Exception):
    """A connection was found dead."""


class _Contended(Exception):
    """A transaction was undone because somebody else changed the same."""

    def __init__(self, fault: SystemFault) -> None:
        self.fault = fault


def _persist(send: Callable[[], _T]) -> _T:
    """Send again what contention undid, with growing pauses; the fault when that does not help."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return send()
        except _Contended as contended:
            if attempt == _ATTEMPTS:
                raise contended.fault from contended.fault.__cause__
        time.sleep(_FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311  it spreads two rivals and hides nothing
    raise AssertionError
