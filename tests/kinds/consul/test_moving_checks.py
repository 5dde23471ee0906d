"""A check moves to another service of its node: Consul takes one of each ID on a node, so its old service gives it up first."""

from __future__ import annotations

import pytest

from reconciler.engine.operations import Options, plan

PROBE = {"probe": {"tcp": "10.0.0.1:5432", "interval": "10s"}}


def service(service_id, **fields):
    return {"service": "db", "node": "ext", "address": "10.0.0.1", "port": 1, "id": service_id, **fields}


@pytest.fixture
def run(tool, consul):
    """Apply external services, insisting that all was done and nothing is left to do; to which service each check belongs then."""

    def run(services, **options):
        tool.apply({"external_services": services}, **options)
        return {c["CheckID"]: c["ServiceID"] for node in consul.get("/v1/internal/ui/nodes") if node["Node"] == "ext" for c in node["Checks"]}

    return run


def test_a_service_gets_another_id_and_keeps_its_check(run):
    assert run({"db": service("one", checks=PROBE)}) == {"probe": "one"}
    assert run({"db": service("two", checks=PROBE)}) == {"probe": "two"}
    assert run({}, destroy=True) == {}


@pytest.mark.parametrize("given_up", [{}, {"checks": {}}], ids=["not set", "none"])
def test_a_check_moves_from_a_service_that_stays(run, given_up):
    assert run({"a": service("one", **given_up), "b": service("two", checks=PROBE)})["probe"] == "two"
    # and against the order of the alphabet
    assert run({"a": service("one", checks={"Probe": PROBE["probe"]}), "b": service("two", **given_up)})["Probe"] == "one"
    assert run({"a": service("one", **given_up), "b": service("two", checks=PROBE)})["probe"] == "two"


def test_a_check_of_somebody_elses_service_is_not_taken(tool, consul):
    tool.apply({"external_services": {"b": service("two")}})
    theirs = {"Node": "ext", "Address": "10.0.0.1", "SkipNodeUpdate": True, "Service": {"ID": "one", "Service": "theirs", "Port": 1}}
    consul.put("/v1/catalog/register", {**theirs, "Check": {"CheckID": "probe", "Name": "probe", "ServiceID": "one"}})
    before = consul.get("/v1/internal/ui/nodes")
    with tool.connections({"external_services": {"a": {**service("one"), "service": "theirs"}, "b": service("two", checks=PROBE)}}) as connections:
        planned = plan(connections, Options())
    (refusal,) = planned.refusals
    assert str(refusal) == (
        "external-service/ext/two: cannot be updated, because external-service/ext/one, which this manifest does not own, "
        "needs external-service/ext/two to have no check probe: adopt it first: --target 'external-service/ext/one'"
    )
    assert consul.get("/v1/internal/ui/nodes") == before


def test_two_checks_do_not_change_places_in_one_run(run, tool):
    probe, other = PROBE, {"other": PROBE["probe"]}
    run({"a": service("one", checks=probe), "b": service("two", checks=other)})
    with tool.connections({"external_services": {"a": service("one", checks=other), "b": service("two", checks=probe)}}) as connections:
        (refusal,) = plan(connections, Options()).refusals
    assert refusal.rule == "in the way"
    assert "cannot be updated with it there as long as external-service/ext/one stands" in str(refusal)
    run({"a": service("one"), "b": service("two", checks=probe)})
    run({"a": service("one", checks=other), "b": service("two", checks=probe)})
