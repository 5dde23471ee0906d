"""The events of real runs: each line is valid, each change starts after what it waits for has ended, the outcome is last."""

import json
import os
import subprocess

import pytest
from jsonschema import Draft202012Validator

from tests.e2e.command import ROOT

VALID = Draft202012Validator(json.loads((ROOT / "schemas" / "events.schema.json").read_text("utf-8")))
MANIFEST = """\
mesh_credentials:
  policies: {app: {rules: {key_prefix: {app/: read}}}}
  tokens: {app: {policies: [app]}}
kv: {app/name: files, app/password: {generate: {bytes: 16, encoding: hex}}}
db_roles: {app: {login: true, password: {kv: app/password}}}
databases: {app: {owner: app}}
"""


def told(run):
    for event in run.events:
        VALID.validate(event)
    assert [e["time"] for e in run.events] == sorted(e["time"] for e in run.events)
    return run.events


@pytest.mark.parametrize("operation", ["apply", "destroy"])
def test_events_come_in_the_order_of_the_run(reconciler, write, operation):
    file = write(MANIFEST)
    if operation == "destroy":
        reconciler("apply", "--auto-approve", file, expect=0)
    events = told(reconciler(operation, "--auto-approve", "--format", "json", file, expect=0))
    assert [e["event"] for e in events[:2]] == ["run begun", "plan"]
    assert [e["event"] for e in events[-2:]] == ["converged", "outcome"]
    changes = {c["address"]: c for c in events[1]["plan"]["changes"]}
    assert len(changes) == 6
    ended: set[str] = set()
    started: set[str] = set()
    for event in events[2:-2]:
        address = event["address"]
        assert (event["kind"], event["action"]) == (changes[address]["kind"], changes[address]["action"])
        if event["event"] == "change started":
            assert set(changes[address]["waits_for"]) & changes.keys() <= ended
            started.add(address)
        else:
            assert event["event"] == "change applied"
            assert address in started
            assert event["seconds"] >= 0
            ended.add(address)
    assert started == ended == set(changes)


def test_what_fails_and_what_is_not_attempted_is_told(reconciler, write):
    file = write(MANIFEST.replace("login: true", "login: true, settings: {work_mem: nonsense}"))
    events = told(reconciler("apply", "--auto-approve", "--format", "json", file, expect=3))
    (failed,) = (e for e in events if e["event"] == "change failed")
    (left,) = (e for e in events if e["event"] == "change not attempted")
    assert failed["address"] == "db-role/default/app"
    assert "invalid value for parameter" in failed["why"]
    assert (left["address"], left["why"]) == ("database/default/app", "db-role/default/app was not applied")
    assert events[-1]["exit_code"] == 3


def test_who_stops_reading_does_not_stop_an_apply(command, write, consul):
    """As with ``| head -1``: the reader goes away when it has seen the plan."""
    read, theirs = os.pipe()
    process = command.start(
        "apply", "--auto-approve", "--format", "json", write("kv: {app/a: x, app/b: y}\n"), stdin=subprocess.DEVNULL, stdout=theirs, stderr=-1
    )
    os.close(theirs)
    seen = b""
    while b'"event": "plan"' not in seen or not seen.endswith(b"\n"):
        seen += os.read(read, 65536)
    os.close(read)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert consul.keys("app/").keys() == {"app/a", "app/b"}
    if err:  # that all was written before the reader had gone is as well
        VALID.validate(json.loads(err))
