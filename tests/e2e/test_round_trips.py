"""How often a plan asks: a bounded number of times, however much there is (counted by proxies)."""

import json
import math
from collections import Counter

import pytest

from tests.benchmarks import units
from tests.e2e.command import Command
from tests.servers.consul import ConsulServer
from tests.servers.counting_proxy import CountingProxy
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_proxy import PostgresProxy

ONLY_POLICIES = {"version": 1, "name": "bench", "mesh_credentials": {"policies": units.manifest(5)["mesh_credentials"]["policies"]}}
AUTHORIZE = ("POST", "/v1/internal/acl/authorize")


class Proxy(CountingProxy):
    """Also counts the permissions that are asked about."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.permissions = 0

    def reset(self):
        super().reset()
        self.permissions = 0

    def _count(self, method, path, body):
        if (method, path) == AUTHORIZE:
            self.permissions += len(json.loads(body))
        return super()._count(method, path, body)


class Counted:
    """The command with everything that it asks counted."""

    def __init__(self, command, consul, postgres):
        self.http, self.sql = Proxy(consul.address), PostgresProxy(postgres.host, postgres.port)
        self.command = command.having(CONSUL_HTTP_ADDR=self.http.address, PGHOST=self.sql.host, PGPORT=str(self.sql.port))

    def __enter__(self):
        self.http.__enter__()
        self.sql.__enter__()
        return self

    def __exit__(self, *error):
        self.sql.__exit__(*error)
        self.http.__exit__(*error)

    def run(self, *arguments, expect=0):
        """Run it; nothing that was counted before matters any more."""
        self.http.reset()
        self.sql.reset()
        return self.command(*arguments, "units.yaml", expect=expect)

    def within_bounds(self, count):
        """The bound for ``count`` units, and that it does not come from asking about more and more permissions."""
        folders = {key.rpartition("/")[0] for key in units.manifest(count)["kv"]}
        bound = 9 + math.ceil(len(folders) / 128) + math.ceil(self.http.permissions / 64)
        assert self.http.total <= bound, Counter(self.http.requests)
        assert self.http.permissions <= 8 * count + 8
        assert self.http.requests[AUTHORIZE] == math.ceil(self.http.permissions / 64)
        assert self.sql.statements.total() <= 6, self.sql.statements
        assert not self.http.writes
        assert not self.sql.writes


@pytest.fixture
def counted(reconciler, consul, postgres18, tmp_path):
    (tmp_path / "units.yaml").write_text(units.text(10))
    with Counted(reconciler, consul, postgres18) as counted:
        yield counted


def test_ten_units(counted):
    assert counted.run("plan").last == "Plan: 110 to add, 0 to change, 0 to replace, 0 to delete, 0 to adopt, 0 to forget."
    counted.within_bounds(10)
    counted.run("apply", "--auto-approve")
    counted.run("plan", "--detailed-exitcode")
    counted.within_bounds(10)


def test_the_rules_of_a_policy_are_read_only_when_its_hash_differs(counted, consul, tmp_path):
    (tmp_path / "units.yaml").write_text(json.dumps(ONLY_POLICIES))
    counted.run("apply", "--auto-approve")
    counted.run("plan", "--detailed-exitcode")
    assert reads_of_rules(counted) == []
    policy = next(p for p in consul.get("/v1/acl/policies") if p["Name"] == "bench-003")
    consul.put(f"/v1/acl/policy/{policy['ID']}", {**policy, "Rules": 'key "x" { policy = "read" }'})
    assert "acl-policy/bench-003" in counted.run("plan", "--detailed-exitcode", expect=2).out
    assert reads_of_rules(counted) == [f"/v1/acl/policy/{policy['ID']}"]


def reads_of_rules(counted):
    return [path for method, path in counted.http.requests.elements() if method == "GET" and path.startswith("/v1/acl/policy/")]


@pytest.mark.slow
def test_two_hundred_units(tmp_path, environment):
    """On servers of its own: cleaning up after it would take longer. Nothing of what is tested depends on the disk, so it is not waited for."""
    (tmp_path / "units.yaml").write_text(units.text(200))
    with ConsulServer() as consul, PostgresServer() as postgres:
        command = Command(tmp_path, environment | consul.environment | postgres.environment)
        with Counted(command, consul, postgres) as counted:
            counted.run("plan")
            counted.within_bounds(200)
            command("apply", "--auto-approve", "units.yaml", expect=0)  # past the proxies, which would only slow it down
            counted.run("plan", "--detailed-exitcode")
            counted.within_bounds(200)
