"""The exit code of every command, whatever the format; the plan and nothing else on standard output; last lines that programs can read."""

import json
import os
import signal
import subprocess

import pytest
from jsonschema import Draft202012Validator

from reconciler import __version__
from tests.e2e.command import LIMIT_S, ROOT, Command
from tests.servers.counting_proxy import CountingProxy

TWO = """\
mesh_credentials:
  policies:
    app: {description: Policy for app, rules: {key_prefix: {app/: read}}}
kv:
  app/name: files
"""
NOTHING_DONE = "0 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten"
FORMATS = ("text", "json", "markdown")
PLAN_SCHEMA, EVENT_SCHEMA = (Draft202012Validator(json.loads((ROOT / "schemas" / f"{n}.schema.json").read_text())) for n in ("plan", "events"))


def ends(run, code, last, err=""):
    """The exit code, and the summary: in text the last line, in JSON a field of a valid document."""
    assert run.code == code, str(run)
    assert run.err == err, str(run)
    if "json" in run.arguments and run.arguments[0] in ("apply", "destroy"):
        for event in run.events:
            EVENT_SCHEMA.validate(event)
        assert [e["event"] for e in run.events[:2]] == ["run begun", "plan"]
        assert (run.events[-1]["event"], run.events[-1]["summary"], run.events[-1]["exit_code"]) == ("outcome", last, code)
    elif "json" in run.arguments:
        PLAN_SCHEMA.validate(run.json)
        assert run.json["summary"] == last
    elif "markdown" in run.arguments:
        assert run.out.split("\n")[3] == f"**{last}**"
    else:
        assert run.last == last
        assert run.out.endswith("\n") and not run.out.endswith("\n\n")
        assert all(line == line.rstrip() for line in run.out.splitlines()), run.out
        assert "\x1b" not in run.out and "\t" not in run.out


def refused(reasons):
    words = "1 reason" if reasons == 1 else f"{reasons} reasons"
    return f"reconciler: refused: {words}, at the end of the plan; nothing was changed\n"


@pytest.mark.parametrize("output", FORMATS)
def test_the_life_of_a_manifest(command, write, output):
    as_ = ("--format", output)
    file = write(TWO)
    two_to_add = "Plan: 2 to add, 0 to change, 0 to replace, 0 to delete, 0 to adopt, 0 to forget."
    ends(command("plan", file, *as_), 0, two_to_add)
    ends(command("plan", file, *as_, "--detailed-exitcode"), 2, two_to_add)
    ends(command("apply", file, *as_, "--auto-approve"), 0, "Apply complete: 2 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten.")
    ends(command("plan", file, *as_, "--detailed-exitcode"), 0, "No changes. Live state matches the manifest.")
    ends(command("apply", file, *as_, "--auto-approve"), 0, "No changes. Live state matches the manifest.")
    ends(command("drift", file, *as_), 0, "No drift. Live state matches what was last applied.")
    write(TWO.replace("files", "{value: files, protect: true}"))
    recorded = command("plan", file, *as_, "--detailed-exitcode")
    ends(recorded, 2, "Plan: 0 to add, 1 to change, 0 to replace, 0 to delete, 0 to adopt, 0 to forget.")
    said = {"text": "~ kv/app/name (record only)", "json": '"action": "record"', "markdown": "| `~` record | `kv/app/name` | record only |"}
    assert said[output] in recorded.out
    write(TWO)
    ends(command("destroy", file, *as_, "--auto-approve"), 0, "Apply complete: 0 added, 0 changed, 0 replaced, 2 deleted, 0 adopted, 0 forgotten.")
    ends(command("destroy", file, *as_, "--auto-approve"), 0, "No changes. There is nothing to destroy.")
    never = command("drift", file, *as_)
    assert (never.code, never.out) == (1, "")
    assert never.err == "reconciler: error: nothing has been applied under the name 'mesh': apply the manifest first, or correct its name\n"


