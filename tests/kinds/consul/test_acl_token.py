"""ACL tokens on a real Consul."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from reconciler.kinds.consul.acl_token import KIND, _expiry, accessor_of
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


def test_policies_and_roles_come_first(bench):
    desired = bench.declare_one("acl-token", **token(roles=["one", "two"]))
    assert {str(a) for a in desired.needs} == {"acl-policy/read-web", "acl-role/one", "acl-role/two"} == {str(a) for a in desired.must_exist}


def test_roles_are_compared_without_order_and_case_and_taken_away_when_unset(bench):
    for name in ("One", "two"):
        bench.server.put("/v1/acl/role", {"Name": name})
    desired = bench.declare_one("acl-token", **token(roles=["two", "ONE"]))
    bench.create(desired)
    assert bench.differences(desired) == []
    without = bench.declare_one("acl-token", **token())
    assert bench.differences(without, bench.record(desired)) == ["roles"]
    bench.update(without, bench.record(desired))
    assert "Roles" not in raw_of(bench, bench.there(without))


@pytest.mark.parametrize("written", ["90m", "1h30m", "5400s"])
def test_an_expiry_is_compared_by_its_length_to_the_ns(bench, written):
    bench.create(bench.declare_one("acl-token", **token(expires_after="1h30m0s")))
    desired = bench.declare_one("acl-token", **token(expires_after="1h30m0s"))
    changed = bench.declare_one("acl-token", **token(expires_after=written, accessor=bench.there(desired).fields["accessor"]))
    assert bench.differences(changed) == []
    assert "expires_after" in KIND.rules.immutable and "local" in KIND.rules.immutable


@pytest.mark.parametrize("zone", ["Z", "+02:00", "-11:30"])
def test_an_expiry_is_read_in_any_zone(zone):
    token = {"CreateTime": f"2026-03-29T00:59:59.999999999{zone}", "ExpirationTime": f"2026-03-30T00:59:59.999999999{zone}"}
    assert _expiry(token) == "24h0m0s"
    assert _expiry({"CreateTime": "2026-03-29T00:00:00.5+01:00", "ExpirationTime": "2026-03-28T23:01:00Z"}) == "59.5s"


def test_what_cannot_be_changed_makes_another_accessor(bench):
    entries = [token(), token(rotation=1), token(local=True), token(expires_after="1h"), token(local=True, expires_after="60m")]
    for entry in entries:
        bench.create(bench.declare_one("acl-token", **entry))
    made = [t for t in bench.server.get("/v1/acl/tokens") if t["Description"] == "of web"]
    assert len({t["AccessorID"] for t in made}) == len(entries)
    assert accessor_of(OWNER, "web", 0) in {t["AccessorID"] for t in made}


def test_an_expired_token_is_gone_and_made_anew_while_its_accessor_is_still_taken(bench):
    """Consul takes a minute as the least, so that is how long this waits."""
    desired = bench.declare_one("acl-token", **token(expires_after="1m"))
    old = bench.made(desired)
    deadline = time.monotonic() + 90
    while bench.live(desired) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)  # looking again, not hoping
    assert bench.client.acl.read_token(old.incarnation.partition("@")[0]) is None
    made = bench.made(desired)
    assert made.incarnation.partition("@")[0] == old.incarnation.partition("@")[0]
    assert made.incarnation != old.incarnation
    assert made.outputs["secret_id"].reveal() == raw_of(bench, bench.there(desired))["SecretID"]
    KIND.delete_superseded(bench.client, old.incarnation)
    assert bench.there(desired).incarnation == made.incarnation
