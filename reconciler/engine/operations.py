"""What can be asked for: validate, plan, apply, destroy and drift. The command line is a skin over these functions.

The ownership records by hand are in :mod:`~reconciler.engine.custody` and :mod:`~reconciler.engine.handover`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Final

from reconciler.engine import apply as applying
from reconciler.engine.connections import Connections
from reconciler.engine.diff import drifted_fields
from reconciler.engine.guard import Limits, Own, refusals
from reconciler.engine.observe import Observation, declare, observe, unsupported
from reconciler.engine.order import in_order
from reconciler.engine.own import demand_rights, objections
from reconciler.engine.plan import Consents, make_plan
from reconciler.engine.preflight import with_findings
from reconciler.engine.schedule import Progress
from reconciler.engine.scope import WHOLE, Scope
from reconciler.engine.situation import Situation, is_ours
from reconciler.engine.staleness import differences, saved_changes
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.stored import literal_secrets, stored
from reconciler.model.address import Address
from reconciler.model.change import Action, Change, Plan, Reason
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import AccessDenied, Locked, ManifestError, ReconcilerError, Refused
from reconciler.model.outcome import NotConverged, Outcome, Status
from reconciler.model.record import Record, State
from reconciler.model.resource import Desired
from reconciler.ownership import records
from reconciler.ownership.lock import Lock, read_holder
from reconciler.ownership.plan_file import SavedPlan

__all__ = ["Connections", "NothingApplied", "Options", "Progress", "apply", "apply_saved", "drift", "plan", "savable", "save", "validate"]

_SAVED_OPTIONS: Final = frozenset({"adopt", "allow_delete", "allow_data_loss", "max_deletes", "targets", "excludes", "destroy"})


class NothingApplied(ReconcilerError):
    """There is no record under this name, so nothing can have drifted."""


@dataclass(frozen=True, slots=True)
class Options:
    """The consents and limits of one run, as on the command line. ``destroy``: as if every entry had been removed.

    ``wait_s``: how long to wait until what was started serves.
    """

    adopt: tuple[str, ...] = ()
    allow_delete: tuple[str, ...] = ()
    allow_data_loss: tuple[str, ...] = ()
    max_deletes: str = "30%"
    parallelism: int = 16
    lock_timeout_s: float = 0.0
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    destroy: bool = False
    wait_s: float = 0.0

    @property
    def scope(self) -> Scope:
        """What the run is about."""
        return Scope(self.targets, self.excludes)

    @property
    def limits(self) -> Limits:
        """The part that the guard looks at."""
        return Limits(self.max_deletes, self.allow_delete, self.allow_data_loss, self.destroy)


def validate(loaded: LoadedManifest) -> tuple[int, list[Diagnostic]]:
    """Check offline: how many resources the manifest wants, and what of it this version cannot apply yet. Raises ManifestError with every mistake."""
    desired = declare(loaded)
    in_order(desired)
    return len(desired), unsupported(loaded)


def plan(connections: Connections, options: Options, *, write: bool = False) -> Plan:
    """What applying would do, with every reason why it must not be done. ``write``: the token must also be allowed to do it."""
    return _plan(connections, options, options.scope, _desired(connections, options), write=write)[0]


def savable(loaded: LoadedManifest) -> None:
    """Raises ManifestError for every secret in the manifest's own text: a saved plan must not hold one."""
    literals = literal_secrets(loaded)
    if literals:
        raise ManifestError(literals)


