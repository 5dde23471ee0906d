"""External nodes and services on a real Consul."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kinds.consul.external_node import KIND as NODES
from reconciler.kinds.consul.external_service import KIND as SERVICES
from reconciler.model.address import Address
from reconciler.model.errors import AccessDenied, LostRace
from reconciler.model.kind import Order, Wanted
from reconciler.systems.consul.reader import ConsulReader
from tests.kinds.consul.workbench import OWNER

CHECKS = {"alive": {"tcp": "10.0.0.1:5432", "interval": "90s", "notes": "n"}}


def service(**fields):
    return {"external_services": {"db": {"node": "Ext-1", "address": "10.0.0.1", "port": 5432, "id": "Db-1", **fields}}}


def node_of(bench, name="ext-1"):
    return next(n for n in bench.server.get("/v1/internal/ui/nodes") if n["Node"].lower() == name)


def service_of(bench, service_id="db-1"):
    return next(s for s in node_of(bench)["Services"] if s["ID"].lower() == service_id)


def check_of(bench, check_id="alive"):
    return next((c for c in node_of(bench)["Checks"] if c["CheckID"].lower() == check_id), None)


def both(bench, **fields):
    """The node and the service, created in one transaction as the engine may do it."""
    node, desired = bench.declare_one("external-node", **service(**fields)), bench.declare_one("external-service", **service(**fields))
    operations = [
        *NODES.create_operations(Order(node.address, node.fields, OWNER)),
        *SERVICES.create_operations(Order(desired.address, desired.fields, OWNER)),
    ]
    bench.client.transaction(operations)
    return node, desired


def test_a_node_is_created_read_changed_and_deleted(bench):
    desired = bench.declare_one("external-node", **service(node_meta={"external-node": "true", "empty": ""}))
    assert bench.live(desired) is None
    bench.create(desired)
    assert bench.differences(desired) == []
    for changed, fields in (
        (service(address="10.0.0.2", node_meta={"external-node": "true", "empty": ""}), ["address"]),
        (service(address="10.0.0.2", node_meta={"external-node": "", "new": ""}), ["meta.external-node", "meta.new"]),
    ):
        desired = bench.declare_one("external-node", **changed)
        assert bench.differences(desired) == fields
        bench.update(desired)
        assert bench.differences(desired) == []
    assert NODES.hindrance(bench.client, bench.there(desired)) == ""
    bench.delete(desired)
    assert bench.live(desired) is None


def test_a_service_is_created_read_changed_and_deleted(bench):
    full: dict[str, Any] = {"tags": ["b", "a"], "meta": {"k": "v", "empty": ""}, "service_address": "1.2.3.4", "checks": CHECKS}
    _, desired = both(bench, **full)
    assert bench.differences(desired) == []
    changes: list[tuple[dict[str, Any], list[str]]] = [
        ({"port": 5433}, ["port"]),
        ({"service_address": "4.3.2.1"}, ["service_address"]),
        ({"tags": ["a"]}, ["tags"]),
        ({"meta": {"k": "w", "empty": ""}}, ["meta.k"]),
        ({"service": "other"}, ["service"]),
        ({"checks": {"alive": {"tcp": "10.0.0.1:1", "interval": "90s", "notes": "n"}}}, ["checks"]),
        ({"checks": {"alive": {**CHECKS["alive"], "status": "passing"}, "second": {"http": "http://x", "interval": "1m"}}}, ["checks"]),
        ({"checks": {"second": {"http": "http://y", "interval": "1m", "header": {"X": ["1"]}}}}, ["checks"]),
        ({"checks": {}}, ["checks"]),
        ({"tags": []}, ["tags"]),
    ]
    for changed, fields in changes:
        full |= changed
        desired = bench.declare_one("external-service", **service(**full))
        assert bench.differences(desired) == fields
        bench.update(desired)
        assert bench.differences(desired) == []
    bench.delete(desired)
    assert bench.live(desired) is None
    assert node_of(bench)["Services"] == []


def test_node_and_service_share_the_index_of_their_transaction(bench):
    node, desired = both(bench)
    assert bench.there(node).created_index == bench.there(desired).created_index
    assert bench.there(node).occupants == {desired.address}


def test_a_service_does_not_touch_its_node(bench):
    node, desired = both(bench)
    before = bench.there(node).revision
    bench.update(bench.declare_one("external-service", **service(port=1)))
    bench.delete(desired)
    assert bench.there(node).revision == before


def test_the_case_of_names_means_nothing_and_stays(bench):
    check = {"CheckID": "ALIVE", "Name": "x", "ServiceID": "DB-1", "Status": "passing"}
    body = {"Node": "EXT-1", "Address": "10.0.0.9", "Service": {"ID": "DB-1", "Service": "db", "Port": 1}, "Check": check}
    bench.server.put("/v1/catalog/register", body)
    node, desired = bench.declare_one("external-node", **service()), bench.declare_one("external-service", **service(checks=CHECKS))
    assert bench.differences(node) == ["address"]
    assert bench.differences(desired) == ["checks", "port"]
    bench.update(node)
    bench.update(desired)
    assert bench.differences(node) == bench.differences(desired) == []
    stored = node_of(bench)
    assert (stored["Node"], stored["Services"][0]["ID"], stored["Checks"][0]["CheckID"], stored["Checks"][0]["Node"]) == (
        "EXT-1",
        "DB-1",
        "ALIVE",
        "EXT-1",
    )


def test_what_the_manifest_has_no_word_for_stays(bench):
    kept = {"Weights": {"Passing": 5, "Warning": 2}, "EnableTagOverride": True, "TaggedAddresses": {"lan": {"Address": "1.1.1.1", "Port": 3}}}
    tagged = {"TaggedAddresses": {"wan": "2.2.2.2"}, "NodeMeta": {"theirs": "1"}, "ID": "11111111-2222-3333-4444-555555555555"}
    body = {"ID": "Db-1", "Service": "db", "Port": 1, "Meta": {"theirs": "1"}, "Tags": ["theirs"], **kept}
    bench.server.put("/v1/catalog/register", {"Node": "Ext-1", "Address": "10.0.0.1", **tagged, "Service": body})
    bench.update(bench.declare_one("external-node", **service(address="10.0.0.2", node_meta={"ours": "2"})))
    bench.update(bench.declare_one("external-service", **service(meta={"ours": "2"})))
    stored = node_of(bench)
    assert (stored["Meta"], stored["TaggedAddresses"], stored["ID"]) == ({"theirs": "1", "ours": "2"}, {"wan": "2.2.2.2"}, tagged["ID"])
    one = service_of(bench)
    assert {key: one[key] for key in kept} == kept
    assert (one["Meta"], one["Tags"], one["Port"]) == ({"theirs": "1", "ours": "2"}, ["theirs"], 5432)


def test_what_a_prober_writes_into_checks_is_left_to_it(bench):
    _, desired = both(bench, checks=CHECKS)
    assert check_of(bench)["Status"] == "critical"
    raw = check_of(bench)
    probed = {
        "Node": "Ext-1",
        "SkipNodeUpdate": True,
        "Check": {**{k: raw[k] for k in ("CheckID", "Name", "Notes", "ServiceID", "Definition")}, "Status": "passing", "Output": "ok"},
    }
    bench.server.put("/v1/catalog/register", probed)
    assert bench.differences(desired) == []
    bench.update(bench.declare_one("external-service", **service(checks={"alive": {**CHECKS["alive"], "notes": "other"}})))
    assert (check_of(bench)["Status"], check_of(bench)["Output"], check_of(bench)["Notes"]) == ("passing", "ok", "other")
    fixed = bench.declare_one("external-service", **service(checks={"alive": {**CHECKS["alive"], "notes": "other", "status": "warning"}}))
    assert bench.differences(fixed) == ["checks"]
    bench.update(fixed)
    assert (check_of(bench)["Status"], check_of(bench)["Output"]) == ("warning", "ok")


def test_checks_follow_the_name_and_the_tags_of_their_service(bench):
    both(bench, checks=CHECKS, tags=["old"])
    bench.update(bench.declare_one("external-service", **service(service="renamed", tags=["new"], checks=CHECKS)))
    assert (check_of(bench)["ServiceName"], check_of(bench)["ServiceTags"]) == ("renamed", ["new"])


def test_checks_of_others_on_the_node_are_not_ours(bench):
    node, desired = both(bench, checks=CHECKS)
    bench.server.put(
        "/v1/catalog/register", {"Node": "Ext-1", "SkipNodeUpdate": True, "Check": {"CheckID": "node-check", "Name": "n", "Status": "passing"}}
    )
    bench.server.put("/v1/catalog/register", {"Node": "Ext-1", "SkipNodeUpdate": True, "Service": {"ID": "two", "Service": "two"}, "Check": {
        "CheckID": "theirs", "Name": "n", "Status": "passing", "ServiceID": "two"}})  # fmt: skip
    assert bench.differences(desired) == []
    occupants = {str(a) for a in bench.there(node).occupants}
    assert occupants == {"external-service/Ext-1/Db-1", "external-service/Ext-1/two", "external-check/Ext-1/node-check"}
    with pytest.raises(LostRace):
        bench.update(bench.declare_one("external-service", **service(checks={"THEIRS": {"tcp": "a:1"}})))


def test_an_additional_check_on_our_service_is_removed_when_the_manifest_sets_checks(bench):
    _, desired = both(bench, checks=CHECKS)
    extra = {"CheckID": "extra", "Name": "n", "Status": "passing", "ServiceID": "Db-1"}
    bench.server.put("/v1/catalog/register", {"Node": "Ext-1", "SkipNodeUpdate": True, "Check": extra})
    assert bench.differences(bench.declare_one("external-service", **service())) == []
    assert bench.differences(desired) == ["checks"]
    bench.update(desired)
    assert check_of(bench, "extra") is None
    assert check_of(bench) is not None


def test_what_somebody_wrote_meanwhile_is_not_overwritten(bench):
    node, desired = both(bench, checks=CHECKS)
    nodes_live, live = bench.there(node), bench.there(desired)
    bench.server.put("/v1/catalog/register", {"Node": "Ext-1", "Address": "9.9.9.9", "Service": {"ID": "Db-1", "Service": "db", "Port": 9}})
    for one, seen in ((node, nodes_live), (desired, live)):
        for write in (lambda o=one: bench.create(o), lambda o=one, s=seen: bench.update(o, live=s), lambda o=one, s=seen: bench.delete(o, live=s)):
            with pytest.raises(LostRace):
                write()
    assert service_of(bench)["Port"] == 9


def test_a_check_that_somebody_wrote_meanwhile_is_not_overwritten(bench):
    _, desired = both(bench, checks=CHECKS)
    live = bench.there(desired)
    raw = {k: check_of(bench)[k] for k in ("CheckID", "Name", "ServiceID", "Definition")}
    bench.server.put("/v1/catalog/register", {"Node": "Ext-1", "SkipNodeUpdate": True, "Check": {**raw, "Notes": "theirs"}})
    with pytest.raises(LostRace):
        bench.update(bench.declare_one("external-service", **service(checks={"alive": {**CHECKS["alive"], "notes": "ours"}})), live=live)
    bench.update(bench.declare_one("external-service", **service(port=1, checks=CHECKS)), live=live)
    assert (check_of(bench)["Notes"], service_of(bench)["Port"]) == ("theirs", 1)


def test_a_node_with_services_is_not_deleted(bench):
    node, desired = both(bench)
    live = bench.there(node)
    assert NODES.hindrance(bench.client, live) == "not empty (service 'Db-1')"
    bench.delete(desired)
    assert NODES.hindrance(bench.client, live) == ""
    bench.delete(node)
    assert NODES.hindrance(bench.client, live) == ""


def test_a_node_with_a_check_that_somebody_registered_on_it_is_not_deleted(bench):
    """But for the check of a prober, which belongs to the node as the node's own."""
    node, desired = both(bench)
    bench.delete(desired)
    live = bench.there(node)

    def register(check_id):
        check = {"CheckID": check_id, "Name": check_id, "Status": "passing"}
        bench.server.put("/v1/catalog/register", {"Node": "Ext-1", "SkipNodeUpdate": True, "Check": check})

    register("externalNodeHealth")
    assert NODES.hindrance(bench.client, live) == ""
    assert bench.there(node).occupants == frozenset()
    register("theirs")
    assert NODES.hindrance(bench.client, live) == "not empty (check 'theirs')"
    assert {str(a) for a in bench.there(node).occupants} == {"external-check/Ext-1/theirs"}


