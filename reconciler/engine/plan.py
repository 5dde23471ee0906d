"""The decision table: for each address that is desired or owned, what applying would do, and why (docs/design.md §5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.engine import advice
from reconciler.engine.consequences import forget_occupied, gone_along, retain_needs, still_needed, without_settled_dependants
from reconciler.engine.diff import Differences, compare, matches_claim, recordable, secret_rewritten
from reconciler.engine.order import edges_of, in_order, needs_of
from reconciler.engine.relabelling import earlier_record, label_now
from reconciler.engine.scope import users_of, within
from reconciler.engine.settle import settle, value_after
from reconciler.engine.situation import Situation, incarnation, is_ours
from reconciler.engine.standing import standing
from reconciler.model.address import Address, matches
from reconciler.model.change import Action, Change, FieldChange, Plan, Reason, Refusal
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError
from reconciler.model.record import Record, State, removal_of
from reconciler.model.resource import Desired, Live, OnRemoval, System
from reconciler.model.secret import Reference
from reconciler.model.value import Path, Value, look_up

Decision = Change | Refusal | None


@dataclass(frozen=True, slots=True)
class Consents:
    """What the person at the terminal agreed to: globs of addresses."""

    adopt: tuple[str, ...] = ()


def make_plan(situation: Situation, consents: Consents) -> Plan:
    """The plan, sorted by address. Raises ManifestError for what the manifest refers to and is neither declared nor live."""
    missing = list(_missing(situation))
    if missing:
        raise ManifestError(missing)
    planner = _Planner(situation, consents)
    for address in in_order(situation.desired):
        if situation.is_reached(address):
            planner.decide_desired(address)
    for address, record in sorted(situation.owned().items()):
        if address not in situation.desired and situation.is_reached(address):
            planner.decide_removed(address, record)
    return planner.plan()


class _Planner:
    """One pass over the addresses, needs first, so that what a reference means is known when it is met."""

    def __init__(self, situation: Situation, consents: Consents) -> None:
        self.situation = situation
        self.consents = consents
        self.decisions: dict[Address, Decision] = {}
        self.settled: dict[Address, Mapping[str, Value]] = {}
        self.unreadable: list[tuple[Address, Path, str]] = []

    def decide_desired(self, address: Address) -> None:
        desired = self.situation.desired[address]
        record, live = self.situation.records.get(address), self.situation.live.get(address)
        self.settled[address] = settle(desired.fields, self._after)
        desired = replace(desired, fields=self.settled[address])
        before = earlier_record(address, live, self.situation) if record is None else None
        record = before if isinstance(before, Record) else record
        if isinstance(before, Refusal):
            self.decisions[address] = before
        elif record is not None and record.owner != self.situation.name:
            self.decisions[address] = _owned_by_another(address, record, self.situation)
        elif live is None:
            self.decisions[address] = _create(desired, record)
        elif live.foreign:
            self.decisions[address] = Refusal("conflict", address, live.foreign, live.remedy)
        elif record is None or not self._is_ours(record, live):
            self.decisions[address] = self._found(desired, record, live)
        else:
            self.decisions[address] = self._keep(desired, record, live)

    def decide_removed(self, address: Address, record: Record) -> None:
        live = self.situation.live.get(address)
        change = Change(address, Action.FORGET, self._system(address), record=record, live=live, deletes_superseded=record.superseded)
        reasons: tuple[Reason, ...] = (Reason.REMOVED,)
        warning = ""
        if live is None:
            reasons = (Reason.REMOVED, Reason.GONE)
        elif live.foreign:
            reasons, warning = (Reason.RECREATED,), f"{live.foreign}, so it is left alone"
        elif not self._is_ours(record, live):
            reasons, warning = (Reason.RECREATED,), "it was made anew by somebody else, so it is left alone"
        elif (now := label_now(address, record, self.situation)) is not None:
            change, warning = replace(change, deletes_superseded=()), f"it is {now} from now on, and stays"
        elif record.removal is OnRemoval.RETAIN:
            reasons = (Reason.REMOVED, Reason.RETAINED)
        else:
            change, warning = replace(change, action=Action.DELETE), live.notice
        self.decisions[address] = replace(change, reasons=reasons, warning=warning)

    def plan(self) -> Plan:
        changes = {a: d for a, d in self.decisions.items() if isinstance(d, Change)}
        changes = forget_occupied(retain_needs(changes))
        refused = {a: d for a, d in self.decisions.items() if isinstance(d, Refusal)}
        scope = self.situation.scope
        changes, refusals = self._part(changes, refused)
        edges = edges_of(changes, self.situation)  # before what other deletions take along is left out
        changes = without_settled_dependants(changes)
        refusals += still_needed(changes, self.situation)
        ordered = tuple(replace(changes[a], waits_for=edges[a]) for a in sorted(changes))
        return Plan(
            name=self.situation.name,
            changes=ordered,
            refusals=tuple(sorted(refusals, key=lambda r: str(r.address))),
            warnings=tuple(f"{c.address}: {c.warning}" for c in ordered if c.warning),
            unreadable=tuple(sorted(self.unreadable)),
            unchanged=sum(d is None for a, d in self.decisions.items() if scope.selects(a)),
            partial=scope.is_partial,
            systems=tuple(sorted(self.situation.systems.items())),
        )

    def _part(self, everything: dict[Address, Change], refused: dict[Address, Refusal]) -> tuple[dict[Address, Change], list[Refusal]]:
        """The changes that are asked for, with what has to change or to stand aside for them, and what must not be done."""
        brings = needs_of(everything, self.situation)
        settled = {a: replace(self.situation.desired[a], fields=fields) for a, fields in self.settled.items()}
        users = users_of((a for a, c in everything.items() if c.action is Action.REPLACE or c.deletes_superseded), self.situation.desired)
        while True:
            changes, left, excluded = within(self.situation.scope, everything, refused, brings, users)
            changes = gone_along(changes)
            judged = standing(changes, everything, self.situation, settled, edges_of(changes, self.situation))
            more = {a: brings[a] | b for a, b in judged.brings.items() if not b <= brings[a]}
            if not more:
                return {**changes, **judged.aside}, [*left.values(), *excluded, *judged.refusals]
            brings = {**brings, **more}

    def _after(self, reference: Reference) -> Value:
        address = reference.address
        decision = self.decisions.get(address)
        fresh = isinstance(decision, Change) and (
            decision.action in (Action.CREATE, Action.REPLACE)
            or (bool(decision.fields) and reference.attribute in self.situation.rules(address).renews)
        )
        live = self.situation.live.get(address)
        outputs = None if fresh or live is None else live.outputs
        return value_after(look_up(self.settled.get(address, {}), (reference.attribute,)), outputs, reference.attribute)

    def _is_ours(self, record: Record, live: Live) -> bool:
        if record.state is State.CLAIMING:
            return matches_claim(record, live, self.situation.rules(live.address))
        return is_ours(record, live)

    def _system(self, address: Address) -> System | None:
        kind = self.situation.kinds[address.kind]
        return System("consul") if kind.system == "consul" else System(kind.system, address.segments[0])

    def _compare(self, desired: Desired, record: Record | None, live: Live) -> Differences:
        differences = compare(desired.fields, record, live, self.situation.rules(desired.address))
        self.unreadable.extend((desired.address, path, why) for path, why in differences.unreadable)
        return differences

    def _found(self, desired: Desired, record: Record | None, live: Live) -> Decision:
        """It exists, and we did not make it."""
        differences = self._compare(desired, None, live)
        blocked = _immutable(desired, differences.fields, self.situation)
        consented = desired.adopt or any(matches(glob, desired.address) for glob in self.consents.adopt)
        claimed = record is not None and record.state is State.CLAIMING
        if (differences.fields and blocked) or ((differences.fields or claimed) and not consented):
            return _conflict(desired, record, differences.fields, blocked, self.situation)
        reasons = (Reason.ADOPTED,) if record is None else (Reason.ADOPTED, Reason.RECREATED, Reason.DRIFTED)
        return Change(
            desired.address, Action.ADOPT, desired.system, reasons, differences.fields, desired, live, record,
            unreadable=differences.unreadable, removal=desired.on_removal or OnRemoval.RETAIN,
            deletes_superseded=record.superseded if record else (),
        )  # fmt: skip

    def _keep(self, desired: Desired, record: Record, live: Live) -> Decision:
        """It exists, and it is ours."""
        differences = self._compare(desired, record, live)
        fields = differences.fields
        unfinished = record.state is State.CLAIMING or bool(record.superseded)
        reasons = _reasons(fields, unfinished=unfinished)
        removal = removal_of(desired.on_removal, record.origin)
        change = Change(
            desired.address, Action.UPDATE, desired.system, reasons, fields, desired, live, record,
            unreadable=differences.unreadable, removal=removal, deletes_superseded=record.superseded,
        )  # fmt: skip
        immutable = _immutable(desired, fields, self.situation)
        if immutable and not self.situation.kinds[desired.address.kind].replaces:
            return _requires_replacement(desired, immutable)
        if immutable:
            # the live one's incarnation, not the record's: a claim has none
            return replace(change, action=Action.REPLACE, deletes_superseded=(*record.superseded, *filter(None, [incarnation(live)])))
        if fields:
            return change
        rewritten = secret_rewritten(record, live, self.situation.rules(desired.address))
        if unfinished or rewritten or not _record_is_current(desired, record, self.situation):
            return replace(change, action=Action.RECORD, reasons=reasons or (Reason.DRIFTED if rewritten else Reason.MANIFEST,))
        return None


def _create(desired: Desired, record: Record | None) -> Change:
    reason = Reason.NEW if record is None else Reason.UNFINISHED if record.state is State.CLAIMING else Reason.DRIFTED
    return Change(
        desired.address, Action.CREATE, desired.system, (reason,), desired=desired, record=record,
        removal=desired.on_removal or OnRemoval.DELETE, deletes_superseded=record.superseded if record else (),
    )  # fmt: skip


def _reasons(fields: tuple[FieldChange, ...], *, unfinished: bool) -> tuple[Reason, ...]:
    reasons = []
    if any(f.manifest for f in fields):
        reasons.append(Reason.MANIFEST)
    if any(f.drifted for f in fields):
        reasons.append(Reason.DRIFTED)
    if unfinished:
        reasons.append(Reason.UNFINISHED)
    return tuple(reasons)


def _record_is_current(desired: Desired, record: Record, situation: Situation) -> bool:
    needs = tuple(sorted(situation.keys[a] for a in desired.needs if a in situation.keys))
    return (
        dict(record.specification) == recordable(desired.fields)
        and (record.on_removal, record.protect, record.label, record.needs) == (desired.on_removal, desired.protect, desired.label, needs)
    )  # fmt: skip


def _immutable(desired: Desired, fields: Iterable[FieldChange], situation: Situation) -> tuple[FieldChange, ...]:
    return tuple(f for f in fields if f.path[0] in situation.rules(desired.address).immutable)


def _names(fields: Iterable[FieldChange]) -> str:
    return ", ".join(dict.fromkeys(".".join(f.path) for f in fields))


def _owned_by_another(address: Address, record: Record, situation: Situation) -> Refusal:
    return Refusal("conflict", address, f"belongs to the manifest {record.owner!r}", advice.to_transfer(address, record.owner, situation.files))


def _requires_replacement(desired: Desired, fields: tuple[FieldChange, ...]) -> Refusal:
    return Refusal(
        "requires replacement", desired.address, f"{_names(fields)} cannot be changed after creation, so this requires replacement",
        "put the old value back, or create it under another name and move what is in it", fields,
    )  # fmt: skip


def _conflict(
    desired: Desired, record: Record | None, fields: tuple[FieldChange, ...], immutable: tuple[FieldChange, ...], situation: Situation
) -> Refusal:
    how = "was made anew by somebody else" if record else "exists and was not made by this manifest"
    what = f"{how}; it differs in {_names(fields)}" if fields else f"{how}, and is not what an earlier run was about to make"
    if immutable:
        return Refusal(
            "conflict", desired.address, f"{what}, of which {_names(immutable)} cannot be changed", "make the manifest agree with it", fields
        )
    return Refusal("conflict", desired.address, what, advice.to_adopt(desired.address, situation.files), fields)


def _missing(situation: Situation) -> Iterable[Diagnostic]:
    """References to what is neither declared nor live."""
    for address, desired in sorted(situation.desired.items()):
        for need in sorted(desired.must_exist) if situation.is_reached(address) else ():
            if need not in situation.desired and need not in situation.live:
                yield Diagnostic(desired.place, str(address), f"{need} is not declared and does not exist", "declare it, or correct the name")
