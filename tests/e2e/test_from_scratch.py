"""Most tests fork the command from a process that has imported everything; started by a new interpreter, each command does the same."""

from __future__ import annotations

import dataclasses
import re

import pytest

MANIFEST = """\
mesh_credentials:
  policies: {app: {rules: {key_prefix: {app/: read}}}}
  tokens: {app: {policies: [app]}}
intentions: {app: {client: allow}}
config_entries: [{Kind: service-defaults, Name: app, Protocol: tcp}]
external_services: {db: {node: db-node, address: 10.0.0.1, port: 5432}}
kv: {app/name: files, app/password: {generate: {bytes: 16}}}
db_roles: {app: {login: true, password: {kv: app/password}}}
databases: {app: {owner: app}}
"""
LOOKS_ONLY = (
    ("validate", "mesh.yaml"),
    ("plan", "mesh.yaml"),
    ("plan", "--format", "markdown", "mesh.yaml"),
    ("plan", "--out", "mesh.plan", "mesh.yaml"),
    ("drift", "mesh.yaml"),
    ("owned", "list"),
    ("owned", "show", "kv/app/name", "mesh.yaml"),
    ("policy", "mesh.yaml"),
    ("import", "--owned-too"),
    ("unlock", "mesh.yaml"),
    ("schema", "events"),
    ("credentials", "show", "nowhere"),
    ("render", "mesh.yaml", "--host", "nowhere", "--output", "rendered"),
)


@pytest.fixture
def applied(reconciler, write):
    write(MANIFEST)
    run = reconciler.from_scratch("apply", "--auto-approve", "-vv", "--log-file", "run.log", "mesh.yaml", expect=0)
    assert run.last.startswith("Apply complete: 10 added, ")
    return reconciler


def test_what_only_looks_says_the_same(applied):
    for arguments in LOOKS_ONLY:
        assert without_ages(applied.from_scratch(*arguments)) == without_ages(applied(*arguments))


WATCHED = """\
import resource, sys
from reconciler.cli import main
most = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
main.leave = lambda code: print(code, resource.getrlimit(resource.RLIMIT_CORE) == (0, most))
sys.argv[1:] = ["version"]
main.program()
"""


def test_a_crash_leaves_nothing_of_its_memory_on_disk(command):
    run = dataclasses.replace(command, program=("-c", WATCHED)).from_scratch()
    assert run.last == "0 True"


def without_ages(run):
    return dataclasses.replace(run, out=re.sub(r"\d+ (second|minute)s?", "some time", run.out))


def test_what_changes_does_what_it_says(applied, consul, write):
    write(MANIFEST.replace("app/name: files", "app/name: changed"))
    applied.from_scratch("plan", "--out", "mesh.plan", "mesh.yaml", expect=0)
    applied.from_scratch("apply", "mesh.plan", expect=0)
    assert consul.keys("app/")["app/name"] == b"changed"
    applied.from_scratch("owned", "forget", "kv/app/name", "mesh.yaml", expect=0)
    applied.from_scratch("owned", "adopt", "kv/app/name", "mesh.yaml", expect=0)
    applied.from_scratch("destroy", "--auto-approve", "--allow-data-loss", "*", "mesh.yaml", expect=0)
    assert not consul.keys("reconciler/owned/")
