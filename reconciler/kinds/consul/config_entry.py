"""Config entries: one body for all their kinds, which are declared in :mod:`_entries`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from reconciler.kinds.consul._declaration import Declaration, nothing
from reconciler.kinds.consul._entries import DECLARATIONS
from reconciler.kinds.consul._filed import entries
from reconciler.kinds.consul._forms import free_paths, significant_paths, whole_paths
from reconciler.kinds.consul._free import FreeMapRules
from reconciler.kinds.consul._order import planned
from reconciler.kinds.consul._short_entries import in_section
from reconciler.kinds.consul._surroundings import Surroundings, entry_address
from reconciler.kinds.consul._values import Reading, veiled
from reconciler.kinds.consul._written import Written, written_entries
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.mesh import NO_KINDS, is_long_intention
from reconciler.manifest.suggestion import closest
from reconciler.model.address import Address
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import LostRace, ManifestError
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found, Needed, stated, variable
from reconciler.model.kind import DirectKind, Made, Order, Permission, Wanted
from reconciler.model.resource import CONSUL, Desired, Hold, Live, SystemType
from reconciler.model.secret import Reference, Secret
from reconciler.model.value import JSON, Digest, Value, all_of, names_of_secrets
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.reader import ConsulReader

MADE_BY_CONSUL: Final = "bound-api-gateway"
"""The kind of entries that Consul makes, and lets nobody write."""

_NOTICED_AFTER_S: Final = 0.5
"""How long a part of an entry is gone at least: who watches the entry may be told only what it is when he gets to it (docs/facts.md: Consul 8)."""

_WITHOUT_SEGMENT: Final = ("mesh",)
_FORMS: Final = tuple(declaration.form for declaration in DECLARATIONS.values())


class ConfigEntry:
    """``config-entry/KIND/NAME``. Fields: those of the entry but its kind and name, in Consul's spelling and in normal form."""

    name: ClassVar[str] = "config-entry"
    system: ClassVar[SystemType] = "consul"
    covers: ClassVar[frozenset[str]] = frozenset(
        {f"config_entries.{kind}" for kind in DECLARATIONS} | {d.section for d in DECLARATIONS.values() if d.section}
    )
    rules: ClassVar[FieldRules] = FreeMapRules(
        whole=frozenset(path for form in _FORMS for path in whole_paths(form)),
        free=frozenset(path for form in _FORMS for path in free_paths(form)),
        significant=frozenset(path for form in _FORMS for path in significant_paths(form)),
        defaults={key: value for declaration in DECLARATIONS.values() for key, value in declaration.defaults.items()},
    )
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """Consul folds the case of names."""
        return entry_address(*segments)

    def declare(self, manifest: LoadedManifest) -> list[Desired]:
        """What ``terminating_gateways``, ``intentions`` and ``config_entries`` say. Raises ManifestError for fields that Consul does not know."""
        faults: list[Diagnostic] = []
        known = [written for written in written_entries(manifest.manifest) if written.kind in DECLARATIONS]
        fields = [_fields(manifest, written, faults) for written in known]
        if faults:
            raise ManifestError(faults)
        entries = {entry_address(written.kind, written.name): f for written, f in zip(known, fields, strict=True)}
        surroundings = Surroundings(manifest.manifest, entries)
        return [_declared(manifest, written, f, surroundings) for written, f in zip(known, fields, strict=True)]

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterator[Permission]:
        """As docs/facts.md: Consul 10 has it: a gateway is read by ``service:read`` on its name and written by ``mesh:write``."""
        kind, name = wanted.address.segments
        declaration = DECLARATIONS.get(kind)
        if declaration is None:
            return
        if declaration.read:
            yield Permission(declaration.read, _segment(declaration.read, name), "read", wanted.address)
        if write:
            yield Permission(declaration.write, _segment(declaration.write, name), "write", wanted.address)
            for service in sorted(set(declaration.related(name, wanted.desired.fields)) - {name}) if wanted.desired else ():
                yield Permission("service", service, "read", wanted.address)

    def read(self, system: ConsulReader, wanted: Sequence[Wanted]) -> list[Live]:
        """One list of all entries of all kinds. Where what is wanted may carry others, all that do and that are carried are answered, whosever."""
        entries: dict[tuple[str, ...], Any] = {(entry["Kind"], _name_of(entry).lower()): entry for entry in system.config_entries()}
        found = [(want, entries.pop(want.address.identity, None)) for want in wanted]
        others = entries.values() if any(_carries(want.address.identity[0]) for want in wanted) else ()
        return [
            *(_live(want, entry) for want, entry in found if entry is not None),
            *(_found(entry["Kind"], _name_of(entry), entry) for entry in others if _is_in_chains(entry["Kind"])),
        ]

    def create(self, system: Consul, order: Order) -> Made:
        """Make it. Raises AlreadyExists."""
        kind, name = order.address.segments
        system.write_config_entry(_body(kind, name, order.fields), cas=0)
        # the answer to a write tells no index
        entry = system.read_config_entry(kind, name)
        return Made(str(entry["CreateIndex"]) if entry is not None else None, _witness(kind, order.fields))

    def update(self, system: Consul, order: Order) -> Made:
        """Write it, if nobody has written it since it was read. It is written whole, so what the manifest does not set is written as it was read."""
        live = planned(order)
        body = _body(live.raw["Kind"], live.raw["Name"], order.fields)
        _conditionally(system, live, lambda index: system.write_config_entry(body, cas=index))
        return Made(live.incarnation, _witness(live.raw["Kind"], order.fields))

    def delete(self, system: Consul, order: Order) -> None:
        """Remove it, if nobody has written it since it was read."""
        live = planned(order)
        _conditionally(system, live, lambda index: system.delete_config_entry(live.raw["Kind"], live.raw["Name"], cas=index))

    def stand_aside(self, system: Consul, order: Order) -> Live:
        """Write what it can be while what it stands on changes."""
        live = planned(order)
        kind, name, aside = live.raw["Kind"], live.raw["Name"], DECLARATIONS[live.raw["Kind"]].aside
        if aside is None:
            return live
        system.write_config_entry(_body(kind, name, aside(live.fields, order.fields, order.without)), cas=live.revision)
        entry = system.read_config_entry(kind, name)
        if entry is None:
            raise LostRace(f"{order.address} was deleted by somebody else meanwhile: run again")
        if order.without:
            time.sleep(_NOTICED_AFTER_S)
        return replace(live, revision=entry["ModifyIndex"])

    def find(self, system: ConsulReader) -> list[Live]:
        """Every entry of every kind that somebody wrote, those that are not known here included."""
        return [_found(entry["Kind"], _name_of(entry), entry) for entry in system.config_entries() if entry["Kind"] != MADE_BY_CONSUL]

    def express(self, live: Live, found: Found) -> Expression:
        """In the section that its kind has, where that can say all of it; else in ``config_entries``, with Consul's field names."""
        kind, name = live.raw["Kind"], live.raw["Name"]
        declaration = DECLARATIONS.get(kind)
        if declaration is None:
            return Expression(services=(name,), why_not=_why_not(kind))
        related = (*_linked(live.fields), *declaration.related(name, live.fields))
        services = (name, *dict.fromkeys(related)) if declaration.read not in ("", *_WITHOUT_SEGMENT) else ()
        record = found.records.get(live.address)
        secrets = names_of_secrets(record.specification) if record is not None else frozenset[str]()
        fields = {key: veiled(key, value, secrets, by_name=False) for key, value in stated(live.fields, self.rules).items()}
        short = in_section(declaration.section, fields) if not names_of_secrets(fields) else None
        if short is not None:
            is_short = declaration.section == "intentions" and not is_long_intention(short)
            return Expression((declaration.section,), name, short, services, short="sources" if is_short else "")
        body = _without_secrets(declaration.form.body(fields), live.address, ())
        return Expression(("config_entries",), None, {"Kind": kind, "Name": name, **body}, services)

    def in_file(self, file: str, text: str) -> list[Live]:  # noqa: ARG002  # the text says it all
        """The entries of a file, in any spelling. Raises ValueError when it is neither HCL nor JSON."""
        return [_found(e["Kind"], e["Name"], {"CreateIndex": 0, "ModifyIndex": 0, **e}) for e in entries(text)]


