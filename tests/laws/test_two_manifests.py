"""Two manifests side by side: neither changes or deletes what the other owns, and what changes hands stays as it is."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, seed, settings
from hypothesis import strategies as st

from reconciler.cli.applying import refuse
from reconciler.engine.handover import transfer
from reconciler.engine.observe import declare
from reconciler.manifest.loading import load
from reconciler.model.address import Address
from reconciler.model.change import Action
from tests.laws.meaning import differences, files_of, lines, meaning
from tests.laws.mesh import Mesh

from .drawing import Draw, named
from .entangled_consul import SERVICES
from .test_pairs import CONSENTS, PARTS, add

BATCHES = 3
EXAMPLES = 4
"""In each batch, for each Postgres."""
_examples = itertools.count(1)


@st.composite
def manifests(draw: Draw) -> tuple[Any, ...]:
    """Three manifests, each as parts, and bits that say which entries change hands."""
    parts = draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=2, unique=True))
    return (*(tuple(draw(part) for part in parts) for _ in range(3)), draw(st.integers(0, 2**60)))


def manifest_of(parts: tuple[Any, ...], things: str, name: str) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in parts:
        add(whole, named(part, things))
    return {**whole, "name": name}


def without_what_there_is_one_of(manifest: dict[str, Any], things: str) -> dict[str, Any]:
    """The defaults of all proxies belong to one manifest; here each service says its protocol by itself."""
    entries = {(entry["Kind"], entry["Name"]): entry for entry in manifest.get("config_entries", ())}
    usual = entries.pop(("proxy-defaults", "global"), {"Config": {"protocol": "tcp"}})["Config"]["protocol"]
    for service in SERVICES if entries or manifest.get("intentions") else ():
        name = named(service, things)
        entries.setdefault(("service-defaults", name), {"Kind": "service-defaults", "Name": name, "Protocol": usual})
    return {**manifest, "config_entries": list(entries.values())}


def split(manifest: dict[str, Any], bits: int, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entries that stay and those that go; services of one node stay together."""
    staying, going = deepcopy(manifest), {"name": name}
    for number, path in enumerate(sorted(_entries(manifest), key=str)):
        services = manifest.get("external_services", {})
        node = services[path[-1]]["node"] if path[0] == "external_services" else ""
        if bits >> (int(node[-1]) if node else number + 2) & 1:
            _move(staying, going, path)
    staying["config_entries"] = [entry for entry in staying.get("config_entries", ()) if entry is not None]
    return staying, going


def _entries(manifest: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for section, entries in manifest.items():
        if section == "mesh_credentials":
            yield from ((section, inner, label) for inner, labels in entries.items() for label in labels)
        elif section != "name":
            yield from ((section, key) for key in (entries if isinstance(entries, dict) else range(len(entries))))


def _move(staying: dict[str, Any], going: dict[str, Any], path: tuple[Any, ...]) -> None:
    *outer, last = path
    here: Any = staying
    there: Any = going
    for key in outer:
        here, there = here[key], there.setdefault(key, [] if isinstance(here[key], list) else {})
    if isinstance(there, list):
        there.append(here[last])
        here[last] = None
    else:
        there[last] = here.pop(last)


def addresses(mesh: Mesh, manifest: Mapping[str, Any]) -> set[Address]:
    return set(declare(load([mesh.write(manifest)])))


def exactly(mesh: Mesh) -> set[str]:
    """Everything that is live, records included, with its indexes: what is written again is another line."""
    return lines(mesh.everything()) | lines(meaning(mesh))


def hand_over(mesh: Mesh, source: str, target: Mapping[str, Any], what: set[Address]) -> None:
    """As ``owned transfer`` does it; nothing but records changes, and then there is nothing but records to be written."""
    before = meaning(mesh)
    with mesh.connections(target) as connections:
        transfer(connections, sorted(map(str, what)), source, declared=True, lock_timeout_s=0, stop=threading.Event())
    assert differences(meaning(mesh), before) == []


def settle(mesh: Mesh, manifest: Mapping[str, Any]) -> None:
    """What was needed and belongs to another manifest now is not remembered any more; nothing else is left to do, and nothing is changed."""
    before = meaning(mesh)
    planned = mesh.apply_all(manifest, **CONSENTS)
    assert {c.action for c in planned.changes} <= {Action.RECORD}, [f"{c.action} {c.address}" for c in planned.changes]
    assert mesh.plan(manifest).is_empty
    assert differences(meaning(mesh), before) == []


def refused_where_contested(mesh: Mesh, rival: Mapping[str, Any], owned: set[Address]) -> None:
    contested = addresses(mesh, rival) & owned
    if not contested:
        return
    before = exactly(mesh)
    planned, outcome = mesh.apply(rival, **CONSENTS)
    assert outcome is None
    # a token with an accessor belongs to the other one under any label
    refused = {r.address for r in planned.refusals if "belongs to the manifest" in r.what and ", where it is " not in r.what}
    assert refused == contested
    assert refuse(planned) == 5
    assert exactly(mesh) == before


def side_by_side(mesh: Mesh, one: dict[str, Any], later: dict[str, Any], two: dict[str, Any]) -> None:
    mesh.apply_all(one)
    first = exactly(mesh)
    mesh.apply_all(two)
    both = exactly(mesh)
    assert first - both == set()
    mesh.apply_all(later, **CONSENTS)
    assert (both - first) - exactly(mesh) == set()


def from_hand_to_hand(mesh: Mesh, manifest: dict[str, Any], bits: int, name: str) -> None:
    staying, going = split(manifest, bits, name)
    parted = addresses(mesh, going)
    if not parted:
        return
    hand_over(mesh, manifest["name"], going, parted)
    try:
        settle(mesh, staying)
        settle(mesh, going)
    finally:
        hand_over(mesh, name, manifest, parted)
    settle(mesh, manifest)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_neither_touches_what_the_other_owns(mesh, batch, request):
    run = os.environ["PAIRS_SEED"]
    print(f"again: PAIRS_SEED={run} .venv/bin/pytest '{request.node.nodeid}' (with PAIRS_SHRINK=1 until it is small)")  # shown when the test fails
    before = meaning(mesh)
    shrinking = [Phase.shrink] if os.environ.get("PAIRS_SHRINK") else []

    @seed(f"{run} {request.node.name}")
    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate, *shrinking], suppress_health_check=list(HealthCheck))
    @given(manifests())
    def holds(drawn):
        things = f"two-{os.getpid()}-{next(_examples)}"
        *parts, bits = drawn
        one, later = (manifest_of(part, things, f"{things}-one") for part in parts[:2])
        others = f"{things}-two"
        two = without_what_there_is_one_of(manifest_of(parts[2], others, others), others)
        assume(one != later)
        note("\n".join(json.dumps(manifest) for manifest in (one, later, two)))
        try:
            side_by_side(mesh, one, later, two)
            refused_where_contested(mesh, {**one, "name": f"{things}-three"}, addresses(mesh, later))
            from_hand_to_hand(mesh, later, bits, f"{things}-three")
        finally:
            mesh.destroy(two, allow_data_loss=("*",))  # first, because it needs the defaults of all proxies, where the other has them
            mesh.destroy(later, allow_data_loss=("*",))
        assert differences(meaning(mesh), before) == []
        assert files_of(things) == []

    holds()
