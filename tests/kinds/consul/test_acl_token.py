"""ACL tokens on a real Consul."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.kinds.consul.acl_token import KIND, accessor_of
from reconciler.model.errors import AlreadyExists, LostRace
from reconciler.model.kind import Order, Wanted
from reconciler.model.record import State
from reconciler.model.secret import Hidden
from tests.kinds.consul.workbench import OWNER

ACCESSOR = "5a1f4f6e-0c58-4c0b-9d0b-6c2f6a3f1c55"


@pytest.fixture(autouse=True)
def policies(bench):
    for name in ("Read-Web", "write-web"):
        bench.server.put("/v1/acl/policy", {"Name": name, "Rules": ""})


def token(**entry):
    return {"mesh_credentials": {"tokens": {"web": {"description": "of web", "policies": ["read-web"], **entry}}}}


def raw_of(bench, live):
    return bench.server.get(f"/v1/acl/token/{live.fields['accessor']}")


def test_created_read_changed_and_deleted(bench):
    desired = bench.declare_one("acl-token", **token())
    assert bench.live(desired) is None
    made = bench.create(desired)
    live = bench.there(desired)
    assert bench.differences(desired) == []
    assert live.incarnation == made.incarnation
    assert live.fields["accessor"] == accessor_of(OWNER, "web", 0)
    assert made.outputs["secret_id"].reveal() == raw_of(bench, live)["SecretID"]
    assert live.outputs["secret_id"] == made.outputs["secret_id"]

    for changed, field in ((token(description="other"), "description"), (token(policies=["write-web", "READ-WEB"]), "policies")):
        desired = bench.declare_one("acl-token", **changed)
        assert field in bench.differences(desired)
        assert bench.update(desired).outputs["secret_id"] == made.outputs["secret_id"]
        assert bench.differences(desired) == []
    bench.delete(desired)
    assert bench.live(desired) is None


def test_policies_are_compared_without_order_and_case(bench):
    bench.create(bench.declare_one("acl-token", **token(policies=["write-web", "Read-Web"])))
    assert bench.differences(bench.declare_one("acl-token", **token(policies=["read-WEB", "write-web"]))) == []
    assert bench.differences(bench.declare_one("acl-token", **token(policies=["read-web"]))) == ["policies"]


def test_what_the_manifest_has_no_word_for_stays(bench):
    bench.server.put("/v1/acl/role", {"Name": "role", "Policies": [{"Name": "write-web"}]})
    extra = {
        "Local": True,
        "Roles": [{"Name": "role"}],
        "ServiceIdentities": [{"ServiceName": "web"}],
        "NodeIdentities": [{"NodeName": "n", "Datacenter": "dc1"}],
        "TemplatedPolicies": [{"TemplateName": "builtin/service", "TemplateVariables": {"Name": "api"}}],
        "ExpirationTTL": "1h",
    }
    bench.server.put("/v1/acl/token", {"AccessorID": ACCESSOR, "Description": "d", "Policies": [{"Name": "write-web"}], **extra})
    desired = bench.declare_one("acl-token", **token(accessor=ACCESSOR))
    before = raw_of(bench, bench.there(desired))
    bench.update(desired)
    after = raw_of(bench, bench.there(desired))
    assert after["Description"] == "of web"
    for key in ("Local", "Roles", "ServiceIdentities", "NodeIdentities", "TemplatedPolicies", "ExpirationTime", "SecretID", "CreateIndex"):
        assert after[key] == before[key]


def test_policies_that_the_manifest_does_not_name_stay(bench):
    bench.server.put("/v1/acl/token", {"AccessorID": ACCESSOR, "Description": "d", "Policies": [{"Name": "write-web"}]})
    desired = bench.declare_one("acl-token", mesh_credentials={"tokens": {"web": {"description": "other", "accessor": ACCESSOR}}})
    bench.update(desired)
    assert [p["Name"] for p in raw_of(bench, bench.there(desired))["Policies"]] == ["write-web"]


def test_creating_again_does_not_take_over_what_is_there_though_it_is_equal(bench):
    """A stranger's token can be equal too; what an earlier run of ours made is told by that run's claim, which the engine looks at."""
    desired = bench.declare_one("acl-token", **token())
    bench.create(desired)
    with pytest.raises(AlreadyExists, match="belongs to another token"):
        bench.create(desired)
    assert len([t for t in bench.server.get("/v1/acl/tokens") if t["Description"] == "of web"]) == 1


def test_an_accessor_of_another_token_is_not_taken_over(bench):
    bench.server.put("/v1/acl/token", {"AccessorID": accessor_of(OWNER, "web", 0), "Description": "theirs"})
    with pytest.raises(AlreadyExists, match="rotation"):
        bench.create(bench.declare_one("acl-token", **token()))


def test_the_secret_is_hidden_from_those_who_may_only_read(bench):
    desired = bench.declare_one("acl-token", **token())
    bench.create(desired)
    (live,) = bench.read([Wanted(desired.address, OWNER, desired)], bench.as_token('acl = "read"')).values()
    assert isinstance(live.outputs["secret_id"], Hidden)


def test_raising_the_rotation_makes_another_token_and_the_old_one_goes_last(bench):
    desired = bench.declare_one("acl-token", **token())
    old = bench.made(desired)
    record = bench.record(desired)
    rotated = bench.declare_one("acl-token", **token(rotation=1))
    assert bench.differences(rotated, record) == ["rotation"]
    assert "rotation" in KIND.rules.immutable
    made = KIND.create(bench.client, Order(rotated.address, rotated.fields, OWNER, desired=rotated, live=bench.there(rotated, record), record=record))
    claim = bench.record(rotated, bench.there(rotated), state=State.CLAIMING, incarnation=None)
    assert bench.there(rotated, claim).incarnation == made.incarnation
    assert bench.there(rotated, claim).fields["rotation"] == 1
    assert bench.there(rotated, replace(claim, state=State.OWNED, incarnation=made.incarnation)).incarnation == made.incarnation
    KIND.delete_superseded(bench.client, old.incarnation)
    KIND.delete_superseded(bench.client, old.incarnation)
    assert [t["AccessorID"] for t in bench.server.get("/v1/acl/tokens") if t["Description"] == "of web"] == [accessor_of(OWNER, "web", 1)]


def test_a_token_that_was_made_anew_with_its_accessor_is_another_one(bench):
    desired = bench.declare_one("acl-token", **token())
    old = bench.made(desired)
    live = bench.there(desired)
    accessor = accessor_of(OWNER, "web", 0)
    bench.server.delete(f"/v1/acl/token/{accessor}")
    bench.server.put("/v1/acl/token", {"AccessorID": accessor, "Description": "theirs"})
    assert bench.there(desired).incarnation != old.incarnation
    KIND.delete_superseded(bench.client, old.incarnation)
    bench.delete(desired, live=live)
    with pytest.raises(LostRace):
        bench.update(bench.declare_one("acl-token", **token(description="x")), live=live)
    assert bench.server.get(f"/v1/acl/token/{accessor}")["Description"] == "theirs"


def test_a_token_that_somebody_changes_meanwhile_is_not_overwritten(bench):
    desired = bench.declare_one("acl-token", **token())
    bench.create(desired)
    live = bench.there(desired)
    bench.server.put(f"/v1/acl/token/{live.fields['accessor']}", {**raw_of(bench, live), "Description": "theirs"})
    with pytest.raises(LostRace):
        bench.update(bench.declare_one("acl-token", **token(description="ours")), live=live)


def test_the_record_says_which_token_it_is(bench):
    """The manifest was given another rotation or accessor since; the record knows which token is live."""
    desired = bench.declare_one("acl-token", **token(rotation=3))
    bench.create(desired)
    record = bench.record(desired)
    for changed in (token(rotation=4), token(accessor=ACCESSOR), token()):
        assert bench.there(bench.declare_one("acl-token", **changed), record).fields["accessor"] == accessor_of(OWNER, "web", 3)
    assert bench.differences(bench.declare_one("acl-token", **token(accessor=ACCESSOR)), record) == ["accessor"]
    # what the manifest stops saying stays as it is
    assert bench.differences(bench.declare_one("acl-token", **token()), record) == []
    leaving = bench.read([Wanted(desired.address, OWNER, None, record)])[desired.address]
    assert leaving.fields["rotation"] == 3


def test_an_accessor_in_upper_case_is_the_same(bench):
    desired = bench.declare_one("acl-token", **token(accessor=ACCESSOR.upper()))
    bench.create(desired)
    assert bench.differences(desired) == []
    assert bench.there(desired).fields["accessor"] == ACCESSOR


def test_policies_come_first(bench):
    desired = bench.declare_one("acl-token", **token(policies=["read-web", "write-web"]))
    assert {str(a) for a in desired.needs} == {"acl-policy/read-web", "acl-policy/write-web"} == {str(a) for a in desired.must_exist}
