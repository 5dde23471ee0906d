import pytest

from reconciler.model.change import FieldChange
from reconciler.model.secret import GENERATED_AT_APPLY, Hidden, Pending, Secret
from reconciler.model.value import ABSENT, WITHHELD, Digest
from reconciler.report.differences import field_lines, value_lines
from reconciler.report.paint import PLAIN
from tests.unit.report.samples import rules


def lines(before, after, path=("value",), **more):
    return field_lines(FieldChange(path, before, after, **more), PLAIN)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a", "b", "value: a → b"),
        (ABSENT, "b", "value: (not set) → b"),
        ("a", ABSENT, "value: a → (not set)"),
        (5432, "5432", 'value: 5432 → "5432"'),
        (True, "true", 'value: true → "true"'),
        (None, "", 'value: null → ""'),
        ("(not set)", "a → b", 'value: "(not set)" → "a → b"'),
        (" a", "a ", 'value: " a" → "a "'),
        ("10.0.0.1", "a: b", "value: 10.0.0.1 → a: b"),
        ("\x1b[2J", "\u202egnp", 'value: "\\x1b[2J" → "\\u202egnp"'),
        ("\udc80", "\x9b1m\u2028", 'value: "\\udc80" → "\\x9b1m\\u2028"'),
        ('say "x"', "back\\slash", 'value: "say \\"x\\"" → "back\\\\slash"'),
        ({}, {"a": 1}, "value.a: (not set) → 1"),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "value.b: 2 → 3"),
        ({"a.b": 1}, {"a.b": 2}, 'value."a.b": 1 → 2'),
        ("x", {"a": 1}, "value: x → {a: 1}"),
        (ABSENT, {}, "value: (not set) → {}"),
        (1, 1.5, "value: 1 → 1.5"),
        ("x3", Pending("(known after apply)"), "value: (secret) → (known after apply)"),
        ("x3", Pending("(known after apply)", masked=False), "value: x3 → (known after apply)"),
    ],
)
def test_a_difference_on_one_line(before, after, shown):
    assert lines(before, after) == [shown]


def test_lists_are_shown_by_what_came_and_went():
    assert lines(["a", "b"], ["b", "c", "c"]) == ["value:", "  - a", "  + c", "  + c"]


def test_lists_that_differ_in_their_order_are_shown_whole():
    assert lines(["a", "b"], ["b", "a"]) == ["value:", "  - [a, b]", "  + [b, a]"]


def test_an_explicit_empty_list_is_shown():
    assert lines(ABSENT, []) == ["value:", "  - (not set)", "  + []"]


def test_items_that_are_mappings_stand_on_one_line_each():
    assert lines([{"Name": "a", "Action": "allow"}], [{"Name": "a", "Action": "deny"}]) == [
        "value:",
        "  - {Action: allow, Name: a}",
        "  + {Action: deny, Name: a}",
    ]


def test_long_items_are_compared_line_by_line():
    item = {"Name": "a", "Permissions": [{"Action": "allow", "HTTP": {"PathPrefix": "/" + "x" * 40, "Methods": ["GET", "PUT"]}} for _ in range(2)]}
    other = {**item, "Name": "b"}
    shown = lines([item], [other])
    assert "  - - Name: a" in shown
    assert "  + - Name: b" in shown
    assert sum(line.lstrip().startswith(("-", "+")) and "Name" in line for line in shown) == 2


def test_parts_are_used_inside_long_items():
    item = {"Name": "a" * 130, "Action": "allow"}
    part = FieldChange(("Sources", "0", "Action"), "allow", "deny")
    assert lines([item], [{**item, "Action": "deny"}], ("Sources",), parts=(part,)) == ["Sources.0.Action: allow → deny"]


def test_a_long_text_shows_only_the_lines_around_a_difference():
    before = "".join(f"line {number}\n" for number in range(100))
    shown = lines(before, before.replace("line 50\n", "line fifty\n"))
    assert shown == [
        "value:",
        "  @@ -48,7 +48,7 @@",
        "    line 47",
        "    line 48",
        "    line 49",
        "  - line 50",
        "  + line fifty",
        "    line 51",
        "    line 52",
        "    line 53",
    ]


def test_a_long_line_shows_only_what_is_around_the_difference():
    shown = lines("a" * 500 + "1" + "b" * 500, "a" * 500 + "2" + "b" * 500)
    assert shown == ["value:", f"  - …{'a' * 40}1{'b' * 40}…", f"  + …{'a' * 40}2{'b' * 40}…"]


def test_a_missing_last_line_end_is_said():
    assert lines("a\nb\n", "a\nb") == ["value:", "  (the line end at the very end was removed)"]


def test_a_blank_at_the_end_of_a_line_is_visible():
    assert lines("a\nb\n", "a \nb\n") == ["value:", "  - a", "  + a\\x20", "    b"]


def test_escapes_inside_a_long_text_are_visible():
    assert lines("a\nb\n", "a\x1b[31m\nb\r\n") == ["value:", "  - a", "  - b", "  + a\\x1b[31m", "  + b\\r"]


def test_values_that_read_alike_are_said_to_have_changed():
    assert lines(rules("same"), rules("same")) == ["value: changed"]


def test_a_digest_says_that_it_is_one():
    assert lines("x" * 5000, Digest("ab" * 32)) == ["value: changed (of a text this long only a digest is kept)"]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (Secret("one"), Secret("two"), "value: (secret) changed"),
        (Secret("one"), Secret("one"), "value: (secret) unchanged"),
        ("one", Secret("two"), "value: (secret) changed"),
        (Secret("one"), "two", "value: (secret) changed"),
        (ABSENT, Secret("two"), "value: (not set) → (secret)"),
        (Secret("one"), ABSENT, "value: (secret) → (not set)"),
        (Secret("one"), GENERATED_AT_APPLY, "value: (secret) → (generated at apply)"),
        ("one", GENERATED_AT_APPLY, "value: (secret) → (generated at apply)"),
        (Hidden("needs acl:write"), Secret("two"), "value: cannot compare (needs acl:write)"),
        (Secret("one"), WITHHELD, "value: (secret) changed"),
        ({"a": Secret("one"), "b": "x"}, {"a": Secret("two"), "b": "x"}, "value.a: (secret) changed"),
        ({"a": Secret("one"), "b": "x"}, {"a": Secret("one"), "b": "y"}, "value.b: x → y"),
        ([Secret("one")], [Secret("two")], "value: (secret) changed"),
    ],
)
def test_secrets_are_shown_by_their_state_only(before, after, shown):
    assert lines(before, after) == [shown]


def test_only_some_of_the_fields_drifted():
    assert field_lines(FieldChange(("a",), 1, 2, drifted=True), PLAIN, mark_drift=True) == ["a: 1 → 2 (drifted)"]
    assert field_lines(FieldChange(("a",), 1, 2), PLAIN, mark_drift=True) == ["a: 1 → 2"]


def test_new_values_are_shown_alone():
    assert value_lines(("meta",), {"b": "x", "a": {"c": 1}}) == ["meta.a.c: 1", "meta.b: x"]
    assert value_lines(("rules",), rules("one {\n\n  two\n}\n")) == ["rules:", "  one {", "", "    two", "  }"]
    assert value_lines(("list",), ["a", "b, c"]) == ['list: [a, "b, c"]']
    assert value_lines(("list",), ["a" * 100, "b" * 100]) == ["list:", f"  - {'a' * 100}", f"  - {'b' * 100}"]
