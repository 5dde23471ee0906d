import pytest

from reconciler.model.change import Action, FieldChange, Reason
from reconciler.model.outcome import ChangeOutcome, NotConverged, Outcome, Status
from reconciler.report.ending import apply_line, counts, plan_line
from reconciler.report.outcome import outcome_text
from tests.unit.report.samples import TYPICAL, change, plan

CREATED = change("kv/a", Action.CREATE, Reason.NEW)
RECORDED = change("kv/b", Action.RECORD)
DELETED = change("kv/c", Action.DELETE, Reason.REMOVED)


def result(made, status=Status.APPLIED, why=""):
    return ChangeOutcome(made, status, why, 0.5)


def test_a_complete_run_names_what_was_applied():
    assert (
        outcome_text(Outcome((result(DELETED), result(RECORDED), result(CREATED))))
        == """\
Applied:
    + kv/a
    ~ kv/b (record only)
    - kv/c

Apply complete: 1 added, 1 changed, 0 replaced, 1 deleted, 0 adopted, 0 forgotten.
"""
    )


def test_an_incomplete_run_names_what_failed_and_what_was_not_attempted_with_why():
    outcome = Outcome((
        result(CREATED),
        result(RECORDED, Status.FAILED, "permission denied\nby \x1b[31mConsul"),
        result(DELETED, Status.NOT_ATTEMPTED, "kv/b was not applied"),
    ))  # fmt: skip
    assert (
        outcome_text(outcome)
        == """\
Applied:
    + kv/a

Failed:
    ~ kv/b (record): permission denied
        by \\x1b[31mConsul

Not attempted:
    - kv/c (delete): kv/b was not applied

Apply incomplete: 1 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten, 1 failed, 1 not attempted.
"""
    )


def test_what_does_not_serve_is_named_with_what_it_said_itself():
    outcome = Outcome(
        (
            result(RECORDED),
            result(CREATED, Status.NOT_READY, "its check is critical\nno \x1b[31mroute"),
        )
    )
    assert (
        outcome_text(outcome)
        == """\
Applied:
    ~ kv/b (record only)

Not ready: written, and does not serve:
    + kv/a (create): its check is critical
        no \\x1b[31mroute

Apply incomplete: 0 added, 1 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten, 0 failed, 0 not attempted, 1 not ready.
"""
    )
    assert outcome.exit_code == 3


def test_what_did_not_converge_is_named_with_its_fields():
    outcome = Outcome((result(CREATED),), (NotConverged(CREATED, (FieldChange(("value",), "live", "wanted"),)),))
    assert (
        outcome_text(outcome)
        == """\
Applied:
    + kv/a

Not converged: written, and different when read again:
    ~ kv/a
        value: live → wanted

Apply incomplete: 1 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten, 0 failed, 0 not attempted, 1 not converged.
"""
    )


def test_a_run_that_ended_early_says_why():
    outcome = Outcome((result(CREATED, Status.NOT_ATTEMPTED),), stopped="interrupted", interrupted=True)
    text = outcome_text(outcome)
    assert "    + kv/a (create): no reason was given\n" in text
    assert "Stopped early: interrupted\n" in text


def test_the_last_lines_are_the_documented_ones():
    assert plan_line(TYPICAL) == "Plan: 1 to add, 2 to change, 1 to replace, 3 to delete, 1 to adopt, 1 to forget."
    assert plan_line(plan()) == "No changes. Live state matches the manifest."
    assert apply_line(Outcome(())) == "Apply complete: 0 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten."


@pytest.mark.parametrize("action", list(Action))
def test_every_action_is_counted_once(action):
    assert sum(counts([action]).values()) == 1
