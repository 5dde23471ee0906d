"""Consul KV entries."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from reconciler.kinds.consul._order import planned
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import KvEntry
from reconciler.manifest.sensitive import is_sensitive_key
from reconciler.model.address import Address
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found, Needed, variable
from reconciler.model.kind import Operation, Order, Permission, TransactionalKind, Wanted
from reconciler.model.resource import CONSUL, Desired, Live, SystemType
from reconciler.model.secret import Generate, Reference, Secret, SecretSource
from reconciler.model.value import Digest, Value, is_secret
from reconciler.systems.consul.client import Consul, KvPair
from reconciler.systems.consul.reader import ConsulReader

_OURS: Final = "reconciler/"
_LOCK_FLAGS: Final = frozenset({0x2DDCCBC058A50C18, 0xE0F69A2BAA414DE0})
"""What ``consul lock`` and Consul's Go library write as flags of their locks and semaphores."""


class Kv:
    """``kv/KEY``. Fields: ``value``, a :class:`~reconciler.model.secret.Secret` when it is masked, and ``flags``.

    A value that is no UTF-8 is held with surrogate escapes, so that it can be compared and is never damaged.
    """

    name: ClassVar[str] = "kv"
    system: ClassVar[SystemType] = "consul"
    covers: ClassVar[frozenset[str]] = frozenset({"kv"})
    rules: ClassVar[FieldRules] = FieldRules()
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """Keys are taken as they are."""
        return Address.of(self.name, *segments)

    def declare(self, manifest: LoadedManifest) -> Iterator[Desired]:
        """The entries of ``kv``."""
        for key, entry in manifest.manifest.kv.items():
            needs = frozenset({entry.value.address} if isinstance(entry.value, Reference) else ())
            yield Desired(
                self.address(key),
                CONSUL,
                _declared(key, entry),
                key,
                manifest.place("kv", key),
                needs=needs,
                must_exist=needs,
                on_removal=entry.on_removal,
                protect=entry.protect,
                adopt=entry.adopt,
            )

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterator[Permission]:
        """The key itself."""
        key = wanted.address.segments[0]
        yield Permission("key", key, "read", wanted.address)
        if write:
            yield Permission("key", key, "write", wanted.address)

    def read(self, system: ConsulReader, wanted: Sequence[Wanted]) -> list[Live]:
        """All keys at once, through transactions: a key in an URL would be cleaned of its ``..`` (docs/design.md §6)."""
        pairs = system.keys(want.address.segments[0] for want in wanted)
        return [_live(want, pairs[want.address.segments[0]]) for want in wanted if want.address.segments[0] in pairs]

    def create_operations(self, order: Order) -> list[Operation]:
        """Written if there is no such key."""
        return [_write(order, 0)]

    def update_operations(self, order: Order) -> list[Operation]:
        """Written if nobody has written the key since it was read. Flags that the manifest never set stay."""
        return [_write(order, planned(order).revision)]

    def delete_operations(self, live: Live) -> list[Operation]:
        """Removed if nobody has written the key since it was read."""
        return [{"KV": {"Verb": "delete-cas", "Key": live.address.segments[0], "Index": live.revision}}]

    def hindrance(self, system: Consul, live: Live) -> str:  # noqa: ARG002  # nodes look at them
        """Nothing hinders."""
        return ""

    def find(self, system: ConsulReader) -> list[Live]:
        """Every key but this tool's own, and what is a lock or a semaphore."""
        pairs = (pair for key, pair in system.all_keys().items() if not key.startswith(_OURS) and not _is_lock(pair))
        return [_live(Wanted(self.address(pair.key), ""), pair) for pair in pairs]

    def express(self, live: Live, found: Found) -> Expression:
        """Its value, or an environment variable where that is a secret by the key's name or by what else is known of it."""
        key, text = live.address.segments[0], live.outputs["value"].reveal()
        services = _services(key)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return Expression(services=services, why_not="its value is not text")
        record = found.records.get(live.address)
        generated = record.specification.get("value") if record is not None else None
        masked = bool(text) and (is_sensitive_key(key) or found.is_a_secret(live.address))
        if masked and "\0" in text:
            return Expression(services=services, why_not="its value is a secret with the character NUL, which no environment variable can hold")
        value: Any = Needed(variable("kv", key), f"the value of {live.address}") if masked else text
        if isinstance(generated, Generate):
            value = {"generate": {"bytes": generated.size_bytes, "encoding": generated.encoding}}
        flags = live.fields["flags"]
        if flags:
            return Expression(("kv",), key, {"value": value, "flags": flags}, services)
        return Expression(("kv",), key, value, services, short="value")


def _services(key: str) -> tuple[str, ...]:
    """What a key is about: ``files/db-name`` is about the service ``files``, and about ``files-db``, which has a place of its own in the mesh."""
    folder, _, rest = key.partition("/")
    word, dash, _ = rest.rpartition("/")[2].partition("-")
    return (folder, *([f"{folder}-{word}"] if dash and word else [])) if rest else ()


def _declared(key: str, entry: KvEntry) -> dict[str, Value]:
    value: Value = entry.value
    if isinstance(value, str) and entry.is_masked(key):
        value = Secret(str(value))
    elif isinstance(value, Reference | SecretSource):
        value = replace(value, masked=entry.is_masked(key))
    fields: dict[str, Value] = {"value": value}
    if entry.flags is not None:
        fields["flags"] = entry.flags
    return fields


def _live(want: Wanted, pair: KvPair) -> Live:
    text = pair.value.decode("utf-8", "surrogateescape")
    return Live(
        want.address,
        {"value": Secret(text) if _is_masked(want) else text, "flags": pair.flags},
        incarnation="@",
        created_index=pair.create_index,
        revision=pair.modify_index,
        witness=pair.modify_index,
        outputs={"value": Secret(text)},
    )


def _is_masked(want: Wanted) -> bool:
    """Whether the live value must not be shown: when the manifest or the record takes it for a secret; where neither knows it, by the key.

    When an entry turns from a secret into a literal, what is live until then is still the secret.
    """
    if want.desired is None and want.record is None:
        return is_sensitive_key(want.address.segments[0])
    wanted_secret = want.desired is not None and is_secret(want.desired.fields["value"])
    return wanted_secret or (want.record is not None and not isinstance(want.record.specification.get("value"), str | Digest))


def _is_lock(pair: KvPair) -> bool:
    return bool(pair.session) or pair.flags in _LOCK_FLAGS


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")


def _write(order: Order, index: int) -> Operation:
    value = order.fields["value"]
    encoded = Secret(_base64(value.reveal())) if isinstance(value, Secret) else _base64(str(value))
    return {"KV": {"Verb": "cas", "Key": order.address.segments[0], "Value": encoded, "Flags": order.fields.get("flags") or 0, "Index": index}}


KIND: Final[TransactionalKind] = Kv()
