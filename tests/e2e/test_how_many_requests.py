"""A plan reads in bulk: the number of round trips is bounded by a formula, whatever the number of resources."""

from __future__ import annotations

import base64
import json
import math

import pytest

from tests.benchmarks.units import manifest, text
from tests.e2e.command import Command
from tests.servers.counting_proxy import CountingProxy
from tests.servers.postgres_proxy import PostgresProxy


@pytest.fixture
def http(consul):
    with CountingProxy(consul.address) as proxy:
        yield proxy


@pytest.fixture
def sql(postgres18):
    with PostgresProxy(postgres18.host, postgres18.port) as proxy:
        yield proxy


@pytest.fixture
def counted(reconciler, http, sql) -> Command:
    """The command through both proxies."""
    return reconciler.having(CONSUL_HTTP_ADDR=http.address, PGHOST=sql.host, PGPORT=str(sql.port))


def allowed(units, checks):
    """What the design allows a plan of so many units."""
    folders = {key.rpartition("/")[0] for key in manifest(units)["kv"]}
    return 9 + math.ceil(len(folders) / 128) + math.ceil(checks / 64)


def permission_checks(http, plan):
    """How many rights were asked for: the bodies of the requests are not kept by the proxy, so the number of requests of 64 is the bound."""
    return 64 * http.requests["POST", "/v1/internal/acl/authorize"]


def plan_counting(counted, http, sql, units, tmp_path, expect):
    path = tmp_path / f"{units}.yaml"
    path.write_text(text(units), "utf-8")
    http.reset()
    sql.reset()
    plan = counted("plan", "--detailed-exitcode", str(path), expect=expect)
    assert http.total <= allowed(units, permission_checks(http, plan)), http.requests
    assert sum(sql.statements.values()) <= 6, sql.statements
    return path


@pytest.mark.parametrize("units", [10, 200])
def test_a_first_plan_takes_a_bounded_number_of_round_trips(counted, http, sql, tmp_path, units):
    plan_counting(counted, http, sql, units, tmp_path, expect=2)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("units", [10, 200])
def test_a_plan_with_nothing_to_do_takes_a_bounded_number_of_round_trips(reconciler, counted, http, sql, tmp_path, units, monkeypatch):
    monkeypatch.setattr("tests.e2e.command.LIMIT_S", 500)
    path = tmp_path / f"{units}.yaml"
    path.write_text(text(units), "utf-8")
    reconciler("apply", "--auto-approve", str(path), expect=0)
    plan_counting(counted, http, sql, units, tmp_path, expect=0)


def test_the_rights_that_are_asked_for_grow_with_the_resources_and_no_more(counted, http, sql, tmp_path):
    plan_counting(counted, http, sql, 10, tmp_path, expect=2)
    resources = 11 * 10
    assert http.requests["POST", "/v1/internal/acl/authorize"] <= math.ceil(2 * resources / 64)


def test_the_rules_of_a_policy_are_read_only_when_its_hash_differs(reconciler, counted, consul, http, sql, tmp_path):
    body = {
        "version": 1,
        "name": "rules",
        "mesh_credentials": {"policies": {f"p{i}": {"rules": {"key_prefix": {f"{i}/": "read"}}} for i in range(5)}},
    }
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps(body), "utf-8")
    reconciler("apply", "--auto-approve", str(path), expect=0)
    http.reset()
    counted("plan", str(path), expect=0)
    assert reads_of_rules(http) == 0
    policy = next(p for p in consul.get("/v1/acl/policies") if p["Name"] == "p3")
    consul.put(f"/v1/acl/policy/{policy['ID']}", {**policy, "Rules": 'key_prefix "3/" { policy = "write" }'})
    http.reset()
    counted("plan", "--detailed-exitcode", str(path), expect=2)
    assert reads_of_rules(http) == 1


def reads_of_rules(http):
    return sum(count for (method, path), count in http.requests.items() if method == "GET" and path.startswith("/v1/acl/policy/"))


def test_keys_are_read_as_they_are_however_they_are_grouped(reconciler, consul, tmp_path):
    """More keys than one transaction takes: folders are read whole, and a neighbour of ours is neither shown nor touched."""
    keys = {f"many/{i // 3}/key-{i}": f"value {i}" for i in range(400)}
    consul.put("/v1/kv/many/0/neighbour", b"theirs")
    path = tmp_path / "keys.yaml"
    path.write_text(json.dumps({"version": 1, "name": "keys", "kv": keys}), "utf-8")
    reconciler("apply", "--auto-approve", str(path), expect=0)
    reconciler("plan", "--detailed-exitcode", str(path), expect=0)
    reconciler("destroy", "--auto-approve", str(path), expect=0)
    (left,) = consul.get("/v1/kv/many/?recurse=true")
    assert (left["Key"], base64.b64decode(left["Value"])) == ("many/0/neighbour", b"theirs")
