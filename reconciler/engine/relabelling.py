"""One resource under two labels: its address is only what a manifest calls it, its incarnation says which it is (a token with an accessor)."""

from __future__ import annotations

from reconciler.engine.situation import Situation, incarnation
from reconciler.model.address import Address
from reconciler.model.change import Refusal
from reconciler.model.record import Record, State
from reconciler.model.resource import Live


def earlier_record(address: Address, live: Live | None, situation: Situation) -> Record | Refusal | None:
    """The record of what is live under ``address`` where it has none of its own: under the label that it had before.

    A refusal when it is declared under that one too, or belongs to another manifest.
    """
    if live is None or not live.has_labels or (now := incarnation(live)) is None:
        return None
    for other, record in sorted(situation.owned().items()):
        if other.kind == address.kind and record.state is State.OWNED and record.incarnation == now:
            if other in situation.desired:
                return Refusal("conflict", address, f"is {other}, which is declared too", "remove one of the two entries")
            return record
    elsewhere = situation.incarnations_elsewhere.get((address.kind, now))
    if elsewhere is None:
        return None
    called, owner = elsewhere
    return Refusal(
        "conflict", address, f"belongs to the manifest {owner!r}, where it is {called}",
        "remove it from one of the two, or give it the same label here and transfer it",
    )  # fmt: skip


def label_now(address: Address, record: Record, situation: Situation) -> Address | None:
    """The address under which the manifest declares now what it once called ``address``."""
    for other in sorted(situation.desired):
        live = situation.live.get(other)
        if other.kind == address.kind and live is not None and live.has_labels and incarnation(live) == record.incarnation:
            return other
    return None
