"""ACL tokens. Their accessors are derived, so creating one twice gives one; their secrets are made here and leave memory only for Consul."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from reconciler.kinds.consul._order import planned
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import AclToken as Entry
from reconciler.model.address import Address
from reconciler.model.errors import AlreadyExists, LostRace
from reconciler.model.kind import FieldRules, Made, Order, Permission, ReplacingKind, Wanted
from reconciler.model.record import State
from reconciler.model.resource import CONSUL, Desired, Live, SystemType
from reconciler.model.secret import Hidden, Secret
from reconciler.model.value import JSON, Path, Value
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.reader import ConsulReader

NAMESPACE: Final = uuid.UUID("0f1d0f6e-0c58-5c0b-9d0b-6c2f6a3f1c55")
"""Of the accessors that are derived from a manifest's name, a label and a rotation. It must never change: records do not hold the accessor."""

_UNREADABLE: Final = "<hidden>"
_SERVER_FILLED: Final = ("SecretID", "CreateIndex", "ModifyIndex", "CreateTime", "Hash", "ExpirationTTL", "AuthMethod")


@dataclass(frozen=True, slots=True)
class _TokenRules(FieldRules):
    """Policy names are compared without case, as Consul does."""

    def same(self, path: Path, one: Value, other: Value) -> bool:
        if path == ("policies",) and isinstance(one, list) and isinstance(other, list):
            return sorted(map(str.lower, one)) == sorted(map(str.lower, other))
        return FieldRules.same(self, path, one, other)


class AclToken:
    """``acl-token/LABEL``. Fields: ``description``, ``policies`` (names), ``rotation`` and ``accessor``; what else a token has stays as it is.

    The label is no name in Consul: a token is found by its accessor, which the record has, or which follows from manifest, label and rotation.
    """

    name: ClassVar[str] = "acl-token"
    system: ClassVar[SystemType] = "consul"
    covers: ClassVar[frozenset[str]] = frozenset({"mesh_credentials.tokens"})
    rules: ClassVar[FieldRules] = _TokenRules(immutable=frozenset({"rotation", "accessor"}), keeps=frozenset({"rotation", "accessor"}))
    replaces: ClassVar[bool] = True

    def address(self, *segments: str) -> Address:
        """Labels are ours, so their case counts."""
        return Address.of(self.name, *segments)

    def declare(self, manifest: LoadedManifest) -> Iterator[Desired]:
        """The tokens of ``mesh_credentials.tokens``."""
        for label, entry in manifest.manifest.mesh_credentials.tokens.items():
            policies = frozenset(Address.of("acl-policy", policy, fold=True) for policy in entry.policies)
            yield Desired(
                self.address(label),
                CONSUL,
                _declared(entry),
                label,
                manifest.place("mesh_credentials", "tokens", label),
                needs=policies,
                must_exist=policies,
                on_removal=entry.on_removal,
                protect=entry.protect,
                adopt=entry.adopt,
            )

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterator[Permission]:
        """``acl`` has no segments: read for all tokens, or write. Their secrets can be read with write alone."""
        yield Permission("acl", "", "write" if write else "read", wanted.address)

    def read(self, system: ConsulReader, wanted: Sequence[Wanted]) -> list[Live]:
        """One list."""
        tokens = {token["AccessorID"].lower(): token for token in system.tokens()}
        found = [(want, tokens.get(_live_accessor(want))) for want in wanted]
        return [_live(want, token) for want, token in found if token is not None]

    def create(self, system: Consul, order: Order) -> Made:
        """Make it, or find that an earlier attempt made it. Raises AlreadyExists when its accessor belongs to another token."""
        wanted_accessor = _accessor(order.owner, order.address.segments[0], order.fields)
        secret = Secret(str(uuid.uuid4()))
        try:
            token = system.create_token({"AccessorID": wanted_accessor, "SecretID": secret, **_body(order.fields)})
        except AlreadyExists:
            made = self._superseded_before(system, wanted_accessor, order)
            if made is None:
                raise AlreadyExists(f"the accessor {wanted_accessor} belongs to another token: raise `rotation`, or delete that token") from None
            return made
        return Made(_incarnation(token), outputs={"secret_id": secret})

    def _superseded_before(self, system: Consul, accessor: str, order: Order) -> Made | None:
        """The token with this accessor, if a rotation of ours left it behind and is now taken back.

        What was made by a request whose answer was lost, the adapter has found already, by its secret.
        """
        token = system.read_token(accessor)
        left = order.record.superseded if order.record is not None else ()
        if token is None or _incarnation(token) not in left:
            return None
        if not all(self.rules.same((key,), order.fields.get(key), value) for key, value in _fields(token).items()):
            return None
        return Made(_incarnation(token), outputs=_outputs(token))

    def update(self, system: Consul, order: Order) -> Made:
        """Write description and policies. Consul has no conditional write for tokens: what is planned against is read once more just before.

        Roles, identities and whether it is local are written as they are: what a request leaves out, Consul takes away.
        """
        live = planned(order)
        now = system.read_token(live.raw)
        if now is None or _incarnation(now) != live.incarnation or now["Hash"] != live.revision:
            raise LostRace("somebody else changed it meanwhile: run again")
        kept = {key: value for key, value in now.items() if key not in _SERVER_FILLED}
        token = system.update_token(live.raw, {**kept, **_body(order.fields)})
        return Made(_incarnation(token), outputs=_outputs(token))

    def delete(self, system: Consul, order: Order) -> None:
        """Remove it, if it is still the one that was planned against."""
        self.delete_superseded(system, planned(order).incarnation or "")

    def delete_superseded(self, system: Consul, incarnation: str) -> None:
        """Remove the token that a replacement left behind; one that was made anew with its accessor is not touched."""
        accessor = incarnation.partition("@")[0]
        token = system.read_token(accessor)
        if token is not None and _incarnation(token) == incarnation:
            system.delete_token(accessor)