def _why_not(kind: str) -> str:
    if kind in NO_KINDS:
        return f"{kind} {NO_KINDS[kind][0]}"
    guess = closest(kind, DECLARATIONS)
    return f"there is no kind of config entries called {kind}{f', did you mean {guess}?' if guess else ''}"


def _conditionally(system: Consul, live: Live, write: Callable[[int], None]) -> None:
    """Write on the condition that the entry is as it was read; what Consul itself writes into it, its status, does not count."""
    kind, name = live.raw["Kind"], live.raw["Name"]
    index = live.revision
    while True:
        try:
            return write(index)
        except LostRace:
            entry = system.read_config_entry(kind, name) if DECLARATIONS[kind].has_status else None
            if (
                entry is None
                or entry["ModifyIndex"] == index
                or normal_fields(DECLARATIONS[kind], entry, names_of_secrets(live.fields)) != live.fields
            ):
                raise
            index = entry["ModifyIndex"]


def _witness(kind: str, fields: Mapping[str, Value]) -> JSON:
    """What changes whenever the secret of an entry does, and is not derived from it: its certificate belongs to one key only."""
    public = fields.get(DECLARATIONS[kind].public) if DECLARATIONS[kind].public else None
    if public is None:
        return None
    return Digest.of(public.reveal() if isinstance(public, Secret) else str(public)).sha256


