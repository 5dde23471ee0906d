"""Acting for another role: a superuser may, others must be members of it for as long as it takes (docs/facts.md: Postgres 7)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, LiteralString

from reconciler.model.errors import AccessDenied, SystemFault
from reconciler.systems.postgres import Name, Postgres, sql

_OF_DATABASE: Final = "pg_database_owner"
_MAY_16: Final[LiteralString] = """
SELECT pg_catalog.pg_has_role(current_user, r.oid, 'USAGE') AND pg_catalog.pg_has_role(current_user, r.oid, 'SET') AS may
  FROM pg_catalog.pg_roles r WHERE r.rolname::text = %(role)s"""
_MAY: Final[LiteralString] = (
    "SELECT pg_catalog.pg_has_role(current_user, r.oid, 'USAGE') AS may FROM pg_catalog.pg_roles r WHERE r.rolname::text = %(role)s"
)

_OWNER: Final[LiteralString] = """
SELECT pg_catalog.pg_get_userbyid(d.datdba)::text AS owner FROM pg_catalog.pg_database d WHERE d.datname::text = %(name)s"""


@contextmanager
def acting_for(server: Postgres, role: str, doing: str, *, if_possible: bool = False) -> Iterator[None]:
    """Whatever is done inside may be done by ``role``. Raises AccessDenied, saying what to grant for ``doing``, unless ``if_possible``.

    A membership that this takes ends with it: one run at a time, because somebody else's end would be ours too. When the program is killed in between
    it stays; it gives nothing that this role, which may grant it, could not have anyway.
    """
    me = server.me
    if me.is_superuser or role == me.name:
        yield
        return
    with server.alone:
        rows = server.query(_MAY_16 if server.version >= 160000 else _MAY, {"role": role})
        joined = bool(rows) and not rows[0]["may"] and _join(server, role, doing, if_possible=if_possible)
        try:
            yield
        finally:
            if joined:
                with suppress(SystemFault):  # what was to be done is done, or says itself why not
                    server.run(sql("REVOKE {} FROM CURRENT_USER{}", Name(role), sql(" GRANTED BY CURRENT_USER" if server.version >= 160000 else "")))


def _join(server: Postgres, role: str, doing: str, *, if_possible: bool) -> bool:
    try:
        server.run(sql("GRANT {} TO CURRENT_USER{}", Name(role), sql(" WITH INHERIT TRUE, SET TRUE" if server.version >= 160000 else "")))
    except SystemFault as fault:
        if if_possible:
            return False
        me = server.me.name
        raise AccessDenied(f'{me} cannot {doing} {role}, not being a member of it: GRANT "{role}" TO "{me}" ({fault})') from fault
    return True


def owner_in(server: Postgres, owner: str, database: str) -> str:
    """Whom to act for to own what ``owner`` owns in ``database``: nobody can be made a member of ``pg_database_owner``."""
    if owner != _OF_DATABASE:
        return owner
    rows = server.query(_OWNER, {"name": database})
    return str(rows[0]["owner"]) if rows else owner
