"""Roles change places as members of one another: Postgres takes no circle, so the membership that would close one goes before the new one comes."""

from __future__ import annotations

import pytest

from tests.laws.mesh import Mesh

MEMBERS = "SELECT member::regrole::text, roleid::regrole::text FROM pg_auth_members WHERE roleid >= 16384 ORDER BY 1, 2"


@pytest.fixture
def mesh(consul, postgres, tmp_path):
    return Mesh(consul, postgres, tmp_path)


def manifest(**groups):
    return {"name": "roles", "db_roles": {role: {"member_of": groups.get(role, {})} for role in "abcd"}}


@pytest.mark.parametrize("workers", [1, 16])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": ["b"]}, {"b": ["a"]}),
        ({"a": ["b"], "b": ["c"]}, {"c": ["a"]}),
        ({"a": ["b"], "b": ["c"], "c": ["d"]}, {"d": ["c"], "c": ["b"], "b": ["a"]}),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"]}, {"d": ["a"], "b": ["d"]}),
    ],
    ids=["two", "three", "a chain", "two ways"],
)
def test_memberships_are_turned_round_in_one_run(mesh, one, other, workers):
    for groups in (one, other, one):
        mesh.apply_all(manifest(**groups), parallelism=workers)
        assert mesh.plan(manifest(**groups)).is_empty
        assert mesh.sql(MEMBERS) == sorted((member, role) for member, roles in groups.items() for role in roles)
