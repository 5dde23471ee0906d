"""What a plan must not do without consent. It looks at the whole plan before anything runs (docs/design.md §5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reconciler.engine.advice import quoted
from reconciler.engine.situation import Situation
from reconciler.model.address import Address, matches
from reconciler.model.change import Action, Plan, Refusal
from reconciler.model.resource import Dependant

_UNLIMITED_BELOW = 10
_EVERYTHING_FROM = 5
"""Deleting everything owned is asked about from this many on: is this another manifest under the same name?"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The consents to losing things. ``max_deletes`` is ``"N"`` or ``"N%"`` of what is owned; globs are of addresses."""

    max_deletes: str = "30%"
    allow_delete: tuple[str, ...] = ()
    allow_data_loss: tuple[str, ...] = ()
    destroy: bool = False

    def limit(self, owned: int) -> int:
        """How many deletions are accepted. Raises ValueError for what is no number."""
        if self.max_deletes.endswith("%"):
            return int(self.max_deletes[:-1]) * owned // 100
        return int(self.max_deletes)


@dataclass(frozen=True, slots=True)
class Own:
    """What the run itself stands on: its token, that token's policies, its database roles. Touching them would cut the branch it sits on."""

    addresses: frozenset[Address] = frozenset()


def refusals(plan: Plan, situation: Situation, own: Own, limits: Limits) -> tuple[Refusal, ...]:
    """Every reason why ``plan`` must not be applied, beyond those that it has already."""
    return (
        *_other_systems(situation),
        *_protected(plan),
        *_own(plan, own),
        *_needed_elsewhere(plan, situation, limits),
        *_too_many(plan, situation, limits),
        *_hindered(plan),
        *_data_loss(plan, limits),
    )


def consented_to_loss(address: Address, limits: Limits) -> bool:
    """Whether losing what depends on a resource was agreed to."""
    return any(matches(glob, address) for glob in limits.allow_data_loss)


def _other_systems(situation: Situation) -> Iterator[Refusal]:
    by_identity: dict[str, list[Address]] = {}
    for record in situation.unknown_systems:
        by_identity.setdefault(record.system_identity, []).append(record.address)
    for identity, addresses in sorted(by_identity.items()):
        all_of_them = ", ".join(str(a) for a in sorted(addresses))
        many = f"{len(addresses)} owned resources ({all_of_them}) are" if len(addresses) > 1 else "an owned resource is"
        yield Refusal(
            "other system", min(addresses),
            f"{many} on the system {identity}, which this manifest no longer reaches: a server or host was re-pointed, or its section is gone",
            f"put the connection back and remove the entries first, or forget them: reconciler owned forget ADDRESS --name {situation.name}"
            f" (the same system with a new identity: reconciler owned transfer --system {identity}=NEW --name {situation.name})",
        )  # fmt: skip


def _protected(plan: Plan) -> Iterator[Refusal]:
    for change in plan.changes:
        protected = (change.record and change.record.protect) or (change.desired and change.desired.protect)
        if protected and change.action in (Action.DELETE, Action.REPLACE):
            yield Refusal(
                "protected", change.address, f"is protected and would be {change.action}d",
                f"if it may go: reconciler owned unprotect {quoted(change.address)} --name {plan.name}",
            )  # fmt: skip


def _own(plan: Plan, own: Own) -> Iterator[Refusal]:
    for change in plan.changes:
        written = change.action in (Action.DELETE, Action.REPLACE, Action.UPDATE) or (change.action is Action.ADOPT and change.fields)
        if change.address in own.addresses and written:
            yield Refusal(
                "own credentials", change.address, f"this run itself uses it, and would {change.action} it",
                "run with other credentials",
            )  # fmt: skip


def _needed_elsewhere(plan: Plan, situation: Situation, limits: Limits) -> Iterator[Refusal]:
    for change in plan.changes:
        user = situation.needed_elsewhere.get(change.record.key) if change.record else None
        named = any(matches(glob, change.address) for glob in limits.allow_delete)
        if user is not None and change.action is Action.DELETE and not named:
            yield Refusal(
                "needed elsewhere", change.address, f"would be deleted, but {user} needs it",
                f"let that go first, or if it may break: --allow-delete {quoted(change.address)}",
            )  # fmt: skip


def _too_many(plan: Plan, situation: Situation, limits: Limits) -> Iterator[Refusal]:
    owned = len(situation.owned())
    deleted = [c for c in plan.changes if c.action is Action.DELETE]
    unnamed = [c for c in deleted if not any(matches(glob, c.address) for glob in limits.allow_delete)]
    if limits.destroy or not unnamed:
        return
    if owned >= _EVERYTHING_FROM and len(deleted) == owned:
        yield Refusal(
            "deletes everything", None,
            f"this plan deletes everything that {plan.name!r} owns ({owned} resources), as if this were another manifest under the same name",
            "if it is, rename it; if not, use reconciler destroy, or --allow-delete '*'",
        )  # fmt: skip
    elif owned >= _UNLIMITED_BELOW and len(unnamed) > limits.limit(owned):
        yield Refusal(
            "deletion limit", None,
            f"this plan deletes {len(unnamed)} of {owned} owned resources, more than --max-deletes {limits.max_deletes} ({limits.limit(owned)})",
            "name what may go with --allow-delete GLOB, or raise --max-deletes",
        )  # fmt: skip


def _hindered(plan: Plan) -> Iterator[Refusal]:
    """What no consent can lose: the deletion would only fail, after others were made."""
    for change in plan.changes:
        hindrances = change.live.hindrances if change.live and change.action is Action.DELETE else ()
        for remedy in dict.fromkeys(h.remedy for h in hindrances):
            words = _words([h for h in hindrances if h.remedy == remedy])
            yield Refusal("hindered", change.address, f"cannot be deleted, because of {words}", remedy)


def _data_loss(plan: Plan, limits: Limits) -> Iterator[Refusal]:
    for change in plan.changes:
        if change.action is not Action.DELETE or consented_to_loss(change.address, limits):
            continue
        lost = change.live.dependants if change.live else ()
        if lost:
            yield Refusal(
                "data loss", change.address, f"deleting it would lose {_words(lost)}",
                f"if that is meant: --allow-data-loss {quoted(change.address)}",
            )  # fmt: skip


def _words(dependants: Sequence[Dependant]) -> str:
    return ", ".join(d.text for d in dependants[:5]) + (f" and {len(dependants) - 5} more" if len(dependants) > 5 else "")
