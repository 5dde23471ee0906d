"""The questions about grants: one for the state of many, one for every entry of one."""

# ruff: noqa: S608  what is put together here are constants

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, LiteralString

from reconciler.manifest.database_objects import PUBLIC, DatabaseObject
from reconciler.model.address import Address

# One row of `pair` for each grant that is asked about whose grantee exists; one of `object` for each object of each. What extensions and initdb gave
# at the beginning (pg_init_privs) is the default of what they made. What the grantee owns does not count in a set: he has every right on it.
_OBJECTS: Final[LiteralString] = """
WITH pair AS MATERIALIZED (
  SELECT w.number, w.type, w.schema, w.name, w.is_set, COALESCE(r.oid, 0::oid) AS grantee
    FROM ROWS FROM (pg_catalog.unnest(%(numbers)s::int4[]), pg_catalog.unnest(%(types)s::text[]), pg_catalog.unnest(%(schemas)s::text[]),
                    pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(sets)s::bool[]), pg_catalog.unnest(%(grantees)s::text[]))
         AS w(number, type, schema, name, is_set, grantee)
    LEFT JOIN pg_catalog.pg_roles r ON r.rolname::text = w.grantee
   WHERE w.grantee IS NULL OR r.oid IS NOT NULL
), found AS (
  SELECT p.number, d.oid, 'pg_catalog.pg_database'::regclass AS class, d.oid AS place, NULL::name AS schema, d.datname AS name, d.datdba AS owner,
         d.datacl AS acl, 'd'::"char" AS type
    FROM pair p JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database() WHERE p.type = 'database'
  UNION ALL
  SELECT p.number, n.oid, 'pg_catalog.pg_namespace'::regclass, n.oid, NULL, n.nspname, n.nspowner, n.nspacl, 'n'
    FROM pair p JOIN pg_catalog.pg_namespace n ON n.nspname::text = p.name WHERE p.type = 'schema'
  UNION ALL
  SELECT p.number, c.oid, 'pg_catalog.pg_class'::regclass, CASE WHEN p.is_set THEN n.oid ELSE c.oid END, n.nspname, c.relname, c.relowner, c.relacl,
         CASE WHEN c.relkind = 'S' THEN 's' ELSE 'r' END::"char"
    FROM pair p JOIN pg_catalog.pg_namespace n ON n.nspname::text = p.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND (p.is_set OR c.relname::text = p.name)
         AND c.relkind = ANY(CASE p.type WHEN 'table' THEN '{r,p,v,m,f}'::"char"[] ELSE '{S}'::"char"[] END)
   WHERE p.type IN ('table', 'sequence')
  UNION ALL
  SELECT p.number, f.oid, 'pg_catalog.pg_proc'::regclass, CASE WHEN p.is_set THEN n.oid ELSE f.oid END, n.nspname, f.proname, f.proowner, f.proacl,
         'f'
    FROM pair p JOIN pg_catalog.pg_namespace n ON n.nspname::text = p.schema
    JOIN pg_catalog.pg_proc f ON f.pronamespace = n.oid
         AND CASE WHEN p.is_set THEN f.prokind <> 'p' ELSE f.oid = pg_catalog.to_regprocedure(p.name) END
   WHERE p.type = 'function'
), object AS MATERIALIZED (
  SELECT f.*, p.grantee, COALESCE(i.initprivs, pg_catalog.acldefault(f.type, f.owner)) AS initial
    FROM found f JOIN pair p USING (number)
    LEFT JOIN pg_catalog.pg_init_privs i ON i.classoid = f.class AND i.objoid = f.oid AND i.objsubid = 0 AND f.type <> 'd'
   WHERE NOT (p.is_set AND f.owner = p.grantee)
)"""

STATES: Final[LiteralString] = (
    _OBJECTS
    + """,
held AS (
  SELECT number, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('privilege', privilege, 'objects', objects, 'grantable', grantable)) AS privileges
    FROM (SELECT o.number, x.privilege_type AS privilege, count(DISTINCT o.oid) AS objects,
                 count(DISTINCT o.oid) FILTER (WHERE x.is_grantable) AS grantable
            FROM object o, pg_catalog.aclexplode(COALESCE(o.acl, pg_catalog.acldefault(o.type, o.owner))) x
           WHERE x.grantee = o.grantee GROUP BY 1, 2) h
   GROUP BY number
), initial AS (
  SELECT number, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('privilege', privilege, 'objects', objects, 'grantable', grantable)) AS privileges
    FROM (SELECT o.number, x.privilege_type AS privilege, count(DISTINCT o.oid) AS objects,
                 count(DISTINCT o.oid) FILTER (WHERE x.is_grantable) AS grantable
            FROM object o, pg_catalog.aclexplode(o.initial) x WHERE x.grantee = o.grantee GROUP BY 1, 2) h
   GROUP BY number
), passed_on AS (
  SELECT o.number, pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_object('privilege', x.privilege_type,
           'object', pg_catalog.pg_describe_object(o.class, o.oid, 0),
           'grantee', CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(x.grantee)::text END)) AS privileges
    FROM object o, pg_catalog.aclexplode(o.acl) x
   WHERE x.grantor = o.grantee AND o.owner <> o.grantee AND x.grantee <> o.grantee GROUP BY o.number
), counted AS (
  SELECT number, count(*) AS objects, min(place) AS place, min(type::text)::"char" AS type, min(owner) AS owner FROM object GROUP BY number
)
SELECT p.number, p.is_set, p.grantee::text AS grantee_oid, COALESCE(c.place, n.oid)::text AS place, COALESCE(c.objects, 0) AS objects,
       h.privileges AS held, i.privileges AS by_default, t.privileges AS passed_on,
       (SELECT pg_catalog.array_agg(x.privilege_type ORDER BY 1) FROM pg_catalog.aclexplode(pg_catalog.acldefault(c.type, c.owner)) x
         WHERE x.grantee = c.owner) AS every
  FROM pair p LEFT JOIN counted c USING (number) LEFT JOIN held h USING (number) LEFT JOIN initial i USING (number)
  LEFT JOIN passed_on t USING (number) LEFT JOIN pg_catalog.pg_namespace n ON p.is_set AND n.nspname::text = p.schema
 ORDER BY p.number"""
)
"""The state of each grant: on how many objects what is held, and is by default; ``every``: all privileges of the type in this version."""

