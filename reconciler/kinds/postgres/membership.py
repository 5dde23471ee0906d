"""``db-membership/SERVER/ROLE/MEMBER``: that MEMBER is a member of ROLE, and what it may do with that.

From Postgres 16 on a membership is one row for each grantor, and what the member may do is all of them together (docs/facts.md: Postgres 12). So what
is too much is revoked grantor by grantor; what is missing is granted by whoever runs this, with every option stated, because an option that is left
out keeps its old value. The row that Postgres makes for who creates a role by CREATEROLE is no membership that anybody granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, LiteralString

from reconciler.kinds.postgres import _rights
from reconciler.kinds.postgres._circles import against_circles
from reconciler.kinds.postgres._on_server import OnServer
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.change import Change
from reconciler.model.errors import AlreadyExists, LostRace, Rejected
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.resource import Dependant, Desired, Live, System
from reconciler.model.value import Value
from reconciler.systems.postgres import Name, Postgres, Row, Statement, joined, sql

_OPTIONS: Final[Mapping[str, LiteralString]] = {"admin": "ADMIN", "inherit": "INHERIT", "set": "SET"}
_PER_GRANTOR: Final = 160000
_IMPLICIT: Final = {"admin": True, "inherit": False, "set": False}

# Until 15 there is one row; whether rights are inherited is an attribute of the member, and everybody may SET ROLE.
_MEMBERSHIPS: Final[LiteralString] = """
SELECT w.role, w.member, r.oid::text AS role_oid, m.oid::text AS member_oid, m.rolinherit AS inherits,
       (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('grantor', pg_catalog.pg_get_userbyid(a.grantor)::text, 'admin', a.admin_option,
                 'inherit', COALESCE((pg_catalog.to_jsonb(a) ->> 'inherit_option')::bool, m.rolinherit),
                 'set', COALESCE((pg_catalog.to_jsonb(a) ->> 'set_option')::bool, true), 'by_first', a.grantor = 10) ORDER BY a.grantor)
          FROM pg_catalog.pg_auth_members a WHERE a.roleid = r.oid AND a.member = m.oid) AS granted,
       (SELECT pg_catalog.array_agg(DISTINCT pg_catalog.pg_get_userbyid(a.member)::text)
          FROM pg_catalog.pg_auth_members a WHERE a.roleid = r.oid AND a.grantor = m.oid AND a.member <> m.oid) AS passed_on
  FROM ROWS FROM (pg_catalog.unnest(%(roles)s::text[]), pg_catalog.unnest(%(members)s::text[])) AS w(role, member)
  JOIN pg_catalog.pg_roles r ON r.rolname::text = w.role JOIN pg_catalog.pg_roles m ON m.rolname::text = w.member"""
_PAIRS: Final[LiteralString] = """
SELECT DISTINCT r.rolname::text AS role, m.rolname::text AS member FROM pg_catalog.pg_auth_members a
  JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member
 WHERE m.rolname !~ '^pg_' AND m.rolname <> 'postgres' AND m.oid <> 10 ORDER BY 1, 2"""


class DatabaseMembership(OnServer):
    """Memberships of roles in roles."""

    name: ClassVar[str] = "db-membership"
    covers: ClassVar[frozenset[str]] = frozenset({"db_roles.member_of"})
    rules: ClassVar[FieldRules] = FieldRules(keeps=frozenset({"inherit", "set"}))

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """The memberships under ``db_roles.*.member_of``; the options of the member's entry are theirs."""
        for label, member in manifest.manifest.db_roles.items():
            for role, options in (member.member_of or {}).items():
                fields = {k: v for k in _OPTIONS if (v := getattr(options, k)) is not None}
                roles = frozenset({Address.of("db-role", member.server, role), Address.of("db-role", member.server, member.name)})
                yield Desired(
                    self.address(member.server, role, member.name), System("postgres", member.server), fields, f"{label}: {role}",
                    manifest.place("db_roles", label, "member_of", role), needs=roles, must_exist=roles,
                    on_removal=member.on_removal, protect=member.protect, adopt=member.adopt,
                )  # fmt: skip

    def read(self, system: Postgres, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """One statement for all."""
        by_pair = {w.address.segments[1:]: w for w in wanted}
        rows = _rows(system, by_pair)
        found = {live.address: live for row in rows if (live := _live(row, by_pair[row["role"], row["member"]])) is not None}
        declared = {w.address for w in wanted if w.desired is not None}
        holds = against_circles(declared & found.keys(), found.keys() - declared, declared - found.keys())
        return [replace(live, stands_on=holds.get(address, frozenset())) for address, live in found.items()]

    def create(self, system: Postgres, order: Order) -> Made:
        """One GRANT that states every option."""
        row = _row(system, order.address)
        if row is None:
            raise Rejected("one of the two roles is gone: run again")
        if _explicit(row):
            raise AlreadyExists("it was granted by somebody else meanwhile: plan again")
        # who made the role keeps ADMIN on it, unless that is said: GRANT would write over his row
        target = {"admin": bool(row["granted"]), "inherit": row["inherits"], "set": True} | dict(order.fields)
        _demand_expressible(system, row, target)
        system.run(_grant(system, order.address, target))
        return Made(_incarnation(row))

    def update(self, system: Postgres, order: Order) -> Made:
        """One transaction: REVOKE … OPTION FOR each grantor that gave too much, and a GRANT for what is missing."""
        row = _row(system, order.address)
        if row is None or (order.live is not None and _incarnation(row) != order.live.incarnation):
            raise LostRace("one of the two roles was dropped or made anew meanwhile: run again")
        has = _together(row["granted"] or ())
        target = has | {path[0]: bool(order.fields.get(path[0], False)) for path in order.changed}
        _demand_expressible(system, row, target)
        statements: list[Statement] = []
        for option, keyword in _OPTIONS.items():
            if has[option] and not target[option]:
                what = sql("{} OPTION FOR ", sql(keyword))
                statements += [_revoke(system, order.address, g["grantor"], what, cascade=False) for g in row["granted"] if g[option]]
        if any(target[option] and not has[option] for option in _OPTIONS):
            statements.append(_grant(system, order.address, target))
        if statements:
            system.run(*statements)
        return Made(_incarnation(row))

    def delete(self, system: Postgres, order: Order) -> None:
        """Every grantor's row in one transaction; what the member passed on goes with it only after consent."""
        row = _row(system, order.address)
        if row is None or (order.live is not None and _incarnation(row) != order.live.incarnation):
            return
        granted = row["granted"] or () if _wants_implicit(order.record.specification if order.record else {}) else _explicit(row)
        statements = [_revoke(system, order.address, g["grantor"], sql(""), cascade=order.allow_data_loss) for g in granted]
        if statements:
            system.run(*statements)

    def lacking(self, system: Postgres, changes: Mapping[Address, Change]) -> Iterable[str]:
        """ADMIN on the role."""
        return _rights.for_memberships(system, changes)

    def find(self, system: Postgres) -> Iterable[Live]:
        """Every membership that somebody granted, but of Postgres' own roles."""
        return self.read(system, [Wanted(self.address(system.name, row["role"], row["member"]), "") for row in system.query(_PAIRS)])

    def express(self, live: Live, found: Found) -> Expression:
        """A part of the member's entry, with the options that are not as a plain GRANT makes them."""
        server, role, member = live.address.segments
        entry = Address.of("db-role", server, member)
        inherits = found.live[entry].fields["inherit"] if entry in found.live else True
        usual = {"admin": False, "inherit": inherits, "set": True}
        label, said = found.label(server, member)
        options = {key: value for key, value in live.fields.items() if value != usual[key]}
        other = Address.of("db-role", server, role)
        brings = (other,) if other in found.live else ()
        return Expression(("db_roles",), label, {**said, "member_of": {role: options}}, goes_with=(entry,), brings=brings, also=(entry,))


KIND = DatabaseMembership()


def _rows(server: Postgres, pairs: Iterable[tuple[str, ...]]) -> list[Row]:
    known = list(pairs)
    return server.query(_MEMBERSHIPS, {"roles": [p[0] for p in known], "members": [p[1] for p in known]})


def _row(server: Postgres, address: Address) -> Row | None:
    rows = _rows(server, [address.segments[1:]])
    return rows[0] if rows else None


def _live(row: Row, wanted: Wanted) -> Live | None:
    specifications = [s for s in (wanted.desired and wanted.desired.fields, wanted.record and wanted.record.specification) if s]
    granted = row["granted"] or () if any(map(_wants_implicit, specifications)) else _explicit(row)
    if not granted:
        return None
    server = wanted.address.segments[0]
    dependants = [
        Dependant(f"the membership of {other} that {row['member']} granted", Address.of("db-membership", server, row["role"], other))
        for other in row["passed_on"] or ()
    ]
    return Live(wanted.address, _together(granted), incarnation=_incarnation(row), dependants=tuple(dependants) if wanted.leaving else ())


def _incarnation(row: Row) -> str:
    return f"{row['role_oid']}:{row['member_oid']}"


def _explicit(row: Row) -> list[Mapping[str, Any]]:
    """What somebody granted: not the row that who creates a role gets, which has the first superuser for its grantor."""
    return [g for g in row["granted"] or () if not (g["by_first"] and all(g[k] == v for k, v in _IMPLICIT.items()) and _is_per_grantor(g))]


def _is_per_grantor(granted: Mapping[str, Any]) -> bool:
    return not granted["set"]  # until 15, where there is no such row, everybody may SET ROLE


def _wants_implicit(specification: Mapping[str, Value]) -> bool:
    """Whether just what such a row gives is asked for."""
    return all(specification.get(k) is v for k, v in _IMPLICIT.items())


def _together(granted: Iterable[Mapping[str, Any]]) -> dict[str, Value]:
    rows = list(granted)
    return {option: any(g[option] for g in rows) for option in _OPTIONS}


def _demand_expressible(server: Postgres, row: Row, target: Mapping[str, Value]) -> None:
    if server.version < _PER_GRANTOR and (target["inherit"] != row["inherits"] or not target["set"]):
        raise Rejected("inherit and set of a membership take Postgres 16 or later: take them out, or set inherit on the member")


def _grant(server: Postgres, address: Address, target: Mapping[str, Value]) -> Statement:
    role, member = (Name(name) for name in address.segments[1:])
    if server.version < _PER_GRANTOR:
        return sql("GRANT {} TO {}{}", role, member, sql(" WITH ADMIN OPTION" if target["admin"] else ""))
    options = joined(", ", [sql("{} {}", sql(keyword), sql("TRUE" if target[option] else "FALSE")) for option, keyword in _OPTIONS.items()])
    return sql("GRANT {} TO {} WITH {}", role, member, options)


def _revoke(server: Postgres, address: Address, grantor: str, what: Statement, *, cascade: bool) -> Statement:
    role, member = (Name(name) for name in address.segments[1:])
    by = sql(" GRANTED BY {}", Name(grantor)) if server.version >= _PER_GRANTOR else sql("")
    return sql("REVOKE {}{} FROM {}{}{}", what, role, member, by, sql(" CASCADE" if cascade else " RESTRICT"))
