"""Prepared queries on a real Consul."""

from __future__ import annotations

import pytest

from reconciler.model.errors import AlreadyExists, LostRace, Rejected
from reconciler.model.secret import Hidden, Secret
from reconciler.systems.consul.reader import ConsulReader
from tests.kinds.consul.workbench import direct

KIND = direct("prepared-query")
WRITE = 'query_prefix "" { policy = "write" }'


def query(name="Db", /, **entry):
    return {"prepared_queries": {name: {"service": {"service": "db"}, **entry}}}


def raw_of(bench, name="Db"):
    return next((q for q in bench.server.get("/v1/query") if q["Name"] == name), None)


def write(bench, **changed):
    return bench.server.put(f"/v1/query/{raw_of(bench)['ID']}", {**raw_of(bench), **changed})


def test_durations_tags_and_what_consul_fills_in_are_compared_by_meaning(bench):
    entry = {"service": {"service": "db", "tags": ["b", "!a"], "ignore_check_ids": ["y", "x"]}, "dns_ttl": "1m30s"}
    bench.server.request("POST", "/v1/query", {
        "Name": "Db", "DNS": {"TTL": "90s"}, "Service": {"Service": "db", "Tags": ["!a", "b", "b"], "IgnoreCheckIDs": ["x", "y"]},
    })  # fmt: skip
    assert bench.differences(bench.declare_one("prepared-query", **query(**entry))) == []
    # no TTL of its own is not a TTL of none
    write(bench, DNS={"TTL": ""})
    assert bench.differences(bench.declare_one("prepared-query", **query(dns_ttl="0s"))) == ["dns_ttl"]


def test_another_spelling_of_its_name_is_the_same_query(bench):
    bench.create(bench.declare_one("prepared-query", **query()))
    other = bench.declare_one("prepared-query", **query("dB", dns_ttl="5s"))
    with pytest.raises(AlreadyExists):
        bench.create(other)
    bench.update(other)
    assert raw_of(bench)["DNS"] == {"TTL": "5s"}


def test_the_template_that_answers_for_everything_has_no_name(bench):
    desired = bench.declare_one("prepared-query", **query("all", name="", template={"type": "name_prefix_match"}))
    assert str(desired.address) == "prepared-query/"
    bench.create(desired)
    assert bench.differences(desired) == []
    with pytest.raises(AlreadyExists):
        bench.create(desired)
    bench.delete(desired)
    assert bench.live(desired) is None


def test_a_query_of_a_session_is_nobodys(bench):
    session = bench.server.put("/v1/session/create", {"TTL": "60s", "Behavior": "delete"})["ID"]
    for name in ("Db", ""):
        bench.server.request("POST", "/v1/query", {"Name": name, "Session": session, "Service": {"Service": "db"}})
    assert bench.there(bench.declare_one("prepared-query", **query())).foreign
    nameless = bench.declare_one("prepared-query", **query("all", name="", template={"type": "name_prefix_match"}))
    assert bench.live(nameless) is None


def test_what_the_manifest_has_no_word_for_stays(bench):
    bench.create(bench.declare_one("prepared-query", **query()))
    write(bench, Service={**raw_of(bench)["Service"], "Near": "_agent", "Failover": {"Targets": [{"Datacenter": "dc2"}]}})
    bench.update(bench.declare_one("prepared-query", **query(dns_ttl="1s")))
    assert raw_of(bench)["Service"]["Near"] == "_agent"
    assert [t["Datacenter"] for t in raw_of(bench)["Service"]["Failover"]["Targets"]] == ["dc2"]


def test_what_somebody_changes_or_makes_anew_meanwhile_is_not_overwritten(bench):
    desired = bench.declare_one("prepared-query", **query())
    bench.create(desired)
    live = bench.there(desired)
    changed = bench.declare_one("prepared-query", **query(dns_ttl="5s"))
    write(bench, DNS={"TTL": "9s"})
    with pytest.raises(LostRace):
        bench.update(changed, live=live)
    bench.delete(desired, live=live)
    bench.delete(desired, live=live)
    bench.create(desired)
    with pytest.raises(LostRace):
        bench.update(changed, live=live)
    bench.delete(desired, live=live)
    assert raw_of(bench) is not None


def test_its_token_is_a_secret_and_goes_when_it_is_unset(bench):
    desired = bench.declare_one("prepared-query", **query(token="the token"))
    made = bench.made(desired)
    live = bench.there(desired)
    assert isinstance(live.fields["token"], Secret)
    assert live.witness == made.witness == raw_of(bench)["ModifyIndex"]
    assert raw_of(bench)["Token"] == "the token"
    record = bench.record(desired)
    assert bench.differences(bench.declare_one("prepared-query", **query(token="another")), record) == ["token"]
    without = bench.declare_one("prepared-query", **query())
    assert bench.differences(without, record) == ["token"]
    bench.update(without, record)
    assert raw_of(bench)["Token"] == ""


def test_a_token_that_may_not_be_read_is_neither_compared_nor_lost(bench):
    bench.create(bench.declare_one("prepared-query", **query(token="the token")))
    ours, without = (bench.declare_one("prepared-query", **query(dns_ttl="5s", **token)) for token in ({"token": "another"}, {}))
    with bench.as_token(WRITE) as lesser:
        (live,) = bench.read([bench.wanted(without)], lesser).values()
        assert isinstance(live.fields["token"], Hidden)
        with pytest.raises(Rejected, match=r"cannot be kept.*acl:write"):
            bench.update(without, client=lesser, live=live)
        assert raw_of(bench)["Token"] == "the token"
        bench.update(ours, client=lesser, live=live)
    assert (raw_of(bench)["Token"], raw_of(bench)["DNS"]) == ("another", {"TTL": "5s"})


def test_a_token_from_kv_comes_first(bench):
    desired = bench.declare_one("prepared-query", **query(token={"kv": "a/token"}))
    assert {str(a) for a in desired.needs} == {"kv/a/token"} == {str(a) for a in desired.must_exist}


def test_all_are_read_in_one_request(bench, client):
    desired = bench.declare("prepared-query", prepared_queries={f"q{n}": {"service": {"service": "s"}} for n in range(20)})
    for one in desired.values():
        bench.create(one)
    reader = ConsulReader(client)
    assert len(list(KIND.read(reader, [bench.wanted(one) for one in desired.values()]))) == 20
    assert reader.requests == 1
