"""What the manifest says of roles and databases, in normal form; no server is asked."""

from __future__ import annotations

from textwrap import dedent

import pytest

from reconciler.kinds.postgres import database, role
from reconciler.kinds.postgres._contents import _readable
from reconciler.kinds.postgres._locale import normal_encoding, normal_locale
from reconciler.kinds.postgres._role_settings import from_catalogue, normal_value
from reconciler.manifest.loading import load
from reconciler.model.address import Address
from reconciler.model.resource import OnRemoval, System
from reconciler.model.secret import Reference, Secret, SecretSource


@pytest.fixture
def declared(tmp_path):
    """The roles and databases that a manifest declares, by label."""

    def declare(text):
        path = tmp_path / "manifest.yaml"
        path.write_text("version: 1\nname: test\n" + dedent(text))
        loaded = load([path])
        return {d.address.kind + "/" + d.label: d for kind in (role.KIND, database.KIND) for d in kind.declare(loaded)}

    return declare


def test_only_what_is_set_is_declared(declared):
    found = declared("""
        db_roles: {plain: {}}
        databases: {plain: {}}
        """)
    assert found["db-role/plain"].fields == found["database/plain"].fields == {}
    assert found["db-role/plain"].needs == found["database/plain"].needs == frozenset()
    assert found["db-role/plain"].address == Address.of("db-role", "default", "plain")
    assert found["db-role/plain"].system == System("postgres", "default")


def test_everything_that_can_be_set_is_declared(declared):
    found = declared("""
        postgres: {main: {host: db.example.com}}
        db_roles:
          app:
            {name: app-role, login: true, superuser: false, createdb: true, createrole: false, inherit: false, replication: true, bypassrls: true,
             connection_limit: 5, valid_until: "2031-01-01 01:00:00+01", settings: {Work_Mem: 4096kB, search_path: "a,b"}, password: {env: PASSWORD},
             on_removal: retain, protect: true, adopt: true}
        databases:
          app: {name: app-db, owner: app-role, encoding: utf-8, locale: C.utf8, template: template0, connection_limit: 7}
        """)
    one = found["db-role/app"]
    assert one.address == Address.of("db-role", "main", "app-role")
    assert one.fields == {
        "login": True, "superuser": False, "createdb": True, "createrole": False, "inherit": False, "replication": True, "bypassrls": True,
        "connection_limit": 5, "valid_until": "2031-01-01T00:00:00+00:00", "settings": {"work_mem": "4096kB", "search_path": "a, b"},
        "password": SecretSource("env", "PASSWORD"),
    }  # fmt: skip
    assert (one.on_removal, one.protect, one.adopt) == (OnRemoval.RETAIN, True, True)
    other = found["database/app"]
    assert other.fields == {
        "owner": "app-role", "encoding": "UTF8", "lc_collate": "C.UTF-8", "lc_ctype": "C.UTF-8", "template": "template0", "connection_limit": 7,
    }  # fmt: skip
    assert other.needs == other.must_exist == {one.address}
    assert (one.place.line, other.place.line) == (6, 11)


def test_a_database_comes_after_the_template_that_is_declared_too(declared):
    found = declared("databases: {model: {}, copy: {template: model}, other: {template: template1}}")
    assert found["database/copy"].after == {found["database/model"].address}
    assert found["database/copy"].needs == found["database/other"].after == frozenset()


def test_a_password_from_kv_needs_the_key(declared):
    found = declared("""
        kv: {app/password: {generate: {bytes: 16, encoding: hex}}}
        db_roles: {app: {password: {kv: app/password}}}
        """)["db-role/app"]
    key = Address.of("kv", "app/password")
    assert found.fields == {"password": Reference(key, "value")}
    assert found.needs == found.must_exist == {key}


def test_a_password_that_is_written_out_is_a_secret(declared):
    assert declared("db_roles: {app: {password: sesame}}")["db-role/app"].fields == {"password": Secret("sesame")}


