"""ACL policies on a real Consul."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from reconciler.model.address import Address
from reconciler.model.errors import AlreadyExists, LostRace, ManifestError
from reconciler.model.kind import Wanted
from reconciler.model.value import Semantic
from reconciler.systems.consul.reader import ConsulReader
from tests.kinds.consul.workbench import OWNER, direct

RULES = {"key_prefix": {"app/": "read"}, "service": {"web": {"policy": "write", "intentions": "read"}}}


def policy(rules, **more):
    return {"mesh_credentials": {"policies": {"web": {"description": "of web", "rules": rules, **more}}}}


def test_created_read_changed_and_deleted(bench):
    desired = bench.declare_one("acl-policy", **policy(RULES))
    assert bench.live(desired) is None
    made = bench.create(desired)
    live = bench.there(desired)
    assert bench.differences(desired) == []
    assert (made.incarnation, made.witness) == (live.incarnation, live.witness)

    for changed, field in ((policy(RULES, description="other"), "description"), (policy({"operator": "read"}), "rules")):
        desired = bench.declare_one("acl-policy", **changed)
        assert field in bench.differences(desired)
        assert bench.update(desired).witness == bench.there(desired).witness
        assert bench.differences(desired) == []
    assert bench.there(desired).incarnation == made.incarnation
    bench.delete(desired)
    assert bench.live(desired) is None


def test_text_is_written_as_it_stands_and_compared_by_meaning(bench):
    text = '# ours\nkey_prefix "app/" { policy = "read" }'
    bench.create(bench.declare_one("acl-policy", **policy(text)))
    assert bench.server.get("/v1/acl/policy/name/web")["Rules"] == text
    for same in ({"key_prefix": {"app/": "read"}}, '{"key_prefix": [{"app/": {"policy": "read"}}]}', 'key_prefix = { "app/" = { policy = "read" } }'):
        assert bench.differences(bench.declare_one("acl-policy", **policy(same))) == []
    assert bench.differences(bench.declare_one("acl-policy", **policy('key_prefix "app" { policy = "read" }'))) == ["rules"]


def test_the_policies_of_a_plan_take_one_request_when_nothing_changed(bench, client):
    sections = {"mesh_credentials": {"policies": {f"p{n}": {"rules": {"key": {f"k{n}": "read"}}} for n in range(20)}}}
    desired = bench.declare("acl-policy", **sections)
    for one in desired.values():
        bench.create(one)
    reader = ConsulReader(client)
    assert len(list(direct("acl-policy").read(reader, [Wanted(d.address, OWNER, d) for d in desired.values()]))) == 20
    assert reader.requests == 1


def test_rules_that_we_wrote_last_need_no_reading_though_the_manifest_says_others(bench, client):
    desired = bench.declare_one("acl-policy", **policy(RULES))
    bench.create(desired)
    record = bench.record(desired)
    changed = bench.declare_one("acl-policy", **policy({"operator": "read"}))
    for want in (Wanted(changed.address, OWNER, changed, record), Wanted(desired.address, OWNER, None, record)):
        reader = ConsulReader(client)
        (live,) = direct("acl-policy").read(reader, [want])
        assert live.fields["rules"] == desired.fields["rules"]
        assert reader.requests == 1


def test_a_policy_that_somebody_changed_is_read(bench, client):
    desired = bench.declare_one("acl-policy", **policy(RULES))
    bench.create(desired)
    record = bench.record(desired)
    raw = bench.server.get("/v1/acl/policy/name/web")
    bench.server.put(f"/v1/acl/policy/{raw['ID']}", {**raw, "Rules": 'operator = "write"'})
    reader = ConsulReader(client)
    (live,) = direct("acl-policy").read(reader, [Wanted(desired.address, OWNER, desired, record)])
    assert live.fields["rules"].normal == {"operator": "write"}
    assert reader.requests == 2
    (change,) = bench.changes(desired, record)
    assert change.drifted
    assert not change.manifest


def test_a_policy_that_is_only_referred_to_is_not_read(bench, client):
    bench.server.put("/v1/acl/policy", {"Name": "Other", "Rules": 'operator = "read"'})
    reader = ConsulReader(client)
    (live,) = direct("acl-policy").read(reader, [Wanted(direct("acl-policy").address("other"), OWNER)])
    assert "rules" not in live.fields
    assert reader.requests == 1


def test_the_hash_of_a_policy_is_ours_whatever_is_in_it(bench):
    from reconciler.kinds.consul.acl_policy import policy_hash

    raw = bench.server.put("/v1/acl/policy", {"Name": "a/b", "Description": "é\n", "Rules": "# ü", "Datacenters": ["dc1"]})
    assert policy_hash(raw["Name"], raw["Description"], raw["Rules"], raw["Datacenters"]) == raw["Hash"]


def test_the_case_of_a_name_means_nothing_and_stays(bench):
    bench.server.put("/v1/acl/policy", {"Name": "WEB", "Description": "of web", "Rules": "", "Datacenters": ["dc1"]})
    desired = bench.declare_one("acl-policy", **policy(RULES))
    assert bench.differences(desired) == ["rules"]
    bench.update(desired)
    raw = bench.server.get("/v1/acl/policy/name/web")
    assert (raw["Name"], raw["Datacenters"]) == ("WEB", ["dc1"])
    with pytest.raises(AlreadyExists):
        bench.create(desired)


def test_a_policy_that_somebody_changes_meanwhile_is_not_overwritten(bench):
    desired = bench.declare_one("acl-policy", **policy(RULES))
    bench.create(desired)
    live = bench.there(desired)
    raw = bench.server.get("/v1/acl/policy/name/web")
    changed = bench.declare_one("acl-policy", **policy(RULES, description="ours"))
    bench.server.put(f"/v1/acl/policy/{raw['ID']}", raw)  # the same again: nothing is lost by writing over it
    bench.update(changed, live=live)
    bench.server.put(f"/v1/acl/policy/{raw['ID']}", {**raw, "Description": "theirs"})
    with pytest.raises(LostRace):
        bench.update(changed, live=live)
    bench.server.delete(f"/v1/acl/policy/{raw['ID']}")
    with pytest.raises(LostRace):
        bench.update(changed, live=live)
    bench.delete(changed, live=live)


def test_what_is_built_into_consul_is_foreign(bench):
    address = Address.of("acl-policy", "global-management", fold=True)
    assert bench.read([Wanted(address, OWNER)])[address].foreign


def test_a_live_text_that_cannot_be_read_is_shown_as_it_stands(bench):
    lenient = '{"operator": "read",}'
    bench.server.put("/v1/acl/policy", {"Name": "web", "Description": "of web", "Rules": lenient})
    desired = bench.declare_one("acl-policy", **policy({"operator": "read"}))
    assert bench.differences(desired) == ["rules"]
    assert bench.there(desired).fields["rules"].shown == lenient
    bench.update(desired)
    assert bench.differences(desired) == []


def test_long_rules_are_compared_though_the_record_has_only_their_digest(bench):
    rules = {"key": {f"key-{n}": "read" for n in range(300)}}
    desired = bench.declare_one("acl-policy", **policy(rules))
    bench.create(desired)
    record = bench.record(desired)
    assert not isinstance(record.specification["rules"], Semantic)
    changed = bench.declare_one("acl-policy", **policy({"operator": "read"}))
    assert bench.there(changed, record).fields["rules"] == desired.fields["rules"]
    assert bench.differences(desired, record) == []
    leaving = bench.read([Wanted(desired.address, OWNER, None, record)])[desired.address]
    assert json.dumps(leaving.fields["rules"].normal)


def test_a_mistake_in_rules_has_its_place(bench):
    with pytest.raises(ManifestError) as caught:
        bench.declare("acl-policy", **policy('srvice "web" { policy = "write" }'))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.subject == "acl-policy/web.rules"
    assert diagnostic.what_to_do == "did you mean service?"
    assert diagnostic.place is not None


def test_the_name_may_differ_from_the_label(bench):
    desired = bench.declare_one("acl-policy", **policy(RULES, name="other"))
    assert str(desired.address) == "acl-policy/other"
    bench.create(replace(desired))
    assert bench.server.get("/v1/acl/policy/name/other")["Description"] == "of web"
