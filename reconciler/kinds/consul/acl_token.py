"""ACL tokens. Their accessors are derived, so creating one twice gives one; their secrets are made here and leave memory only for Consul."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from reconciler.kinds.consul._durations import go_text, nanoseconds
from reconciler.kinds.consul._grant_entry import granted, is_made_by_somebody, labelled, with_files
from reconciler.kinds.consul._grants import GrantRules, declared_grants, grants_body, link_body, linked, links, live_grants
from reconciler.kinds.consul._order import planned
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import AclToken as Entry
from reconciler.model.address import Address
from reconciler.model.errors import AccessDenied, AlreadyExists, LostRace
from reconciler.model.field_rules import FieldRules
from reconciler.model.history import History, Holder
from reconciler.model.importing import Expression, Found, stated
from reconciler.model.kind import Made, Order, Permission, ReplacingKind, Wanted
from reconciler.model.record import Record, State
from reconciler.model.resource import CONSUL, Desired, Live, SystemType
from reconciler.model.secret import Secret
from reconciler.model.value import JSON, Value
from reconciler.systems.consul.acl import secret_or_hidden
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.reader import ConsulReader

NAMESPACE: Final = uuid.UUID("0f1d0f6e-0c58-5c0b-9d0b-6c2f6a3f1c55")
"""Of the accessors that are derived from a manifest's name, a label and a rotation. It must never change: records do not hold the accessor."""

_INSTANT: Final = re.compile(r"(?P<seconds>[0-9T:-]{19})(\.(?P<fraction>[0-9]{1,9}))?(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})")
_OF_OURS: Final = ("accessor", "rotation")
"""What a manifest chooses, or leaves to be derived from its name and the label."""

_SERVER_FILLED: Final = ("SecretID", "CreateIndex", "ModifyIndex", "CreateTime", "Hash", "ExpirationTTL", "AuthMethod")


