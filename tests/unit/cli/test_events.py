"""``--format json`` of an apply: events, one a line, in order, valid; and ``--format markdown`` with the summary of a job."""

import json
import re
from itertools import pairwise

import jsonschema
import pytest

from reconciler.model.errors import Locked, Unreachable
from reconciler.model.outcome import ChangeOutcome, NotConverged, Outcome, Status
from reconciler.report.events import events_schema
from tests.unit.pages import ROOT
from tests.unit.report.samples import DONE, FAILED, REFUSED, SECRET, TYPICAL, plan

VALID = jsonschema.Draft202012Validator(events_schema())


def events(out):
    lines = [json.loads(line) for line in out.splitlines()]
    for line in lines:
        VALID.validate(line)
    assert all(one["time"] <= other["time"] for one, other in pairwise(lines))
    return lines


def test_the_schema_in_the_repository_is_current():
    assert json.loads((ROOT / "schemas" / "events.schema.json").read_text("utf-8")) == events_schema(), "run: make schemas"


def test_the_schema_refuses_what_it_does_not_know():
    event = {"format_version": 1, "event": "run begun", "time": "x", "operation": "apply", "name": "mesh", "program": "1"}
    VALID.validate(event)
    for wrong in ({**event, "more": 1}, {**event, "event": "run ended"}, {**event, "format_version": 2}):
        assert not VALID.is_valid(wrong)


@pytest.mark.parametrize("operation", ["apply", "destroy"])
def test_a_run_that_goes_well(run, manifest, applied, operation):
    applied(TYPICAL)
    told = events(run(operation, manifest, "--auto-approve", "--format", "json").out)
    assert [e["event"] for e in told] == ["run begun", "plan", *["change applied"] * len(TYPICAL.changes), "converged", "outcome"]
    assert (told[0]["operation"], told[0]["name"]) == (operation, "mesh")
    assert [c["address"] for c in told[1]["plan"]["changes"]] == sorted(str(c.address) for c in TYPICAL.changes)
    assert {e["address"] for e in told[2:-2]} == {str(c.address) for c in TYPICAL.changes}
    assert told[-1]["summary"] == "Apply complete: 1 added, 2 changed, 1 replaced, 3 deleted, 1 adopted, 1 forgotten."
    assert (told[-1]["exit_code"], told[-1]["outcome"]["complete"]) == (0, True)


def test_a_run_in_which_something_fails(run, manifest, applied):
    applied(TYPICAL, FAILED)
    told = events(run("apply", manifest, "--auto-approve", "--format", "json").out)
    (failed,) = [e for e in told if e["event"] == "change failed"]
    assert (failed["address"], failed["why"]) == ("kv/app/url", "boom")
    assert told[-1]["exit_code"] == 3


def test_a_run_that_does_not_converge(run, manifest, applied):
    changed = TYPICAL.changes[0]
    applied(TYPICAL, Outcome((ChangeOutcome(changed, Status.APPLIED),), (NotConverged(changed, ()),)))
    told = events(run("apply", manifest, "--auto-approve", "--format", "json").out)
    assert [(e["event"], [n["address"] for n in e["not_converged"]]) for e in told if "not_converged" in e] == [("not converged", ["kv/app/url"])]


def test_a_run_that_is_stopped_was_not_read_again(run, manifest, applied):
    applied(TYPICAL, Outcome(DONE.results, stopped="interrupted", interrupted=True))
    told = events(run("apply", manifest, "--auto-approve", "--format", "json").out)
    assert "converged" not in [e["event"] for e in told]
    assert (told[-1]["exit_code"], told[-1]["outcome"]["interrupted"]) == (130, True)


def test_a_run_that_breaks_off_ends_with_an_outcome(run, manifest, applied):
    applied(TYPICAL, Unreachable("Consul went away"))
    told = events(run("apply", manifest, "--auto-approve", "--format", "json").out)
    assert [e["event"] for e in told] == ["run begun", "plan", "change started", "change applied", "outcome"]
    assert (told[-1]["exit_code"], told[-1]["error"], told[-1]["outcome"]["not_attempted"]) == (3, "Consul went away", 8)


