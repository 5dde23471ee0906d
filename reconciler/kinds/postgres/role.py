"""``db-role/SERVER/NAME``: a role of a Postgres server, with its attributes, its password and the settings of its sessions.

A password is never sent: only a SCRAM verifier made here, kept out of the server's log where this role may do that. Whether the password is current
is told by checking the verifier that is there. Where ``pg_authid`` may not be read, passwords cannot be compared and all else works.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar, Final, LiteralString

from reconciler.kinds.postgres import _rights, _role_dependants, _role_entry, _role_removal, _role_settings, _unsaid
from reconciler.kinds.postgres._on_server import OnServer, still_there
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import DbRole
from reconciler.model.address import Address
from reconciler.model.change import Change
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found, stated
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.resource import Desired, Live, System
from reconciler.model.secret import Hidden, Reference, Secret
from reconciler.model.value import Value
from reconciler.systems import scram
from reconciler.systems.postgres import Name, Postgres, Row, Statement, joined, sql

_FLAGS: Final[Mapping[str, tuple[LiteralString, LiteralString]]] = {
    "login": ("LOGIN", "NOLOGIN"),
    "superuser": ("SUPERUSER", "NOSUPERUSER"),
    "createdb": ("CREATEDB", "NOCREATEDB"),
    "createrole": ("CREATEROLE", "NOCREATEROLE"),
    "inherit": ("INHERIT", "NOINHERIT"),
    "replication": ("REPLICATION", "NOREPLICATION"),
    "bypassrls": ("BYPASSRLS", "NOBYPASSRLS"),
}
_DEFAULTS: Final[Mapping[str, Value]] = {**dict.fromkeys(_FLAGS, False), "inherit": True, "connection_limit": -1, "valid_until": "infinity"}
_BOOTSTRAP_SUPERUSER: Final = "10"

# Names are compared as text: a parameter that Postgres takes for a name is cut to 63 bytes, and then matches another role.
_ROLES: Final[LiteralString] = """
SELECT r.oid::text AS oid, r.rolname::text AS name, r.rolcanlogin AS login, r.rolsuper AS superuser, r.rolcreatedb AS createdb,
       r.rolcreaterole AS createrole, r.rolinherit AS inherit, r.rolreplication AS replication, r.rolbypassrls AS bypassrls,
       r.rolconnlimit AS connection_limit,
       CASE WHEN r.rolvaliduntil IS NULL THEN 'infinity' WHEN pg_catalog.isfinite(r.rolvaliduntil)
         THEN replace(pg_catalog.to_char(r.rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), '.000000', '')
         ELSE r.rolvaliduntil::text END AS valid_until,
       (SELECT w.instant FROM ROWS FROM (pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(instants)s::text[])) AS w(name, instant)
         WHERE w.name = r.rolname::text AND w.instant::timestamptz = r.rolvaliduntil LIMIT 1) AS valid_until_as_written,
       (SELECT s.setconfig FROM pg_catalog.pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0) AS settings,
       ARRAY(SELECT h.rolname::text FROM pg_catalog.pg_roles h WHERE h.rolname::text = ANY(%(heirs)s::text[])) AS heirs,
