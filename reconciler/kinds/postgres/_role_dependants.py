"""What would be lost with a role, and what hinders dropping it: in every database that knows it (docs/facts.md: Postgres 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, LiteralString

from reconciler.model.address import Address
from reconciler.model.resource import Dependant
from reconciler.systems.postgres import Postgres, Row

# Default privileges and user mappings are its own settings rather than its objects; nobody misses them.
_KNOWN: Final[LiteralString] = """
WITH known AS (
  SELECT r.rolname::text AS role, s.dbid, s.classid, s.objid, s.objsubid,
         s.deptype = 'o' AND s.classid NOT IN ('pg_catalog.pg_default_acl'::regclass, 'pg_catalog.pg_user_mapping'::regclass) AS is_owned
    FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_shdepend s ON s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.refobjid = r.oid
   WHERE r.rolname::text = ANY(%(roles)s::text[]))
SELECT k.role, d.datname::text AS within, b.datname::text AS database, count(*) FILTER (WHERE k.is_owned) AS objects,
       CASE WHEN k.dbid = 0 AND k.is_owned THEN pg_catalog.pg_describe_object(k.classid, k.objid, k.objsubid) END AS described,
       COALESCE(d.datallowconn AND d.datconnlimit <> -2 AND pg_catalog.has_database_privilege(d.oid, 'CONNECT'), true) AS can_connect
  FROM known k LEFT JOIN pg_catalog.pg_database d ON d.oid = k.dbid
  LEFT JOIN pg_catalog.pg_database b ON k.dbid = 0 AND k.is_owned AND k.classid = 'pg_catalog.pg_database'::regclass AND b.oid = k.objid
 GROUP BY 1, 2, 3, 5, 6 ORDER BY 1, 3, 2, 5"""

# Until 15 a membership outlives who granted it. Left out are the row of who made the role, and what this program takes for a moment.
_MEMBERSHIPS: Final[LiteralString] = """
SELECT r.rolname::text AS role, pg_catalog.pg_get_userbyid(a.roleid)::text AS "group", pg_catalog.pg_get_userbyid(a.member)::text AS member
  FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_auth_members a
       ON (a.roleid = r.oid OR (a.grantor = r.oid AND pg_catalog.current_setting('server_version_num')::int4 >= 160000)) AND a.member <> r.oid
 WHERE r.rolname::text = ANY(%(roles)s::text[]) AND pg_catalog.pg_get_userbyid(a.member) <> current_user
   AND NOT (a.grantor = 10 AND a.admin_option AND pg_catalog.to_jsonb(a) @> '{"inherit_option": false, "set_option": false}')
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""

# Where `pg_shdepend` says that a role stands in an ACL of what is not its own, the entries that it granted; %(shared)s: of what all databases share.
_PASSED_ON: Final[LiteralString] = """
SELECT r.rolname::text AS role, pg_catalog.pg_describe_object(s.classid, s.objid, s.objsubid) AS object,
       CASE WHEN s.classid = 'pg_catalog.pg_database'::regclass THEN (SELECT d.datname::text FROM pg_catalog.pg_database d WHERE d.oid = s.objid)
            WHEN s.dbid <> 0 THEN pg_catalog.current_database()::text END AS database,
       CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(x.grantee)::text END AS grantee,
       pg_catalog.string_agg(DISTINCT x.privilege_type, ', ' ORDER BY x.privilege_type) AS privileges
  FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_shdepend s
       ON s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.refobjid = r.oid AND s.deptype = 'a' AND s.dbid = CASE WHEN %(shared)s THEN 0::oid
          ELSE (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) END
 CROSS JOIN LATERAL (
   SELECT c.relacl AS acl, c.relowner AS owner FROM pg_catalog.pg_class c
    WHERE s.classid = 'pg_catalog.pg_class'::regclass AND s.objsubid = 0 AND c.oid = s.objid
   UNION ALL SELECT a.attacl, c.relowner FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE s.classid = 'pg_catalog.pg_class'::regclass AND s.objsubid <> 0 AND a.attrelid = s.objid AND a.attnum = s.objsubid
   UNION ALL SELECT p.proacl, p.proowner FROM pg_catalog.pg_proc p WHERE s.classid = 'pg_catalog.pg_proc'::regclass AND p.oid = s.objid
   UNION ALL SELECT n.nspacl, n.nspowner FROM pg_catalog.pg_namespace n WHERE s.classid = 'pg_catalog.pg_namespace'::regclass AND n.oid = s.objid
   UNION ALL SELECT t.typacl, t.typowner FROM pg_catalog.pg_type t WHERE s.classid = 'pg_catalog.pg_type'::regclass AND t.oid = s.objid
   UNION ALL SELECT l.lanacl, l.lanowner FROM pg_catalog.pg_language l WHERE s.classid = 'pg_catalog.pg_language'::regclass AND l.oid = s.objid
   UNION ALL SELECT o.lomacl, o.lomowner FROM pg_catalog.pg_largeobject_metadata o
    WHERE s.classid = 'pg_catalog.pg_largeobject'::regclass AND o.oid = s.objid
   UNION ALL SELECT f.srvacl, f.srvowner FROM pg_catalog.pg_foreign_server f
    WHERE s.classid = 'pg_catalog.pg_foreign_server'::regclass AND f.oid = s.objid
   UNION ALL SELECT w.fdwacl, w.fdwowner FROM pg_catalog.pg_foreign_data_wrapper w
    WHERE s.classid = 'pg_catalog.pg_foreign_data_wrapper'::regclass AND w.oid = s.objid
   UNION ALL SELECT d.datacl, d.datdba FROM pg_catalog.pg_database d WHERE s.classid = 'pg_catalog.pg_database'::regclass AND d.oid = s.objid
   UNION ALL SELECT t.spcacl, t.spcowner FROM pg_catalog.pg_tablespace t WHERE s.classid = 'pg_catalog.pg_tablespace'::regclass AND t.oid = s.objid
 ) object CROSS JOIN LATERAL pg_catalog.aclexplode(object.acl) x
 WHERE r.rolname::text = ANY(%(roles)s::text[]) AND object.owner <> r.oid AND x.grantor = r.oid AND x.grantee <> r.oid
 GROUP BY r.rolname, s.classid, s.objid, s.objsubid, s.dbid, x.grantee ORDER BY 1, 2, 4"""

