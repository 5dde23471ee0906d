"""What lies on a server besides roles and databases, through the whole of this program."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.change import Action, Reason
from tests.laws.mesh import Mesh

DB = 'Files "db".1'
WHO = 'The "reader"'
ADDRESS = DB.replace('"', "%22")
OF_EVERYBODY = f"SELECT has_database_privilege('public', '{DB}', 'CONNECT') AS c, has_schema_privilege('public', 'public', 'USAGE') AS u"
EVERYTHING: dict[str, Any] = {"allow_delete": ("*",), "allow_data_loss": ("*",)}


@pytest.fixture
def mesh(consul, postgres, tmp_path):
    return Mesh(consul, postgres, tmp_path)


@pytest.fixture
def modest(mesh):
    """Met as a role that may create roles and databases, and is no superuser."""
    mesh.sql("CREATE ROLE modest LOGIN CREATEROLE CREATEDB PASSWORD 'modest'")
    mesh.environment |= {"PGUSER": "modest", "PGPASSWORD": "modest"}
    return mesh


def manifest(**sections):
    return {"name": "inside", "db_roles": {"own": {}, WHO: {}}, "databases": {DB: {"owner": "own", **sections}}}


def actions(plan):
    return {str(c.address): c.action for c in plan.changes}


def everything():
    return manifest(
        schemas={"s": {"owner": "own"}, "public": {"owner": "own"}},
        extensions={"sample": {"schema": "s"}},
        grants={
            WHO: {"database": ["CONNECT"], "schema s": ["USAGE"], "all tables in schema s": ["ALL"]},
            "public": {"database": [], "schema public": []},
        },
        default_privileges={
            "tables": {"owner": "own", "schema": "s", "on": "tables", "to": WHO, "privileges": ["SELECT"]},
            "functions": {"owner": "own", "on": "functions", "to": "PUBLIC", "privileges": []},
            "sequences": {"owner": "own", "on": "sequences", "to": WHO, "privileges": ["ALL"]},
        },
    )  # fmt: skip


def test_names_that_need_quotes_and_everybody_and_what_new_databases_come_with(mesh):
    mesh.apply_all(everything())
    assert mesh.plan(everything()).is_empty and mesh.drift(everything()).is_empty
    assert mesh.sql(f"SELECT has_database_privilege('public', '{DB}', 'CONNECT'), has_schema_privilege('public', 'public', 'USAGE')", DB) == [
        (False, False)
    ]
    # a table of somebody else is a difference in "all tables", one of the owner has its rights by default
    mesh.sql("SET ROLE own; CREATE TABLE s.a ()", DB)
    assert [f.before for c in mesh.plan(everything()).changes for f in c.fields] == [["SELECT"]]
    mesh.apply_all(everything())
    mesh.sql("CREATE TABLE s.b ()", DB)
    (change,) = mesh.plan(everything()).changes
    assert change.reasons == (Reason.DRIFTED,) and "SELECT on 1 of 2" in change.fields[0].before
    mesh.apply_all(everything())
    assert mesh.plan(everything()).is_empty


def test_a_database_that_is_dropped_takes_along_what_is_in_it(mesh):
    mesh.apply_all(everything())
    mesh.sql("SET ROLE own; CREATE TABLE s.t (); CREATE VIEW s.v AS SELECT 1", DB)
    without = {**everything(), "databases": {}}
    plan, outcome = mesh.apply(without, allow_delete=("*",))
    assert outcome is None and [str(r.address) for r in plan.refusals] == [f"database/default/{DB}"]
    assert {c.reasons for c in plan.changes if c.address.kind != "database"} == {(Reason.REMOVED, Reason.ALONG)}
    mesh.apply_all(without, **EVERYTHING)
    assert mesh.sql("SELECT count(*) FROM pg_database WHERE datname = '" + DB + "'") == [(0,)]
    assert mesh.plan(without).is_empty


def test_what_is_in_a_database_that_stays_is_taken_away_and_what_it_came_with_put_back(mesh):
    mesh.apply_all(everything())
    mesh.apply_all(manifest(), **EVERYTHING)
    assert mesh.sql(f"SELECT has_database_privilege('public', '{DB}', 'CONNECT'), has_schema_privilege('public', 'public', 'USAGE')", DB) == [
        (True, True)
    ]
    assert mesh.sql("SELECT count(*) FROM pg_default_acl", DB) == [(0,)]
    assert mesh.sql("SELECT nspname FROM pg_namespace WHERE nspname IN ('s', 'public')", DB) == [("public",)]
    assert mesh.plan(manifest()).is_empty


def test_an_entry_that_says_what_is_so_by_default_goes_with_the_others_and_keeps_nothing(mesh):
    by_default = manifest(
        grants={WHO: {"schema public": []}, "PUBLIC": {"database": ["CONNECT", "TEMPORARY"]}},
        default_privileges={"none": {"owner": "own", "on": "tables", "to": "PUBLIC", "privileges": []}},
    )
    mesh.apply_all(manifest())
    assert set(actions(mesh.apply_all(by_default)).values()) == {Action.CREATE}
    assert mesh.plan(by_default).is_empty and mesh.drift(by_default).is_empty
    mesh.destroy(by_default)
    assert mesh.sql("SELECT rolname FROM pg_roles WHERE oid >= 16384") == []
    assert mesh.sql(f"SELECT 1 FROM pg_database WHERE datname = '{DB}'") == []


def test_what_others_granted_is_revoked_in_their_name_and_nobody_elses_is(mesh):
    mesh.apply_all(manifest())
    mesh.sql("CREATE TABLE t (); CREATE ROLE lead; GRANT ALL ON t TO lead WITH GRANT OPTION", DB)
    mesh.sql(f"""SET ROLE lead; GRANT INSERT, UPDATE ON t TO "{WHO.replace('"', '""')}"; GRANT INSERT ON t TO own""", DB)
    wanted = manifest(grants={WHO: {"table public.t": ["SELECT", "UPDATE"]}})
    plan, outcome = mesh.apply(wanted)
    assert outcome is None and "differs in privileges" in plan.refusals[0].what
    mesh.apply_all(wanted, adopt=("*",))
    assert mesh.plan(wanted).is_empty
    found = mesh.sql(
        "SELECT grantee::regrole::text, grantor::regrole::text, privilege_type FROM pg_class, aclexplode(relacl) WHERE oid = 't'::regclass", DB
    )
    theirs = {row[1:] for row in found if "reader" in row[0]}
    assert theirs == {("lead", "UPDATE"), ("postgres", "SELECT")}
    assert ("own", "lead", "INSERT") in found