"""
_WITH_PASSWORDS: Final[LiteralString] = (
    _ROLES + "r.rolpassword AS password FROM pg_catalog.pg_authid r WHERE r.rolname::text = ANY(%(wanted)s::text[])"
)
_WITHOUT_PASSWORDS: Final[LiteralString] = (
    _ROLES + "NULL::text AS password FROM pg_catalog.pg_roles r WHERE r.rolname::text = ANY(%(wanted)s::text[])"
)
_EVERY_NAME: Final[LiteralString] = "SELECT r.rolname::text AS name FROM pg_catalog.pg_roles r ORDER BY 1"


class DatabaseRole(OnServer):
    """Roles."""

    name: ClassVar[str] = "db-role"
    covers: ClassVar[frozenset[str]] = frozenset({"db_roles", "db_roles.reassign_to"})
    rules: ClassVar[FieldRules] = _role_settings.SettingRules(defaults=_DEFAULTS, not_compared=frozenset({"reassign_to"}))

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """The roles under ``db_roles``."""
        for label, role in manifest.manifest.db_roles.items():
            fields = _fields(role)
            password = fields.get("password")
            needs = frozenset({password.address} if isinstance(password, Reference) else ())
            needs |= {self.address(role.server, role.reassign_to)} if role.reassign_to is not None else frozenset()
            yield Desired(
                self.address(role.server, role.name), System("postgres", role.server), fields, label, manifest.place("db_roles", label),
                needs=needs, must_exist=needs, on_removal=role.on_removal, protect=role.protect, adopt=role.adopt,
            )  # fmt: skip

    def read(self, system: Postgres, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """One statement for all, and what is lost with those that are leaving."""
        by_name = {w.address.segments[1]: w for w in wanted}
        instants = [(name, text) for name, w in by_name.items() for text in _instants_for_the_server(w)]
        parameters = {
            "wanted": list(by_name),
            "heirs": [heir for w in wanted if w.leaving and w.record and (heir := _role_removal.heir_of(w.record.specification))],
            "names": [name for name, _ in instants],
            "instants": [text for _, text in instants],
        }
        rows = system.query(_WITH_PASSWORDS if system.me.can_read_authid else _WITHOUT_PASSWORDS, parameters)
        leaving = _role_dependants.of_each(system, (row["name"] for row in rows if by_name[row["name"]].leaving))
        return [_live(row, by_name[row["name"]], system, leaving.get(row["name"])) for row in rows]

    def create(self, system: Postgres, order: Order) -> Made:
        """One transaction: the role with its verifier, its settings, and its oid read back."""
        role, fields = order.address.segments[1], order.fields
        verifier = _verifier(fields, system)
        options = _options({k: v for k, v in fields.items() if v != _DEFAULTS.get(k)}, verifier)
        settings = fields.get("settings", {})
        statements = [sql("CREATE ROLE {}{}", Name(role), options), *_role_settings.assignments(role, settings, settings)]
        [row] = system.run(*statements, sql("SELECT r.oid::text AS oid FROM pg_catalog.pg_roles r WHERE r.rolname::text = {}", role))
        return Made(row["oid"], _witness(verifier, system))

    def update(self, system: Postgres, order: Order) -> Made:
        """One transaction for what differs; attributes that do not differ are not mentioned, since some may be mentioned by superusers alone."""
        role, live = order.address.segments[1], order.live
        changed = {path[0] for path in order.changed}
        fields = {k: order.fields.get(k, _DEFAULTS.get(k)) for k in changed - {"settings"}}
        verifier = _verifier(fields, system)
        statements = [sql("ALTER ROLE {}{}", Name(role), _options(fields, verifier))] if fields else []
        names = [path[1] for path in order.changed if path[0] == "settings"]
        statements += _role_settings.assignments(role, order.fields.get("settings", {}), names)
        incarnation = live.incarnation if live else None
        unchanged = still_there(_role_removal.IS_THE_ONE, incarnation, role, order.address)
        if statements:
            system.run(*statements, only_if=unchanged)
        witness = live.witness if live else None
        return Made(incarnation, _witness(verifier, system) if "password" in fields else witness)

    def delete(self, system: Postgres, order: Order) -> None:
        """DROP OWNED in each database that knows the role, for its privileges or with consent for its objects too; then DROP ROLE."""
        _role_removal.remove(system, order)

    def lacking(self, system: Postgres, changes: Mapping[Address, Change]) -> Iterable[str]:
        """CREATEROLE, ADMIN, and what only those may give who have it."""
        return _rights.for_roles(system, changes)

    def find(self, system: Postgres) -> list[Live]:
        """Every role but Postgres' own, the superuser that the server was made with, and ``postgres``."""
        names = [row["name"] for row in system.query(_EVERY_NAME)]
        live = self.read(system, [Wanted(self.address(system.name, name), "") for name in names if name != "postgres"])
        unsaid = _unsaid.of_roles(system)
        return [replace(one, unsaid=unsaid.get(one.address.segments[1], ())) for one in live if not one.foreign]

    def express(self, live: Live, found: Found) -> Expression:
        """What differs from Postgres' defaults, and where its password comes from."""
        return _role_entry.expressed(live, found, stated(live.fields, self.rules))


KIND = DatabaseRole()


