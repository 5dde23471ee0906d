"""What ``apply`` and ``destroy`` share: show, ask, follow, report."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal

from reconciler.cli.approval import DESTROY, QUESTION, ask, can_ask
from reconciler.cli.connecting import check, connected
from reconciler.cli.failures import error_text, exit_code_of
from reconciler.cli.interruption import Interruption
from reconciler.cli.options import Choices, Output, Target
from reconciler.cli.progress import Watch, status_line
from reconciler.cli.reporting import Report
from reconciler.cli.saved import Opened
from reconciler.cli.streams import PROGRAM, say
from reconciler.model.change import Plan
from reconciler.model.errors import Incomplete, ReconcilerError, Refused
from reconciler.model.outcome import Outcome

if TYPE_CHECKING:
    from reconciler.cli.logs import Log
    from reconciler.engine.operations import Connections, Options
    from reconciler.ownership.plan_file import SavedPlan

REFUSED = Refused.exit_code


def run(operation: Literal["apply", "destroy"], target: Target, output: Output, choices: Choices, *, auto_approve: bool) -> int:
    """Plan, show, ask, make it so, and say what became of it. Returns the exit code."""
    check(target)
    if not auto_approve and not can_ask():
        raise ReconcilerError(f"there is no terminal to ask on, so nothing was changed: look at the plan, then give {operation} --auto-approve")
    opening = connected(target, output, choices.timeout_s)
    return _carry_out(output, opening, choices.options(destroy=operation == "destroy"), auto_approve=auto_approve)


def run_saved(saved: Opened, target: Target, output: Output, choices: Choices) -> int:
    """Carry out a saved plan if it is still the same. Nobody is asked: it was looked at already. Returns the exit code."""
    opening = connected(target, output, choices.timeout_s, saved.loaded)
    return _carry_out(output, opening, saved.options(choices), auto_approve=True, saved=saved.plan)


def _carry_out(
    output: Output, opening: AbstractContextManager[tuple[Connections, Log]], options: Options, *, auto_approve: bool, saved: SavedPlan | None = None
) -> int:
    report = Report("destroy" if options.destroy else "apply", output)
    with Interruption() as interruption, opening as (connections, log), status_line(output) as line:
        from reconciler.engine import operations

        watch = Watch(line, log, report.follow)
        approved = False

        def approve(plan: Plan) -> bool:
            nonlocal approved
            line.clear()
            if auto_approve:
                report.show(plan)
            else:
                report.show_for_approval(plan)
            approved = auto_approve or ask(DESTROY if options.destroy else QUESTION)
            if approved:
                interruption.writing()
                watch.begin(plan.changes)
            return approved

        report.begin(connections.loaded.name)
        line.show(f"Reading what is live for {connections.loaded.name}…", at_once=True)
        try:
            if saved is None:
                plan, outcome = operations.apply(connections, options, approve=approve, progress=watch, stop=interruption.stop)
            else:
                plan, outcome = operations.apply_saved(connections, options, saved, approve=approve, progress=watch, stop=interruption.stop)
        except BaseException as failure:
            line.clear()
            why = error_text(failure)
            if not approved or not isinstance(failure, Exception):
                report.give_up(exit_code_of(failure), why)
                raise
            # The run broke off after it had begun to write: what was done is the first thing that a person must know.
            report.finish_broken(watch.so_far("an error, see below"), why)
            raise Incomplete(why) from failure
        line.clear()
        exit_code = _exit_code(plan, outcome, approved=approved)
        report.finish(plan, outcome, exit_code=exit_code)
        if outcome is None and plan.refusals:
            refuse(plan)
        elif exit_code == 1:
            say(f"{PROGRAM}: not approved; nothing was changed")
        return exit_code


def refuse(plan: Plan) -> int:
    """Say that a plan is refused. Returns the exit code."""
    number = len(plan.refusals)
    say(f"{PROGRAM}: refused: {number} {'reason' if number == 1 else 'reasons'}, at the end of the plan; nothing was changed")
    return REFUSED


def _exit_code(plan: Plan, outcome: Outcome | None, *, approved: bool) -> int:
    if outcome is not None:
        return outcome.exit_code
    if plan.refusals:
        return REFUSED
    return 0 if plan.is_empty or approved else 1