def test_what_was_passed_on_is_not_lost_without_consent(mesh):
    mesh.apply_all(manifest())
    mesh.sql("CREATE TABLE t (); CREATE ROLE kid", DB)
    wanted = manifest(grants={WHO: {"table public.t": {"privileges": ["SELECT"], "grantable": True}}})
    mesh.apply_all(wanted)
    mesh.sql(f"""SET ROLE "{WHO.replace('"', '""')}"; GRANT SELECT ON t TO kid""", DB)
    plan, outcome = mesh.apply(manifest())
    assert outcome is None
    (refusal,) = plan.refusals
    assert refusal.rule == "data loss" and "SELECT on table public.t that it granted to kid" in refusal.what
    assert mesh.sql("SELECT has_table_privilege('kid', 't', 'SELECT')", DB) == [(True,)]
    mesh.apply_all(manifest(), **EVERYTHING)
    assert mesh.sql("SELECT has_table_privilege('kid', 't', 'SELECT')", DB) == [(False,)]


def test_a_role_that_owns_a_database_of_others_is_refused_with_advice_that_works(mesh):
    wanted: Any = {"name": "inside", "db_roles": {"own": {}, "heir": {}}}
    mesh.apply_all(wanted)
    mesh.sql("CREATE DATABASE theirs OWNER own")
    without = {"name": "inside", "db_roles": {"heir": {}}}
    for options in ({}, EVERYTHING):
        plan, outcome = mesh.apply(without, **options)
        assert outcome is None
        (refusal,) = plan.refusals
        assert (refusal.rule, refusal.what) == ("hindered", "cannot be deleted, because of database theirs")
        assert "allow-data-loss" not in refusal.what_to_do and "reassign_to" in refusal.what_to_do
    wanted["db_roles"]["own"] = {"reassign_to": "heir"}
    mesh.apply_all(wanted)
    mesh.apply_all(without)
    assert mesh.sql("SELECT datdba::regrole::text FROM pg_database WHERE datname = 'theirs'") == [("heir",)]