_GIVE_AWAY: Final = "delete that first, give it another owner, or name an heir: put the entry back with reassign_to and apply before it goes"
_OPEN: Final = "make that possible, or drop the database first"


@dataclass(slots=True)
class Leaving:
    """Of one role: ``lost`` goes whoever inherits; ``owned`` an heir gets, and what of it has a remedy hinders as long as there is none."""

    lost: list[Dependant] = field(default_factory=list)
    owned: list[Dependant] = field(default_factory=list)
    hindrances: list[Dependant] = field(default_factory=list)


def of_each(server: Postgres, roles: Iterable[str]) -> Mapping[str, Leaving]:
    """What goes with each of ``roles``, and what keeps them: two statements, one for what databases share, and one in each that knows them."""
    found = {role: Leaving() for role in roles}
    if not found:
        return found
    asked = {"roles": list(found)}
    known = server.query(_KNOWN, asked)
    for row in known:
        _add_known(found[row["role"]], row, server.name)
    for row in server.query(_MEMBERSHIPS, asked):
        found[row["role"]].lost.append(_membership(row, server.name))
    databases = {row["within"] for row in known if row["within"] is not None and row["can_connect"]}
    passed_on = server.query(_PASSED_ON, {**asked, "shared": True}) if known else []
    passed_on += server.in_each_database(databases, lambda _, session: session.query(_PASSED_ON, {**asked, "shared": False})) if databases else []
    for row in passed_on:
        found[row["role"]].lost.append(_passed_on(row, server.name))
    return found


def _add_known(leaving: Leaving, row: Row, server: str) -> None:
    """What it owns; what it may do with things of others is lost without harm."""
    if row["described"] is not None:
        database = Address.of("database", server, row["database"]) if row["database"] else None
        leaving.owned.append(Dependant(row["described"], database, is_itself=database is not None, remedy=_GIVE_AWAY))
    elif row["within"] is not None:
        within, count = Address.of("database", server, row["within"]), row["objects"]
        if count:
            leaving.owned.append(Dependant(f"{count} object{'s' if count > 1 else ''} in database {row['within']}", within))
        if not row["can_connect"]:
            where = f"what it has in database {row['within']}, which cannot be connected to"
            leaving.hindrances.append(Dependant(where, within, remedy=_OPEN))


def _membership(row: Row, server: str) -> Dependant:
    role, group, member = row["role"], row["group"], row["member"]
    others = frozenset(Address.of("db-role", server, name) for name in {group, member} - {role})
    text = f"the membership of {member} in it" if group == role else f"the membership of {member} in {group}, which it granted"
    return Dependant(text, Address.of("db-membership", server, group, member), whose=others)


def _passed_on(row: Row, server: str) -> Dependant:
    database = Address.of("database", server, row["database"]) if row["database"] else None
    whose = frozenset({Address.of("db-role", server, row["grantee"])})
    return Dependant(f"{row['privileges']} on {row['object']} that it granted to {row['grantee']}", database, whose=whose)
