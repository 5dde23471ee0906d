"""A plan, what drift found, or what became of an apply, as Markdown for a comment on a merge request or the summary of a job.

The one line that matters comes first, then what needs consent, then a table, then the details, folded. What deletes or replaces stands at the top of
the table, so that cutting a report to the size of a comment never hides it behind what is harmless.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from reconciler.model.change import Action, Change, Plan
from reconciler.model.outcome import ChangeOutcome, Outcome, Status
from reconciler.report.changes import SYMBOLS, change_lines, head_reasons, indented, refusal_lines
from reconciler.report.differences import field_lines
from reconciler.report.documents import OperationName
from reconciler.report.ending import apply_line, drift_line, plan_line
from reconciler.report.markup import PAINT, block, code, diff_lines, size, wrapped
from reconciler.report.paint import PLAIN
from reconciler.report.text import PARTIAL, drift_lines, drifted_how
from reconciler.report.values import dotted

LIMIT: Final = 64_000
"""Bytes. A comment on GitHub may have 65,536 characters, on GitLab more; a pipeline may want to say something of its own above."""

_PART_LIMIT: Final = 8_000
"""Bytes of each block that stands before the table."""

_AROUND: Final = 1_000
"""Bytes for the head of the table, the words about what is cut, and the fold."""

_LOSSES: Final = 5
"""How many of the things that go with a resource the table names; the details name all."""

_HARSH: Final = (Action.DELETE, Action.REPLACE)
_STATUS_ORDER: Final = (Status.FAILED, Status.NOT_READY, Status.NOT_ATTEMPTED, Status.APPLIED)


@dataclass(frozen=True, slots=True)
class _Row:
    """One resource: its line of the table, and its lines of the details."""

    cells: str
    details: tuple[str, ...]


def plan_markdown(plan: Plan, operation: OperationName = "plan", outcome: Outcome | None = None, *, destroy: bool = False) -> str:
    """The report of one run of ``operation``. No secret is in it, and what others wrote cannot break out of its place."""
    if operation == "drift":
        summary = drift_line(plan)
        rows = [_drift_row(change) for change in sorted(plan.changes, key=lambda c: c.address)]
    elif outcome is None:
        summary = plan_line(plan, destroy=destroy or operation == "destroy")
        rows = [_row(change, _why(change)) for change in sorted(plan.changes, key=lambda c: (c.action not in _HARSH, c.address))]
    else:
        summary = apply_line(outcome)
        rows = _result_rows(outcome)
    top = [
        f"<!-- reconciler {operation} {plan.name} -->\n### reconciler {operation}: {code(plan.name)}",
        f"**{summary}**",
        PARTIAL if plan.partial else "",
        *_blocks(plan, outcome),
    ]
    third = "what happened" if operation == "drift" else "why" if outcome is None else "what became of it"
    return _fitted([part for part in top if part], f"| | resource | {third} |\n| --- | --- | --- |", rows)


def _blocks(plan: Plan, outcome: Outcome | None) -> Iterable[str]:
    """What must not be folded: refusals, warnings, what could not be compared, and why a run stopped."""
    refused = [refusal_lines(refusal, PLAIN, apart=True) for refusal in plan.refusals]
    refusals = [line for first, *rest in refused for line in (*wrapped(first), *diff_lines(rest))]
    yield _block("**Refused.** It must not be applied as it is:", refusals)
    yield _block("Warnings:", [line for warning in plan.warnings for line in wrapped(warning)])
    said = {(change.address, path) for change in plan.changes for path, _ in change.unreadable}
    unread = [f"{address}: {dotted(path)}: {why}" for address, path, why in sorted(plan.unreadable) if (address, path) not in said]
    yield _block("Cannot compare:", [line for text in unread for line in wrapped(text)])
    if outcome is not None:
        yield _block("Stopped early:", wrapped(outcome.stopped) if outcome.stopped else [])
        silent = sorted((r for r in outcome.results if r.status is Status.NOT_READY), key=lambda r: r.change.address)
        yield _block("Not ready: written, and does not serve:", [line for r in silent for line in wrapped(f"{r.change.address}: {r.why}")])
        differing = sorted(outcome.not_converged, key=lambda n: n.change.address)
        lines = [(f"~ {item.change.address}", indented([line for field in item.fields for line in field_lines(field, PAINT)])) for item in differing]
        left = [line for first, rest in lines for line in (*wrapped(first), *diff_lines(rest))]
        yield _block("Not converged: written, and different when read again:", left, "diff")


def _block(title: str, lines: list[str], language: str = "text") -> str:
    if not lines:
        return ""
    kept = _within(lines, _PART_LIMIT)
    cut = f"\n\n{len(lines) - len(kept)} of these {len(lines)} lines are left out." if len(kept) < len(lines) else ""
    return f"{title}\n\n{block(kept, language)}{cut}"


def _row(change: Change, third: str) -> _Row:
    cells = f"| {code(SYMBOLS[change.action])} {change.action} | {code(str(change.address))} | {third} |"
    return _Row(cells, tuple(diff_lines(change_lines(change, PAINT))))


def _drift_row(change: Change) -> _Row:
    symbol, _, what = drifted_how(change)
    return _Row(f"| {code(symbol)} | {code(str(change.address))} | {what} |", tuple(diff_lines(drift_lines(change, PAINT))))


def _result_rows(outcome: Outcome) -> list[_Row]:
    differing = {item.change.address for item in outcome.not_converged}
    ordered = sorted(outcome.results, key=lambda r: (_STATUS_ORDER.index(r.status), r.change.address not in differing, r.change.address))
    return [_row(result.change, _became(result, converged=result.change.address not in differing)) for result in ordered]


def _became(result: ChangeOutcome, *, converged: bool) -> str:
    if result.status is Status.APPLIED:
        return f"applied in {result.seconds:.1f} s" if converged else "**applied, but not converged**"
    why = result.why.partition("\n")[0] if result.status is Status.NOT_READY else result.why  # the rest stands above the table
    return f"**{result.status}**: {code(why or 'no reason was given')}"


def _why(change: Change) -> str:
    dependants = change.live.dependants if change.live and change.action in _HARSH else ()
    lost = [f"**lost with it: {code(dependant.text)}**" for dependant in dependants[:_LOSSES]]
    more = [f"**and {len(dependants) - _LOSSES} more**"] if len(dependants) > _LOSSES else []
    return "; ".join([*head_reasons(change), *lost, *more, *([code(change.warning)] if change.warning else [])])


def _fitted(top: list[str], table: str, rows: list[_Row]) -> str:
    """All of it, as far as it fits: the table has half of the room, or what the details leave."""
    if not rows:
        return "\n\n".join(top) + "\n"
    details = [("", *row.details) for row in rows]
    room = LIMIT - sum(size(part) + 2 for part in top) - _AROUND
    all_details = sum(size(line) + 1 for lines in details for line in lines)
    listed = _within([row.cells for row in rows], max(room // 2, room - all_details))
    room -= sum(size(cells) + 1 for cells in listed)
    shown: list[str] = []
    whole = 0
    for lines in details:
        kept = _within(lines, room)
        room -= sum(size(line) + 1 for line in kept)
        shown += kept
        if len(kept) < len(lines):
            break
        whole += 1
    folded = f"<details><summary>Details</summary>\n\n{block(shown[1:], 'diff')}\n\n</details>"
    return (
        "\n\n".join([*top, *_said_of_what_is_cut(len(rows), len(listed), whole), "\n".join((table, *listed)), *([folded] if shown[1:] else [])])
        + "\n"
    )


def _said_of_what_is_cut(rows: int, listed: int, whole: int) -> list[str]:
    cut = [f"{rows - listed} of {rows} resources are not listed"] if listed < rows else []
    cut += [f"the details of {rows - whole} are not, or not wholly, shown"] if whole < rows else []
    return [f"**This report was cut to the size of a comment: {' and '.join(cut)}.** The text and the JSON have everything."] if cut else []


def _within(lines: Iterable[str], limit: int) -> list[str]:
    """The first of ``lines``, as many as ``limit`` bytes hold."""
    kept: list[str] = []
    for line in lines:
        limit -= size(line) + 1
        if limit < 0:
            break
        kept.append(line)
    return kept
