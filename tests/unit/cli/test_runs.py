"""What a run writes where, and its exit code, for everything that the operations can answer."""

import json
import os
import stat

import pytest

from reconciler.engine import operations
from reconciler.model.errors import Locked, LockLost, Refused, Unreachable
from reconciler.model.outcome import Outcome
from reconciler.model.secret import Secret
from tests.unit.report.samples import DONE, FAILED, REFUSED, SECRET, TYPICAL, plan

LAST = "Plan: 1 to add, 2 to change, 1 to replace, 3 to delete, 1 to adopt, 1 to forget."


@pytest.mark.parametrize(
    ("made", "arguments", "code"),
    [
        (plan(), [], 0),
        (plan(), ["--detailed-exitcode"], 0),
        (TYPICAL, [], 0),
        (TYPICAL, ["--detailed-exitcode"], 2),
        (REFUSED, ["--detailed-exitcode"], 5),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_exit_codes_of_plan(run, manifest, planned, made, arguments, code, form):
    planned(made)
    assert run("plan", manifest, "--format", form, *arguments).code == code


@pytest.mark.parametrize(("made", "code"), [(plan(), 0), (TYPICAL, 2), (REFUSED, 5)])
def test_exit_codes_of_drift(run, manifest, planned, made, code):
    planned(made)
    assert run("drift", manifest).code == code


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (Unreachable("Consul does not answer"), 1, "reconciler: error: Consul does not answer\n"),
        (operations.NothingApplied("nothing has been applied"), 1, "reconciler: error: nothing has been applied\n"),
        (Locked("mesh is being applied by somebody"), 4, "reconciler: error: mesh is being applied by somebody\n"),
        (Refused("other cluster"), 5, "reconciler: error: other cluster\n"),
        (KeyboardInterrupt(), 130, "reconciler: interrupted\n"),
    ],
)
def test_failures_are_one_line_and_an_exit_code(run, manifest, planned, failure, code, said):
    planned(failure)
    code_seen, out, err = run("drift", manifest)
    assert (code_seen, out, err.lstrip("\n")) == (code, "", said)


def test_the_plan_and_nothing_else_is_on_standard_output(run, manifest, planned):
    planned(plan(*TYPICAL.changes, warnings=("kv/app/old: careful \x1b[31m",)))
    _, out, err = run("plan", manifest)
    assert out.splitlines()[-1] == LAST
    assert "careful" not in out
    assert err == "reconciler: warning: kv/app/old: careful \\x1b[31m\n"


def test_a_refused_plan_is_shown_whole_first(run, manifest, planned):
    planned(REFUSED)
    _, out, err = run("plan", manifest)
    assert "+ kv/app/password" in out
    assert "    × kv/app/old: is protected: owned unprotect\n" in out
    assert out.splitlines()[-1] == LAST
    assert err == "reconciler: refused: 1 reason, at the end of the plan; nothing was changed\n"


def test_an_approved_apply(run, manifest, applied, terminal):
    applied(TYPICAL)
    terminal("yes\n")
    code, out, err = run("apply", manifest)
    assert code == 0
    assert LAST in out.splitlines()
    assert out.splitlines()[-1] == "Apply complete: 1 added, 2 changed, 1 replaced, 3 deleted, 1 adopted, 1 forgotten."
    assert 'Only "yes" is accepted: ' in err


@pytest.mark.parametrize("answer", ["y\n", "YES\n", "no\n", "\n", "", "yes please\n"])
def test_anything_but_yes_is_no(run, manifest, applied, terminal, answer):
    applied(TYPICAL)
    terminal(answer)
    code, out, err = run("apply", manifest)
    assert code == 1
    assert out.splitlines()[-1] == LAST
    assert err.endswith("reconciler: not approved; nothing was changed\n")


def test_without_a_terminal_apply_must_be_told(run, manifest, applied):
    applied(AssertionError("must not be asked"))
    code, out, err = run("apply", manifest)
    assert (code, out) == (1, "")
    assert err == "reconciler: error: there is no terminal to ask on, so nothing was changed: look at the plan, then give apply --auto-approve\n"


def test_auto_approve_shows_the_plan_and_does_not_ask(run, manifest, applied):
    applied(TYPICAL)
    code, out, err = run("apply", manifest, "--auto-approve")
    assert (code, err) == (0, "")
    assert LAST in out
    assert "Apply complete" in out


@pytest.mark.parametrize(("made", "outcome", "code"), [(plan(), DONE, 0), (REFUSED, DONE, 5), (TYPICAL, FAILED, 3), (TYPICAL, DONE, 0)])
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("operation", ["apply", "destroy"])
def test_exit_codes_of_apply_and_destroy(run, manifest, applied, made, outcome, code, form, operation):
    asked = applied(made, outcome)
    assert run(operation, manifest, "--auto-approve", "--format", form).code == code
    assert asked["options"].destroy == (operation == "destroy")


def test_an_interrupted_apply(run, manifest, applied):
    applied(TYPICAL, Outcome(FAILED.results, stopped="interrupted", interrupted=True))
    code, out, _ = run("apply", manifest, "--auto-approve")
    assert code == 130
    assert out.splitlines()[-1].startswith("Apply incomplete: ")


