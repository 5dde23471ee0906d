"""What the decisions mean for one another: what is kept with what is retained, what is left where it is, what something else still needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.engine.situation import Situation
from reconciler.model.address import Address
from reconciler.model.change import Action, Change, Reason, Refusal
from reconciler.model.resource import Dependant


def retain_needs(changes: dict[Address, Change]) -> dict[Address, Change]:
    """What is retained keeps what it needs: that is forgotten with it, not deleted."""
    by_key = {c.record.key: a for a, c in changes.items() if c.record}
    waiting = [c for c in changes.values() if c.action is Action.FORGET and Reason.RETAINED in c.reasons]
    while waiting:
        retained = waiting.pop()
        for key in retained.record.needs if retained.record else ():
            need = changes.get(by_key.get(key, retained.address))
            if need is not None and need.action is Action.DELETE:
                kept = replace(
                    need, action=Action.FORGET, reasons=(Reason.REMOVED, Reason.RETAINED), warning=f"kept, because {retained.address} needs it"
                )
                changes[need.address] = kept
                waiting.append(kept)
    return changes


def forget_occupied(changes: dict[Address, Change]) -> dict[Address, Change]:
    """A container that would not be empty is forgotten instead of deleted."""
    deleted = {a for a, c in changes.items() if c.action is Action.DELETE}
    for address in sorted(deleted):
        change = changes[address]
        left = sorted(change.live.occupants - deleted) if change.live else []
        if left:
            why = f"not empty ({left[0]}{' and others' if len(left) > 1 else ''}), so it is left where it is"
            changes[address] = replace(change, action=Action.FORGET, reasons=(Reason.REMOVED, Reason.RETAINED), warning=why)
    return changes


def gone_along(changes: dict[Address, Change]) -> dict[Address, Change]:
    """What lies in something that is deleted is deleted by that, whatever it holds and whoever made it."""
    for address, change in changes.items():
        live = change.live
        container = changes.get(live.within) if live is not None and live.within is not None else None
        if live is not None and container is not None and container.action is Action.DELETE:
            changes[address] = replace(change, reasons=(Reason.REMOVED, Reason.ALONG), warning="", live=replace(live, dependants=(), hindrances=()))
    return changes


def without_settled_dependants(changes: dict[Address, Change]) -> dict[Address, Change]:
    """What would be lost with a deletion, or hinders it, once the other changes are made: a role's database may be gone, or another's, by then."""
    gone = {a for a, c in changes.items() if c.action is Action.DELETE}
    given_away = {a for a, c in changes.items() if any(f.path == ("owner",) for f in c.fields)}

    def left(dependants: tuple[Dependant, ...]) -> tuple[Dependant, ...]:
        return tuple(d for d in dependants if d.within not in gone and not (d.is_itself and d.within in given_away) and not d.whose & gone)

    for address in gone:
        live = changes[address].live
        if live is not None:
            changes[address] = replace(changes[address], live=replace(live, dependants=left(live.dependants), hindrances=left(live.hindrances)))
    return changes


def still_needed(changes: Mapping[Address, Change], situation: Situation) -> list[Refusal]:
    """Deletions of what something that stays still needs, judged as it will be after the plan."""
    return [
        Refusal("needed", need, f"would be deleted, but {address} still needs it", "declare it again, or stop using it")
        for address, desired in sorted(situation.desired.items())
        for need in sorted(desired.must_exist)
        if need in changes and changes[need].action is Action.DELETE
    ]
