"""What the engine does with a kind, without the engine: declare, read, compare, order, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from reconciler.engine.diff import compare, merged, recordable
from reconciler.kinds import all_kinds
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.loading import load
from reconciler.model.address import Address
from reconciler.model.change import FieldChange
from reconciler.model.kind import DirectKind, Kind, Made, Order, TransactionalKind, Wanted
from reconciler.model.record import Origin, Record, State
from reconciler.model.resource import CONSUL, Desired, Live
from reconciler.model.secret import Secret
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.connection import ConsulSettings
from reconciler.systems.consul.reader import ConsulReader
from tests.servers.consul import ConsulServer

OWNER = "demo"


@dataclass
class Workbench:
    """One Consul, and how the engine would treat it. ``server`` is how a test looks and interferes."""

    server: ConsulServer
    client: Consul
    folder: Path

    def load(self, **sections: Any) -> LoadedManifest:
        path = self.folder / "manifest.yaml"
        with path.open("w") as file:
            yaml = YAML(typ="safe", pure=True)
            yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares None alone
            yaml.dump({"version": 1, "name": OWNER, **sections}, file)
        return load([path])

    def declare(self, kind: str, **sections: Any) -> dict[str, Desired]:
        return {str(d.address): d for d in all_kinds()[kind].declare(self.load(**sections))}

    def declare_one(self, kind: str, **sections: Any) -> Desired:
        (desired,) = self.declare(kind, **sections).values()
        return desired

    def as_token(self, rules: str) -> Consul:
        """A client with a token that may do what ``rules`` say."""
        return Consul(ConsulSettings(host=self.server.host, port=self.server.port, token=Secret(self.server.token_for(rules))))

    def read(self, wanted: Sequence[Wanted], client: Consul | None = None) -> dict[Address, Live]:
        kind = kind_of(wanted[0].address)
        return {live.address: live for live in kind.read(ConsulReader(client or self.client), wanted)}

    def wanted(self, desired: Desired, record: Record | None = None) -> Wanted:
        return Wanted(desired.address, OWNER, desired, record)

    def live(self, desired: Desired, record: Record | None = None) -> Live | None:
        return self.read([self.wanted(desired, record)]).get(desired.address)

    def there(self, desired: Desired, record: Record | None = None) -> Live:
        live = self.live(desired, record)
        assert live is not None
        return live

    def differences(self, desired: Desired, record: Record | None = None) -> list[str]:
        return [".".join(f.path) for f in self.changes(desired, record)]

    def changes(self, desired: Desired, record: Record | None = None) -> tuple[FieldChange, ...]:
        return compare(desired.fields, record, self.there(desired, record), kind_of(desired.address).rules).fields

    def create(self, desired: Desired, client: Consul | None = None) -> Made | None:
        return self._write(Order(desired.address, fields_of(desired), OWNER, desired=desired), "create", client)

    def made(self, desired: Desired) -> Made:
        made = self.create(desired)
        assert made is not None
        return made

    def update(self, desired: Desired, record: Record | None = None, client: Consul | None = None, live: Live | None = None) -> Made | None:
        live = live or self.there(desired, record)
        rules = kind_of(desired.address).rules
        changes = compare(desired.fields, record, live, rules).fields
        fields = merged(fields_of(desired), changes, live, rules)
        order = Order(desired.address, fields, OWNER, tuple(c.path for c in changes), desired, live, record)
        return self._write(order, "update", client)

    def delete(self, desired: Desired, client: Consul | None = None, live: Live | None = None) -> None:
        self._write(Order(desired.address, {}, OWNER, live=live or self.there(desired)), "delete", client)

    def _write(self, order: Order, what: str, client: Consul | None) -> Made | None:
        kind = kind_of(order.address)
        client = client or self.client
        if isinstance(kind, TransactionalKind):
            argument: Any = order.live if what == "delete" else order
            client.transaction(getattr(kind, f"{what}_operations")(argument))
            return None
        made: Made | None = getattr(kind, what)(client, order)
        return made

    def record(self, desired: Desired, live: Live | None = None, **changed: Any) -> Record:
        """The record of ``desired`` as the engine would have written it after creating or updating."""
        live = live or self.there(desired)
        values: dict[str, Any] = {
            "key": f"reconciler/owned/{desired.address}", "address": desired.address, "system": CONSUL, "system_identity": "x", "owner": OWNER,
            "label": desired.label, "state": State.OWNED, "origin": Origin.CREATED, "incarnation": live.incarnation,
            "specification": recordable(desired.fields), "witness": live.witness, "on_removal": None, "protect": False, "needs": (), "superseded": (),
            "run": "r", "written": "",
        }  # fmt: skip
        return Record(**{**values, **changed})


def kind_of(address: Address) -> Kind:
    return all_kinds()[address.kind]


def direct(kind: str) -> DirectKind:
    found = all_kinds()[kind]
    assert isinstance(found, DirectKind)
    return found


def fields_of(desired: Desired) -> Mapping[str, Any]:
    return desired.fields