@pytest.mark.parametrize("failure", [Unreachable("Consul went away"), LockLost("the lock was lost"), ZeroDivisionError("division by zero")])
def test_a_run_that_breaks_off_still_says_what_was_done(run, manifest, applied, failure):
    applied(TYPICAL, failure)
    code, out, err = run("apply", manifest, "--auto-approve")
    assert code == 3
    assert "Applied:\n    × kv/app/url (forgotten)\n" in out
    assert "    ~ acl-policy/app (update): not known to have been made before the run broke off\n" in out
    assert out.splitlines()[-1] == "Apply incomplete: 0 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 1 forgotten, 0 failed, 8 not attempted."
    assert err.startswith("reconciler: error: ")
    assert str(failure) in err


def test_json_into_a_file_is_one_document_whatever_the_format(run, manifest, applied, tmp_path):
    applied(TYPICAL)
    stored = tmp_path / "report.json"
    for form in ("text", "json", "markdown"):
        run("apply", manifest, "--auto-approve", "--format", form, "--json-into", str(stored))
        document = json.loads(stored.read_text("utf-8"))
        assert (document["operation"], document["outcome"]["complete"]) == ("apply", True)
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == ["report.json"]


def test_with_json_the_person_who_is_asked_still_sees_the_plan(run, manifest, applied, terminal):
    applied(TYPICAL)
    terminal("yes\n")
    _, out, err = run("apply", manifest, "--format", "json")
    assert json.loads(out.splitlines()[0])["operation"] == "apply"
    assert LAST in err.splitlines()


def test_json_that_cannot_be_stored_stops_an_apply_before_it_begins(run, manifest, applied, tmp_path):
    applied(TYPICAL, AssertionError("must not get here"))
    code, _, err = run("apply", manifest, "--auto-approve", "--json-into", str(tmp_path / "missing" / "x.json"))
    assert code == 1
    assert "No such file or directory" in err


def test_json_is_written_to_a_device_and_does_not_replace_it(run, manifest, planned, tmp_path):
    planned(TYPICAL)
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    assert run("plan", manifest, "--json-into", str(link)).code == 0
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_colour_is_only_used_when_asked_for_where_there_is_no_terminal(run, manifest, planned):
    planned(TYPICAL)
    assert "\x1b[" not in run("plan", manifest).out
    assert "\x1b[" in run("plan", manifest, "--color", "always").out


def test_a_mistake_of_ours_has_no_traceback(run, manifest, planned):
    planned(ZeroDivisionError("division by zero"))
    code, out, err = run("plan", manifest)
    assert (code, out) == (1, "")
    assert err.startswith("reconciler: error: this is a mistake in reconciler: ZeroDivisionError at conftest.py:")
    assert err.count("\n") == 1


def test_a_traceback_is_shown_on_request_and_holds_no_secret(run, manifest, monkeypatch):
    def fail(*_, **__):
        password = Secret(SECRET + "\n")
        raise ValueError(f"could not parse {password.reveal()!r} or {password.reveal()}")

    monkeypatch.setattr(operations, "plan", fail)
    code, _, err = run("plan", manifest, "-vv")
    assert code == 1
    assert "Traceback (most recent call last)" in err
    assert "could not parse '(secret)' or (secret)" in err
    assert SECRET not in err


def test_no_secret_in_the_short_message_either(run, manifest, monkeypatch):
    def fail(*_, **__):
        password = Secret(SECRET)
        raise ValueError(password.reveal())

    monkeypatch.setattr(operations, "plan", fail)
    assert SECRET not in run("plan", manifest).err


def test_logs_are_lines_on_standard_error_and_in_the_file(run, manifest, applied, tmp_path):
    applied(TYPICAL, FAILED)
    log = tmp_path / "run.log"
    _, _, err = run("apply", manifest, "--auto-approve", "-v", "--log-file", str(log), "--log-format", "json")
    events = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [json.loads(line) for line in err.splitlines()] == events
    assert {"event", "level", "timestamp"} <= events[0].keys()
    assert ("failed", "warning", "kv/app/url", "boom") in [(e["event"], e["level"], e.get("address"), e.get("why")) for e in events]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_log_as_text_has_one_line_for_each_event(run, manifest, planned):
    planned(TYPICAL)
    _, _, err = run("plan", manifest, "-v")
    assert [line.split(" ", 1)[1].split()[:2] for line in err.splitlines()] == [["info", "manifest"], ["info", "planned"]]


def test_consents_reach_the_engine(run, manifest, applied):
    asked = applied(plan())
    run(
        "apply",
        manifest,
        "--auto-approve",
        "--adopt",
        "kv/*",
        "--adopt",
        "acl-policy/x",
        "--max-deletes",
        "3",
        "--lock-timeout",
        "5m",
        "--parallelism",
        "2",
    )
    options = asked["options"]
    assert (options.adopt, options.max_deletes, options.lock_timeout_s, options.parallelism) == (("kv/*", "acl-policy/x"), "3", 300.0, 2)


def test_destroy_by_name_needs_no_file(run, applied):
    asked = applied(plan())
    code, out, _ = run("destroy", "--name", "gone", "--auto-approve")
    assert (code, out, asked["name"]) == (0, "No changes. There is nothing to destroy.\n", "gone")


def test_destroy_by_name_takes_connections_from_a_manifest(run, manifest, applied):
    asked = applied(plan())
    assert run("destroy", "--name", "gone", "--connections", manifest, "--auto-approve").code == 0
    assert asked["name"] == "gone"