def test_a_database_that_somebody_gave_to_a_role_is_given_back_before_the_role_goes(mesh):
    mesh.apply_all({**manifest(), "db_roles": {"own": {}, WHO: {}, "other": {}}})
    mesh.sql(f"""ALTER DATABASE "{DB.replace('"', '""')}" OWNER TO other""")
    mesh.apply_all(manifest())
    assert mesh.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'other'") == [(0,)]


@pytest.mark.parametrize("at_first", ["", "CREATE TABLE a (); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"])
def test_what_is_made_after_a_grant_on_all_of_a_schema_is_a_difference_and_not_a_deletion(mesh, at_first):
    wanted = manifest(grants={WHO: {"all tables in schema public": ["SELECT"]}, "PUBLIC": {"all functions in schema public": []}})
    mesh.apply_all(manifest())
    if at_first:
        mesh.sql(at_first, DB)
    mesh.apply_all(wanted)
    mesh.sql("DROP TABLE IF EXISTS a; DROP FUNCTION IF EXISTS f()", DB)
    assert mesh.plan(wanted).is_empty and mesh.drift(wanted).is_empty
    mesh.sql("CREATE TABLE b (); CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1'", DB)
    for plan in (mesh.plan(wanted), mesh.drift(wanted)):
        found = {c.address.segments[3]: (c.action, c.reasons, c.fields[0].before) for c in plan.changes}
        assert found == {WHO: (Action.UPDATE, (Reason.DRIFTED,), []), "PUBLIC": (Action.UPDATE, (Reason.DRIFTED,), ["EXECUTE"])}
    mesh.apply_all(wanted)
    assert mesh.plan(wanted).is_empty and mesh.drift(wanted).is_empty
    mesh.sql("CREATE TABLE c ()", DB)
    assert [f.before for c in mesh.plan(wanted).changes for f in c.fields] == [["SELECT on 1 of 2"]]
    mesh.sql("DROP TABLE b; DROP FUNCTION g()", DB)
    forgotten = mesh.apply_all(manifest())
    assert {c.action for c in forgotten.changes if c.address.segments[3] == WHO} == {Action.FORGET}, "nothing is left to be revoked"


def test_functions_sequences_and_views_of_any_name(mesh):
    mesh.apply_all(manifest())
    mesh.sql(
        'CREATE SCHEMA "My s"; CREATE FUNCTION "My s"."f.1"(integer, text[]) RETURNS int LANGUAGE sql AS \'SELECT 1\';'
        'CREATE PROCEDURE "My s".p() LANGUAGE sql AS \'SELECT 1\'; CREATE SEQUENCE "My s".seq; CREATE VIEW "My s"."V""iew" AS SELECT 1',
        DB,
    )
    wanted = manifest(grants={
        WHO: {'function "My s"."f.1"(int, text[])': ["EXECUTE"], 'function "My s".p()': ["ALL"], 'sequence "My s".seq': ["USAGE", "select"],
              'table "My s"."V""iew"': ["SELECT"]},
        "PUBLIC": {'function "My s".p()': []},
    })  # fmt: skip
    mesh.apply_all(wanted)
    assert mesh.plan(wanted).is_empty
    assert mesh.sql("SELECT proacl::text LIKE '%reader%' AS r, proacl::text LIKE '{=X%' AS p FROM pg_proc WHERE proname = 'p'", DB) == [(True, False)]
    mesh.apply_all(manifest(), **EVERYTHING)
    assert mesh.sql("SELECT has_function_privilege('public', oid, 'EXECUTE') FROM pg_proc WHERE proname = 'p'", DB) == [(True,)]


def test_a_schema_and_an_extension_that_are_used_are_not_dropped_without_consent(mesh):
    wanted = manifest(schemas={"s": {"owner": "own"}}, extensions={"sample": {"schema": "public"}})
    mesh.apply_all(wanted)
    mesh.sql("CREATE TABLE s.t (id serial); CREATE VIEW uses AS SELECT one()", DB)
    plan, outcome = mesh.apply(manifest())
    assert outcome is None
    lost = {str(r.address): r.what for r in plan.refusals}
    assert lost[f"db-schema/default/{ADDRESS}/s"] == "deleting it would lose 1 table"
    assert "view public.uses" in lost[f"db-extension/default/{ADDRESS}/sample"]
    assert mesh.sql("SELECT count(*) FROM uses, s.t", DB) == [(0,)]
    mesh.apply_all(manifest(), **EVERYTHING)
    assert mesh.sql("SELECT count(*) FROM pg_class WHERE relname IN ('t', 'uses')", DB) == [(0,)]


