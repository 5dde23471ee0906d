import json
from dataclasses import replace

from reconciler.model.address import Address
from reconciler.model.history import History, Holder
from reconciler.model.record import Origin, Record, State
from reconciler.model.resource import CONSUL, OnRemoval
from reconciler.model.value import WITHHELD, Digest
from reconciler.report.ownership import record_document, record_text, table
from tests.unit.report.samples import POSTGRES, address, rules

RECORD = Record(
    key="reconciler/owned/acl-policy/app", address=address("acl-policy/app"), system=CONSUL, system_identity="dc1", owner="mesh", label="app",
    state=State.OWNED, origin=Origin.CREATED, incarnation="b2c4", witness=7,
    specification={"rules": rules("x {\n}\n"), "secret": WITHHELD, "long": Digest("ab" * 32)},
    on_removal=None, protect=True, needs=(), superseded=("old",), run="4f", written="2025-11-21T02:44:11Z",
)  # fmt: skip


def test_records_are_listed_in_columns():
    other = replace(RECORD, address=address("kv/a"), origin=Origin.ADOPTED, protect=False, owner="other")
    assert (
        table([other, RECORD])
        == """\
ADDRESS         MANIFEST  STATE  ORIGIN   ON REMOVAL
acl-policy/app  mesh      owned  created  delete, protected
kv/a            other     owned  adopted  retain
"""
    )


def test_nothing_owned():
    assert table([]) == "Nothing is owned.\n"


def test_a_record_is_shown_whole_and_without_secrets():
    assert (
        record_text(RECORD)
        == """\
acl-policy/app
    manifest: mesh
    label: app
    state: owned
    origin: created
    on_removal: delete, because it was created
    protect: true
    system: Consul (dc1)
    incarnation: b2c4
    superseded: old
    written: 2025-11-21T02:44:11Z by run 4f
    key: reconciler/owned/acl-policy/app
    last applied:
        long: (a text with the SHA-256 abababababab…)
        rules:
          x {
          }
        secret: (secret)
"""
    )


def test_a_record_of_a_system_that_the_manifest_does_not_name():
    assert "    system: 7412\n" in record_text(replace(RECORD, system=None, system_identity="7412"))
    assert "    system: postgres database-node (7412)\n" in record_text(replace(RECORD, system=POSTGRES, system_identity="7412"))


def test_what_was_made_together_with_its_record_is_known_by_the_index_of_both():
    assert "    incarnation: index 42, at which it was made together with this record\n" in record_text(
        replace(RECORD, incarnation="@", created_index=42)
    )


def file(path, host="gateway", owner="mesh"):
    return replace(RECORD, address=Address.of("file", host, path), owner=owner)


def test_what_else_is_known_of_a_token_is_shown_beside_its_record():
    token = replace(RECORD, superseded=("old@5", "older@4"), specification={})
    ahead, behind = Holder(file("etc/a"), "this"), (Holder(file("srv/b"), "old"), Holder(file("srv/c"), "nothing"), Holder(file("srv/d"), "unknown"))
    files = (Holder(file("srv/b", "local", "other"), "this"), *behind, ahead)
    told = History("2026-11-21T02:44:11+00:00", "", files, (("old", True), ("older", False)))
    shown = record_text(token, history=told)
    assert "    made: 2026-11-21T02:44:11+00:00\n" in shown
    assert "    held by: /etc/a on gateway, /srv/b on local (of other)\n" in shown
    assert "    still the old one: /srv/b on gateway\n    not written: /srv/c on gateway\n    not known: /srv/d on gateway\n" in shown
    assert "    superseded: old (still there), older (gone)\n" in shown
    document = json.loads(json.dumps(record_document(token, told)))
    assert document["superseded"] == ["old@5", "older@4"]
    assert document["history"] == {
        "made": "2026-11-21T02:44:11+00:00",
        "why_not": "",
        "files": [
            {"address": f"file/{host}{path}", "host": host, "path": path, "manifest": owner, "holds": holds}
            for host, path, owner, holds in (
                ("gateway", "/etc/a", "mesh", "this"),
                ("gateway", "/srv/b", "mesh", "old"),
                ("gateway", "/srv/c", "mesh", "nothing"),
                ("gateway", "/srv/d", "mesh", "unknown"),
                ("local", "/srv/b", "other", "this"),
            )
        ],
        "superseded": [{"accessor": "old", "exists": True}, {"accessor": "older", "exists": False}],
    }
    assert "history" not in record_document(token)


def test_what_cannot_be_known_of_a_token_is_said():
    shown = record_text(RECORD, history=History("", "it does not exist any more", superseded=(("old", None),)))
    assert "    made: not known: it does not exist any more\n" in shown
    assert "held by" not in shown
    assert "    superseded: old (not known whether it is still there)\n" in shown


def test_an_explicit_on_removal_is_shown_alone():
    assert "    on_removal: retain\n" in record_text(replace(RECORD, on_removal=OnRemoval.RETAIN))


def test_a_record_as_json():
    document = json.loads(json.dumps(record_document(RECORD)))
    assert document["specification"] == {"long": {"sha256": "ab" * 32}, "rules": {"text": "x {\n}\n"}, "secret": "(secret)"}
    assert (document["address"], document["on_removal"], document["system"]) == ("acl-policy/app", "delete", "Consul")