@pytest.mark.parametrize("output", FORMATS)
def test_what_is_in_the_way_and_drift(command, consul, write, live_consul, output):
    as_ = ("--format", output)
    file = write(TWO)
    consul.put("/v1/kv/app/name", b"somebody else's")
    before = live_consul()
    for arguments in (("plan", "--detailed-exitcode"), ("apply", "--auto-approve")):
        run = command(*arguments, file, *as_)
        ends(run, 5, "Plan: 1 to add, 0 to change, 0 to replace, 0 to delete, 0 to adopt, 0 to forget.", refused(1))
        assert "to take it over and change it: reconciler apply --adopt 'kv/app/name' mesh.yaml" in " ".join(run.out.split())
    assert live_consul() == before
    ends(
        command("apply", "--auto-approve", "--adopt", "kv/app/*", file, *as_),
        0,
        "Apply complete: 1 added, 0 changed, 0 replaced, 0 deleted, 1 adopted, 0 forgotten.",
    )
    consul.put("/v1/kv/app/name", b"changed by hand")
    ends(command("drift", file, *as_), 2, "Drift: 1 resource differs from what was last applied.")
    consul.delete("/v1/kv/app/name")
    for policy in consul.get("/v1/acl/policies"):
        if policy["Name"] == "app":
            consul.put(f"/v1/acl/policy/{policy['ID']}", {**policy, "Description": "changed by hand"})
    ends(command("drift", file, *as_), 2, "Drift: 2 resources differ from what was last applied.")


@pytest.mark.parametrize("output", FORMATS)
def test_an_apply_that_does_not_get_to_its_end(reconciler, write, postgres18, output):
    file = write("db_roles: {app: {login: true, settings: {work_mem: nonsense}}}\ndatabases: {app: {owner: app}}\nkv: {app/name: files}\n")
    run = reconciler("apply", "--auto-approve", file, "--format", output)
    ends(run, 3, "Apply incomplete: 1 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten, 1 failed, 1 not attempted.")
    why = f"Postgres default ({postgres18.host}:{postgres18.port}): invalid value for parameter"
    if output == "text":
        assert "\nApplied:\n    + kv/app/name\n\nFailed:\n    + db-role/default/app (create): " + why in run.out
        assert "\nNot attempted:\n    + database/default/app (create): db-role/default/app was not applied\n" in run.out
    elif output == "markdown":
        assert "| `+` create | `database/default/app` | **not attempted**: `db-role/default/app was not applied` |" in run.out
        assert f"| `+` create | `db-role/default/app` | **failed**: `{why}" in run.out
    else:
        results = {result["address"]: result for result in run.events[-1]["outcome"]["results"]}
        assert {address: result["status"] for address, result in results.items()} == {
            "database/default/app": "not attempted",
            "db-role/default/app": "failed",
            "kv/app/name": "applied",
        }
        assert results["db-role/default/app"]["why"].startswith(why)
    write("db_roles: {app: {login: true, settings: {work_mem: 8MB}}}\ndatabases: {app: {owner: app}}\nkv: {app/name: files}\n")
    assert reconciler("apply", "--auto-approve", file, expect=0).last.startswith("Apply complete: 2 added, ")


def test_only_one_run_writes_at_a_time(command, consul, write):
    """While an apply waits for the answer to its first write of a policy, others try."""
    file = write(TWO)
    others = {}

    def meanwhile(writing):
        if writing.path == "/v1/acl/policy":
            for arguments in (
                ("apply", "--auto-approve"),
                ("destroy", "--auto-approve"),
                ("drift",),
                ("owned", "unprotect", "kv/app/name"),
                ("plan",),
            ):
                others[arguments[0]] = command(*arguments, file)
            others["unlock"] = command("unlock", file)

    with CountingProxy(consul.address, before=meanwhile) as proxy:
        command.having(CONSUL_HTTP_ADDR=proxy.address)("apply", "--auto-approve", file, expect=0)
    assert {name: run.code for name, run in others.items()} == {"apply": 4, "destroy": 4, "drift": 4, "owned": 4, "plan": 0, "unlock": 1}
    for name in ("apply", "destroy", "owned"):
        assert others[name].out == ""
        assert others[name].err.startswith("reconciler: error: mesh is locked by ")
        assert others[name].err.endswith(": wait for it (--lock-timeout 5m), or see reconciler unlock mesh\n")
    assert others["drift"].err.startswith("reconciler: error: mesh is being applied by ")
    assert others["unlock"].err.startswith("reconciler: error: the lock is held by ")
    assert ", apply, since " in others["unlock"].err