def _fields(role: DbRole) -> dict[str, Value]:
    fields: dict[str, Value] = {k: v for k in (*_FLAGS, "connection_limit", "password") if (v := getattr(role, k)) is not None}
    if role.reassign_to is not None:
        # for its record: when the entry is gone only that can say it
        fields["reassign_to"] = role.reassign_to
    if role.valid_until is not None:
        fields["valid_until"] = _normal_instant(role.valid_until)
    if role.settings:
        # an empty mapping sets nothing: settings are compared one by one
        fields["settings"] = _role_settings.kept(role.settings)
    return fields


def _normal_instant(text: str) -> str:
    """An instant with its offset from UTC as the instant in UTC; anything else as it is, for the server to read, which knows its time zone."""
    spelled = re.sub(r" ?(UTC|Z)$", "+00:00", text)
    spelled = re.sub(r" (?=[+-][0-9:]+$)", "", spelled)
    try:
        instant = datetime.fromisoformat(spelled)
        return instant.astimezone(UTC).isoformat() if instant.tzinfo else text
    except (ValueError, OverflowError):
        return text


def _instants_for_the_server(wanted: Wanted) -> list[str]:
    """The instants that the manifest or the record has for a role and that only the server can read."""
    specifications = [s for s in (wanted.desired and wanted.desired.fields, wanted.record and wanted.record.specification) if s]
    texts = [s["valid_until"] for s in specifications if "valid_until" in s]
    return [t for t in texts if t != "infinity" and not t.endswith("+00:00")]


def _live(row: Row, wanted: Wanted, server: Postgres, leaving: _role_dependants.Leaving | None) -> Live:
    name, oid = row["name"], row["oid"]
    fields: dict[str, Value] = {k: row[k] for k in (*_FLAGS, "connection_limit")}
    fields["valid_until"] = row["valid_until_as_written"] or row["valid_until"]
    fields["settings"] = _role_settings.from_catalogue(row["settings"] or ())
    witness = None
    if not server.me.can_read_authid:
        fields["password"] = Hidden(f"{server.me.name} may not read pg_authid on {server.label}")
    elif row["password"] is not None:
        verifier = scram.parse(row["password"], name, server.verifications)
        fields["password"] = verifier
        witness = None if isinstance(verifier, Hidden) else verifier.salt
    foreign = ""
    if oid == _BOOTSTRAP_SUPERUSER or name.startswith("pg_"):
        foreign = "is the superuser that the server was made with" if oid == _BOOTSTRAP_SUPERUSER else "is a role of Postgres' own"
    heir = _role_removal.heir_of(wanted.record.specification if wanted.record else None)
    goes = leaving or _role_dependants.Leaving()
    lost, hindrances, notice = goes.lost, goes.hindrances, ""
    if heir in row["heirs"]:
        notice = f"{heir} gets {', '.join(d.text for d in goes.owned)}" if goes.owned else ""
    else:
        lost = lost + [d for d in goes.owned if not d.remedy]
        hindrances = hindrances + [d for d in goes.owned if d.remedy]
    return Live(
        wanted.address, fields, incarnation=oid, witness=witness, foreign=foreign, dependants=tuple(lost), hindrances=tuple(hindrances), notice=notice
    )


def _verifier(fields: Mapping[str, Value], server: Postgres) -> Secret | None:
    password = fields.get("password")
    return scram.build(password, server.me.scram_iterations) if isinstance(password, Secret) else None


def _witness(written: Secret | None, server: Postgres) -> str | None:
    """The witness that will be read back for a verifier just written."""
    return scram.salt_of(written) if written is not None and server.me.can_read_authid else None


def _options(fields: Mapping[str, Value], verifier: Secret | None) -> Statement:
    """The options of CREATE ROLE or ALTER ROLE for ``fields``, each with a space before it."""
    options = [sql(_FLAGS[key][0] if fields[key] else _FLAGS[key][1]) for key in _FLAGS if key in fields]
    if "connection_limit" in fields:
        options.append(sql("CONNECTION LIMIT {}", fields["connection_limit"]))
    if "valid_until" in fields:
        options.append(sql("VALID UNTIL {}", fields["valid_until"]))  # there is no VALID UNTIL NULL: 'infinity' clears it
    if "password" in fields:
        options.append(sql("PASSWORD {}", verifier) if verifier else sql("PASSWORD NULL"))
    return joined("", [sql(" {}", option) for option in options])
