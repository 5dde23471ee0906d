"""ACL policies: who may do what in the mesh."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Final

from reconciler.kinds.consul._filed import is_named, policy_in_file
from reconciler.kinds.consul._order import planned
from reconciler.kinds.consul._rule_mapping import as_mapping
from reconciler.kinds.consul._rules import canonical_text, recorded, semantic, understand, understand_mapping
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import AclPolicy as Entry
from reconciler.model.address import Address
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import LostRace, ManifestError
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import DirectKind, Made, Order, Permission, Wanted
from reconciler.model.resource import CONSUL, Desired, Live, SystemType
from reconciler.model.value import JSON, Semantic
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.reader import ConsulReader

_THREADS: Final = 8


class AclPolicy:
    """``acl-policy/NAME``. Fields: ``description`` and ``rules``, which are compared by meaning.

    The list of policies has no rules, but a hash over them. A policy is read by itself only when its hash is neither that of the rules the manifest
    writes nor the one noted at our last write (the record's witness), whose rules the record has. A policy is never replaced: tokens would lose their
    link to one that is made anew under its name.
    """

    name: ClassVar[str] = "acl-policy"
    system: ClassVar[SystemType] = "consul"
    covers: ClassVar[frozenset[str]] = frozenset({"mesh_credentials.policies"})
    rules: ClassVar[FieldRules] = FieldRules()
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """Consul folds the case of policy names."""
        return Address.of(self.name, *segments, fold=True)

    def declare(self, manifest: LoadedManifest) -> list[Desired]:
        """The policies of ``mesh_credentials.policies``. Raises ManifestError for rules that Consul would refuse, or ignore in silence."""
        faults: list[Diagnostic] = []
        desired = [self._declared(manifest, label, entry, faults) for label, entry in manifest.manifest.mesh_credentials.policies.items()]
        if faults:
            raise ManifestError(faults)
        return desired

    def _declared(self, manifest: LoadedManifest, label: str, entry: Entry, faults: list[Diagnostic]) -> Desired:
        address = self.address(entry.name or label)
        path = ("mesh_credentials", "policies", label)
        found = understand(entry.rules) if isinstance(entry.rules, str) else understand_mapping(entry.rules)
        where = manifest.place(*path, "rules")
        faults += [Diagnostic(where, f"{address}.rules", what, what_to_do) for what, what_to_do in found.faults]
        shown = canonical_text(found.rules)
        written = str(entry.rules) if isinstance(entry.rules, str) else shown
        fields: dict[str, Any] = {"rules": Semantic(found.rules, written, shown)}
        if entry.description is not None:
            fields["description"] = entry.description
        return Desired(address, CONSUL, fields, label, manifest.place(*path), on_removal=entry.on_removal, protect=entry.protect, adopt=entry.adopt)

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterator[Permission]:
        """``acl`` has no segments: read for all policies, or write."""
        yield Permission("acl", "", "write" if write else "read", wanted.address)

    def read(self, system: ConsulReader, wanted: Sequence[Wanted]) -> list[Live]:
        """One list, and those policies by themselves whose rules cannot be known otherwise."""
        stubs = {stub["Name"].lower(): stub for stub in system.policies()}
        found = [(want, stubs[want.address.identity[0]]) for want in wanted if want.address.identity[0] in stubs]
        known = {stub["ID"]: rules for want, stub in found if (rules := _known_rules(want, stub)) is not None}
        unknown = {stub["ID"] for want, stub in found if (want.desired or want.record) and stub["ID"] not in known}
        if unknown:
            with ThreadPoolExecutor(_THREADS) as pool:
                known |= {policy["ID"]: semantic(policy.get("Rules") or "") for policy in pool.map(system.policy, sorted(unknown)) if policy}
        # one that is gone by the time it is read is absent
        return [_live(want.address, stub, known.get(stub["ID"])) for want, stub in found if stub["ID"] in known or stub["ID"] not in unknown]

    def create(self, system: Consul, order: Order) -> Made:
        """Make it. Raises AlreadyExists when another policy has the name."""
        return _made(system.acl.create_policy({"Name": order.address.segments[0], **_body(order.fields)}))

    def update(self, system: Consul, order: Order) -> Made:
        """Write description and rules. Consul has no conditional write for policies: what is planned against is read once more just before."""
        live = planned(order)
        now = system.acl.read_policy(live.raw["ID"])
        if now is None or now["Hash"] != live.revision:
            raise LostRace("somebody else changed it meanwhile: run again")
        # A change of case alone is refused ("already exists"), so the name stays as it is spelt; Datacenters are not ours.
        kept = {key: now[key] for key in ("ID", "Name", "Datacenters") if now.get(key)}
        return _made(system.acl.update_policy(now["ID"], {**kept, **_body(order.fields)}))

    def delete(self, system: Consul, order: Order) -> None:
        """Remove it, by its ID: one that was made anew under its name is not touched."""
        system.acl.delete_policy(planned(order).raw["ID"])

    def find(self, system: ConsulReader) -> list[Live]:
        """Every policy that is not built in, each read by itself for its rules."""
        wanted = [stub["ID"] for stub in system.policies() if not _is_builtin(stub)]
        with ThreadPoolExecutor(_THREADS) as pool:
            policies = [policy for policy in pool.map(system.policy, wanted) if policy]
        return [_live(self.address(policy["Name"]), policy, semantic(policy.get("Rules") or "")) for policy in policies]

    def express(self, live: Live, found: Found) -> Expression:  # noqa: ARG002  # it refers to nothing
        """Its rules as a mapping where that means the same, else as text."""
        return _expressed(live.address.segments[0], live.fields, (live.raw["note"],) if live.raw.get("note") else ())

    def in_file(self, file: str, text: str) -> list[Live]:
        """The rules that are a file, or the policy that it describes. Raises ValueError when it is neither HCL nor JSON."""
        found = policy_in_file(file, text)
        if found is None:
            return []
        name, description, rules = found
        note = "" if is_named(file) else f"the file {file} does not say its name: correct it"
        return [Live(self.address(name), {"description": description, "rules": semantic(rules)}, raw={"note": note})]


def _expressed(name: str, fields: Mapping[str, Any], notes: tuple[str, ...]) -> Expression:
    rules = fields["rules"].written
    mapping = as_mapping(rules)
    body = {"description": fields["description"]} if fields["description"] else {}
    body["rules"] = mapping if mapping is not None else rules
    return Expression(("mesh_credentials", "policies"), name, body, _services(name, rules), notes=notes)


def _services(name: str, rules: str) -> tuple[str, ...]:
    """The services that rules name, first the one after which the policy is called."""
    named = sorted(understand(rules).rules.get("service", {}))
    main = max((service for service in named if name.startswith(service)), key=len, default=None)
    return tuple(sorted(named, key=lambda service: (service != main, service)))


def policy_hash(name: str, description: str, rules: str, datacenters: Iterable[str]) -> str:
    """The ``Hash`` that Consul computes of a policy: base64 of BLAKE2b-256 over all of it (docs/facts.md: Consul 2)."""
    text = "".join((name, description, rules, *datacenters))
    return base64.b64encode(hashlib.blake2b(text.encode(), digest_size=32).digest()).decode("ascii")


def _known_rules(want: Wanted, stub: Mapping[str, JSON]) -> Semantic | None:
    desired = want.desired.fields["rules"] if want.desired else None
    if isinstance(desired, Semantic):
        same = policy_hash(stub["Name"], stub.get("Description") or "", desired.written, stub.get("Datacenters") or ())
        if same == stub.get("Hash"):
            return desired
    last = want.record.specification.get("rules") if want.record and want.record.witness == _witness(stub) else None
    return recorded(last.normal) if isinstance(last, Semantic) else None


def _live(address: Address, stub: Mapping[str, JSON], rules: Semantic | None) -> Live:
    return Live(
        address,
        {"description": stub.get("Description") or "", **({"rules": rules} if rules is not None else {})},
        incarnation=stub["ID"],
        created_index=stub["CreateIndex"],
        revision=stub["Hash"],
        witness=_witness(stub),
        foreign="is built into Consul" if _is_builtin(stub) else "",
        unsaid=(f"that it counts in {', '.join(stub['Datacenters'])} alone",) if stub.get("Datacenters") else (),
        raw={"ID": stub["ID"]},
    )


def _is_builtin(policy: Mapping[str, JSON]) -> bool:
    return str(policy["ID"]).startswith("00000000-0000-0000-0000-")


def _witness(policy: Mapping[str, JSON]) -> JSON:
    return {"hash": policy["Hash"]}


def _body(fields: Mapping[str, Any]) -> dict[str, JSON]:
    return {"Description": fields.get("description") or "", "Rules": fields["rules"].written}


def _made(policy: Mapping[str, JSON]) -> Made:
    return Made(incarnation=policy["ID"], witness=_witness(policy))


KIND: Final[DirectKind] = AclPolicy()
