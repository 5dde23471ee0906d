"""What lies on a Postgres server besides roles and databases. Names need quotes."""

from __future__ import annotations

from typing import Any

from .mesh import Mesh
from .specimen import Manifest, Specimen


def _without(*statements: str) -> tuple[Any, ...]:
    return tuple(lambda m, s=s: m.sql(s) for s in statements)


def _roles(mesh: Mesh, *names: str) -> None:
    for name in names:
        if not mesh.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'"):
            mesh.sql(f'CREATE ROLE "{name}"')


def _database(mesh: Mesh, n: str) -> None:
    _roles(mesh, n, f"{n}-2")
    if not mesh.sql(f"SELECT 1 FROM pg_database WHERE datname = '{n}'"):
        mesh.sql(f'CREATE DATABASE "{n}" OWNER "{n}"')


def _has_database(mesh: Mesh, n: str) -> bool:
    return bool(mesh.sql(f"SELECT 1 FROM pg_database WHERE datname = '{n}'"))


def _inside(n: str, **sections: Any) -> Manifest:
    return {"name": n, "db_roles": {n: {}, f"{n}-2": {}}, "databases": {n: {"owner": n, **sections}}}


def _leftovers(n: str) -> tuple[Any, ...]:
    return _without(f'DROP DATABASE IF EXISTS "{n}"', f'DROP ROLE IF EXISTS "{n}"', f'DROP ROLE IF EXISTS "{n}-2"')


def db_membership(n: str) -> Specimen:
    team = f"{n}-team"
    read = f"FROM pg_auth_members a WHERE roleid = (SELECT oid FROM pg_roles WHERE rolname = '{team}') AND pg_get_userbyid(member) = '{n}'"

    def make(mesh: Mesh, options: str) -> None:
        _roles(mesh, n, team)
        mesh.sql(f'GRANT "{team}" TO "{n}" WITH {options}')

    return Specimen(
        kind="db-membership",
        address=f"db-membership/default/{team}/{n}",
        entry=("db_roles", n, "member_of", team),
        manifest={"name": n, "db_roles": {team: {}, n: {"member_of": {team: {"admin": False, "set": True}}}}},
        variants={"admin": {"admin": True, "set": True}, "set": {"admin": False, "set": False}},
        edited="admin",
        edit=lambda m: m.sql(f'GRANT "{team}" TO "{n}" WITH ADMIN TRUE'),
        edit_unset=lambda m: m.sql(f'GRANT "{team}" TO "{n}" WITH INHERIT FALSE'),
        read_unset=lambda m: m.sql(f"SELECT a.inherit_option {read}"),
        remove=lambda m: m.sql(f'REVOKE "{team}" FROM "{n}"'),
        make=lambda m: make(m, "ADMIN FALSE, SET TRUE"),
        make_other=lambda m: make(m, "ADMIN TRUE"),
        exists=lambda m: bool(m.sql(f"SELECT 1 {read}")),
        has_incarnation=False,
        option_entry=("db_roles", n),
        leftovers=_without(f'DROP ROLE IF EXISTS "{n}"', f'DROP ROLE IF EXISTS "{team}"'),
    )


def db_schema(n: str) -> Specimen:
    name = f'{n} "s".x'
    quoted = '"' + name.replace('"', '""') + '"'

    def make(mesh: Mesh, owner: str) -> None:
        _database(mesh, n)
        mesh.sql(f'CREATE SCHEMA {quoted} AUTHORIZATION "{owner}"', n)

    return Specimen(
        kind="db-schema",
        address=f"db-schema/default/{n}/{name}",
        entry=("databases", n, "schemas", "one"),
        manifest=_inside(n, schemas={"one": {"name": name, "owner": n}}),
        variants={"owner": {"name": name, "owner": f"{n}-2"}},
        edited="owner",
        edit=lambda m: m.sql(f'ALTER SCHEMA {quoted} OWNER TO "{n}-2"', n),
        edit_unset=lambda m: m.sql(f'GRANT USAGE ON SCHEMA {quoted} TO "{n}-2"', n),
        read_unset=lambda m: m.sql(f"SELECT has_schema_privilege('{n}-2', oid, 'USAGE') FROM pg_namespace WHERE nspname = '{name}'", n),
        remove=lambda m: m.sql(f"DROP SCHEMA {quoted}", n),
        make=lambda m: make(m, n),
        make_other=lambda m: make(m, f"{n}-2"),
        exists=lambda m: _has_database(m, n) and bool(m.sql(f"SELECT 1 FROM pg_namespace WHERE nspname = '{name}'", n)),
        leftovers=_leftovers(n),
    )


