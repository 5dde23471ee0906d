"""Everything that a role or a database can have is either said, or a comment where it belongs."""

import pytest

from reconciler.model.change import Action
from tests.importing.meshes import SECRET
from tests.importing.test_round_trips import document, with_secrets
from tests.importing.test_what_is_taken import names

SHARED = (
    "CREATE ROLE reader",
    "CREATE ROLE writer",
    "CREATE ROLE app LOGIN REPLICATION BYPASSRLS CONNECTION LIMIT 4 VALID UNTIL '2040-01-01 00:00:00+00'",
    "COMMENT ON ROLE app IS 'a comment'",
    "CREATE DATABASE app OWNER app",
    "ALTER ROLE app IN DATABASE app SET work_mem = '8MB'; ALTER ROLE app IN DATABASE app SET search_path = x",
    "GRANT SET ON PARAMETER log_statement TO app; GRANT CREATE ON TABLESPACE pg_default TO app",
    "ALTER DATABASE app SET timezone = 'UTC'; COMMENT ON DATABASE app IS 'another'",
    "CREATE DATABASE shut OWNER app ALLOW_CONNECTIONS false",
)
OBJECTS = (
    "CREATE SCHEMA x AUTHORIZATION app; CREATE SCHEMA y AUTHORIZATION app",
    "CREATE TYPE x.colour AS ENUM ('red'); CREATE TYPE x.\"odd (type\" AS ENUM ('even')",
    "CREATE TABLE x.t (a int, b int, c int); ALTER TABLE x.t OWNER TO app",
    "CREATE FUNCTION x.paint(x.colour, int[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION x.plain() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION x.odd(x.\"odd (type\") RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE PROCEDURE x.work(text) LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION y.one() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION y.\"Two\"(numeric) RETURNS int LANGUAGE sql AS 'SELECT 1'",
)
GRANTS = (
    "REVOKE EXECUTE ON FUNCTION x.plain() FROM PUBLIC; GRANT EXECUTE ON FUNCTION x.paint(x.colour, int[]) TO reader",
    'GRANT EXECUTE ON FUNCTION x.odd(x."odd (type") TO reader',
    "GRANT EXECUTE ON PROCEDURE x.work(text) TO reader WITH GRANT OPTION",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA y TO writer; REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA y FROM PUBLIC",
    "GRANT SELECT (a, b), UPDATE (c) ON x.t TO reader; REVOKE DELETE ON x.t FROM app",
    "GRANT USAGE ON TYPE x.colour TO reader; REVOKE USAGE ON TYPE x.colour FROM PUBLIC; GRANT USAGE ON LANGUAGE plpgsql TO reader",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA x GRANT SELECT ON TABLES TO reader WITH GRANT OPTION",
)


@pytest.fixture
def made(mesh):
    for statement in SHARED:
        mesh.sql(statement)
    for statement in (*OBJECTS, *GRANTS):
        mesh.sql(statement, "app")
    return mesh


def comments_before(text, line):
    """The comments immediately above a line."""
    lines = text.split("\n")
    at = lines.index(line)
    first = next(n for n in range(at, -1, -1) if not lines[n - 1].lstrip().startswith("#"))
    return [each.lstrip().removeprefix("# ") for each in lines[first:at]]


def test_rights_on_functions_are_said_and_given_again(made, imported):
    first = imported()
    grants = document(first.text)["databases"]["app"]["grants"]
    assert grants["PUBLIC"] == {"all functions in schema y": [], "function x.plain()": []}
    assert grants["writer"] == {"all functions in schema y": ["EXECUTE"]}
    assert {text: grant for text, grant in grants["reader"].items() if "function" in text} == {
        "function x.paint(x.colour, integer[])": ["EXECUTE"],
        "function x.work(text)": {"privileges": ["EXECUTE"], "grantable": True},
    }
    manifest = with_secrets(made, first)
    assert {(c.action, c.fields) for c in made.plan(manifest).changes} == {(Action.ADOPT, ())}
    acls = "SELECT proname, proacl::text FROM pg_proc WHERE pronamespace::regnamespace::text IN ('x', 'y') AND proname <> 'odd' ORDER BY 1"
    before = made.sql(acls, "app")
    for grantee in ("reader", "writer"):
        made.sql(f"REVOKE ALL ON ALL ROUTINES IN SCHEMA x, y FROM {grantee}; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA x, y TO PUBLIC", "app")
    manifest["databases"]["app"] |= {"adopt": True}
    made.apply_all(manifest, adopt=("db-grant/*",))
    assert [(name, sorted(acl.strip("{}").split(","))) for name, acl in made.sql(acls, "app")] == [
        (name, sorted(acl.strip("{}").split(","))) for name, acl in before
    ]


def test_what_cannot_be_said_is_a_comment_on_its_entry(made, imported):
    first = imported()
    roles, databases = first.text.split("\ndatabases:\n")
    assert comments_before(roles, "  app:") == [
        "not said here, and left as it is:",
        "  its comment",
        "  its settings in the database app (search_path, work_mem)",
        "  CREATE on tablespace pg_default",
        "  SET on parameter log_statement",
    ]
    assert comments_before(databases, "  app:") == [
        "left out: db-grant/default/app/function x.odd(x.%22odd (type%22)/reader: its arguments cannot be written down",
        "not said here, and left as it is:",
        "  its comment",
        "  its settings (TimeZone)",
        "  USAGE on language plpgsql for reader",
        "  that app lacks DELETE on table x.t",
        "  SELECT (a, b) on table x.t for reader",
        "  UPDATE (c) on table x.t for reader",
        "  that PUBLIC lacks USAGE on type x.colour",
        "  USAGE on type x.colour for reader",
        "  that reader may pass on rights on tables in schema x of app",
    ]
    assert list(document(first.text)["databases"]["app"]) == ["owner", "grants", "schemas", "default_privileges"]
    assert "  # not said here, and left as it is: that nobody may connect to it, and so what is in it\n" in first.text


def test_what_every_database_begins_with_is_no_comment(mesh, imported):
    mesh.sql("CREATE DATABASE plain")
    mesh.sql("CREATE ROLE plain")
    mesh.sql("CREATE TABLE t (); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "plain")
    assert "not said here" not in imported().text


def test_a_database_that_this_role_may_not_enter_is_said_without_its_insides(made, imported):
    made.sql("REVOKE CONNECT ON DATABASE app FROM PUBLIC; CREATE ROLE guest LOGIN PASSWORD 'g'")
    made.environment |= {"PGUSER": "guest", "PGPASSWORD": "g"}
    first = imported()
    assert document(first.text)["databases"]["app"] == {"owner": "app"}
    assert "what is in it and who may do what there, because guest may not connect to it" in first.text


def test_a_service_brings_the_role_whose_password_it_has(mesh, imported):
    mesh.consul.put("/v1/kv/app/db-password", SECRET.encode())
    mesh.sql(f"CREATE ROLE called_otherwise LOGIN PASSWORD '{SECRET}'")
    mesh.sql("CREATE ROLE unrelated")
    first = imported(services=("app",))
    assert names(first.text) == {"kv": {"app/db-password"}, "db_roles": {"called_otherwise"}}
    assert document(first.text)["db_roles"]["called_otherwise"]["password"] == {"kv": "app/db-password"}
