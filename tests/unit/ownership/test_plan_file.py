"""The file of a saved plan: what was written is read, and nothing else is."""

import json

import pytest

from reconciler.model.errors import ReconcilerError
from reconciler.model.resource import CONSUL, System
from reconciler.ownership.plan_file import PEEK_BYTES, SavedChange, SavedField, SavedPlan, decode, encode, is_saved_plan

PLAN = SavedPlan(
    name="mesh",
    options={"adopt": ["kv/*"], "max_deletes": "30%", "destroy": False},
    manifest={"directory": "/etc/mesh", "tree": {"at": [0, 1, 1], "map": [["ü", [0, 1, 1], {"at": [0, 1, 2], "is": "\udcff"}]]}, "files": ["m"]},
    systems=((CONSUL, "trust/dc1"), (System("postgres", "default"), "7")),
    changes=(SavedChange("kv/a", "update", (SavedField(("value",), {"value": "x"}, {"secret": True}),), ("1",)), SavedChange("kv/b", "delete", ())),
    unreadable=("kv/c",),
    made="2030-01-01T00:00:00+00:00",
)


def read(content):
    try:
        return decode(content)
    except ReconcilerError:
        return None


def test_what_was_written_is_read():
    assert decode(encode(PLAN).encode()) == PLAN
    assert is_saved_plan(encode(PLAN).encode()[:PEEK_BYTES])


def test_no_byte_can_be_changed_without_being_noticed():
    content = encode(PLAN).encode()
    for at in range(len(content)):
        for byte in (content[at] ^ 1, ord("x"), ord(" ")):
            found = read(content[:at] + bytes([byte]) + content[at + 1 :])
            assert found is None or found == PLAN, at  # a blank for a line's end means the same


def test_no_end_can_be_cut_off_without_being_noticed():
    content = encode(PLAN).encode()
    for length in range(len(content) - 1):
        assert read(content[:length]) is None, length
    begun = [length for length in range(len(content)) if is_saved_plan(content[:length][:PEEK_BYTES])]
    assert begun == list(range(begun[0], len(content)))
    assert begun[0] < 25


@pytest.mark.parametrize("other", [b"", b"version: 1\n", b'{"version": 1}', b'{"format_version": 1}', b"\xff", b"# reconciler_plan"])
def test_other_files_are_no_saved_plans(other):
    assert not is_saved_plan(other)


def test_it_is_json_whatever_is_in_it():
    body = json.loads(encode(PLAN))
    assert next(iter(body)) == "reconciler_plan"
    assert encode(PLAN).isascii()
