"""Systems that come back as others: a Consul cluster that is built anew from a dump, a machine that is installed anew. The records follow."""

from __future__ import annotations

import base64
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine import operations
from reconciler.engine.connections import Connections
from reconciler.engine.operations import Options
from reconciler.engine.resettle import resettle
from reconciler.manifest.loading import load
from reconciler.model.change import Action
from reconciler.systems.host import Host, LocalHost
from tests.e2e.snapshot import of_consul
from tests.servers.consul import ConsulServer

BODY = """
kv:
  app/name: files
  app/password: {generate: {bytes: 16, encoding: hex}}
  app/token: {env: SECRET}
mesh_credentials:
  policies: {app: {rules: {service: {app: write}}}}
  roles: {app: {policies: [app]}}
  tokens: {app: {roles: [app], policies: [app]}}
external_services: {app: {node: app-node, address: app.example.com, port: 1, checks: {tcp: {tcp: "app.example.com:1"}}}}
intentions: {app: {web: allow}}
config_entries: [{Kind: service-defaults, Name: app, Protocol: tcp}]
prepared_queries: {app: {service: {service: app}}}
"""
LASTING = """
db_roles: {app: {login: true, password: {kv: app/password}}}
databases: {app: {owner: app}}
"""


@pytest.fixture(scope="module")
def rebuilt(no_settings_of_the_developer):
    with ConsulServer() as server:
        yield server


def replay(old: ConsulServer, new: ConsulServer) -> None:
    """Put what is in one cluster into another, as a dump through the API would: names, accessors and values stay, and every index is another."""
    new.wipe()
    for _ in range(3):
        new.put("/v1/kv/ahead", b"")  # so that no index is the same by chance
    new.delete("/v1/kv/ahead")

    def without(thing: dict[str, Any], *keys: str) -> dict[str, Any]:
        kept = {k: v for k, v in thing.items() if k not in ("CreateIndex", "ModifyIndex", "Hash", "CreateTime", *keys)}
        return kept | {k: [{"Name": link["Name"]} for link in kept[k] or ()] for k in ("Policies", "Roles") if k in kept}

    for policy in old.get("/v1/acl/policies"):
        if not policy["Name"].startswith(("global-management", "builtin/")):
            new.put("/v1/acl/policy", without(old.get(f"/v1/acl/policy/{policy['ID']}"), "ID"))
    for role in old.get("/v1/acl/roles"):
        new.put("/v1/acl/role", without(role, "ID"))
    for token in old.get("/v1/acl/tokens"):
        if token["AccessorID"] != "00000000-0000-0000-0000-000000000002" and "Bootstrap" not in token["Description"]:
            new.put("/v1/acl/token", without(old.get(f"/v1/acl/token/{token['AccessorID']}"), "Legacy"))
    for entry in old.get("/v1/config/"):
        new.put("/v1/config", without(entry))
    for node in old.get("/v1/catalog/nodes"):
        if node["Node"] != "test-server":
            new.put("/v1/catalog/register", {"Node": node["Node"], "Address": node["Address"], "NodeMeta": node["Meta"]})
            at = {"Node": node["Node"], "SkipNodeUpdate": True}
            for service in old.get(f"/v1/catalog/node-services/{node['Node']}")["Services"]:
                new.put(
                    "/v1/catalog/register",
                    {"Node": node["Node"], "SkipNodeUpdate": True, "Service": without(service, "Proxy", "Connect", "PeerName")},
                )
            for check in old.get(f"/v1/health/node/{node['Node']}"):
                new.put("/v1/catalog/register", {**at, "Check": without(check)})
    for query in old.get("/v1/query"):
        new.request("POST", "/v1/query", without(query, "ID"))
    for pair in old.get("/v1/kv/?recurse=true"):
        new.put(f"/v1/kv/{pair['Key']}", base64.b64decode(pair["Value"] or ""))