def db_extension(n: str) -> Specimen:
    def make(mesh: Mesh, version: str) -> None:
        _database(mesh, n)
        mesh.sql(f"CREATE SCHEMA IF NOT EXISTS other; CREATE EXTENSION sample VERSION '{version}' SCHEMA public", n)

    entry = {"schema": "public", "version": "1.0"}
    return Specimen(
        kind="db-extension",
        address=f"db-extension/default/{n}/sample",
        entry=("databases", n, "extensions", "sample"),
        manifest=_inside(n, schemas={"other": {}}, extensions={"sample": entry}),
        variants={"version": {**entry, "version": "1.1"}, "schema": {**entry, "schema": "other"}},
        edited="version",
        edit=lambda m: m.sql("ALTER EXTENSION sample UPDATE TO '1.1'", n),
        remove=lambda m: m.sql("DROP EXTENSION sample", n),
        make=lambda m: make(m, "1.0"),
        make_other=lambda m: make(m, "1.1"),
        exists=lambda m: _has_database(m, n) and bool(m.sql("SELECT 1 FROM pg_extension WHERE extname = 'sample'", n)),
        leftovers=_leftovers(n),
    )


def db_grant(n: str) -> Specimen:
    who, schema = f"{n}-2", 'my "schema'
    quoted = '"my ""schema"'
    entry = {"privileges": ["USAGE"], "grantable": False}

    def make(mesh: Mesh, privileges: str) -> None:
        _database(mesh, n)
        mesh.sql(f'CREATE SCHEMA IF NOT EXISTS {quoted} AUTHORIZATION "{n}"; GRANT {privileges} ON SCHEMA {quoted} TO "{who}"', n)

    return Specimen(
        kind="db-grant",
        address=f"db-grant/default/{n}/schema %22my %22%22schema%22/{who}",
        entry=("databases", n, "grants", who, f"schema {quoted}"),
        manifest=_inside(n, schemas={schema: {"owner": n}}, grants={who: {f"schema {quoted}": entry}}),
        variants={"privileges": {**entry, "privileges": ["create", "usage"]}, "grantable": {**entry, "grantable": True}},
        edited="privileges",
        edit=lambda m: m.sql(f'GRANT CREATE ON SCHEMA {quoted} TO "{who}"', n),
        edit_unset=lambda m: m.sql(f"GRANT USAGE ON SCHEMA {quoted} TO pg_monitor", n),
        read_unset=lambda m: m.sql(f"SELECT has_schema_privilege('pg_monitor', oid, 'USAGE') FROM pg_namespace WHERE nspname = '{schema}'", n),
        remove=lambda m: m.sql(f'REVOKE ALL ON SCHEMA {quoted} FROM "{who}"', n),
        make=lambda m: make(m, "USAGE") if not _has_database(m, n) else m.sql(f'GRANT USAGE ON SCHEMA {quoted} TO "{who}"', n),
        make_other=lambda m: make(m, "CREATE"),
        exists=lambda m: _has_database(m, n) and bool(m.sql(f"SELECT 1 FROM pg_namespace WHERE nspacl::text LIKE '%{who}%'", n)),
        has_incarnation=False,
        leftovers=_leftovers(n),
    )


def db_default_privilege(n: str) -> Specimen:
    who = f"{n}-2"
    entry = {"owner": n, "schema": "public", "on": "tables", "to": who, "privileges": ["SELECT"]}
    alter = f'ALTER DEFAULT PRIVILEGES FOR ROLE "{n}" IN SCHEMA public'

    def make(mesh: Mesh, privilege: str) -> None:
        _database(mesh, n)
        mesh.sql(f'{alter} GRANT {privilege} ON TABLES TO "{who}"', n)

    return Specimen(
        kind="db-default-privilege",
        address=f"db-default-privilege/default/{n}/{n}/tables in schema public/{who}",
        entry=("databases", n, "default_privileges", "read"),
        manifest=_inside(n, default_privileges={"read": entry}),
        variants={"privileges": {**entry, "privileges": ["SELECT", "INSERT"]}},
        edited="privileges",
        edit=lambda m: m.sql(f'{alter} GRANT UPDATE ON TABLES TO "{who}"', n),
        remove=lambda m: m.sql(f'{alter} REVOKE ALL ON TABLES FROM "{who}"', n),
        make=lambda m: make(m, "SELECT"),
        make_other=lambda m: make(m, "UPDATE"),
        exists=lambda m: _has_database(m, n) and bool(m.sql("SELECT 1 FROM pg_default_acl", n)),
        has_incarnation=False,
        leftovers=_leftovers(n),
    )


SPECIMENS = (db_membership, db_schema, db_extension, db_grant, db_default_privilege)
