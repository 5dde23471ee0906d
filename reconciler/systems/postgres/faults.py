"""Postgres' errors as errors of this program: one line that says what, and no secret in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reconciler.model.errors import AccessDenied, AlreadyExists, LostRace, OutcomeUnknown, Rejected, SystemFault, Unreachable
from reconciler.model.secret import MASK

if TYPE_CHECKING:
    import psycopg

_EXISTS: Final = frozenset({"42710", "42P04"})
_CONTENDED: Final = frozenset({"40001", "40P01"})
_CUT_OFF: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
_VERIFIER: Final = re.compile(r"SCRAM-SHA-256\$[^\s']*|\bmd5[0-9a-f]{32}\b")
# elog texts are never translated, so that this holds whatever lc_messages is
_RACE: Final = re.compile(r"tuple concurrently (updated|deleted)|could not find tuple|cache lookup failed")


class InUse(Rejected):
    """Sessions hold what was to be changed or dropped."""


def is_contended(error: psycopg.Error) -> bool:
    """Whether somebody else changed the same rows meanwhile and the whole transaction was undone, so that sending it again is safe."""
    return error.sqlstate in _CONTENDED or (error.sqlstate == "XX000" and _RACE.search(str(error.diag.message_primary)) is not None)


def statement_fault(server: str, error: psycopg.Error, *, secret: bool, lost: bool, unknown: bool) -> SystemFault:
    """The fault behind an error of a statement.

    ``secret``: the statement carried one, so only the error's own sentence is shown, not what it quotes. ``lost``: the connection is gone and the
    server has not said what became of the statement; ``unknown``: it may have been carried out.
    """
    if lost and unknown:
        return OutcomeUnknown(f"{server}: the connection was lost while a change was being made, so it is not known whether it was: run again")
    if lost:
        return Unreachable(f"{server}: the connection was lost")
    said = _said(error, secret=secret)
    code = error.sqlstate or ""
    if code == "42501" or code.startswith("28"):
        return AccessDenied(f"{server}: {said}")
    # two that race to create one name collide in the catalogue's index
    if code in _EXISTS or (code == "23505" and str(error.diag.table_name).startswith("pg_")):
        return AlreadyExists(f"{server}: {said}")
    if is_contended(error):
        return LostRace(f"{server}: somebody else changes the same at this time ({said}): run again")
    if code == "55P03":
        return LostRace(f"{server}: another session holds a lock on it for too long ({said}): run again when it has ended")
    if code in _CUT_OFF:
        return Unreachable(f"{server}: the server ended the connection ({said})")
    if code == "55006":
        return InUse(f"{server}: {said}")
    if code == "25006":
        return Rejected(f"{server}: {said}: it is a standby or set to read only; name the primary")
    return Rejected(f"{server}: {said}")


def _said(error: psycopg.Error, *, secret: bool) -> str:
    diag = error.diag
    parts = [diag.message_primary or ""] if secret else [diag.message_primary or str(error), diag.message_detail, diag.message_hint]
    text = ": ".join(_one_line(p).rstrip(".:") for p in parts if p)
    code = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    return _VERIFIER.sub(MASK, text or "it was refused") + code


def _one_line(text: str) -> str:
    return "; ".join(" ".join(line.split()) for line in text.strip().splitlines() if line.strip())


# Errors while connecting have no SQLSTATE (psycopg 3.3, libpq 18), only a text: libpq's own in English, the server's in the language of lc_messages.
_CONNECTING: Final[tuple[tuple[str, type[SystemFault], str], ...]] = (
    (r"no password supplied", AccessDenied, "asks for a password, and none was given: set password, PGPASSWORD or a password file"),
    (r"password authentication failed for user (\".*\")", AccessDenied, "refuses the user {1}: wrong password, no such role, or expired"),
    (
        r"peer authentication failed for user (\".*\")",
        AccessDenied,
        "does not take this account for the role {1}: correct {place}.os_user or user, or map them in pg_ident.conf",
    ),
    (r"authentication failed for user (\".*\")", AccessDenied, "refuses the user {1}: {0}"),
    (r"role (\".*\") does not exist", AccessDenied, "has no role {1}: correct user"),
    (r"role (\".*\") is not permitted to log in", AccessDenied, "does not let the role {1} log in: ALTER ROLE … LOGIN, or use another user"),
    (r"permission denied for database (\".*\")", AccessDenied, "does not let this role connect to the database {1}"),
    (r"no pg_hba.conf entry for (.*)", AccessDenied, "lets nobody in from here: no pg_hba.conf entry for {1}"),
    (r"database (\".*\") does not exist", Rejected, "has no database {1}: set dbname to one that exists"),
    (r"unsupported startup parameter", Rejected, "is a connection pooler: connect to Postgres itself"),
    (r"definition of service (\".*\") not found", Rejected, "is not described: the service file has no section {1}"),
    (r"connection refused", Unreachable, "cannot be reached: connection refused: start it, or set {place}.host and port, or PGHOST and PGPORT"),
    (
        r"failed to resolve host|could not translate host name",
        Unreachable,
        "cannot be reached: its name is not known: correct {place}.host or PGHOST",
    ),
    (r"on socket|no such file", Unreachable, "cannot be reached: no server listens on that socket: start it, or set {place}.host or PGHOST"),
    (
        r"timeout|timed out",
        Unreachable,
        "cannot be reached: no answer in time: see whether it is running, and that nothing between here and there is in the way",
    ),
    (r"(certificate|SSL|TLS)", Unreachable, "cannot be reached: {0}"),
)


def connection_fault(server: str, text: str, place: str) -> SystemFault:
    """The fault behind the text of an error while connecting. With several hosts it is about the last one that was tried.

    ``place`` is the section of the manifest that describes the server.
    """
    first = text.split("\nMultiple connection attempts failed.", maxsplit=1)[0]
    reason = _one_line(first.splitlines()[0] if first else "no reason given")
    reason = re.sub(r"^connection (failed|is bad): ", "", reason)
    reason = re.sub(r"^connection to server (at|on socket) .*? failed: ", "", reason)
    reason = re.sub(r"^[A-Z]+: +", "", reason)
    for pattern, fault, sentence in _CONNECTING:
        found = re.search(pattern, reason, re.IGNORECASE)
        if found:
            return fault(f"{server} {sentence.format(reason, *found.groups(), place=place)}")
    reason = reason[:1].lower() + reason[1:] if reason[1:2].islower() else reason
    return Unreachable(f"{server} cannot be reached: {reason}")