def test_records_follow_a_consul_that_was_built_anew_from_a_dump(reconciler, write, consul, rebuilt, postgres18):
    file = write(BODY + LASTING)
    reconciler = reconciler.having(SECRET="their secret")
    reconciler("apply", "--auto-approve", file, expect=0)
    replay(consul, rebuilt)
    moved = reconciler.having(**rebuilt.environment)
    refused = moved("plan", file, expect=5).out
    assert "11 owned resources (acl-policy/app, " in refused
    [old] = set(re.findall(r"owned transfer --system (\S+)=NEW", refused))
    # meanwhile one was changed there, and one is lost
    rebuilt.put("/v1/kv/app/name", b"theirs")
    rebuilt.delete("/v1/kv/app/token")
    before = of_consul(rebuilt)
    typed = ("owned", "transfer", "--system", f"{old}=consul", file)
    assert f"Consul still has the identity {old}: nothing is to be moved" in reconciler(*typed, expect=5).err
    told = moved(*typed, expect=0).out
    assert told.count(" is on Consul (") == 10
    assert "kv/app/token was not found there, or nothing tells that it is ours: forgotten.\n" in told
    assert re.search(r"^kv/app/name is on Consul .* and differs from what was last applied in value\.$", told, re.MULTILINE)
    after = of_consul(rebuilt)
    assert {k: v for k, v in after.items() if k not in ("kv", "sessions")} == {k: v for k, v in before.items() if k not in ("kv", "sessions")}
    assert moved("drift", file).code == 2
    assert [(c["address"], c["action"]) for c in moved("plan", "--format", "json", file, expect=0).json["changes"]] == [
        ("kv/app/name", "update"),
        ("kv/app/token", "create"),
    ]
    moved("apply", "--auto-approve", file, expect=0)
    assert moved("plan", "--detailed-exitcode", file).code == 0
    assert moved("drift", file).code == 0
    # what is ours there is known by what it is there: it goes, and what somebody makes anew stays
    rebuilt.delete("/v1/kv/app/name")
    rebuilt.put("/v1/kv/app/name", b"files")
    done = moved("destroy", "--auto-approve", file, expect=0)
    assert done.last == "Apply complete: 0 added, 0 changed, 0 replaced, 12 deleted, 0 adopted, 1 forgotten."
    assert rebuilt.keys() == {"app/name": b"files"}
    assert postgres18.query("SELECT FROM pg_roles WHERE rolname = 'app'") == []


# --- a machine ---


class Reinstalled(Connections):
    """The same machine under another machine-id."""

    def __init__(self, file: Path, environment: dict[str, str], machine_id_file: Path) -> None:
        super().__init__(load([file]), environment)
        self.machine_id_file = machine_id_file

    def host(self, name: str) -> Host:
        return LocalHost(name, machine_id_files=(str(self.machine_id_file),))


def test_records_follow_a_machine_that_was_installed_anew(consul, environment, tmp_path):
    kept, lost = tmp_path / "kept", tmp_path / "lost"
    manifest, identity = tmp_path / "m.yaml", tmp_path / "machine-id"
    entries = "".join(f"    {p.name}: {{file: {{path: {p}}}}}\n" for p in (kept, lost))
    manifest.write_text(f"version: 1\nname: mesh\nmesh_credentials:\n  tokens:\n{entries}", "utf-8")
    old, new = "a" * 32, "b" * 32
    identity.write_text(old + "\n")

    def planned(run=operations.plan):
        with Reinstalled(manifest, environment, identity) as connections:
            return run(connections, Options()) if run is operations.plan else run(connections)

    def applied():
        with Reinstalled(manifest, environment, identity) as connections:
            _, outcome = operations.apply(connections, Options(), approve=lambda _: True, progress=lambda _: None, stop=threading.Event())
            assert outcome is None or outcome.complete

    applied()
    assert planned().is_empty
    identity.write_text(new + "\n")
    lost.unlink()
    (refusal,) = planned().refusals
    assert refusal.rule == "other system" and f"--system {old}=NEW" in refusal.what_to_do
    with Reinstalled(manifest, environment, identity) as connections:
        settled = resettle(connections, old, "local", 0.0, threading.Event())
    assert [(str(r.address), differing) for r, differing in settled.moved] == [(f"file/local{kept}", ())]
    assert [str(r.address) for r in settled.forgotten] == [f"file/local{lost}"]
    assert {key.split("/")[3] for key in consul.keys("reconciler/owned/file/")} == {new}
    assert planned(operations.drift).is_empty
    assert [(str(c.address), c.action) for c in planned().changes] == [(f"file/local{lost}", Action.CREATE)]
    content = kept.read_bytes()
    applied()
    assert planned().is_empty and kept.read_bytes() == content and lost.exists()
    manifest.write_text("version: 1\nname: mesh\n", "utf-8")
    applied()
    assert not kept.exists() and not lost.exists() and consul.keys() == {}
