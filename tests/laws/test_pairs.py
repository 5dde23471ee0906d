"""From any manifest to any other: what is left is exactly what the second one says, whatever was there before, with one worker and with many."""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.laws.meaning import differences, meaning
from tests.laws.mesh import Mesh

from .specimens import SPECIMENS

BATCHES = 20
PAIRS = 5
"""In each batch, for each Postgres."""
CONSENTS = {"allow_delete": ("*",), "allow_data_loss": ("*",)}

# which specimen, which of two of its kind, which variant of its entry
PICK = st.tuples(st.integers(0, len(SPECIMENS) - 1), st.integers(0, 1), st.integers(0, 8))
MANIFEST = st.lists(PICK, max_size=7, unique_by=lambda pick: pick[:2])


def manifest_of(picks: list[tuple[int, int, int]], name: str) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    seen: set[str] = set()  # of some kinds there is one
    for number, which, variant in picks:
        one = SPECIMENS[number](f"{name}-{number}-{which}")
        if one.address in seen:
            continue
        seen.add(one.address)
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
    return meaning(mesh)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_what_a_manifest_leaves_does_not_depend_on_what_was_there(mesh, batch):
    number = int(os.environ.get("PAIRS_SEED") or secrets.randbits(32))
    print(f"PAIRS_SEED={number} repeats this batch")  # pytest shows it when the test fails
    name = f"pair-{uuid.uuid4().hex[:8]}"
    before = meaning(mesh)

    @seed(number)
    @settings(max_examples=PAIRS, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(MANIFEST, MANIFEST, st.sampled_from([1, 16]))
    def holds(first, second, workers):
        one, other = manifest_of(first, name), manifest_of(second, name)
        try:
            only_one = leave(mesh, one, workers)
            other_after_one = leave(mesh, other, workers)
            assert differences(leave(mesh, one, workers), only_one) == []
            mesh.destroy(one, parallelism=workers)
            assert differences(meaning(mesh), before) == []
            assert differences(leave(mesh, other, workers), other_after_one) == []
        finally:
            mesh.destroy(other, parallelism=workers, allow_data_loss=("*",))
        assert differences(meaning(mesh), before) == []

    holds()
