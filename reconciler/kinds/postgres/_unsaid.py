"""What roles and databases have besides, and a manifest has no word for: asked by import alone, which says it in comments.

What lies in the schemas of a database (tables, functions, types, publications …) is the application's, and not looked for: only who may do what with
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, LiteralString

from reconciler.kinds.postgres._inner_entry import open_databases
from reconciler.systems.postgres import Postgres, Row, Session

_MOST: Final = 20
"""How many rights of one database are named one by one."""

_PARAMETERS_HAVE_ACLS: Final = 150000
_PROVIDERS: Final[Mapping[str, str]] = {"i": "ICU", "b": "builtin"}

_OF_ROLES: Final[LiteralString] = """
SELECT r.rolname::text AS name, pg_catalog.shobj_description(r.oid, 'pg_authid') IS NOT NULL AS has_comment,
       EXISTS (SELECT FROM pg_catalog.pg_shseclabel l WHERE l.classoid = 'pg_catalog.pg_authid'::regclass AND l.objoid = r.oid) AS has_label,
       ARRAY(SELECT d.datname::text || ' (' || (SELECT pg_catalog.string_agg(pg_catalog.split_part(c, '=', 1), ', ' ORDER BY c)
                      FROM pg_catalog.unnest(s.setconfig) c) || ')'
               FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase WHERE s.setrole = r.oid ORDER BY 1)
         AS settings_in_databases,
       ARRAY(SELECT t.spcname::text FROM pg_catalog.pg_tablespace t WHERE t.spcowner = r.oid ORDER BY 1) AS tablespaces,
       ARRAY(SELECT x.privilege_type || ' on tablespace ' || t.spcname FROM pg_catalog.pg_tablespace t, pg_catalog.aclexplode(t.spcacl) x
              WHERE x.grantee = r.oid AND t.spcowner <> r.oid ORDER BY 1) AS on_tablespaces,
       {on_parameters} AS on_parameters
  FROM pg_catalog.pg_roles r"""
_ON_PARAMETERS: Final[LiteralString] = """
       ARRAY(SELECT x.privilege_type || ' on parameter ' || p.parname FROM pg_catalog.pg_parameter_acl p, pg_catalog.aclexplode(p.paracl) x
              WHERE x.grantee = r.oid ORDER BY 1)"""

_OF_DATABASES: Final[LiteralString] = """
SELECT d.datname::text AS name, d.datistemplate AS is_template, d.datallowconn AS is_open, t.spcname::text AS tablespace,
       pg_catalog.has_database_privilege(d.oid, 'CONNECT') AS can_connect, {provider} AS provider,
       pg_catalog.shobj_description(d.oid, 'pg_database') IS NOT NULL AS has_comment,
       EXISTS (SELECT FROM pg_catalog.pg_shseclabel l WHERE l.classoid = 'pg_catalog.pg_database'::regclass AND l.objoid = d.oid) AS has_label,
       ARRAY(SELECT pg_catalog.split_part(c, '=', 1) FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c
              WHERE s.setdatabase = d.oid AND s.setrole = 0 ORDER BY 1) AS settings
  FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace"""
_PROVIDERS_ARE_KNOWN: Final = 150000

# What is granted beyond what the object began with, or taken from that; of tables, functions … only what their owner has not.
_RIGHTS: Final[LiteralString] = """
WITH object AS (
  SELECT 'pg_catalog.pg_type'::regclass AS class, oid, 0 AS column, typowner AS owner, typacl AS acl, 'T'::"char" AS type FROM pg_catalog.pg_type
  UNION ALL SELECT 'pg_catalog.pg_language'::regclass, oid, 0, lanowner, lanacl, 'l' FROM pg_catalog.pg_language
  UNION ALL SELECT 'pg_catalog.pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner, fdwacl, 'F' FROM pg_catalog.pg_foreign_data_wrapper
  UNION ALL SELECT 'pg_catalog.pg_foreign_server'::regclass, oid, 0, srvowner, srvacl, 'S' FROM pg_catalog.pg_foreign_server
  UNION ALL SELECT 'pg_catalog.pg_largeobject'::regclass, oid, 0, lomowner, lomacl, 'L' FROM pg_catalog.pg_largeobject_metadata
  UNION ALL SELECT 'pg_catalog.pg_class'::regclass, a.attrelid, a.attnum, c.relowner, a.attacl, 'c'
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid WHERE NOT a.attisdropped
  UNION ALL SELECT 'pg_catalog.pg_class'::regclass, oid, 0, relowner, relacl, CASE WHEN relkind = 'S' THEN 's' ELSE 'r' END::"char"
    FROM pg_catalog.pg_class
  UNION ALL SELECT 'pg_catalog.pg_proc'::regclass, oid, 0, proowner, proacl, 'f' FROM pg_catalog.pg_proc
  UNION ALL SELECT 'pg_catalog.pg_namespace'::regclass, oid, 0, nspowner, nspacl, 'n' FROM pg_catalog.pg_namespace
  UNION ALL SELECT 'pg_catalog.pg_database'::regclass, oid, 0, datdba, datacl, 'd'
    FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
), changed AS (
  SELECT o.*, COALESCE(i.initprivs, pg_catalog.acldefault(o.type, o.owner)) AS initial
    FROM object o LEFT JOIN pg_catalog.pg_init_privs i ON i.classoid = o.class AND i.objoid = o.oid AND i.objsubid = o.column
   WHERE o.acl IS NOT NULL AND o.acl IS DISTINCT FROM i.initprivs
), differing AS (
  SELECT c.class, c.oid, c.column, c.owner, c.type, x.*
    FROM changed c, LATERAL (
      (SELECT grantee, privilege_type, is_grantable, true AS is_granted FROM pg_catalog.aclexplode(c.acl)
        EXCEPT SELECT grantee, privilege_type, is_grantable, true FROM pg_catalog.aclexplode(c.initial))
      UNION ALL
      (SELECT grantee, privilege_type, is_grantable, false FROM pg_catalog.aclexplode(c.initial)
        EXCEPT SELECT grantee, privilege_type, is_grantable, false FROM pg_catalog.aclexplode(c.acl))) x
   WHERE c.type IN ('T', 'l', 'F', 'S', 'L', 'c') OR (x.grantee = c.owner AND NOT x.is_granted)
)
SELECT pg_catalog.pg_describe_object(d.class, d.oid, 0) AS object, d.is_granted, d.is_grantable,
       CASE WHEN d.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(d.grantee)::text END AS grantee,
       (SELECT pg_catalog.array_agg(DISTINCT p ORDER BY p) FROM pg_catalog.unnest(pg_catalog.array_agg(d.privilege_type)) p) AS privileges,
       pg_catalog.array_agg(DISTINCT a.attname::text ORDER BY a.attname::text) FILTER (WHERE a.attname IS NOT NULL) AS columns
  FROM differing d LEFT JOIN pg_catalog.pg_attribute a ON d.column <> 0 AND a.attrelid = d.oid AND a.attnum = d.column
 GROUP BY d.class, d.oid, d.grantee, d.is_granted, d.is_grantable, CASE WHEN d.column <> 0 THEN d.privilege_type END
 ORDER BY 1, 4, 2 DESC, 5"""
_DEFAULTS: Final[LiteralString] = """
SELECT DISTINCT pg_catalog.pg_describe_object('pg_catalog.pg_default_acl'::regclass, a.oid, 0) AS object
  FROM pg_catalog.pg_default_acl a WHERE a.defaclobjtype <> ALL('{r,S,f,T,n}'::"char"[]) ORDER BY 1"""


def of_roles(server: Postgres) -> dict[str, tuple[str, ...]]:
    """For each role what there is besides, in words."""
    on_parameters: LiteralString = _ON_PARAMETERS if server.version >= _PARAMETERS_HAVE_ACLS else "ARRAY[]::text[]"
    return {row["name"]: tuple(_of_role(row)) for row in server.query(_OF_ROLES.replace("{on_parameters}", on_parameters))}


def _of_role(row: Row) -> Iterable[str]:
    if row["has_comment"]:
        yield "its comment"
    if row["has_label"]:
        yield "its security label"
    for each in row["settings_in_databases"]:
        yield f"its settings in the database {each}"
    for each in row["tablespaces"]:
        yield f"that it owns the tablespace {each}"
    yield from [*row["on_tablespaces"], *row["on_parameters"]]


def of_databases(server: Postgres) -> dict[str, tuple[str, ...]]:
    """For each database what there is besides, in words; for those that can be looked into, rights in them included."""
    provider: LiteralString = "d.datlocprovider::text" if server.version >= _PROVIDERS_ARE_KNOWN else "NULL::text"
    found = {row["name"]: list(_of_database(row, server.me.name)) for row in server.query(_OF_DATABASES.replace("{provider}", provider))}
    for name, words in server.in_each_database(open_databases(server), lambda name, session: [(name, rights(session))]):
        found[name] += words
    return {name: tuple(words) for name, words in found.items()}


def _of_database(row: Row, me: str) -> Iterable[str]:
    if not row["is_open"]:
        yield "that nobody may connect to it, and so what is in it"
    elif not row["can_connect"]:
        yield f"what is in it and who may do what there, because {me} may not connect to it"
    if row["has_comment"]:
        yield "its comment"
    if row["has_label"]:
        yield "its security label"
    if row["settings"]:
        yield f"its settings ({', '.join(row['settings'])})"
    if row["tablespace"] != "pg_default":
        yield f"its tablespace {row['tablespace']}"
    if row["provider"] in _PROVIDERS:
        yield f"its {_PROVIDERS[row['provider']]} locale"


def rights(session: Session) -> list[str]:
    """Rights in a database that no entry can grant, in words: on columns and types, or fewer than all for an owner."""
    words = [_right(row) for row in session.query(_RIGHTS)] + [row["object"] for row in session.query(_DEFAULTS)]
    return words if len(words) <= _MOST else [*words[:_MOST], f"{len(words) - _MOST} more such rights"]


def _right(row: Row) -> str:
    columns = f" ({', '.join(row['columns'])})" if row["columns"] else ""
    what = f"{', '.join(row['privileges'])}{columns} on {row['object']}"
    option = " with the right to pass it on" if row["is_grantable"] and row["is_granted"] else ""
    return f"{what} for {row['grantee']}{option}" if row["is_granted"] else f"that {row['grantee']} lacks {what}"
