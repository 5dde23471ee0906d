"""``reconciler policy``: what it prints is enough for every example, and each rule of it is needed: without it the run stops and names it."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine import operations
from reconciler.engine.connections import Connections
from reconciler.manifest.loading import load
from reconciler.model.errors import AccessDenied
from tests.e2e.command import ROOT, Command
from tests.e2e.test_examples import CASES, elsewhere
from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer

Rules = dict[str, Any]


@pytest.fixture
def token_with(consul: ConsulServer) -> Iterator[Callable[[Rules | str], str]]:
    """Makes a token that may do just what the rules say."""
    made: list[tuple[str, str]] = []

    def make(rules: Rules | str) -> str:
        text = rules if isinstance(rules, str) else json.dumps(rules)
        policy = consul.put("/v1/acl/policy", {"Name": f"least-{len(made)}", "Rules": text})
        token = consul.put("/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})
        made.append((token["AccessorID"], policy["ID"]))
        return str(token["SecretID"])

    yield make
    for accessor, policy in made:
        consul.request("DELETE", f"/v1/acl/token/{accessor}")
        consul.request("DELETE", f"/v1/acl/policy/{policy}")


def without_each(rules: Rules) -> Iterator[tuple[str, Rules]]:
    """The rules without one of them, each in turn, and the words by which the missing right is named."""
    for resource, said in rules.items():
        if isinstance(said, str):
            left = copy.deepcopy(rules)
            del left[resource]
            yield f"{resource}:{said}", left
            continue
        for name, rule in said.items():
            for key, access in rule.items():
                left = copy.deepcopy(rules)
                if len(rule) == 1:
                    del left[resource][name]
                else:  # what one of them gives the other may give too
                    left[resource][name][key] = "deny"
                what = "intention" if key == "intentions" else resource.removesuffix("_prefix")
                # a session is made on a node, which the rules do not name
                yield f"{what}:{access}" + (f' on "{name}"' if name else ' on "' if what == "session" else ""), left


@pytest.mark.parametrize(("example", "files"), CASES)
def test_every_example_takes_exactly_this(
    reconciler: Command, postgres18: PostgresServer, consul: ConsulServer, token_with: Callable[[Rules | str], str], tmp_path: Path,
    example: Path, files: list[str],
):  # fmt: skip
    folder = tmp_path / "example"
    shutil.copytree(example, folder)
    elsewhere(folder, tmp_path)
    run = Command(folder, reconciler.environment)
    for_plan, for_drift, for_apply = (
        run("policy", "--format", "json", "--for", purpose, *files, expect=0).json for purpose in ("plan", "drift", "apply")
    )

    for role, rights in (("looks", for_plan), ("least", for_apply)):
        for attributes in rights["postgres"].values():
            postgres18.query(f"CREATE ROLE {role} {' '.join(attributes)} PASSWORD '{role}'")
    in_consul = {name: token_with(rights["rules"]) for name, rights in (("looks", for_plan), ("least", for_apply))}
    planning, applying = (run.having(CONSUL_HTTP_TOKEN=token, PGUSER=name, PGPASSWORD=name) for name, token in in_consul.items())

    planning("plan", *files, expect=0)
    for attributes in for_apply["postgres"].values():
        for attribute in attributes[1:]:
            postgres18.query(f"ALTER ROLE least NO{attribute}")
            lacking = applying("apply", "--auto-approve", *files, expect=1).err
            assert re.search(rf"it lacks .*\b{attribute}\b", lacking), lacking
            postgres18.query(f"ALTER ROLE least {attribute}")
    applying("apply", "--auto-approve", *files, expect=0)
    planning("plan", "--detailed-exitcode", *files, expect=0)
    for purpose, rights in (("plan", for_plan), ("apply", for_apply)):
        loaded = load([folder / file for file in files])
        for right, left in without_each(rights["rules"]):
            environ = {**applying.environment, "CONSUL_HTTP_TOKEN": token_with(left)}
            with Connections(loaded, environ) as connections, pytest.raises(AccessDenied, match=re.escape(right)):
                operations.plan(connections, operations.Options(), write=purpose == "apply")
    planning.having(CONSUL_HTTP_TOKEN=token_with(for_drift["rules"]))("drift", *files, expect=0)
    applying("destroy", "--auto-approve", *files, expect=0)
    for role in ("looks", "least"):
        postgres18.query(f"DROP ROLE IF EXISTS {role}")


def test_what_is_about_others(
    reconciler: Command, postgres18: PostgresServer, consul: ConsulServer, token_with: Callable[[Rules | str], str], tmp_path: Path
):  # fmt: skip
    """A connection's secret, the intentions of every service, roles and owners that are there already."""
    consul.put("/v1/kv/elsewhere/pg", b"least")
    manifest = {
        "version": 1,
        "name": "least",
        "postgres": {"default": {"user": "reconciler", "password": {"kv": "elsewhere/pg"}}},
        "intentions": {"*": {"nobody": "deny"}, "one": {"nobody": "deny"}},
        "config_entries": [{"Kind": "service-defaults", "Name": "another", "Protocol": "tcp"}],
        "db_roles": {"copier": {"replication": True, "bypassrls": True, "member_of": ["team"]}},
        "databases": {"least": {"owner": "boss", "schemas": {"inner": {"owner": "copier"}}}},
    }
    (tmp_path / "least.yaml").write_text(json.dumps(manifest))
    for_plan, for_apply = (reconciler("policy", "--format", "json", "--for", p, "least.yaml", expect=0).json for p in ("plan", "apply"))
    assert for_plan["rules"]["service"]["one"] == {"policy": "read", "intentions": "read"}, "deny would take away what another policy gives"
    assert for_apply["postgres"]["default"] == ["LOGIN", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"], "and no superuser"
    shown = reconciler("policy", "least.yaml", expect=0).out
    assert (
        '# Postgres default: GRANT "team" TO reconciler WITH ADMIN OPTION\n# Postgres default: GRANT "boss" TO reconciler\n# Postgres default: and '
        in shown
    )
    made = [f"CREATE ROLE reconciler {' '.join(for_apply['postgres']['default'])} PASSWORD 'least'", *for_apply["postgres_grants"]["default"]]
    for statement in ("CREATE ROLE team", "CREATE ROLE boss", *made):
        postgres18.query(statement)
    planning, applying = (reconciler.having(CONSUL_HTTP_TOKEN=token_with(rights["rules"])) for rights in (for_plan, for_apply))
    planning("plan", "least.yaml", expect=0)
    left = copy.deepcopy(for_apply["rules"])
    del left["key"]["elsewhere/pg"], left["service_prefix"][""]
    lacking = reconciler.having(CONSUL_HTTP_TOKEN=token_with(left))("apply", "--auto-approve", "least.yaml", expect=1).err
    assert 'intention:write on "*" (intentions = "write" in service_prefix "" and in every rule for a service)' in lacking
    assert 'key:read on "elsewhere/pg"' in lacking, "and both at once, although the connection needs the one"
    applying("apply", "--auto-approve", "least.yaml", expect=0)
    planning("plan", "--detailed-exitcode", "least.yaml", expect=0)
    applying("destroy", "--auto-approve", "least.yaml", expect=0)
    consul.request("DELETE", "/v1/kv/elsewhere/pg")
    for role in ("reconciler", "team", "boss"):
        postgres18.query(f"DROP ROLE {role}")


def test_it_is_written_as_consul_takes_it(command: Command, token_with: Callable[[Rules | str], str]):
    file = str(ROOT / "examples" / "01-external-postgres" / "manifest.yaml")
    written = command("policy", file, expect=0).out
    assert written.startswith("# What reconciler apply takes for the manifest carbonio-files-db.\n# Postgres default: CREATE ROLE reconciler LOGIN")
    token_with(written)
