"""Parts of manifests about Postgres, and about the KV entries with its passwords, drawn from a few names."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from .drawing import HERE, Draw, Part, labelled, maybe, one_of, some, without_nothing

_ROLES = tuple(f"{HERE}-role-{number}" for number in range(3))
_KEYS = tuple(f"{HERE}/password-{number}" for number in range(3))


@st.composite
def keys(draw: Draw) -> Part:
    """KV entries: given, generated, or those of others."""
    entries: Part = {}
    for key in some(draw, _KEYS):
        values: list[Any] = ["one", "two", {"generate": {"bytes": 16}}, {"generate": {"bytes": 24}}, *({"kv": other} for other in entries)]
        entries[key] = without_nothing(value=one_of(draw, *values), flags=one_of(draw, None, 1))
    return {"kv": entries}


@st.composite
def roles_and_databases(draw: Draw) -> Part:
    """Roles with passwords from KV, members of one another, who own databases and what is in them."""
    part = draw(keys())
    names = some(draw, _ROLES)
    roles = [_role(draw, name, names[:number], sorted(part["kv"])) for number, name in enumerate(names)]
    databases = [_database(draw, name, names) for name in some(draw, (f"{HERE}-database-0", f"{HERE}-database-1"))] if names else []
    return {**part, "db_roles": labelled(draw, "role", roles), "databases": labelled(draw, "database", databases)}


def _role(draw: Draw, name: str, groups: list[str], stored: list[str]) -> Part:
    """``groups`` come before it in an order of the manifest's own, so that nobody is a member of himself."""
    options: tuple[Part, ...] = ({}, {"admin": True}, {"set": True, "admin": False})
    return without_nothing(
        name=name,
        login=one_of(draw, None, True, False),
        connection_limit=one_of(draw, None, 5),
        settings=one_of(draw, None, {"work_mem": "8MB"}, {"work_mem": "9MB", "search_path": "app, public"}),
        password=one_of(draw, None, "literal", *({"kv": key} for key in stored)),
        member_of={group: one_of(draw, *options) for group in some(draw, groups)} if maybe(draw) else None,
    )


def _database(draw: Draw, name: str, roles: list[str]) -> Part:
    # owners and versions are always said: without them they stay as they are
    owner = one_of(draw, *roles)
    schemas = [{"name": schema, "owner": one_of(draw, *roles)} for schema in some(draw, ("x", "y"))]
    there = ["public", *(schema["name"] for schema in schemas)]
    extensions = {"sample": {"schema": one_of(draw, *there), "version": one_of(draw, "1.0", "1.1")}} if maybe(draw) else None
    grants: dict[str, Part] = {}
    for grantee in some(draw, [*(r for r in roles if r != owner and all(s["owner"] != r for s in schemas)), "PUBLIC"]):
        grants[grantee] = {target: _privileges(draw, target) for target in some(draw, ["database", *(f"schema {schema}" for schema in there)])}
    return without_nothing(
        name=name,
        owner=owner,
        connection_limit=one_of(draw, None, 7),
        schemas=labelled(draw, "schema", schemas) if schemas else None,
        extensions=extensions,
        grants=grants or None,
        default_privileges=_defaults(draw, roles, there) or None,
    )


def _privileges(draw: Draw, target: str) -> Any:
    listed = some(draw, ("CONNECT", "CREATE") if target == "database" else ("USAGE", "CREATE"))
    return one_of(draw, listed, {"privileges": listed, "grantable": False})


def _defaults(draw: Draw, roles: list[str], schemas: list[str]) -> Part:
    """Under labels of their own, one for each owner, grantee and place."""
    places = [(owner, to, schema) for owner in roles for to in (*roles, "PUBLIC") if to != owner for schema in (None, *schemas)]
    return {
        f"{HERE}default-{number}": without_nothing(owner=owner, to=to, schema=schema, on="tables", privileges=some(draw, ("SELECT", "INSERT")))
        for number, (owner, to, schema) in enumerate(some(draw, places, 2))
    }