def test_a_lock_that_is_taken_away_stops_the_run(command, consul, write):
    file = write(TWO)
    taken = []

    def take_it_away(writing):
        if writing.path == "/v1/acl/policy":
            taken.append(command("unlock", file, "--yes", expect=0))

    with CountingProxy(consul.address, before=take_it_away) as proxy:
        run = command.having(CONSUL_HTTP_ADDR=proxy.address)("apply", "--auto-approve", file)
    assert taken[0].out.startswith("mesh is unlocked; the lock was held by ")
    assert run.code == 3, str(run)
    assert run.last.startswith("Apply incomplete: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_apply_finishes_what_is_in_flight_and_releases_the_lock(command, consul, write, number):
    file = write("mesh_credentials:\n  tokens: {app: {policies: [app]}}\n  policies: {app: {rules: {}}}\n")
    running: list[subprocess.Popen[bytes]] = []
    said: list[str] = []
    reading, writing_end = os.pipe()

    def interrupt(writing):
        if writing.path == "/v1/acl/policy":
            running[0].send_signal(number)
            said.append(errors.readline() + errors.readline())  # it has been heard

    with CountingProxy(consul.address, before=interrupt) as proxy, open(reading, encoding="utf-8") as errors:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": writing_end}
        running.append(command.having(CONSUL_HTTP_ADDR=proxy.address).start("apply", "--auto-approve", file, **streams))
        os.close(writing_end)
        out, _ = running[0].communicate(timeout=LIMIT_S)
        said.append(errors.read())
    assert said == ["\nreconciler: interrupted: finishing what is in flight, nothing new is started\n", ""]
    assert running[0].returncode == 130
    assert "\nApplied:\n    + acl-policy/app\n\nNot attempted:\n    + acl-token/app (create): " in out.decode()
    assert "\nStopped early: interrupted\n" in out.decode()
    assert out.decode().endswith(
        "\nApply incomplete: 1 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten, 0 failed, 1 not attempted.\n"
    )
    assert not consul.keys("reconciler/lock/")
    assert command("apply", "--auto-approve", file, expect=0).last.startswith("Apply complete: 1 added, ")


USAGE = {
    ("plan",): "Missing argument 'FILE...'. See reconciler plan --help",
    ("plan", "--nope", "mesh.yaml"): "No such option '--nope'.",
    ("apply", "--max-deletes", "x", "mesh.yaml"): "Invalid value for '--max-deletes': 'x' is neither a number nor a percentage, such as 12 or 30%.",
    ("destroy", "--name", "mesh", "mesh.yaml"): "FILE excludes --name and --connections: those are for a manifest whose file is gone.",
    ("drift", "--format", "yaml", "mesh.yaml"): "Invalid value for '--format': 'yaml' is not one of 'text', 'json', 'markdown'.",
    ("owned", "show"): "Missing argument 'ADDRESS'.",
    ("unlock",): "Missing argument 'FILE|NAME'.",
    ("schema",): "Missing argument '{manifest|plan|events}'. Choose from: manifest, plan, events. See reconciler schema --help",
    ("validate", "--format", "json", "mesh.yaml"): "No such option '--format'.",
    ("version", "x"): "Got unexpected extra argument (x)",
    ("plna",): "No such command 'plna'. Did you mean 'plan'?",
    ("apply", "mesh.yaml"): "there is no terminal to ask on, so nothing was changed: look at the plan, then give apply --auto-approve",
    ("plan", "--json-into", "absent/plan.json", "mesh.yaml"): "--json-into absent/plan.json: No such file or directory",
    ("plan", "--log-file", "absent/run.log", "mesh.yaml"): "--log-file absent/run.log: No such file or directory",
}


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_a_mistake_on_the_command_line_is_said_in_one_line(command, write, arguments):
    write(TWO)
    run = command(*arguments)
    assert (run.code, run.err.count("\n")) == (1, 1), str(run)
    assert run.err.startswith(f"reconciler: error: {USAGE[arguments]}"), str(run)
    assert run.out == "" or "--json-into" in arguments


def test_commands_that_ask_nobody(command):
    nobody = Command(command.folder, {"PATH": command.environment["PATH"]})
    assert nobody("version", expect=0).out == f"reconciler {__version__}\n"
    for name in ("manifest", "plan", "events"):
        assert nobody("schema", name, expect=0).out == (ROOT / "schemas" / f"{name}.schema.json").read_text("utf-8")