def test_a_grant_on_what_does_not_exist_says_so(mesh):
    mesh.apply_all(manifest())
    _, outcome = mesh.apply(manifest(grants={WHO: {"table public.orders": ["SELECT"]}}))
    assert [r.why for r in outcome.results] == [f"there is no table public.orders in the database {DB}: make it first, or take the entry out"]


def memberships(mesh):
    return {
        tuple(row)
        for row in mesh.sql("SELECT roleid::regrole::text, member::regrole::text, grantor::regrole::text FROM pg_auth_members WHERE roleid >= 16384")
    }


def test_a_membership_is_revoked_from_each_grantor(mesh):
    wanted: Any = {"name": "inside", "db_roles": {"team": {}, "lead": {}, "dev": {"member_of": {"team": {"admin": False}}}}}
    mesh.apply_all(wanted)
    mesh.sql("GRANT team TO lead WITH ADMIN OPTION; SET ROLE lead; GRANT team TO dev WITH ADMIN OPTION")
    (change,) = mesh.plan(wanted).changes
    assert [f.path for f in change.fields] == [("admin",)] and change.action is Action.UPDATE
    mesh.apply_all(wanted)
    assert mesh.sql("SELECT bool_or(admin_option) FROM pg_auth_members WHERE member = 'dev'::regrole") == [(False,)]
    del wanted["db_roles"]["dev"]["member_of"]
    mesh.apply_all(wanted)
    assert memberships(mesh) == {("team", "lead", "postgres")}


def test_a_membership_that_was_passed_on_is_not_lost_without_consent(mesh):
    wanted: Any = {"name": "inside", "db_roles": {"team": {}, "kid": {}, "dev": {"member_of": {"team": {"admin": True}}}}}
    mesh.apply_all(wanted)
    mesh.sql("SET ROLE dev; GRANT team TO kid")
    del wanted["db_roles"]["dev"]["member_of"]
    plan, outcome = mesh.apply(wanted)
    assert outcome is None and "the membership of kid that dev granted" in plan.refusals[0].what
    mesh.apply_all(wanted, **EVERYTHING)
    assert memberships(mesh) == set()


def test_the_row_of_who_created_a_role_is_no_membership(modest):
    modest.sql("SET ROLE modest; CREATE ROLE made; RESET ROLE")
    modest.sql("CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss'")
    modest.environment |= {"PGUSER": "boss", "PGPASSWORD": "boss"}
    wanted = {"name": "inside", "db_roles": {"modest": {"member_of": ["made"], "adopt": True}}}
    plan = modest.apply_all(wanted)
    assert actions(plan)["db-membership/default/made/modest"] is Action.CREATE
    assert modest.sql("SELECT bool_or(admin_option) AS a, bool_or(set_option) AS s FROM pg_auth_members WHERE member = 'modest'::regrole") == [
        (True, True)
    ]


def test_who_is_no_superuser_manages_all_of_it_and_keeps_no_membership(modest):
    wanted = everything()
    wanted["databases"][DB].pop("extensions")
    wanted["databases"][DB]["grants"]["modest"] = {"database": ["CONNECT"]}  # which is taken from PUBLIC
    modest.apply_all(wanted)
    assert modest.plan(wanted).is_empty
    modest.sql("SET ROLE own; CREATE TABLE s.t ()", DB)
    modest.apply_all(wanted)
    assert modest.plan(wanted).is_empty
    kept = [row for row in memberships(modest) if row[1] == "modest" and row[2] == "modest"]
    assert kept == []
    modest.apply_all({"name": "inside"}, **EVERYTHING)
    assert modest.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'own'") == [(0,)]


def test_how_much_a_plan_asks(mesh):
    two = everything()
    two["databases"]["second"] = two["databases"][DB]
    mesh.apply_all(two)

    def statements(manifest):
        with mesh.connections(manifest) as connections:
            from reconciler.engine.operations import Options, plan

            assert plan(connections, Options()).is_empty
            return connections.postgres("default").statements

    # who we are, roles, databases; which databases there are, and in each: schemas, extensions, grants, default privileges
    assert statements(two) == 3 + 1 + 2 * 4
    mesh.apply_all({**two, "databases": {name: {"owner": "own"} for name in two["databases"]}}, **EVERYTHING)
    assert statements({**two, "databases": {name: {"owner": "own"} for name in two["databases"]}}) == 3
