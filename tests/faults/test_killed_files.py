"""A run that is killed at whatever step of writing or removing the token file: it is there whole or not at all, and nothing of it is left beside."""

from __future__ import annotations

from itertools import count

import pytest

from tests.faults import live
from tests.faults.example import example, rotated
from tests.faults.inside import KilledAtStep
from tests.faults.killing import KILLED, finish


def small(site):
    """The token, its policy and its file alone."""
    manifest = example(site.gateway / "token")
    return {section: manifest[section] for section in ("name", "mesh_credentials")}


def whole_or_absent(site):
    token = site.gateway / "token"
    return not token.exists() or len(token.read_text()) == 37


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_file_that_was_not_finished_is_finished_or_removed_by_the_next_run(site, after):
    manifest = small(site)
    for number in count(1):
        applying = site.run("apply", manifest, first=KilledAtStep(number, after=after)).code
        assert whole_or_absent(site)
        finish(site, "destroy", manifest)
        site.demand_nothing_left()
        assert site.run("apply", manifest, first=KilledAtStep(number, after=after)).code == applying
        finish(site, "apply", manifest)
        demand_clean(site, manifest, "-rw-------")
        destroying = site.run("destroy", manifest, first=KilledAtStep(number, after=after)).code
        finish(site, "destroy", manifest)
        site.demand_nothing_left()
        live.end_sessions(site)
        if (applying, destroying) == (0, 0):
            break
        assert {applying, destroying} <= {0, KILLED}
    assert number > 6


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_file_that_was_not_replaced_is_replaced_by_the_next_run(site, after):
    first, other = rotated(small(site), 0), rotated(small(site), 1)
    finish(site, "apply", first)
    for number in count(1):
        codes = []
        for manifest in (other, first):
            codes.append(site.run("apply", manifest, first=KilledAtStep(number, after=after)).code)
            assert whole_or_absent(site) and (site.gateway / "token").exists()
            finish(site, "apply", manifest)
            demand_clean(site, manifest, "-rw-------")
        live.end_sessions(site)
        if codes == [0, 0]:
            break
        assert set(codes) <= {0, KILLED}
    assert number > 6
    finish(site, "destroy", first)
    site.demand_nothing_left()


def demand_clean(site, manifest, mode):
    """One file, with the secret of the one token; nothing beside it; nothing to do, nothing drifted."""
    managed = site.managed()
    assert managed["files"] == {"token": (mode, True)}
    assert len(managed["tokens"]) == 1
    assert site.plan(manifest).is_empty
    assert site.drift(manifest).is_empty
    assert not live.locks(site)
