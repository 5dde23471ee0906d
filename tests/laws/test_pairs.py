"""From any manifest to any other: what is left is exactly what the second one says, whatever was there before, with one worker and with many."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, seed, settings
from hypothesis import strategies as st

from tests.laws.meaning import differences, files_of, meaning, meaning_of
from tests.laws.mesh import Mesh

from .drawing import Draw, named
from .entangled_consul import catalog, credentials, protocols_and_routes
from .entangled_postgres import roles_and_databases
from .specimens import ANYWHERE

BATCHES = 20
PAIRS = 5
"""In each batch, for each Postgres."""
CONSENTS = {"allow_delete": ("*",), "allow_data_loss": ("*",)}
PARTS = (credentials(), catalog(), protocols_and_routes(), roles_and_databases())

_examples = itertools.count(1)

# which specimen, which of two of its kind, which variant of its entry
PICK = st.tuples(st.integers(0, len(ANYWHERE) - 1), st.integers(0, 1), st.integers(0, 8))
PICKS = st.lists(PICK, max_size=2, unique_by=lambda pick: pick[:2])


@st.composite
def pairs(draw: Draw) -> tuple[Any, Any]:
    """Two manifests, each as parts and specimens. Both are drawn from the same parts, so that they have to do with one another."""
    parts = draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=2, unique=True))
    one, other = ((tuple(draw(part) for part in parts), draw(PICKS)) for _ in range(2))
    return one, other


def manifest_of(drawn: Any, name: str) -> dict[str, Any]:
    parts, picks = drawn
    whole: dict[str, Any] = {}
    for part in parts:
        add(whole, named(part, name))
    # of some kinds there is one; and a protocol for all would be news to the services of a part that has its own
    seen = {"proxy-defaults"} if "config_entries" in whole else set()
    for number, which, variant in picks:
        one = ANYWHERE[number](f"{name}-{number}-{which}")
        key = "proxy-defaults" if one.kind == "config-entry/proxy-defaults" else one.address
        if key in seen:
            continue
        seen.add(key)
        entries = [None, *one.variants.values()]
        chosen = entries[variant % len(entries)]
        add(whole, one.manifest if chosen is None else one.with_entry(chosen))
    return {**whole, "name": name}


def add(whole: dict[str, Any], part: Mapping[str, Any]) -> None:
    for key, value in deepcopy(dict(part)).items():
        if isinstance(value, dict) and isinstance(whole.get(key), dict):
            add(whole[key], value)
        elif isinstance(value, list) and isinstance(whole.get(key), list):
            whole[key] += value
        else:
            whole[key] = value


def leave(mesh: Mesh, manifest: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """Apply; what is live then. A second plan must be empty."""
    mesh.apply_all(manifest, parallelism=workers, **CONSENTS)
    again = mesh.plan(manifest)
    assert (again.is_empty, again.refusals) == (True, ()), [str(c.address) for c in again.changes]
    return meaning_of(mesh, manifest)


def destroyed(mesh: Mesh, manifest: Mapping[str, Any], workers: int) -> dict[str, Any]:
    mesh.destroy(manifest, parallelism=workers, allow_data_loss=("*",))
    assert files_of(manifest["name"]) == []
    return meaning(mesh)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_what_a_manifest_leaves_does_not_depend_on_what_was_there(mesh, batch, request):
    run = os.environ["PAIRS_SEED"]
    print(f"again: PAIRS_SEED={run} .venv/bin/pytest '{request.node.nodeid}' (with PAIRS_SHRINK=1 until it is small)")  # shown when the test fails
    before = meaning(mesh)
    shrinking = [Phase.shrink] if os.environ.get("PAIRS_SHRINK") else []

    @seed(f"{run} {request.node.name}")
    @settings(max_examples=PAIRS, deadline=None, database=None, phases=[Phase.generate, *shrinking], suppress_health_check=list(HealthCheck))
    @given(pairs())
    def holds(pair):
        name = f"pair-{os.getpid()}-{next(_examples)}"
        one, other = (manifest_of(drawn, name) for drawn in pair)
        assume(one != other)
        note("\n".join(json.dumps(manifest) for manifest in (one, other)))
        try:
            only_one = leave(mesh, one, 1)
            other_after_one = leave(mesh, other, 1)
            assert differences(leave(mesh, one, 16), only_one) == []
            assert differences(destroyed(mesh, one, 1), before) == []
            assert differences(leave(mesh, other, 16), other_after_one) == []
        finally:
            left = destroyed(mesh, other, 16)
        assert differences(left, before) == []

    holds()
