"""The smallest rights with which a manifest can be planned or applied: by what each kind says that it asks of Consul, and of what is declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from reconciler.engine.observe import declare
from reconciler.kinds import all_kinds
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.secret_walk import connection_references
from reconciler.model.address import Address
from reconciler.model.kind import EVERY_SERVICE, Permission, Wanted
from reconciler.model.resource import Desired
from reconciler.model.rights import WHO, Rights, Role
from reconciler.model.secret import Reference
from reconciler.model.value import JSON, all_of
from reconciler.ownership import lock, records

_SCALARS: Final = ("acl", "mesh", "operator")
_STRENGTH: Final = ("read", "list", "write")
_ONLY_WHO_HAS_IT_GIVES: Final = ("superuser", "createdb", "replication", "bypassrls")
_OF_DATABASE: Final = "pg_database_owner"


Purpose = Literal["plan", "drift", "apply"]


def smallest(loaded: LoadedManifest, purpose: Purpose) -> Rights:
    """What it takes to plan the manifest, to look for drift, or to apply it and its removal. Nothing is looked at."""
    write = purpose == "apply"
    desired, kinds = declare(loaded), all_kinds()
    asked: set[Permission] = set()
    for address, one in desired.items():
        asked |= set(kinds[address.kind].permissions(Wanted(address, loaded.name, one), write=write))
    servers = {d.system.name for d in desired.values() if d.system.type == "postgres"}
    referred = {a for d in desired.values() for a in (*d.must_exist, *(r.address for r in all_of(d.fields, Reference)))}
    for address in (referred | connection_references(loaded.manifest, servers)) - desired.keys():
        asked |= set(kinds[address.kind].permissions(Wanted(address, loaded.name), write=False))
    return Rights(_rules(asked, loaded.name, purpose), _roles(desired, write=write))


def _rules(asked: Iterable[Permission], name: str, purpose: Purpose) -> dict[str, JSON]:
    access = "write" if purpose == "apply" else "read"
    rules: dict[str, JSON] = {"key_prefix": {records.PREFIX: {"policy": access}}}
    if purpose != "plan":
        rules["key"] = {lock.PREFIX + name: {"policy": access}}
    if purpose == "apply":
        rules["session_prefix"] = {"": {"policy": "write"}}
    for one in sorted(asked, key=lambda p: (p.resource, p.segment, _STRENGTH.index(p.access))):
        # the strongest comes last
        if one.resource in _SCALARS:
            rules[one.resource] = one.access
        elif one.resource == "intention":
            # not deny, which would take away what another policy of the same token gives (docs/facts.md: Consul 4)
            rules.setdefault("service", {}).setdefault(one.segment, {"policy": "read"})["intentions"] = one.access
        elif not one.segment:
            rules.setdefault(f"{one.resource}_prefix", {}).setdefault("", {})["policy"] = one.access
        else:
            rules.setdefault(one.resource, {}).setdefault(one.segment, {})["policy"] = one.access
    if rules.get("service", {}).get(EVERY_SERVICE, {}).get("intentions") == "write":
        _widen(rules)
    return {resource: rules[resource] for resource in sorted(rules)}


def _widen(rules: dict[str, JSON]) -> None:
    """Let the rules write the intentions of ``*``: that takes those of every service, also where a rule names one (docs/facts.md: Consul 10)."""
    del rules["service"][EVERY_SERVICE]
    rules.setdefault("service_prefix", {}).setdefault("", {"policy": "read"})
    for rule in (rules["service_prefix"][""], *rules["service"].values()):
        rule["intentions"] = "write"
    if not rules["service"]:
        del rules["service"]


def _roles(desired: Mapping[Address, Desired], *, write: bool) -> dict[str, Role]:
    roles: dict[str, Role] = {}
    for server in sorted({d.system.name for d in desired.values() if d.system.type == "postgres"}):
        mine = {a: d for a, d in desired.items() if d.system.name == server and d.system.type == "postgres"}
        roles[server] = _applying(mine) if write else Role(("LOGIN",))
    return roles


def _applying(mine: Mapping[Address, Desired]) -> Role:
    """What it takes to apply what is declared on one server. Its version is not known, nor who owns what is there already."""
    kinds = {a.kind for a in mine}
    given = {word for a, d in mine.items() if a.kind == "db-role" for word in _ONLY_WHO_HAS_IT_GIVES if d.fields.get(word)}
    if "superuser" in given:
        return Role(("LOGIN", "SUPERUSER"))
    attributes = ["LOGIN"]
    attributes += ["CREATEROLE"] if kinds & {"db-role", "db-membership"} else []
    attributes += ["CREATEDB"] if "database" in kinds or "createdb" in given else []
    attributes += [word.upper() for word in ("replication", "bypassrls") if word in given]
    notes = {
        "until Postgres 15 only a SUPERUSER gives REPLICATION and BYPASSRLS": given & {"replication", "bypassrls"},
        "from Postgres 16 on also ADMIN OPTION on each of the roles that is there already": kinds & {"db-role"},
        "being a member of whoever owns what grants are given on": kinds & {"db-grant"},
        "being a member of whoever owns a database that is there already": kinds & {"database"},
        "for an extension that is not trusted a SUPERUSER, or that it is there already": kinds & {"db-extension"},
    }
    return Role(tuple(attributes), tuple(_grants(mine)), tuple(note for note, applies in notes.items() if applies))


def _grants(mine: Mapping[Address, Desired]) -> Iterator[str]:
    """Memberships in roles that are only referred to: Postgres makes who creates a role its ADMIN, so those that are declared need none."""
    declared = {a.segments[1] for a in mine if a.kind == "db-role"}
    for role in sorted({a.segments[1] for a in mine if a.kind == "db-membership"} - declared):
        yield f"GRANT {_quoted(role)} TO {WHO} WITH ADMIN OPTION"
    owners = {d.fields.get("owner") for d in mine.values()} | {d.fields.get("reassign_to") for d in mine.values()}
    owners |= {a.segments[2] for a in mine if a.kind == "db-default-privilege"}
    for role in sorted({str(o) for o in owners if o is not None} - declared - {_OF_DATABASE}):
        yield f"GRANT {_quoted(role)} TO {WHO}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
