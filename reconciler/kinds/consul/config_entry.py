"""Config entries: one body for all their kinds, which are declared in :mod:`_entries`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, get_args

from reconciler.kinds.consul._entries import DECLARATIONS, Declaration
from reconciler.kinds.consul._filed import entries
from reconciler.kinds.consul._forms import free_paths, significant_paths, whole_paths
from reconciler.kinds.consul._free import FreeMapRules
from reconciler.kinds.consul._order import planned
from reconciler.kinds.consul._short_entries import in_section
from reconciler.kinds.consul._surroundings import Surroundings, entry_address
from reconciler.kinds.consul._values import Reading
from reconciler.kinds.consul._written import Written, written_entries
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.mesh import ConfigEntryKind
from reconciler.model.address import Address
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError
from reconciler.model.importing import Expression, Found, stated
from reconciler.model.kind import DirectKind, FieldRules, Made, Order, Permission, Wanted
from reconciler.model.resource import CONSUL, Desired, Live, SystemType
from reconciler.model.value import JSON
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.reader import ConsulReader

_WITHOUT_SEGMENT: Final = ("mesh", "operator")
_KINDS: Final = frozenset(get_args(ConfigEntryKind))
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
        if declaration is not None:
            yield Permission(declaration.read, _segment(declaration.read, name), "read", wanted.address)
            if write:
                yield Permission(declaration.write, _segment(declaration.write, name), "write", wanted.address)

    def read(self, system: ConsulReader, wanted: Sequence[Wanted]) -> list[Live]:
        """One list of all entries of all kinds."""
        entries = {(entry["Kind"], _name_of(entry).lower()): entry for entry in system.config_entries()}
        found = [(want.address, entries.get((want.address.identity[0], want.address.identity[1]))) for want in wanted]
        return [_live(address, entry) for address, entry in found if entry is not None]

    def create(self, system: Consul, order: Order) -> Made:
        """Make it. Raises AlreadyExists."""
        kind, name = order.address.segments
        system.write_config_entry(_body(kind, name, order), cas=0)
        # the answer to a write tells no index
        entry = system.read_config_entry(kind, name)
        return Made(str(entry["CreateIndex"]) if entry is not None else None)

    def update(self, system: Consul, order: Order) -> Made:
        """Write it, if nobody has written it since it was read. It is written whole, so what the manifest does not set is written as it was read."""
        live = planned(order)
        system.write_config_entry(_body(live.raw["Kind"], live.raw["Name"], order), cas=live.revision)
        return Made(live.incarnation)

    def delete(self, system: Consul, order: Order) -> None:
        """Remove it, if nobody has written it since it was read."""
        live = planned(order)
        system.delete_config_entry(live.raw["Kind"], live.raw["Name"], cas=live.revision)

    def find(self, system: ConsulReader) -> list[Live]:
        """Every entry of every kind, those that are not known here included."""
        return [_live(entry_address(entry["Kind"], _name_of(entry)), entry) for entry in system.config_entries()]

    def express(self, live: Live, found: Found) -> Expression:  # noqa: ARG002  # it refers to nothing
        """In the section that its kind has, where that can say all of it; else in ``config_entries``, with Consul's field names."""
        kind, name = live.raw["Kind"], live.raw["Name"]
        declaration = DECLARATIONS.get(kind)
        services = (name, *_linked(live.fields)) if declaration is None or declaration.read not in _WITHOUT_SEGMENT else ()
        if declaration is None:
            return Expression(services=services, why_not=f"{kind} is not supported yet")
        fields = stated(live.fields, self.rules)
        short = in_section(declaration.section, fields)
        if short is not None:
            return Expression((declaration.section,), name, short, services)
        return Expression(("config_entries",), None, {"Kind": kind, "Name": name, **declaration.form.body(fields)}, services)

    def in_file(self, file: str, text: str) -> list[Live]:  # noqa: ARG002  # the text says it all
        """The entries of a file, in any spelling. Raises ValueError when it is neither HCL nor JSON."""
        return [_live(entry_address(e["Kind"], e["Name"]), {"CreateIndex": 0, "ModifyIndex": 0, **e}) for e in entries(text) if e["Kind"] in _KINDS]


def _fields(manifest: LoadedManifest, written: Written, faults: list[Diagnostic]) -> dict[str, Any]:
    reading = Reading(strict=True)
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
    return Desired(
        entry_address(written.kind, written.name),
        CONSUL,
        fields,
        written.label,
        manifest.place(*written.path),
        needs=frozenset(declaration.needs(written.name, fields, surroundings)),
        after=frozenset(declaration.after(written.name, fields, surroundings)),
        on_removal=written.entry.on_removal,
        protect=written.entry.protect,
        adopt=written.entry.adopt,
    )


def normal_fields(declaration: Declaration, entry: Mapping[str, JSON]) -> dict[str, Any]:
    """The fields of an entry as Consul answers them, in normal form."""
    fields: dict[str, Any] = declaration.form.normal(entry, (), Reading(strict=False), inside=False)
    return fields


def _live(address: Address, entry: Mapping[str, JSON]) -> Live:
    declaration = DECLARATIONS.get(entry["Kind"])
    return Live(
        address,
        normal_fields(declaration, entry) if declaration is not None else {},
        incarnation=str(entry["CreateIndex"]),
        created_index=entry["CreateIndex"],
        revision=entry["ModifyIndex"],
        raw={"Kind": entry["Kind"], "Name": _name_of(entry)},
    )


def _linked(fields: Mapping[str, Any]) -> list[str]:
    """The services that a gateway stands in for."""
    services = fields.get("Services")
    return [name for name in services if name != "*"] if isinstance(services, Mapping) else []


def _name_of(entry: Mapping[str, JSON]) -> str:
    # the kind `mesh` has one entry, without a name
    return str(entry.get("Name") or entry["Kind"])


def _segment(resource: str, name: str) -> str:
    return "" if resource in _WITHOUT_SEGMENT else name


def _body(kind: str, name: str, order: Order) -> dict[str, JSON]:
    return {"Kind": kind, "Name": name, **DECLARATIONS[kind].form.body(order.fields)}


KIND: Final[DirectKind] = ConfigEntry()
