"""Notes: a kind that nobody needs, complete and as small as one can be. ``test_adding_a_kind.py`` puts it among the real ones.

A note is a KV entry under ``notes/``, so it is written in one transaction with its record. Read this beside CONTRIBUTING.md, "How to add a kind".
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from reconciler.model.address import Address
from reconciler.model.field_rules import FieldRules
from reconciler.model.kind import Operation, Order, Permission, TransactionalKind, Wanted
from reconciler.model.resource import CONSUL, Desired, Live, SystemType
from reconciler.systems.consul.client import Consul, KvPair
from reconciler.systems.consul.reader import ConsulReader


class Note:
    """``note/TITLE``. Its only field is ``text``, in which the case of letters means nothing."""

    name: ClassVar[str] = "note"
    system: ClassVar[SystemType] = "consul"
    covers: ClassVar[frozenset[str]] = frozenset({"notes"})
    rules: ClassVar[FieldRules] = FieldRules()
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """Titles are taken as they are."""
        return Address.of(self.name, *segments)

    def declare(self, manifest: Any) -> Iterator[Desired]:
        """The entries of ``notes``, in normal form: two texts that mean the same are equal in it."""
        for title, entry in manifest.manifest.notes.items():
            yield Desired(
                self.address(title), CONSUL, {"text": entry.text.lower()}, title, manifest.place("notes", title),
                on_removal=entry.on_removal, protect=entry.protect, adopt=entry.adopt,
            )  # fmt: skip

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterator[Permission]:
        """The key, to read or also to write."""
        yield Permission("key", _key(wanted.address), "read", wanted.address)
        if write:
            yield Permission("key", _key(wanted.address), "write", wanted.address)

    def read(self, system: ConsulReader, wanted: Sequence[Wanted]) -> list[Live]:
        """All at once. What is absent is not answered."""
        pairs = system.keys(_key(want.address) for want in wanted)
        return [_live(want.address, pairs[_key(want.address)]) for want in wanted if _key(want.address) in pairs]

    def create_operations(self, order: Order) -> list[Operation]:
        """Index 0: only when there is no such key."""
        return [_write(order, 0)]

    def update_operations(self, order: Order) -> list[Operation]:
        """Only when nobody has written the key since it was read."""
        assert order.live is not None
        return [_write(order, order.live.revision)]

    def delete_operations(self, live: Live) -> list[Operation]:
        """Only when nobody has written the key since it was read."""
        return [{"KV": {"Verb": "delete-cas", "Key": _key(live.address), "Index": live.revision}}]

    def hindrance(self, system: Consul, live: Live) -> str:
        """Nothing hinders."""
        return ""


def _key(address: Address) -> str:
    return f"notes/{address.segments[0]}"


def _live(address: Address, pair: KvPair) -> Live:
    # "@": it shares the CreateIndex of its record, because both are written by one transaction
    return Live(address, {"text": pair.value.decode().lower()}, incarnation="@", created_index=pair.create_index, revision=pair.modify_index)


def _write(order: Order, index: int) -> Operation:
    value = base64.b64encode(order.fields["text"].encode()).decode()
    return {"KV": {"Verb": "cas", "Key": _key(order.address), "Value": value, "Index": index}}


KIND: Final[TransactionalKind] = Note()
