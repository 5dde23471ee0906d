"""ACL roles on a real Consul."""

from __future__ import annotations

import pytest

from reconciler.model.errors import AlreadyExists, LostRace
from reconciler.systems.consul.reader import ConsulReader
from tests.kinds.consul.workbench import direct

KIND = direct("acl-role")


@pytest.fixture(autouse=True)
def policies(bench):
    for name in ("Read-Web", "write-web"):
        bench.server.put("/v1/acl/policy", {"Name": name, "Rules": ""})


def role(**entry):
    return {"mesh_credentials": {"roles": {"Web": {"description": "of web", "policies": ["read-web"], **entry}}}}


def raw_of(bench):
    return bench.server.get("/v1/acl/role/name/web")


def test_what_consul_fills_in_merges_and_reorders_is_no_difference(bench):
    """It sorts and merges datacenters, fills in the IDs of templates, and folds the keys of their variables."""
    entry = role(
        policies=["write-web", "READ-web", "read-web"],
        service_identities=[{"service": "web", "datacenters": ["dc2", "dc1", "dc2"]}, {"service": "api"}],
        node_identities=[{"node": "n2", "datacenter": "dc1"}, {"node": "n1", "datacenter": "dc1"}],
        templated_policies=[{"template": "builtin/node", "name": "n1"}, {"template": "builtin/dns"}],
    )
    desired = bench.declare_one("acl-role", **entry)
    bench.create(desired)
    assert bench.differences(desired) == []
    assert raw_of(bench)["TemplatedPolicies"][0]["TemplateVariables"] == {"name": "n1"}


def test_another_spelling_of_its_name_is_the_same_role(bench):
    desired = bench.declare_one("acl-role", **role())
    bench.create(desired)
    other = bench.declare_one("acl-role", mesh_credentials={"roles": {"wEB": {"description": "other"}}})
    assert bench.differences(other) == ["description"]
    bench.update(other)
    assert (raw_of(bench)["Name"], raw_of(bench)["Description"], len(raw_of(bench)["Policies"])) == ("Web", "other", 1)
    with pytest.raises(AlreadyExists):
        bench.create(other)


def test_what_is_unset_goes_and_what_was_never_set_stays(bench):
    desired = bench.declare_one("acl-role", **role(service_identities=[{"service": "web"}]))
    bench.create(desired)
    record = bench.record(desired)
    bench.server.put(f"/v1/acl/role/{raw_of(bench)['ID']}", {**raw_of(bench), "NodeIdentities": [{"NodeName": "n", "Datacenter": "dc1"}]})
    bench.update(bench.declare_one("acl-role", mesh_credentials={"roles": {"Web": {}}}), record)
    raw = raw_of(bench)
    assert (raw["Description"], raw.get("Policies"), raw.get("ServiceIdentities")) == ("", None, None)
    assert raw["NodeIdentities"] == [{"NodeName": "n", "Datacenter": "dc1"}]


def test_what_somebody_changes_or_makes_anew_meanwhile_is_not_overwritten(bench):
    desired = bench.declare_one("acl-role", **role())
    bench.create(desired)
    live = bench.there(desired)
    bench.server.put(f"/v1/acl/role/{live.incarnation}", {**raw_of(bench), "Description": "theirs"})
    changed = bench.declare_one("acl-role", **role(description="ours"))
    with pytest.raises(LostRace):
        bench.update(changed, live=live)
    bench.server.delete(f"/v1/acl/role/{live.incarnation}")
    bench.server.put("/v1/acl/role", {"Name": "web", "Description": "theirs"})
    with pytest.raises(LostRace):
        bench.update(changed, live=live)
    bench.delete(desired, live=live)
    assert raw_of(bench)["Description"] == "theirs"


def test_policies_come_first(bench):
    desired = bench.declare_one("acl-role", **role(policies=["read-web", "Elsewhere"]))
    assert {str(a).lower() for a in desired.needs} == {"acl-policy/read-web", "acl-policy/elsewhere"}
    assert desired.needs == desired.must_exist


def test_all_are_read_in_one_request(bench, client):
    desired = bench.declare("acl-role", mesh_credentials={"roles": {f"r{n}": {"description": "d"} for n in range(20)}})
    for one in desired.values():
        bench.create(one)
    reader = ConsulReader(client)
    assert len(list(KIND.read(reader, [bench.wanted(one) for one in desired.values()]))) == 20
    assert reader.requests == 1