def test_no_settings_at_all_set_nothing(declared):
    assert declared("db_roles: {app: {settings: {}}}")["db-role/app"].fields == {}


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("infinity", "infinity"),
        ("2031-01-01 00:00:00+00", "2031-01-01T00:00:00+00:00"),
        ("2031-01-01T00:00:00Z", "2031-01-01T00:00:00+00:00"),
        ("2031-01-01 00:00 UTC", "2031-01-01T00:00:00+00:00"),
        ("2031-01-01 05:30:00 +05:30", "2031-01-01T00:00:00+00:00"),
        ("2030-12-31 20:00:00.5-04", "2031-01-01T00:00:00.500000+00:00"),
        ("2031-01-01", "2031-01-01"),  # midnight where? the server knows
        ("2031-01-01 00:00:00", "2031-01-01 00:00:00"),
        ("20000-01-01 00:00:00+00", "20000-01-01 00:00:00+00"),
        ("2031-13-45", "2031-13-45"),
    ],
)
def test_an_instant_with_an_offset_is_one_in_utc(text, normal):
    assert role._normal_instant(text) == normal
    assert role._normal_instant(normal) == normal


@pytest.mark.parametrize(
    ("name", "text", "normal"),
    [
        ("work_mem", "4096kB", "4MB"), ("work_mem", "4 MB", "4MB"), ("work_mem", "1.5GB", "1536MB"), ("work_mem", "4096", "4096"),
        ("work_mem", "0.3kB", "0.3kB"), ("work_mem", "4mb", "4mb"), ("work_mem", "0kB", "0"),
        ("statement_timeout", "60000ms", "1min"), ("statement_timeout", "90s", "90s"), ("statement_timeout", "24h", "1d"),
        ("jit", "True", "on"), ("jit", "NO", "off"), ("jit", "1", "1"),
        ("search_path", 'a ,"B c",  "$user"', 'a, "B c", "$user"'), ("search_path", "A", "a"), ("search_path", '"A"', '"A"'),
        ("search_path", "", '""'), ("search_path", '"half', '"half'), ("search_path", 'a"b', 'a"b'), ("search_path", "a,", "a,"),
        ("lc_messages", "no", "no"), ("default_tablespace", "2048 kB", "2048 kB"), ("ROLE", "True", "True"),
        ("app.size", "4096kB", "4096kB"), ("app.flag", "True", "True"), ("application_name", "60s", "60s"), ("DateStyle", "ISO, DMY", "ISO, DMY"),
    ],
)  # fmt: skip
def test_a_setting_has_one_normal_form(name, text, normal):
    assert normal_value(name, text) == normal
    assert normal_value(name, normal) == normal


def test_settings_are_read_from_the_catalogues_form():
    assert from_catalogue(["TimeZone=UTC", "work_mem=4096kB", "app.mode=a=b"]) == {"timezone": "UTC", "work_mem": "4096kB", "app.mode": "a=b"}


def test_encodings_and_locales_have_one_normal_form():
    assert [normal_encoding(e) for e in ("utf8", "Unicode", "latin-1", "ISO_8859_15", "Windows-1252", "SQL_ASCII", "klingon")] == [
        "UTF8", "UTF8", "LATIN1", "LATIN9", "WIN1252", "SQL_ASCII", "klingon",
    ]  # fmt: skip
    assert [normal_locale(e) for e in ("C", "C.utf8", "it_IT.UTF8", "it_IT.utf-8@euro", "de_DE.iso88591")] == [
        "C", "C.UTF-8", "it_IT.UTF-8", "it_IT.UTF-8@euro", "de_DE.iso88591",
    ]  # fmt: skip


def test_sizes_are_readable():
    assert [_readable(n) for n in (8192, 3_565_158, 1000 * 1024, 2**40 * 3)] == ["8 kB", "3.4 MB", "1000 kB", "3.0 TB"]