def _fields(manifest: LoadedManifest, written: Written, faults: list[Diagnostic]) -> dict[str, Any]:
    reading = Reading(strict=True, secrets=names_of_secrets(written.body))
    declaration = DECLARATIONS[written.kind]
    fields: dict[str, Any] = declaration.form.normal(written.body, (), reading, inside=False)
    if declaration.check is not None and not reading.faults:
        declaration.check(written.name, fields, reading)
    for fault in reading.faults:
        subject = ".".join((str(entry_address(written.kind, written.name)), *map(str, fault.trail)))
        faults.append(Diagnostic(manifest.place(*written.path, *fault.trail), subject, fault.what, fault.what_to_do))
    return fields


def _declared(manifest: LoadedManifest, written: Written, fields: dict[str, Any], surroundings: Surroundings) -> Desired:
    declaration = DECLARATIONS[written.kind]
    stands_on = frozenset(declaration.stands_on(written.name, fields))
    referred = {reference.address for reference in all_of(fields, Reference)}
    return Desired(
        entry_address(written.kind, written.name),
        CONSUL,
        fields,
        written.label,
        manifest.place(*written.path),
        needs=frozenset(declaration.needs(written.name, fields, surroundings)) | {address for hold in stands_on for address in hold.on} | referred,
        must_exist=frozenset(referred),
        after=frozenset(declaration.after(written.name, fields, surroundings)),
        stands_on=stands_on | frozenset(declaration.late(written.name, fields, surroundings)),
        on_removal=written.entry.on_removal,
        protect=written.entry.protect,
        adopt=written.entry.adopt,
    )


def normal_fields(declaration: Declaration, entry: Mapping[str, JSON], secrets: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The fields of an entry as Consul answers them, in normal form; ``secrets`` are keys in it that are known to hold some."""
    fields: dict[str, Any] = declaration.form.normal(entry, (), Reading(strict=False, secrets=secrets), inside=False)
    return fields


def _found(kind: str, name: str, entry: Mapping[str, JSON]) -> Live:
    return _live(Wanted(entry_address(kind, name), ""), entry)


def _live(want: Wanted, entry: Mapping[str, JSON]) -> Live:
    kind, name = entry["Kind"], _name_of(entry)
    raw = {"Kind": kind, "Name": name}
    declaration = DECLARATIONS.get(kind)
    known = {"incarnation": str(entry["CreateIndex"]), "created_index": entry["CreateIndex"], "revision": entry["ModifyIndex"], "raw": raw}
    if declaration is None:
        return Live(want.address, {}, **known)
    secrets = _known_secrets(want)
    fields = normal_fields(declaration, entry, secrets)
    hinders = declaration.hinders or declaration.stands_on
    return Live(
        want.address,
        {key: Secret(value) if isinstance(value, str) and key in secrets else value for key, value in fields.items()},
        witness=_witness(kind, fields),
        stands_on=frozenset(hinders(name, fields)) | _late(want, fields),
        can_stand_aside=declaration.aside is not None,
        **known,
    )


def _late(want: Wanted, fields: Mapping[str, Any]) -> frozenset[Hold]:
    """What of it is in vain without something that the manifest knows of."""
    known = want.desired.stands_on if want.desired is not None else ()
    return frozenset(hold for hold in known if hold.part and hold.part in _linked(fields))


def _carries(kind: str) -> bool:
    return kind in DECLARATIONS and DECLARATIONS[kind].carries


def _is_in_chains(kind: str) -> bool:
    return _carries(kind) or (kind in DECLARATIONS and DECLARATIONS[kind].stands_on is not nothing)


def _without_secrets(value: JSON, address: Address, path: tuple[str, ...]) -> Any:
    """An entry, or a part of it, with variables of the environment in the place of its secrets."""
    if isinstance(value, Secret):
        return Needed(variable(*address.segments, *path), f"the {'.'.join(path)} of {address}")
    if isinstance(value, Mapping):
        return {key: _without_secrets(inner, address, (*path, str(key))) for key, inner in value.items()}
    return [_without_secrets(inner, address, path) for inner in value] if isinstance(value, list) else value


def _linked(fields: Mapping[str, Any]) -> list[str]:
    """The services that a gateway stands in for."""
    services = fields.get("Services")
    return [name for name in services if name != "*"] if isinstance(services, Mapping) else []


def _known_secrets(want: Wanted) -> frozenset[str]:
    """The keys under which the manifest has secrets, or had when it was last applied."""
    desired = names_of_secrets(want.desired.fields) if want.desired is not None else frozenset[str]()
    return desired | (names_of_secrets(want.record.specification) if want.record is not None else frozenset[str]())


def _name_of(entry: Mapping[str, JSON]) -> str:
    # the kind `mesh` has one entry, without a name
    return str(entry.get("Name") or entry["Kind"])


def _segment(resource: str, name: str) -> str:
    return "" if resource in _WITHOUT_SEGMENT else name


def _body(kind: str, name: str, fields: Mapping[str, Value]) -> dict[str, JSON]:
    declaration = DECLARATIONS[kind]
    return {"Kind": kind, **({} if declaration.nameless else {"Name": name}), **declaration.form.body(fields)}


KIND: Final[DirectKind] = ConfigEntry()
