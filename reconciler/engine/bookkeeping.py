"""The ownership records that a change writes, before and after; values only (docs/design.md §6: claim before create, release after delete)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from reconciler.engine.diff import recordable
from reconciler.engine.situation import Situation, incarnation
from reconciler.model.address import Address
from reconciler.model.change import Action, Change
from reconciler.model.kind import Made
from reconciler.model.record import Origin, Record, State
from reconciler.model.secret import Reference
from reconciler.model.value import ABSENT, JSON, all_of, leaves, look_up, put


@dataclass(frozen=True, slots=True)
class Bookkeeping:
    """Makes the records of one run, which all carry its ``run`` id. ``stored`` tells the record of a resource as it is now."""

    situation: Situation
    run: str
    stored: Callable[[Address], Record | None] = lambda _: None

    def claim(self, change: Change, witness: JSON = None) -> Record:
        """Before creating: what is about to be made. A replacement also notes what it will leave behind."""
        return replace(
            self._record(change, change.deletes_superseded), state=State.CLAIMING, origin=Origin.CREATED, incarnation=None, witness=witness
        )

    def taking_over(self, change: Change) -> Record:
        """Before adopting and updating: ours, with what was live of the fields that are set, so that an interrupted run shows what it still owes."""
        record = self.adopted(change)
        specification = dict(record.specification)
        assert change.live is not None
        for path, _ in leaves(record.specification, self.situation.rules(change.address).whole):
            have = look_up(change.live.fields, path)
            specification = put(specification, path, have if have is ABSENT else recordable({"": have})[""])
        return replace(record, specification=specification, holds={})

    def adopted(self, change: Change) -> Record:
        """What exists and is now ours."""
        assert change.live is not None
        record = self._record(change, change.deletes_superseded)
        held = {} if change.unreadable else self._held(change)
        return replace(record, origin=Origin.ADOPTED, incarnation=incarnation(change.live), witness=change.live.witness, holds=held)

    def made(self, change: Change, made: Made) -> Record:
        """After creating, replacing or updating."""
        fresh = change.action in (Action.CREATE, Action.REPLACE)
        before = change.record
        origin = Origin.CREATED if fresh or before is None else before.origin
        if change.action is Action.ADOPT:
            origin = Origin.ADOPTED
        left = tuple(s for s in change.deletes_superseded if s != made.incarnation)
        held = self._held(change)
        return replace(self._record(change, left), origin=origin, incarnation=made.incarnation, witness=made.witness, holds=held)

    def confirmed(self, change: Change) -> Record:
        """Nothing was written to the resource: only what we remember of it changes."""
        assert change.live is not None and change.record is not None
        known = change.record.incarnation if change.record.state is State.OWNED else incarnation(change.live)
        record = self._record(change, change.deletes_superseded)
        held = change.record.holds if change.unreadable else self._held(change)
        return replace(record, origin=change.record.origin, incarnation=known, witness=change.live.witness, holds=held)

    def without_superseded(self, change: Change, record: Record) -> Record:
        """After what replacements left behind has been deleted."""
        return replace(record, superseded=(), needs=self._needs(change, ()), run=self.run)

    def _held(self, change: Change) -> dict[str, str]:
        """Of what is replaced by making another, and whose secret is in it now, which it is."""
        fields = self.situation.desired[change.address].fields
        whose = {r.address for r in all_of(fields, Reference) if self.situation.kinds[r.address.kind].replaces and r.address in self.situation.keys}
        now = [record for address in sorted(whose) if (record := self.stored(address)) is not None]
        return {record.key: record.incarnation for record in now if record.incarnation}

    def _needs(self, change: Change, superseded: tuple[str, ...]) -> tuple[str, ...]:
        """The keys of what it needs; as long as a replacement has left something behind, of what that needs as well."""
        assert change.desired is not None
        now = {self.situation.keys[a] for a in change.desired.needs if a in self.situation.keys}
        return tuple(sorted(now.union(change.record.needs if superseded and change.record else ())))

    def _record(self, change: Change, superseded: tuple[str, ...]) -> Record:
        desired = change.desired
        assert desired is not None
        system_identity = self.situation.systems[desired.system]
        return Record(
            key=self.situation.keys[change.address],
            address=change.address,
            system=desired.system,
            system_identity=system_identity,
            owner=self.situation.name,
            label=desired.label,
            state=State.OWNED,
            origin=Origin.CREATED,
            incarnation=None,
            specification=recordable(desired.fields),
            witness=None,
            on_removal=desired.on_removal,
            protect=desired.protect,
            needs=self._needs(change, superseded),
            superseded=superseded,
            run=self.run,
            written=datetime.now(UTC).isoformat(timespec="seconds"),
        )