def test_a_node_whose_services_may_not_be_seen_is_not_taken_for_empty(bench):
    node, _ = both(bench)
    blind = bench.as_token('node_prefix "" { policy = "write" }')
    with pytest.raises(AccessDenied):
        NODES.hindrance(blind, bench.there(node))


def test_the_node_of_an_agent_is_foreign(bench):
    (node,) = bench.read([Wanted(Address.of("external-node", "test-server", fold=True), OWNER)]).values()
    assert node.foreign
    (one,) = bench.read([Wanted(Address.of("external-service", "test-server", "consul", fold=True), OWNER)]).values()
    assert one.foreign


def test_nodes_and_services_take_two_requests_however_many(bench, client):
    entries = {f"s{n}": {"node": f"n{n}", "address": "a", "port": 1, "checks": {"c": {"tcp": "a:1"}}} for n in range(20)}
    nodes, services = bench.declare("external-node", external_services=entries), bench.declare("external-service", external_services=entries)
    for one in (*nodes.values(), *services.values()):
        bench.create(one)
    reader = ConsulReader(client)
    assert len(list(NODES.read(reader, [Wanted(d.address, OWNER, d) for d in nodes.values()]))) == 20
    assert len(list(SERVICES.read(reader, [Wanted(d.address, OWNER, d) for d in services.values()]))) == 20
    assert reader.requests == 2


def test_deleting_a_service_takes_its_checks_along(bench):
    _, desired = both(bench, checks=CHECKS)
    bench.delete(desired)
    assert node_of(bench)["Checks"] == []
