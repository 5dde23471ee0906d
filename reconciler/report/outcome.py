"""What became of an apply, as text: what was applied, what failed and why, what was not attempted and why, what does not serve,
what did not converge.
"""

from __future__ import annotations

from typing import Final

from reconciler.model.change import Action, Change
from reconciler.model.outcome import ChangeOutcome, NotConverged, Outcome, Status
from reconciler.report.changes import COLOURS, INDENT, SYMBOLS, indented
from reconciler.report.characters import visible
from reconciler.report.differences import field_lines
from reconciler.report.ending import apply_line
from reconciler.report.paint import PLAIN, Colour, Paint

_NOTES: Final = {Action.RECORD: " (record only)", Action.ADOPT: " (adopted)", Action.FORGET: " (forgotten)"}

_UNDONE: Final = {
    Status.FAILED: "Failed:",
    Status.NOT_ATTEMPTED: "Not attempted:",
    Status.NOT_READY: "Not ready: written, and does not serve:",
}


def outcome_text(outcome: Outcome, paint: Paint = PLAIN) -> str:
    """The end of a run, :func:`~reconciler.report.ending.apply_line` last."""
    results = sorted(outcome.results, key=lambda r: r.change.address)
    sections = [
        _section("Applied:", [line for r in results if r.status is Status.APPLIED for line in _applied(r, paint)], paint),
        *(_section(title, [line for r in results if r.status is status for line in _undone(r, paint)], paint) for status, title in _UNDONE.items()),
        _section("Not converged: written, and different when read again:", _not_converged(outcome, paint), paint),
        [paint(f"Stopped early: {visible(outcome.stopped)}", Colour.REMOVED)] if outcome.stopped else [],
        [paint(apply_line(outcome), Colour.HEADING)],
    ]
    return "\n".join(line.rstrip() for section in sections if section for line in (*section, "")).rstrip("\n") + "\n"


def _section(title: str, lines: list[str], paint: Paint) -> list[str]:
    return [paint(title, Colour.HEADING), *indented(lines)] if lines else []


def _applied(result: ChangeOutcome, paint: Paint) -> list[str]:
    return [f"{_symbol(result.change, paint)} {visible(str(result.change.address))}{_NOTES.get(result.change.action, '')}"]


def _undone(result: ChangeOutcome, paint: Paint) -> list[str]:
    change = result.change
    first, *rest = (visible(line) for line in (result.why or "no reason was given").split("\n"))
    return [f"{_symbol(change, paint)} {visible(str(change.address))} ({change.action}): {first}", *(f"{INDENT}{line}" for line in rest)]


def _symbol(change: Change, paint: Paint) -> str:
    return paint(SYMBOLS[change.action], COLOURS[change.action])


def _not_converged(outcome: Outcome, paint: Paint) -> list[str]:
    return [line for item in sorted(outcome.not_converged, key=lambda n: n.change.address) for line in _item(item, paint)]


def _item(item: NotConverged, paint: Paint) -> list[str]:
    lines = [line for field in item.fields for line in field_lines(field, paint)]
    return [f"{paint('~', Colour.CHANGED)} {visible(str(item.change.address))}", *indented(lines)]
