"""A login role that may make roles and databases, but not read pg_authid: passwords cannot be compared, and everything else works."""

import pytest

MANIFEST = """\
kv: {app/password: {generate: {bytes: 16, encoding: hex}}}
db_roles: {app: {login: true, connection_limit: LIMIT, password: {kv: app/password}}}
databases: {app: {owner: app}}
"""


@pytest.fixture
def by_admin(command, postgres):
    """The command as that role, on each version of Postgres."""
    postgres.query("CREATE ROLE admin LOGIN CREATEROLE CREATEDB PASSWORD 'the password of admin'")
    return command.having(**{**postgres.environment, "PGUSER": "admin", "PGPASSWORD": "the password of admin"})


def test_everything_but_comparing_passwords_works(by_admin, postgres, consul, write):
    why = f"admin may not read pg_authid on Postgres default ({postgres.host}:{postgres.port})"
    logged = postgres.log_size_bytes()
    file = write(MANIFEST.replace("LIMIT", "5"))
    by_admin("apply", "--auto-approve", file, expect=0)
    password = consul.keys()["app/password"].decode()
    assert postgres.accepts("app", password, "app")
    empty = by_admin("plan", "--detailed-exitcode", file, expect=0)
    assert empty.out == f"Cannot compare:\n    db-role/default/app: password: {why}\n\nNo changes. Live state matches the manifest.\n"
    document = by_admin("plan", "--format", "json", file, expect=0).json
    assert document["unreadable"] == [{"address": "db-role/default/app", "path": ["password"], "why": why}]
    assert by_admin("drift", file, expect=0).last == "No drift. Live state matches what was last applied."
    changed = by_admin("apply", "--auto-approve", write(MANIFEST.replace("LIMIT", "7")), expect=0)
    assert f"~ db-role/default/app (manifest changed)\n    connection_limit: 5 → 7\n    password: cannot compare ({why})\n" in changed.out
    assert postgres.query("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'app'") == [{"rolconnlimit": 7}]
    assert postgres.accepts("app", password, "app"), "what cannot be compared is not written either"
    by_admin("destroy", "--auto-approve", file, expect=0)
    assert postgres.query("SELECT FROM pg_roles WHERE rolname = 'app'") == postgres.query("SELECT FROM pg_database WHERE datname = 'app'") == []
    assert password not in postgres.logged_since(logged)
