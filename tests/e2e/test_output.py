"""What is written where: results on standard output, the same each time; all else on standard error, or in files that only their owner reads."""

import json
import re
import stat

import pytest
from jsonschema import Draft202012Validator

from tests.e2e.command import ROOT

SCHEMA = Draft202012Validator(json.loads((ROOT / "schemas" / "plan.schema.json").read_text("utf-8")))
BEFORE = """\
mesh_credentials:
  policies:
    one: {description: One, rules: {key_prefix: {one/: read}, service: {b: write, a: write}}}
    two: {rules: 'key_prefix "two/" { policy = "read" }'}
intentions: {service: {z: allow, a: deny, m: allow}}
external_services: {db: {node: db-node, address: db.example.com, port: 5432, node_meta: {z: "1", a: "2"}}}
kv: {app/a: one, app/b: "two\\nlines", app/password: {generate: {bytes: 16, encoding: hex}}}
db_roles: {app: {login: true, password: {kv: app/password}, settings: {work_mem: 8MB, search_path: public}}}
databases: {app: {owner: app}}
"""
AFTER = """\
mesh_credentials:
  policies:
    one: {description: Another, rules: {key_prefix: {one/: write, more/: read}, service: {b: write, a: write}}}
intentions: {service: {z: deny, n: allow}}
external_services: {db: {node: db-node, address: db2.example.com, port: 5433, node_meta: {z: "1", b: "2"}}}
kv: {app/a: two, app/b: "two\\nother lines", app/password: {generate: {bytes: 16, encoding: hex}}, app/new: {value: x, on_removal: retain}}
db_roles: {app: {login: false, password: {kv: app/password}, settings: {work_mem: 9MB}}}
databases: {app: {owner: app, connection_limit: 5}}
"""


@pytest.fixture
def changing(reconciler, write, consul):
    """A plan with something of everything: creations, changes, deletions, drift."""
    reconciler("apply", "--auto-approve", write(BEFORE), expect=0)
    consul.put("/v1/kv/app/b", b"somebody else's\x1b[31m")
    consul.put("/v1/kv/app/new", b"in the way")
    return write(AFTER)


def test_a_plan_is_the_same_each_time(reconciler, changing, tmp_path):
    text = reconciler("plan", changing, expect=5)
    assert "\x1b" not in text.out
    assert r"somebody else's\x1b[31m" in text.out
    for line in text.out.splitlines():
        assert line == line.rstrip()
    assert addresses(text.out) == sorted(addresses(text.out))
    assert addresses(text.out)
    again = reconciler("plan", changing, "-vv", "--log-file", "run.log", "--json-into", "plan.json", expect=5)
    assert again.out == text.out
    assert again.err.count("consul request") > 5
    document = reconciler("plan", changing, "--format", "json", expect=5)
    assert document.err == text.err == "reconciler: refused: 1 reason, at the end of the plan; nothing was changed\n"
    assert document.out == (tmp_path / "plan.json").read_text("utf-8")
    SCHEMA.validate(document.json)
    assert document.json["summary"] == text.last
    assert [change["address"] for change in document.json["changes"]] == addresses(text.out)
    for name in ("run.log", "plan.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def addresses(text):
    """Of the changes, in the order of the plan; refused ones are indented."""
    return re.findall(r"^(?:\+|~|-|-/\+|»|×) (\S+)", text, re.MULTILINE)


def test_colour_is_all_that_colour_adds(reconciler, changing):
    plain = reconciler("plan", changing, expect=5)
    coloured = reconciler.having(NO_COLOR="1")("plan", changing, "--color", "always", expect=5)
    assert coloured.out != plain.out
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured.out) == plain.out


def test_what_is_said_of_drift_is_the_same_each_time(reconciler, changing):
    first = reconciler("drift", changing, expect=2)
    assert first.out == (
        "Since mesh was last applied (applied → live):\n\n"
        "~ kv/app/b (changed by somebody else)\n"
        "    value:\n      - two\n      - lines\n      + somebody else's\\x1b[31m\n\n"
        "Drift: 1 resource differs from what was last applied.\n"
    )
    assert first.err == ""
    assert reconciler("drift", changing, "-v", expect=2).out == first.out


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_logs_are_lines_on_standard_error_and_in_a_file(reconciler, write, tmp_path, log_format):
    run = reconciler("apply", "--auto-approve", write(BEFORE), "-vv", "--log-format", log_format, "--log-file", "run.log", expect=0)
    lines = run.err.splitlines()
    assert lines == (tmp_path / "run.log").read_text("utf-8").splitlines()
    if log_format == "json":
        events = [json.loads(line) for line in lines]
        assert {event["level"] for event in events} == {"debug", "info"}
        assert {event["address"] for event in events if event["event"] == "applied"} >= {"acl-policy/one", "db-role/default/app", "kv/app/a"}
    else:
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (debug|info ) ", line) for line in lines)
    reconciler("plan", "mesh.yaml", "--log-file", "run.log", expect=0)
    assert len((tmp_path / "run.log").read_text("utf-8").splitlines()) > len(lines), "a log file is appended to"


def test_the_records_are_listed_and_shown(reconciler, write, postgres18):
    reconciler("apply", "--auto-approve", write(BEFORE), expect=0)
    listed = reconciler("owned", "list", "mesh.yaml", expect=0)
    assert listed.err == ""
    head, *rows = listed.out.splitlines()
    assert head.split() == ["ADDRESS", "MANIFEST", "STATE", "ORIGIN", "ON", "REMOVAL"]
    assert rows == sorted(rows)
    assert {tuple(row.split()[1:]) for row in rows} == {("mesh", "owned", "created", "delete")}
    assert [row.split()[0] for row in rows] == [r["address"] for r in reconciler("owned", "list", "--format", "json", expect=0).json["records"]]
    shown = reconciler("owned", "show", "kv/app/a", "mesh.yaml", expect=0)
    assert shown.out.startswith("kv/app/a\n    manifest: mesh\n    label: app/a\n    state: owned\n    origin: created\n")
    assert shown.out.endswith("    last applied:\n        value: one\n")
    assert "    password: (secret)\n" in reconciler("owned", "show", "db-role/default/app", "mesh.yaml", expect=0).out