def save(connections: Connections, options: Options, planned: Plan) -> SavedPlan:
    """A plan without refusals, for another day: what it was made from, and what it would do."""
    savable(connections.loaded)
    consents = {name: value for name, value in asdict(options).items() if name in _SAVED_OPTIONS}
    return SavedPlan(
        name=planned.name, options=consents, manifest=stored(connections.loaded), systems=planned.systems, changes=saved_changes(planned),
        unreadable=tuple(sorted({str(address) for address, _, _ in planned.unreadable})), made=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def apply(
    connections: Connections, options: Options, *,
    approve: Callable[[Plan], bool], progress: Callable[[Progress], None], stop: threading.Event,
) -> tuple[Plan, Outcome | None]:  # fmt: skip
    """Plan under the lock, ask ``approve``, and make it so.

    The outcome is None when nothing was tried: the plan is empty, has refusals, or was not approved. Raises Locked, LockLost (before anything
    was written) and whatever reading raises; the faults of single changes are in the outcome.
    """
    return _apply(connections, options, None, approve, progress, stop)


def apply_saved(
    connections: Connections, options: Options, saved: SavedPlan, *,
    approve: Callable[[Plan], bool], progress: Callable[[Progress], None], stop: threading.Event,
) -> tuple[Plan, Outcome | None]:  # fmt: skip
    """The same, but only if the plan is still the saved one: each difference is a refusal. Raises Refused on systems that it was not made for."""
    for system, identity in saved.systems:
        # before anything is written, the lock included
        now = connections.identity(system)
        if now != identity:
            raise Refused(f"this plan was made against another {system} ({identity}, and this is {now}): connect to that one, or make the plan anew")
    return _apply(connections, options, saved, approve, progress, stop)


def _apply(
    connections: Connections, options: Options, saved: SavedPlan | None,
    approve: Callable[[Plan], bool], progress: Callable[[Progress], None], stop: threading.Event,
) -> tuple[Plan, Outcome | None]:  # fmt: skip
    desired = _desired(connections, options)
    with ExitStack() as held:
        lock = _lock(connections, options, desired, stop, held)
        # what a target of a saved plan matched may have gone: that makes it stale
        planned, observation = _plan(connections, options, replace(options.scope, must_match=saved is None), desired, write=True)
        if saved is not None:
            planned = replace(planned, refusals=(*planned.refusals, *differences(saved, planned)))
        if planned.is_empty or planned.refusals or not approve(planned):
            return planned, None
        lock.demand()
        outcome = applying.run(
            planned, observation.situation, connections, lock, options.limits,
            run_id=uuid.uuid4().hex, parallelism=options.parallelism, wait_s=options.wait_s, progress=progress, stop=stop,
        )  # fmt: skip
        if not outcome.stopped:
            outcome = _verified(connections, options, desired, outcome)
        return planned, outcome


def drift(connections: Connections, scope: Scope = WHOLE) -> Plan:
    """What others changed since the last apply: live against the records alone, so that it needs no secrets and writes nothing.

    Its changes are creations (somebody deleted it), adoptions (somebody made it anew) and updates (fields differ). Raises NothingApplied when
    there is no record under this name, and Locked while an apply holds the lock: then nothing is as it was last applied.
    """
    name = connections.loaded.name
    observation = observe(connections, {}, write=False, only_recorded=True, scope=scope)
    situation = observation.situation
    holder = read_holder(connections.consul, name)
    if holder is not None and not holder.is_dead:
        raise Locked(f"{name} is being applied by {holder}: ask again when it is done")
    now = {p.key: p.modify_index for p in connections.consul.kv_tree(records.PREFIX).values() if records.header(p).owner == name}
    if any(now.get(r.key) != observation.record_indexes[r.key] for r in situation.owned().values()) or now.keys() - observation.record_indexes.keys():
        raise Locked(f"{name} was applied while this looked: ask again")
    mine = {a: r for a, r in situation.owned().items() if r.state is State.OWNED}
    if not mine and not situation.unknown_systems:
        raise NothingApplied(f"nothing has been applied under the name {name!r}: apply the manifest first, or correct its name")
    looked_at = {a: r for a, r in mine.items() if scope.selects(a)}
    changes = tuple(c for a, r in sorted(looked_at.items()) if (c := _drifted(a, r, situation)) is not None)
    return Plan(
        name, changes, refusals=refusals(Plan(name, ()), situation, Own(), Limits(destroy=True)),
        unchanged=len(looked_at) - len(changes), partial=scope.is_partial, systems=tuple(sorted(situation.systems.items())),
    )  # fmt: skip


def _desired(connections: Connections, options: Options) -> dict[Address, Desired]:
    if options.destroy:
        return {}
    missing = unsupported(connections.loaded)
    if missing:
        raise ManifestError(missing)
    return declare(connections.loaded)


def _plan(connections: Connections, options: Options, scope: Scope, desired: dict[Address, Desired], *, write: bool) -> tuple[Plan, Observation]:
    observation = observe(connections, desired, write=write, scope=scope)
    planned = with_findings(make_plan(observation.situation, Consents(options.adopt)), observation.situation)
    if write:
        demand_rights(connections, observation.situation, planned)
    more = refusals(planned, observation.situation, observation.own, options.limits)
    more += objections(connections, observation.situation, planned)
    return replace(planned, refusals=(*planned.refusals, *more)), observation


def _verified(connections: Connections, options: Options, desired: dict[Address, Desired], outcome: Outcome) -> Outcome:
    """Read again what was written; what a new plan would still change did not converge."""
    try:
        again, _ = _plan(connections, options, replace(options.scope, must_match=False), desired, write=False)
    except ReconcilerError as fault:
        return replace(outcome, stopped=f"what was applied could not be read again: {fault}")
    applied = {r.change.address: r.change for r in outcome.results if r.status is Status.APPLIED}
    left = [NotConverged(applied[c.address], c.fields) for c in again.changes if c.address in applied]
    left += [NotConverged(applied[r.address], r.fields) for r in again.refusals if r.address in applied and r.fields]
    return replace(outcome, not_converged=tuple(left))


def _drifted(address: Address, record: Record, situation: Situation) -> Change | None:
    live = situation.live.get(address)
    if live is None:
        return Change(address, Action.CREATE, record.system, (Reason.DRIFTED,), record=record)
    if not is_ours(record, live):
        return Change(address, Action.ADOPT, record.system, (Reason.RECREATED, Reason.DRIFTED), record=record, live=live)
    fields = drifted_fields(record, live, situation.rules(address))
    return Change(address, Action.UPDATE, record.system, (Reason.DRIFTED,), fields, record=record, live=live) if fields else None


def _lock(connections: Connections, options: Options, desired: dict[Address, Desired], stop: threading.Event, held: ExitStack) -> Lock:
    connections.demand_consul()  # before anything is written: is it Consul at all, and one that is known
    try:
        operation = "destroy" if options.destroy else "apply"
        return held.enter_context(Lock(connections.consul, connections.loaded.name, operation, options.lock_timeout_s, stop))
    except AccessDenied:
        # It may not even lock: say everything that it lacks at once, and not one right a run.
        observe(connections, desired, write=True, scope=options.scope)
        raise
