"""A plan, and the report of ``drift``, as text to be read: sorted, stable, complete without colour, no blank at the end of a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from reconciler.model.address import Address
from reconciler.model.change import Action, Change, FieldChange, Plan, Reason
from reconciler.model.value import Path
from reconciler.report.changes import change_lines, indented, refusal_lines
from reconciler.report.characters import visible
from reconciler.report.differences import field_lines
from reconciler.report.ending import drift_line, plan_line
from reconciler.report.paint import PLAIN, Colour, Paint
from reconciler.report.values import dotted

PARTIAL: Final = "This plan is partial: resources were left out on request."


def plan_text(plan: Plan, paint: Paint = PLAIN, *, destroy: bool = False, apart: bool = False) -> str:
    """The whole plan, its refusals at the end, :func:`~reconciler.report.ending.plan_line` last. Warnings are not in it.

    ``apart``: for a terminal, where what to type stands on a line of its own.
    """
    parts = [change_lines(change, paint) for change in sorted(plan.changes, key=lambda c: c.address)]
    said = {(change.address, path) for change in plan.changes for path, _ in change.unreadable}
    parts += [_unreadable(plan, said, paint), _refusals(plan, paint, apart=apart), [PARTIAL] if plan.partial else []]
    return _joined([*parts, [paint(plan_line(plan, destroy=destroy), Colour.HEADING)]])


def drift_text(plan: Plan, paint: Paint = PLAIN) -> str:
    """What somebody else did since the last apply: ``what was applied → what is live``, the other way round than in a plan."""
    changes = sorted(plan.changes, key=lambda c: c.address)
    parts = [drift_lines(change, paint) for change in changes]
    parts += [_unreadable(plan, set(), paint), _refusals(plan, paint), [PARTIAL] if plan.partial else []]
    heading = [[paint(f"Since {visible(plan.name)} was last applied (applied → live):", Colour.HEADING)]] if changes else []
    return _joined([*heading, *parts, [paint(drift_line(plan), Colour.HEADING)]])


def warning_lines(warnings: Iterable[object]) -> list[str]:
    """Warnings, of a plan or a manifest, as lines for standard error."""
    return [f"warning: {visible(str(warning))}" for warning in warnings]


def _joined(parts: list[list[str]]) -> str:
    """Paragraphs, with an empty line around those of more than one line."""
    lines: list[str] = []
    last = len(parts) - 1
    for number, part in enumerate(parts):
        apart = len(part) > 1 or number == last or not part or not _is_single(parts, number - 1)
        if lines and part and apart:
            lines.append("")
        lines += part
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _is_single(parts: list[list[str]], number: int) -> bool:
    while number > 0 and not parts[number]:
        number -= 1
    return len(parts[number]) == 1


def _unreadable(plan: Plan, said: set[tuple[Address, Path]], paint: Paint) -> list[str]:
    unsaid = sorted(note for note in plan.unreadable if note[:2] not in said)
    notes = [f"{visible(str(address))}: {dotted(path)}: {visible(why)}" for address, path, why in unsaid]
    return [paint("Cannot compare:", Colour.HEADING), *indented(notes)] if notes else []


def _refusals(plan: Plan, paint: Paint, *, apart: bool = False) -> list[str]:
    lines = [line for refusal in plan.refusals for line in refusal_lines(refusal, paint, apart=apart)]
    return [paint("Refused:", Colour.HEADING), *indented(lines)] if lines else []


def drift_lines(change: Change, paint: Paint) -> list[str]:
    """One resource that drifted: what was done to it, and its fields."""
    symbol, colour, what = drifted_how(change)
    lines = [line for field in change.fields for line in field_lines(_turned(field), paint)]
    return [f"{paint(symbol, colour)} {paint(visible(str(change.address)), Colour.HEADING)} ({what})", *indented(lines)]


def drifted_how(change: Change) -> tuple[str, Colour, str]:
    """What somebody did to a resource: a symbol, its colour, and words."""
    if Reason.RECREATED in change.reasons:
        return "-/+", Colour.REMOVED, str(Reason.RECREATED)
    if change.action is Action.CREATE:
        return "-", Colour.REMOVED, "deleted by somebody else"
    return "~", Colour.CHANGED, "changed by somebody else"


def _turned(field: FieldChange) -> FieldChange:
    return replace(field, before=field.after, after=field.before, parts=tuple(_turned(part) for part in field.parts))