@pytest.mark.parametrize(
    ("made", "code", "names", "summary", "error"),
    [
        (plan(), 0, ["run begun", "plan", "outcome"], "No changes. Live state matches the manifest.", ""),
        (REFUSED, 5, ["run begun", "plan", "outcome"], "Plan: 1 to add, 2 to change, 1 to replace, 3 to delete, 1 to adopt, 1 to forget.", ""),
        (Locked("mesh is locked by somebody"), 4, ["run begun", "outcome"], "", "mesh is locked by somebody"),
        (KeyboardInterrupt(), 130, ["run begun", "outcome"], "", "interrupted"),
        (ZeroDivisionError("oh"), 1, ["run begun", "outcome"], "", "a mistake in reconciler: ZeroDivisionError: oh"),
    ],
)
def test_a_run_that_writes_nothing(run, manifest, applied, made, code, names, summary, error):
    applied(made)
    result = run("apply", manifest, "--auto-approve", "--format", "json")
    told = events(result.out)
    assert [e["event"] for e in told] == names
    assert (result.code, told[-1]["exit_code"], told[-1]["outcome"]) == (code, code, None)
    assert (told[-1]["summary"], told[-1]["error"]) == (summary, error)


def test_a_run_that_is_not_approved(run, manifest, applied, terminal):
    applied(TYPICAL)
    terminal("no\n")
    told = events(run("apply", manifest, "--format", "json").out)
    assert ([e["event"] for e in told], told[-1]["exit_code"]) == (["run begun", "plan", "outcome"], 1)


def test_a_run_that_cannot_begin_tells_nothing(run, manifest, applied):
    applied(AssertionError("must not get here"))
    assert run("apply", manifest, "--format", "json").out == ""
    assert run("apply", f"{manifest}.missing", "--auto-approve", "--format", "json").out == ""


# --- Markdown ---


@pytest.mark.parametrize("operation", ["plan", "drift"])
def test_markdown_on_standard_output(run, manifest, planned, operation):
    planned(TYPICAL)
    out = run(operation, manifest, "--format", "markdown").out
    assert out.startswith(f"<!-- reconciler {operation} mesh -->\n### ")
    assert out.endswith("</details>\n")


@pytest.mark.parametrize("operation", ["apply", "destroy"])
def test_markdown_of_an_apply_is_written_at_its_end(run, manifest, applied, terminal, operation):
    applied(TYPICAL, FAILED)
    terminal("yes\n")
    _, out, err = run(operation, manifest, "--format", "markdown")
    assert out.count("<!-- reconciler") == 1
    assert "**Apply incomplete: " in out
    assert "+ kv/app/password" in err  # for the person who was asked


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_the_summary_of_a_job_gets_the_markdown(run, manifest, planned, applied, tmp_path, monkeypatch, form):
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    planned(TYPICAL)
    applied(TYPICAL, FAILED)
    run("plan", manifest, "--format", form)
    run("drift", manifest, "--format", form)
    run("apply", manifest, "--auto-approve", "--format", form)
    text = summary.read_text("utf-8")
    assert text.startswith("# before\n")
    assert re.findall("<!-- reconciler (.*) mesh -->\n### ", text) == ["plan", "drift", "apply"]


@pytest.mark.parametrize("where", ["missing/summary.md", "."])
def test_a_summary_that_cannot_be_written_is_a_warning(run, manifest, applied, tmp_path, monkeypatch, where):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / where))
    applied(TYPICAL)
    code, out, err = run("apply", manifest, "--auto-approve")
    assert (code, out.splitlines()[-1][:16]) == (0, "Apply complete: ")
    assert re.fullmatch(r"reconciler: warning: GITHUB_STEP_SUMMARY .*: (No such file|Is a directory).*\n", err)


@pytest.mark.parametrize("failure", [ValueError(SECRET), Unreachable("away")])
def test_the_summary_of_a_run_that_breaks_off_says_what_was_done(run, manifest, applied, tmp_path, monkeypatch, failure):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    applied(TYPICAL, failure)
    assert run("apply", manifest, "--auto-approve").code == 3
    text = (tmp_path / "summary.md").read_text("utf-8")
    assert "**Apply incomplete: " in text
    assert "| `×` forget | `kv/app/url` | applied in 0.2 s |" in text
    assert SECRET not in text


def test_names_of_events_cover_the_stages():
    assert {f"change {status}" for status in (*Status, "started")} <= {
        name for definition in events_schema()["$defs"].values() for name in definition["properties"].get("event", {}).get("enum", [])
    }
