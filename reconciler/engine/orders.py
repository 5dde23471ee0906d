"""What each change writes, once the changes before it have told what they made."""

from __future__ import annotations

import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.engine.diff import merged
from reconciler.engine.guard import Limits, consented_to_loss
from reconciler.engine.settle import settle, value_after
from reconciler.engine.situation import Situation
from reconciler.model.address import Address
from reconciler.model.change import Action, Change
from reconciler.model.errors import Rejected
from reconciler.model.kind import Made, Order
from reconciler.model.secret import Generate, Hidden, Pending, Reference, Secret
from reconciler.model.value import Value, leaves, look_up


class Orders:
    """Turns changes into orders, and keeps what applied ones put out: secrets, in memory, for as long as the run lasts."""

    def __init__(self, situation: Situation, limits: Limits) -> None:
        self._situation = situation
        self._limits = limits
        self._outputs: dict[Address, dict[str, Value]] = {}
        self._fields: dict[Address, Mapping[str, Value]] = {}
        self._made: dict[Address, Mapping[str, Value]] = {}

    def order(self, change: Change) -> Order:
        """The write of one change. Raises Rejected when it needs a secret that may not be read."""
        address, live, record = change.address, change.live, change.record
        if change.action is Action.DELETE or change.desired is None:
            return Order(address, {}, self._situation.name, live=live, record=record, allow_data_loss=consented_to_loss(address, self._limits))
        fields = self._settled(change)
        self._fields[address] = fields
        if live is not None and change.action is not Action.REPLACE:
            fields = merged(fields, change.fields, live, self._situation.rules(address))
        for path, value in leaves(fields, self._situation.rules(address).whole):
            if isinstance(value, Hidden) and (live is None or change.action is Action.REPLACE):
                raise Rejected(f"{'.'.join(path)} cannot be written: {value.why}")
        return Order(address, fields, self._situation.name, tuple(f.path for f in change.fields), change.desired, live, record)

    def known(self, change: Change) -> Change:
        """The change with what it refers to as it is now: what was pending when it was planned, and is no secret, belongs into its record."""
        if change.desired is None or not any(isinstance(value, Pending) for _, value in leaves(change.desired.fields, frozenset())):
            return change
        fields = settle(self._situation.desired[change.address].fields, self.after)
        return replace(change, desired=replace(change.desired, fields=fields))

    def keep(self, change: Change, made: Made | None) -> None:
        """Remember what a call put out, before its record is written."""
        if made is not None:
            self._made[change.address] = made.outputs

    def applied(self, change: Change) -> None:
        """It is written: what it put out, and what it was set to, is there for those that refer to it."""
        written = {
            k: v if isinstance(v, Secret) else Secret(v) for k, v in self._fields.get(change.address, {}).items() if isinstance(v, str | Secret)
        }
        self._outputs[change.address] = written | dict(self._made.get(change.address, {}))

    def secrets(self) -> Iterator[Secret]:
        """Every secret that this run has met so far."""
        live = self._situation.live.values()
        of_desired, of_live, outputs = (d.fields for d in self._situation.desired.values()), (o.fields for o in live), (o.outputs for o in live)
        for fields in (*of_desired, *of_live, *outputs, *self._fields.values(), *self._made.values()):
            yield from _secrets_in(fields)

    def _settled(self, change: Change) -> dict[str, Value]:
        source = self._situation.desired[change.address].fields
        fresh = change.live is None or change.action is Action.REPLACE
        return {k: _generated(v) if fresh and isinstance(v, Generate) else v for k, v in settle(source, self.after).items()}

    def after(self, reference: Reference) -> Value:
        """What a reference means now, with what applied changes have put out."""
        address, attribute = reference.address, reference.attribute
        if attribute in self._outputs.get(address, {}):
            return self._outputs[address][attribute]
        live = self._situation.live.get(address)
        desired = self._situation.desired.get(address)
        settled = look_up(settle(desired.fields, self.after) if desired else {}, (attribute,))
        value = value_after(settled, live.outputs if live else {}, attribute)
        return Hidden(f"{address} has told no {attribute}") if isinstance(value, Pending) else value


def _secrets_in(value: Value) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets_in(inner)


def _generated(generate: Generate) -> Secret:
    raw = secrets.token_bytes(generate.size_bytes)
    if generate.encoding == "hex":
        return Secret(raw.hex())
    return Secret((b64encode if generate.encoding == "base64" else urlsafe_b64encode)(raw).decode("ascii"))
