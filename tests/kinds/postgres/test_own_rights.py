"""What the role of a run may do, and what it must not do to itself: said by the plan, before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.errors import AccessDenied
from tests.laws.mesh import Mesh

CLOSED: dict[str, Any] = {"PUBLIC": {"database": []}}
OWN_GRANT: dict[str, Any] = {"modest": {"database": ["connect"]}}


@pytest.fixture
def mesh(consul, postgres, tmp_path):
    return Mesh(consul, postgres, tmp_path)


def as_role(mesh, attributes="CREATEROLE CREATEDB"):
    """From now on the program runs as ``modest``, who is no superuser."""
    mesh.sql(f"CREATE ROLE modest LOGIN {attributes} PASSWORD 'modest'")
    mesh.environment |= {"PGUSER": "modest", "PGPASSWORD": "modest"}
    return mesh


def manifest(grants=None, **owner):
    return {"name": "own", "db_roles": {"own": {}}, "databases": {"app": {"owner": "own", **owner, **({"grants": grants} if grants else {})}}}


def everything(mesh):
    return mesh.sql("SELECT oid, rolname FROM pg_roles"), mesh.sql("SELECT oid, datname FROM pg_database"), mesh.http("GET", "/v1/kv/?keys")


def refused(mesh, wanted):
    plan, outcome = mesh.apply(wanted)
    assert outcome is None
    (refusal,) = plan.refusals
    assert refusal.rule == "own credentials"
    return str(refusal)


# --- not to lock oneself out ---


@pytest.mark.parametrize("exists", [False, True], ids=["a new database", "one that exists"])
def test_a_database_is_not_closed_to_the_run_that_closes_it(mesh, exists):
    as_role(mesh)
    if exists:
        mesh.apply_all(manifest())
    before = mesh.sql("SELECT count(*) FROM pg_database")
    for grants in (CLOSED, {**CLOSED, "modest": {"database": ["CREATE"]}}):
        said = refused(mesh, manifest(grants))
        assert "this run's own role, modest, could not connect to database app any more" in said
        assert 'grants: {"modest": {database: [CONNECT]}}' in said
    assert mesh.sql("SELECT count(*) FROM pg_database") == before


@pytest.mark.parametrize("way", ["its own grant", "a role that it is in", "everything", "owner", "not everybody", "a superuser"])
def test_another_way_in_is_enough(mesh, way):
    as_role(mesh, "SUPERUSER" if way == "a superuser" else "CREATEROLE CREATEDB")
    wanted = manifest({**CLOSED})
    grants = wanted["databases"]["app"]["grants"]
    match way:
        case "its own grant":
            grants |= OWN_GRANT
        case "a role that it is in":
            mesh.sql("CREATE ROLE team; CREATE ROLE all_of_us; GRANT team TO all_of_us; GRANT all_of_us TO modest")
            grants["team"] = {"database": ["CONNECT"]}
        case "everything":
            grants["modest"] = {"database": ["ALL"]}
        case "owner":
            del wanted["databases"]["app"]["owner"]
        case "not everybody":
            grants["PUBLIC"] = {"database": ["CONNECT"]}
    mesh.apply_all(wanted)
    assert mesh.plan(wanted).is_empty


def test_the_only_way_in_is_not_taken_away_by_any_change(mesh):
    mesh.sql("CREATE ROLE team; CREATE ROLE modest LOGIN CREATEROLE CREATEDB PASSWORD 'modest'")
    inside = {"own": {}, "modest": {"adopt": True, "member_of": {"team": {"admin": True, "inherit": True}}}}
    wanted = {**manifest({**CLOSED, "team": {"database": ["CONNECT"]}}), "db_roles": inside}
    mesh.apply_all(wanted)
    mesh.environment |= {"PGUSER": "modest", "PGPASSWORD": "modest"}
    outside = {"own": {}, "modest": {"adopt": True}}
    assert refused(mesh, {**wanted, "db_roles": outside}).startswith("db-membership/default/team/modest: ")
    assert refused(mesh, {**manifest(CLOSED), "db_roles": inside}).startswith("db-grant/default/app/database/team: ")
    mesh.sql("GRANT CONNECT ON DATABASE app TO modest")
    assert not mesh.plan({**wanted, "db_roles": outside}).refusals, "there is another way in"


def test_the_owner_that_lets_it_in_is_not_changed_for_one_that_does_not(mesh):
    as_role(mesh)
    mesh.sql("CREATE ROLE boss; GRANT boss TO modest WITH ADMIN OPTION")
    mesh.apply_all(manifest(CLOSED, owner="boss"))
    for grants in (CLOSED, {**CLOSED, **OWN_GRANT}):
        said = refused(mesh, manifest(grants, owner="own"))
        assert said.startswith("database/default/app: ") and "let it in by an apply of its own before" in said
    mesh.apply_all(manifest({**CLOSED, **OWN_GRANT}, owner="boss"))
    mesh.apply_all(manifest({**CLOSED, **OWN_GRANT}, owner="own"))


# --- what it may do ---


@pytest.mark.parametrize(
    ("attributes", "wanted", "lacking"),
    [
        ("", {"db_roles": {"new": {}}}, "CREATEROLE"),
        ("CREATEROLE", {"db_roles": {"new": {}}, "databases": {"app": {}}}, "CREATEDB"),
        ("CREATEROLE CREATEDB", {"db_roles": {"new": {"superuser": True}}}, "SUPERUSER"),
        ("CREATEROLE", {"db_roles": {"new": {"replication": True, "bypassrls": True}}}, "(BYPASSRLS, REPLICATION|SUPERUSER)"),
        ("", {"db_roles": {"new": {"member_of": ["theirs"]}}, "databases": {"app": {}}}, 'ADMIN OPTION on "theirs", CREATEDB, CREATEROLE'),
        ("CREATEROLE", {"db_roles": {"theirs": {"createdb": True, "adopt": True}}}, 'ADMIN OPTION on "theirs", CREATEDB'),
    ],
)
def test_what_it_lacks_is_named_at_once_before_anything_is_written(mesh, attributes, wanted, lacking):
    mesh.sql("CREATE ROLE theirs")
    as_role(mesh, attributes)
    if mesh.postgres.version < 16 and "ADMIN" in lacking:
        pytest.skip("until 15 CREATEROLE is enough")
    before = everything(mesh)
    body = {"name": "own", "kv": {"own/key": "x"}, **wanted}
    assert not mesh.plan(body).refusals, "looking takes none of it"
    with pytest.raises(AccessDenied, match=f"on postgres default; it lacks {lacking}: grant that"):
        mesh.apply(body)
    assert everything(mesh) == before


def test_what_it_makes_itself_it_may_change_and_delete(mesh):
    as_role(mesh)
    wanted: Any = {"name": "own", "db_roles": {"team": {}, "dev": {"member_of": ["team"]}}, "databases": {"app": {"owner": "team"}}}
    mesh.apply_all(wanted)
    wanted["db_roles"] = {"team": {"createdb": True}, "dev": {"login": True}}
    mesh.apply_all(wanted)
    mesh.apply_all({"name": "own"})
    assert mesh.sql("SELECT count(*) FROM pg_roles WHERE rolname IN ('team', 'dev')") == [(0,)]