class AclToken:
    """``acl-token/LABEL``. Fields: those of :mod:`_grants`, ``local``, ``expires_after``, ``rotation`` and ``accessor``.

    The label is no name in Consul: a token is found by its accessor, which the record has, or which follows from manifest, label and rotation.
    """

    name: ClassVar[str] = "acl-token"
    system: ClassVar[SystemType] = "consul"
    covers: ClassVar[frozenset[str]] = frozenset({"mesh_credentials.tokens"})
    rules: ClassVar[FieldRules] = GrantRules(
        immutable=frozenset({"rotation", "accessor", "local", "expires_after"}), keeps=frozenset({"rotation", "accessor"})
    )
    replaces: ClassVar[bool] = True

    def address(self, *segments: str) -> Address:
        """Labels are ours, so their case counts."""
        return Address.of(self.name, *segments)

    def declare(self, manifest: LoadedManifest) -> Iterator[Desired]:
        """The tokens of ``mesh_credentials.tokens``."""
        for label, entry in manifest.manifest.mesh_credentials.tokens.items():
            yield Desired(
                self.address(label),
                CONSUL,
                _declared(entry),
                label,
                manifest.place("mesh_credentials", "tokens", label),
                needs=links(entry),
                must_exist=links(entry),
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
        accessor = _accessor(order.owner, order.address.segments[0], order.fields)
        secret = Secret(str(uuid.uuid4()))
        body = {"AccessorID": accessor, "SecretID": secret, **_unalterable(order.fields), **_body(order.fields)}
        try:
            token = system.acl.create_token(body)
        except AlreadyExists:
            there = system.acl.read_token(accessor)
            if there is not None:
                return self._superseded_before(there, accessor, order)
            # It expired, and was not swept up yet. No secret opens anything with it any more.
            system.acl.delete_token(accessor)
            token = system.acl.create_token(body)
        return Made(_incarnation(token), outputs={"secret_id": secret})

    def _superseded_before(self, token: Mapping[str, JSON], accessor: str, order: Order) -> Made:
        """The token that has this accessor already, if a rotation of ours left it behind and is now taken back.

        What was made by a request whose answer was lost, the adapter has found already, by its secret.
        """
        left = order.record.superseded if order.record is not None else ()
        equal = all(self.rules.same((key,), order.fields.get(key), value) for key, value in _fields(token).items())
        if _incarnation(token) not in left or not equal:
            change = "choose another `accessor`" if order.fields.get("accessor") else "raise `rotation`"
            raise AlreadyExists(f"the accessor {accessor} belongs to another token: {change}, or delete that token") from None
        return Made(_incarnation(token), outputs=_outputs(token))

    def update(self, system: Consul, order: Order) -> Made:
        """Write what can be changed. Consul has no conditional write for tokens: what is planned against is read once more just before.

        What the manifest does not set is written as it is: what a request leaves out, Consul takes away.
        """
        live = planned(order)
        now = system.acl.read_token(live.raw)
        if now is None or _incarnation(now) != live.incarnation or now["Hash"] != live.revision:
            raise LostRace("somebody else changed it meanwhile: run again")
        kept = {key: value for key, value in now.items() if key not in _SERVER_FILLED}
        token = system.acl.update_token(live.raw, {**kept, **_body(order.fields)})
        return Made(_incarnation(token), outputs=_outputs(token))

    def delete(self, system: Consul, order: Order) -> None:
        """Remove it, if it is still the one that was planned against."""
        self.delete_superseded(system, planned(order).incarnation or "")

    def delete_superseded(self, system: Consul, incarnation: str) -> None:
        """Remove the token that a replacement left behind; one that was made anew with its accessor is not touched."""
        accessor = incarnation.partition("@")[0]
        token = system.acl.read_token(accessor)
        if token is not None and _incarnation(token) == incarnation:
            system.acl.delete_token(accessor)

    def history(self, consul: Consul, record: Record, users: Iterable[Record]) -> History:
        """When it was made, what its files hold, and which of the tokens that it replaced are still there."""
        files = [user for user in users if user.address.kind == "file" and "token" in user.specification]
        accessors = {old: old.partition("@")[0] for old in record.superseded}
        try:
            token = consul.acl.read_token(_live_accessor(Wanted(record.address, record.owner, record=record)))
            there = {old: consul.acl.read_token(accessor) for old, accessor in accessors.items()}
        except AccessDenied as denied:
            return History("", str(denied), _holders(files, record, record.incarnation), tuple((old, None) for old in accessors.values()))
        holders = _holders(files, record, record.incarnation or (token and _incarnation(token)))
        left = tuple((accessors[old], found is not None and _incarnation(found) == old) for old, found in there.items())
        if token is None or record.incarnation not in (None, _incarnation(token)):
            return History("", "it does not exist any more" if record.incarnation else "it does not exist yet", holders, left)
        made = datetime.fromtimestamp(_instant_ns(token["CreateTime"]) // 10**9, UTC)
        return History(made.isoformat(timespec="seconds"), "", holders, left)

    def find(self, system: ConsulReader) -> list[Live]:
        """Every token that somebody made: not the anonymous one, not the bootstrap token, not those that a login made."""
        tokens = [token for token in system.tokens() if is_made_by_somebody(token)]
        return [_live(Wanted(self.address(label), ""), token) for label, token in labelled(tokens)]

    def express(self, live: Live, found: Found) -> Expression:
        """What it is linked to, the files that hold its secret, and the accessor by which it is adopted, unless that is derived. Never its secret."""
        fields, ours = stated(live.fields, self.rules), found.record_of_ours(live.address)
        if ours is not None:
            fields = {key: value for key, value in fields.items() if key not in _OF_OURS}
            fields |= {key: value for key, value in ours.specification.items() if key in _OF_OURS}
        return with_files(granted("tokens", live, fields), found.holding("file", live.outputs["secret_id"]))


def accessor_of(owner: str, label: str, rotation: int, *unalterable: str) -> str:
    """The accessor of the token ``label`` of the manifest ``owner``, unless the manifest or the record says otherwise.

    ``unalterable`` is what else cannot be changed in a token: one that replaces another for that must have another accessor.
    """
    return str(uuid.uuid5(NAMESPACE, "/".join((owner, label, str(rotation), *unalterable))))


def _derived(owner: str, label: str, fields: Mapping[str, Value]) -> str:
    unalterable = [*(["local"] if fields.get("local") else []), *filter(None, [fields.get("expires_after")])]
    return accessor_of(owner, label, fields.get("rotation") or 0, *unalterable)


def _accessor(owner: str, label: str, fields: Mapping[str, Value]) -> str:
    return str(fields.get("accessor") or _derived(owner, label, fields)).lower()


def _live_accessor(want: Wanted) -> str:
    """Which token is this one: the record's, else the one that a claim was to create, else the one the manifest would create."""
    record = want.record
    if record is not None and record.incarnation and record.state is not State.CLAIMING:
        return record.incarnation.partition("@")[0]
    fields = record.specification if record is not None else want.desired.fields if want.desired else {}
    return _accessor(record.owner if record is not None else want.owner, want.address.segments[0], fields)


def _holders(files: Iterable[Record], of: Record, now: str | None) -> tuple[Holder, ...]:
    """What the files of a token hold, by their records: the token ``now``, or one that it has replaced."""
    found = []
    for file in files:
        held = file.holds.get(of.key)
        if held is None:
            found.append(Holder(file, "nothing" if file.state is State.CLAIMING else "unknown"))
        else:
            found.append(Holder(file, "this" if held == now else "old"))
    return tuple(found)


def _declared(entry: Entry) -> dict[str, Value]:
    fields = declared_grants(entry)
    if "rotation" in entry.model_fields_set:
        fields["rotation"] = entry.rotation
    if entry.local is not None:
        fields["local"] = entry.local
    if entry.expires_after is not None:
        fields["expires_after"] = go_text(nanoseconds(entry.expires_after))
    if entry.accessor is not None:
        fields["accessor"] = entry.accessor.lower()
    return fields


def _fields(token: Mapping[str, JSON]) -> dict[str, Value]:
    return {**live_grants(token), "roles": linked(token, "Roles"), "local": bool(token.get("Local")), "expires_after": _expiry(token)}


def _expiry(token: Mapping[str, JSON]) -> str:
    """How long after its creation a token expires; empty for never. Consul turns the duration that it is told into that moment."""
    if not token.get("ExpirationTime"):
        return ""
    return go_text(_instant_ns(token["ExpirationTime"]) - _instant_ns(token["CreateTime"]))


def _instant_ns(text: str) -> int:
    """A moment as Go writes it, in ns since 1970; it has digits that Python's own type has no room for."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no point in time")
    seconds = datetime.fromisoformat(match["seconds"] + match["zone"].replace("Z", "+00:00")).timestamp()
    return int(seconds) * 10**9 + int((match["fraction"] or "").ljust(9, "0"))


def _rotation(want: Wanted, accessor: str) -> int:
    """Which rotation a token is: the one that the manifest or the record says and that gives its accessor, else what was last said."""
    said = [fields for fields in (want.desired and want.desired.fields, want.record and want.record.specification) if fields]
    owner, label = want.record.owner if want.record else want.owner, want.address.segments[0]
    rotations = [fields.get("rotation") or 0 for fields in said]
    return next((r for r, fields in zip(rotations, said, strict=True) if _derived(owner, label, fields) == accessor), rotations[-1] if said else 0)


def _live(want: Wanted, token: Mapping[str, JSON]) -> Live:
    accessor = token["AccessorID"].lower()
    return Live(
        want.address,
        {**_fields(token), "rotation": _rotation(want, accessor), "accessor": accessor},
        incarnation=_incarnation(token),
        created_index=token["CreateIndex"],
        revision=token["Hash"],
        outputs=_outputs(token),
        has_labels=True,
        raw=token["AccessorID"],
    )


def _incarnation(token: Mapping[str, JSON]) -> str:
    return f"{token['AccessorID'].lower()}@{token['CreateIndex']}"


def _outputs(token: Mapping[str, JSON]) -> dict[str, Value]:
    return {"secret_id": secret_or_hidden(token.get("SecretID"), "reading a token's secret takes acl:write")}


def _body(fields: Mapping[str, Any]) -> dict[str, JSON]:
    return {**grants_body(fields), "Roles": link_body(fields.get("roles"))}


def _unalterable(fields: Mapping[str, Any]) -> dict[str, JSON]:
    expires_after = fields.get("expires_after")
    return {"Local": bool(fields.get("local")), **({"ExpirationTTL": expires_after} if expires_after else {})}


KIND: Final[ReplacingKind] = AclToken()
