"""Whether a plan is still the one that was saved: the same addresses, actions and changed fields (docs/design.md §8)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

from reconciler.model.change import Action, Change, FieldChange, Plan, Refusal
from reconciler.model.value import ABSENT, JSON, Digest, Semantic, Value
from reconciler.ownership.plan_file import SavedChange, SavedField, SavedPlan

_REMEDY = "look at this plan, and save it anew if it is right"


def saved_changes(plan: Plan) -> tuple[SavedChange, ...]:
    """What a plan would do, without what is volatile, such as the size of a table, and without secrets."""
    return tuple(_saved(change) for change in plan.changes)


def differences(saved: SavedPlan, plan: Plan) -> list[Refusal]:
    """What ``plan`` would do and the saved one would not, or the other way round; the plan is stale when there is any.

    What could not be compared and turns out to be unchanged is no difference, also when its record is written anew because of that.
    """
    before = {change.address: change for change in saved.changes}
    now = {str(change.address): change for change in plan.changes}
    return [
        Refusal("stale", change.address, what, _REMEDY)
        for address, change in now.items()
        if (what := _difference(before.get(address), change, unreadable=address in saved.unreadable))
    ] + [
        Refusal("stale", None, f"{address} was to be changed ({old.action}) when this plan was saved, and needs nothing now", _REMEDY)
        for address, old in before.items()
        if address not in now
    ]


def _difference(old: SavedChange | None, change: Change, *, unreadable: bool) -> str:
    new = _saved(change)
    if old == new:
        return ""
    if old is None:
        return "" if unreadable and change.action is Action.RECORD else f"is to be changed ({new.action}), but was not when this plan was saved"
    if old.action != new.action:
        return f"was to be changed otherwise when this plan was saved: {old.action}, now {new.action}"
    if old.supersedes != new.supersedes:
        return "would delete another one that it supersedes than when this plan was saved"
    fields = {f.path: f for f in old.fields}, {f.path: f for f in new.fields}
    names = sorted({".".join(path) for path in {*fields[0], *fields[1]} if fields[0].get(path) != fields[1].get(path)})
    return f"has changed since this plan was saved, in {', '.join(names)}"


def _saved(change: Change) -> SavedChange:
    fields = change.fields
    if change.action is Action.CREATE and change.desired is not None:
        fields = tuple(FieldChange((key,), ABSENT, value) for key, value in sorted(change.desired.fields.items()))
    if change.action is Action.DELETE and change.live is not None:
        fields = tuple(FieldChange((key,), value, ABSENT) for key, value in sorted(change.live.fields.items()))
    return SavedChange(str(change.address), change.action.value, tuple(map(_field, fields)), change.deletes_superseded)


def _field(field: FieldChange) -> SavedField:
    before, after = (list(_sides(side)) for side in (field.before, field.after))
    if before and after:
        return SavedField(field.path, before[0], after[0])
    return SavedField(field.path, {"secret": True}, {"secret": True})


def _sides(value: Value) -> Iterator[JSON]:
    """The value as JSON; nothing when it is a secret, or has one in it, or is of a type that is not known here."""
    if value is ABSENT:
        yield {"absent": True}
    elif isinstance(value, Digest):
        yield {"sha256": value.sha256}
    else:
        # Only what is JSON can be written as JSON: a secret at any depth raises TypeError.
        with suppress(TypeError):
            yield {"value": json.loads(json.dumps(value.normal if isinstance(value, Semantic) else value))}
