from dataclasses import replace

from reconciler.model.change import Action, FieldChange, Plan, Reason, Refusal
from reconciler.model.record import Origin, Record, State
from reconciler.model.resource import CONSUL, OnRemoval
from reconciler.model.value import ABSENT
from reconciler.report.paint import Paint
from reconciler.report.text import drift_text, plan_text
from tests.unit.report.samples import TYPICAL, address, change, desired, plan, update


def test_a_plan_shows_every_action_with_its_symbol_sorted_by_address_and_ends_with_the_counts():
    assert (
        plan_text(TYPICAL)
        == """\
~ acl-policy/app (manifest changed, drifted)
    description: by hand → Policy for app (drifted)
    rules:
        key_prefix "app/" {
      -   policy = "read"
      +   policy = "write"
        }

-/+ acl-token/app (manifest changed)
    policies:
      - old
      + new
    the one it supersedes is deleted last: 5d0c6f3a

» config-entry/proxy-defaults (exists already)
    on_removal: retain (kept when its entry is removed)

- database/files (no longer in the manifest)
    lost with it: 12 tables, 3.4 MB

- kv/app/old (no longer in the manifest)
- kv/app/older (no longer in the manifest)

+ kv/app/password (new in the manifest)
    value: (generated at apply)

× kv/app/url (no longer in the manifest, kept, on_removal is retain)
~ kv/app/zone (record only)

Plan: 1 to add, 2 to change, 1 to replace, 3 to delete, 1 to adopt, 1 to forget.
"""
    )


def test_an_empty_plan_says_so():
    assert plan_text(plan()) == "No changes. Live state matches the manifest.\n"


def test_an_empty_plan_of_destroy_does_not_speak_of_the_manifest():
    assert plan_text(plan(), destroy=True) == "No changes. There is nothing to destroy.\n"


def test_a_refused_plan_without_changes_is_not_said_to_match():
    refusal = Refusal("conflict", address("kv/app/name"), "belongs to the manifest 'other'", "remove it from one of the two")
    text = plan_text(plan(refusals=(refusal,)))
    assert (
        text
        == """\
Refused:
    × kv/app/name: belongs to the manifest 'other': remove it from one of the two

Plan: 0 to add, 0 to change, 0 to replace, 0 to delete, 0 to adopt, 0 to forget.
"""
    )


def test_a_conflict_shows_the_fields_it_is_about():
    refusal = Refusal("conflict", address("kv/app/name"), "exists", "--adopt it", (FieldChange(("value",), "theirs", "ours"),))
    assert "    × kv/app/name: exists: --adopt it\n        value: theirs → ours\n" in plan_text(plan(refusals=(refusal,)))


def test_a_refusal_of_the_whole_plan_has_no_address():
    assert "    × 12 deletions: say so\n" in plan_text(plan(refusals=(Refusal("limit", None, "12 deletions", "say so"),)))


def test_order_does_not_depend_on_the_order_of_the_changes():
    assert plan_text(replace(TYPICAL, changes=TYPICAL.changes[::-1])) == plan_text(TYPICAL)


def test_colour_adds_nothing_but_colour():
    painted = plan_text(TYPICAL, Paint(on=True))
    import re

    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[\d*m", "", painted) == plan_text(TYPICAL)


def test_no_line_ends_with_a_blank():
    awkward = plan(*TYPICAL.changes, update(FieldChange(("value",), "a\n\n  \nb \n", "a\n\nc \n")))
    assert [line for line in plan_text(awkward).splitlines() if line != line.rstrip()] == []


def test_what_cannot_be_compared_is_noted_and_not_counted():
    noted = plan(unreadable=((address("db-role/app"), ("password",), "pg_authid may not be read"),))
    assert (
        plan_text(noted)
        == """\
Cannot compare:
    db-role/app: password: pg_authid may not be read

No changes. Live state matches the manifest.
"""
    )


def test_what_cannot_be_compared_is_noted_once():
    unread = update(FieldChange(("login",), False, True), unreadable=((("password",), "no rights"),))
    text = plan_text(plan(unread, unreadable=((unread.address, ("password",), "no rights"),)))
    assert text.count("no rights") == 1
    assert "    password: cannot compare (no rights)\n" in text


def test_a_partial_plan_says_so():
    assert "This plan is partial" in plan_text(plan(partial=True))


def test_a_creation_that_will_be_kept_and_is_protected_says_so():
    kept = change(
        "kv/a",
        Action.CREATE,
        Reason.NEW,
        desired=desired("kv/a", {"value": "1"}, on_removal=OnRemoval.RETAIN, protect=True),
        removal=OnRemoval.RETAIN,
    )
    assert plan_text(plan(kept)).startswith("""\
+ kv/a (new in the manifest)
    value: "1"
    on_removal: retain (kept when its entry is removed)
    protect: true
""")


def test_a_record_only_change_shows_what_changes_in_the_record():
    record = Record(
        "k", address("kv/a"), CONSUL, "dc1", "mesh", "a", State.OWNED, Origin.CREATED, "7", {}, None, None, False, (), (), "run", "2025-01-01"
    )
    after = change("kv/a", Action.RECORD, Reason.MANIFEST, desired=desired("kv/a", {}, protect=True), record=record, removal=OnRemoval.RETAIN)
    assert plan_text(plan(after)).startswith("~ kv/a (record only)\n    on_removal: delete → retain\n    protect: false → true\n")


def test_a_change_carries_its_warning():
    text = plan_text(plan(change("acl-policy/a", Action.FORGET, Reason.REMOVED, Reason.RETAINED, warning="kept, because acl-token/b needs it")))
    assert "    note: kept, because acl-token/b needs it\n" in text


def test_drift_reads_from_what_was_applied_to_what_is_live():
    found = Plan(
        "mesh",
        (
            update(FieldChange(("value",), "by hand", "applied", drifted=True), reasons=(Reason.DRIFTED,)),
            change("kv/b", Action.CREATE, Reason.DRIFTED),
            change("kv/c", Action.ADOPT, Reason.RECREATED, Reason.DRIFTED),
        ),
    )
    assert (
        drift_text(found)
        == """\
Since mesh was last applied (applied → live):

~ kv/app/name (changed by somebody else)
    value: applied → by hand

- kv/b (deleted by somebody else)
-/+ kv/c (made anew by somebody else)

Drift: 3 resources differ from what was last applied.
"""
    )


def test_no_drift():
    assert drift_text(plan()) == "No drift. Live state matches what was last applied.\n"


def test_one_drifted_resource_is_singular():
    assert drift_text(plan(change("kv/b", Action.CREATE, Reason.DRIFTED))).endswith("\nDrift: 1 resource differs from what was last applied.\n")


def test_a_text_cannot_imitate_the_end_of_a_plan():
    forged = "x\nNo changes. Live state matches the manifest.\n"
    lines = plan_text(plan(update(FieldChange(("value",), ABSENT, forged)))).splitlines()
    assert "No changes. Live state matches the manifest." not in lines