def accessor_of(owner: str, label: str, rotation: int) -> str:
    """The accessor of the token ``label`` of the manifest ``owner``, unless the manifest or the record says otherwise."""
    return str(uuid.uuid5(NAMESPACE, f"{owner}/{label}/{rotation}"))


def _accessor(owner: str, label: str, fields: Mapping[str, Value]) -> str:
    return str(fields.get("accessor") or accessor_of(owner, label, fields.get("rotation") or 0)).lower()


def _live_accessor(want: Wanted) -> str:
    """Which token is this one: the record's, else the one that a claim was to create, else the one the manifest would create."""
    record = want.record
    if record is not None and record.incarnation and record.state is not State.CLAIMING:
        return record.incarnation.partition("@")[0]
    fields = record.specification if record is not None else want.desired.fields if want.desired else {}
    return _accessor(record.owner if record is not None else want.owner, want.address.segments[0], fields)


def _declared(entry: Entry) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    if "policies" in entry.model_fields_set:
        fields["policies"] = _sorted(entry.policies)
    if "rotation" in entry.model_fields_set:
        fields["rotation"] = entry.rotation
    if entry.description is not None:
        fields["description"] = entry.description
    if entry.accessor is not None:
        fields["accessor"] = entry.accessor.lower()
    return fields


def _sorted(names: Iterable[str]) -> list[str]:
    """Each name once, in one order: Consul keeps the order of a token's policies, but it means nothing."""
    return sorted({name.lower(): name for name in names}.values(), key=str.lower)


def _fields(token: Mapping[str, JSON]) -> dict[str, Value]:
    return {"description": token.get("Description") or "", "policies": _sorted(link["Name"] for link in token.get("Policies") or ())}


def _rotation(want: Wanted, accessor: str) -> int:
    """Which rotation a token is: the one that the manifest or the record says and that gives its accessor, else what was last said."""
    said = [fields.get("rotation") or 0 for fields in (want.desired and want.desired.fields, want.record and want.record.specification) if fields]
    owner, label = want.record.owner if want.record else want.owner, want.address.segments[0]
    return next((r for r in said if accessor_of(owner, label, r) == accessor), said[-1] if said else 0)


def _live(want: Wanted, token: Mapping[str, JSON]) -> Live:
    accessor = token["AccessorID"].lower()
    return Live(
        want.address,
        {**_fields(token), "rotation": _rotation(want, accessor), "accessor": accessor},
        incarnation=_incarnation(token),
        created_index=token["CreateIndex"],
        revision=token["Hash"],
        outputs=_outputs(token),
        raw=token["AccessorID"],
    )


def _incarnation(token: Mapping[str, JSON]) -> str:
    return f"{token['AccessorID'].lower()}@{token['CreateIndex']}"


def _outputs(token: Mapping[str, JSON]) -> dict[str, Value]:
    secret = token.get("SecretID") or _UNREADABLE
    return {"secret_id": Hidden("reading a token's secret takes acl:write") if secret == _UNREADABLE else Secret(secret)}


def _body(fields: Mapping[str, Any]) -> dict[str, JSON]:
    return {"Description": fields.get("description") or "", "Policies": [{"Name": name} for name in fields.get("policies") or ()]}


KIND: Final[ReplacingKind] = AclToken()