ENTRIES: Final[LiteralString] = (
    _OBJECTS
    + """
SELECT o.schema::text AS schema, o.name::text AS name, pg_catalog.pg_get_userbyid(o.owner)::text AS owner,
       (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(n.nspname, t.typname) ORDER BY a.place)
          FROM pg_catalog.pg_proc f, pg_catalog.unnest(f.proargtypes) WITH ORDINALITY AS a(type, place)
          JOIN pg_catalog.pg_type t ON t.oid = a.type JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
         WHERE o.type = 'f' AND f.oid = o.oid) AS types,
       (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('privilege', x.privilege_type, 'grantable', x.is_grantable,
                 'grantor', pg_catalog.pg_get_userbyid(x.grantor)::text) ORDER BY x.privilege_type)
          FROM pg_catalog.aclexplode(COALESCE(o.acl, pg_catalog.acldefault(o.type, o.owner))) x WHERE x.grantee = o.grantee) AS entries
  FROM object o ORDER BY 1, 2"""
)
"""Each object of one grant with the entries of its ACL for the grantee."""


GIVEN: Final[LiteralString] = """
WITH object AS (
  SELECT 'database' AS type, NULL::name AS schema, NULL::name AS name, d.datdba AS owner, d.datacl AS acl, NULL::text AS types,
         false AS is_of_a_set, true AS can_be_said
    FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
  UNION ALL
  SELECT 'schema', NULL, n.nspname, n.nspowner, n.nspacl, NULL, false, true FROM pg_catalog.pg_namespace n
   WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT CASE WHEN c.relkind = 'S' THEN 'sequence' ELSE 'table' END, n.nspname, c.relname, c.relowner, c.relacl, NULL, true, true
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = ANY('{r,p,v,m,f,S}'::"char"[]) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT 'function', n.nspname, f.proname, f.proowner, f.proacl, pg_catalog.oidvectortypes(f.proargtypes), f.prokind <> 'p',
         f.oid = pg_catalog.to_regprocedure('"' || replace(n.nspname, '"', '""') || '"."' || replace(f.proname, '"', '""') || '"('
                                            || pg_catalog.oidvectortypes(f.proargtypes) || ')') IS TRUE
    FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
   WHERE f.proacl IS NOT NULL AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
)
SELECT DISTINCT o.type, o.schema::text AS schema, o.name::text AS name, o.types, o.is_of_a_set, o.can_be_said,
       o.type = 'function' AND x.grantee = 0 AND EXISTS (SELECT FROM pg_catalog.aclexplode(o.acl) e WHERE e.grantee = 0) AS is_usual,
       CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(x.grantee)::text END AS grantee
  FROM object o CROSS JOIN LATERAL (
         SELECT grantee FROM pg_catalog.aclexplode(o.acl) UNION SELECT 0::oid WHERE o.type IN ('database', 'schema', 'function')) x
 WHERE o.acl IS NOT NULL AND x.grantee <> o.owner ORDER BY 1, 2, 3, 4, 8"""
"""What somebody granted or revoked, and to whom; PUBLIC is asked about where Postgres itself gives it something. ``is_of_a_set``: all of its type in
its schema can be granted at once; a procedure is called a function too, but is none of all functions. ``can_be_said``: its arguments are read as
written. ``is_usual``: everybody may call a function that somebody made.
"""


def parameters(addresses: Iterable[Address]) -> dict[str, list[Any]]:
    """What both take: the grants by number, in the order of ``addresses``."""
    pairs = [(DatabaseObject.parse(a.segments[2]), a.segments[3]) for a in addresses]
    return {
        "numbers": list(range(len(pairs))),
        "types": [one.type for one, _ in pairs],
        "schemas": [one.schema for one, _ in pairs],
        "names": [one.signature if one.type == "function" and not one.is_set else one.name for one, _ in pairs],
        "sets": [one.is_set for one, _ in pairs],
        "grantees": [None if grantee == PUBLIC else grantee for _, grantee in pairs],
    }
