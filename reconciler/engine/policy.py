"""The smallest rights with which a manifest can be planned or applied: by what each kind says that it asks of Consul, and of what is declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from reconciler.engine.observe import declare
from reconciler.kinds import all_kinds
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.kind import Permission, Wanted
from reconciler.model.resource import Desired
from reconciler.model.secret import Reference
from reconciler.model.value import JSON, all_of
from reconciler.ownership import lock, records

_SCALARS: Final = ("acl", "mesh", "operator")
_STRENGTH: Final = ("read", "list", "write")
_ONLY_SUPERUSERS_GIVE: Final = ("superuser", "replication", "bypassrls")


@dataclass(frozen=True, slots=True)
class Rights:
    """``rules`` of an ACL policy as Consul takes them in JSON. ``postgres`` are the attributes of a role, by the server's name in the manifest."""

    rules: Mapping[str, JSON]
    postgres: Mapping[str, tuple[str, ...]]


Purpose = Literal["plan", "drift", "apply"]


def smallest(loaded: LoadedManifest, purpose: Purpose) -> Rights:
    """What it takes to plan the manifest, to look for drift, or to apply it and its removal. Nothing is looked at."""
    write = purpose == "apply"
    desired, kinds = declare(loaded), all_kinds()
    asked: set[Permission] = set()
    for address, one in desired.items():
        asked |= set(kinds[address.kind].permissions(Wanted(address, loaded.name, one), write=write))
    referred = {a for d in desired.values() for a in (*d.must_exist, *(r.address for r in all_of(d.fields, Reference)))} - desired.keys()
    for address in referred:
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
            rules.setdefault("service", {}).setdefault(one.segment, {"policy": "deny"})["intentions"] = one.access
        elif not one.segment:
            rules.setdefault(f"{one.resource}_prefix", {}).setdefault("", {})["policy"] = one.access
        else:
            rules.setdefault(one.resource, {}).setdefault(one.segment, {})["policy"] = one.access
    return {resource: rules[resource] for resource in sorted(rules)}


def _roles(desired: Mapping[Address, Desired], *, write: bool) -> dict[str, tuple[str, ...]]:
    roles: dict[str, tuple[str, ...]] = {}
    for server in sorted({d.system.name for d in desired.values() if d.system.type == "postgres"}):
        mine = {a: d for a, d in desired.items() if d.system.name == server and d.system.type == "postgres"}
        attributes = ["LOGIN"]
        if write and any(d.fields.get(word) for a, d in mine.items() if a.kind == "db-role" for word in _ONLY_SUPERUSERS_GIVE):
            attributes.append("SUPERUSER")
        elif write:
            attributes += ["CREATEROLE"] if any(a.kind in ("db-role", "db-membership") for a in mine) else []
            attributes += ["CREATEDB"] if any(a.kind == "database" or d.fields.get("createdb") for a, d in mine.items()) else []
        roles[server] = tuple(attributes)
    return roles
