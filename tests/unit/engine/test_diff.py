"""The three-way comparison, where the table of decisions does not show it."""

import pytest

from reconciler.engine.diff import compare, drifted_fields, parts_of, recordable
from reconciler.model.change import FieldChange
from reconciler.model.field_rules import FieldRules
from reconciler.model.resource import Live
from reconciler.model.secret import KNOWN_AFTER_APPLY, Generate, Hidden, Secret
from reconciler.model.value import ABSENT, Digest, Semantic
from tests.unit.engine.world import address
from tests.unit.ownership.test_records import record

RULES = FieldRules(whole=frozenset({("whole",)}))
LONG = "x" * 5000


def live(fields, witness=None):
    return Live(address("a"), fields, "7", witness=witness)


def applied(fields, witness=None):
    return record(specification=recordable(fields), witness=witness)


@pytest.mark.parametrize(
    "fields",
    [
        {"text": LONG},
        {"rules": Semantic({"a": LONG}, "", "")},
        {"whole": {"inner": LONG, "list": [{"deep": LONG}]}},
        {"list": [LONG]},
        {"free": {"k": LONG}},
    ],
)
def test_a_long_text_is_recorded_as_a_digest_and_is_no_drift_at_any_depth(fields):
    one = applied(fields)
    assert "Digest" in repr(one.specification)
    assert not drifted_fields(one, live(fields), RULES)


def test_a_long_text_that_somebody_edited_is_drift():
    assert drifted_fields(applied({"whole": {"k": LONG}}), live({"whole": {"k": LONG + "y"}}), RULES)
    (change,) = compare({"text": LONG}, applied({"text": LONG}), live({"text": LONG + "y"}), RULES).fields
    assert (change.drifted, change.manifest) == (True, False)


@pytest.mark.parametrize(("witness", "drifted"), [(1, False), (2, True)])
def test_a_secret_drifted_when_it_was_rewritten_since_and_else_the_manifest_changed(witness, drifted):
    (change,) = compare({"p": Secret("new")}, applied({"p": Secret("old")}, witness=1), live({"p": Secret("old")}, witness), RULES).fields
    assert (change.drifted, change.manifest) == (drifted, not drifted)


def test_what_only_counts_for_creation_is_never_compared_be_it_a_secret():
    rules = FieldRules(not_compared=frozenset({"p", "a"}))
    one = applied({"p": Secret("s"), "a": "1"}, witness=1)
    for wanted in ({"p": Secret("t"), "a": "2"}, {}):
        differences = compare(wanted, one, live({}, 2), rules)
        assert (differences.fields, differences.unreadable) == ((), ())
    assert not drifted_fields(one, live({}, 2), rules)


def test_drift_of_a_secret_needs_no_secret():
    one = applied({"p": Secret("s")}, witness=1)
    assert not drifted_fields(one, live({"p": Secret("s")}, 1), RULES)
    assert drifted_fields(one, live({"p": Secret("s")}, 2), RULES)
    assert not drifted_fields(one, live({"p": Hidden("may not be read")}, 2), RULES)


def test_a_witness_that_could_not_be_noted_tells_of_no_drift():
    one = applied({"p": Secret("s")}, witness=None)
    assert not drifted_fields(one, live({"p": Secret("s")}, 2), RULES)
    (change,) = compare({"p": Secret("new")}, one, live({"p": Secret("s")}, 2), RULES).fields
    assert (change.drifted, change.manifest) == (False, True)


def test_what_may_not_be_read_is_told_apart_from_what_differs():
    found = compare({"p": Secret("s"), "q": Hidden("its source is hidden")}, None, live({"p": Hidden("no right"), "q": Secret("x")}), RULES)
    assert found.fields == ()
    assert found.unreadable == ((("p",), "no right"), (("q",), "its source is hidden"))


def test_any_live_value_is_equal_to_a_generated_one_and_none_is_not():
    assert compare({"v": Generate(16, "hex")}, None, live({"v": Secret("any")}), RULES).fields == ()
    assert compare({"v": Generate(16, "hex")}, None, live({}), RULES).fields
    assert not drifted_fields(applied({"v": Generate(16, "hex")}), live({"v": Secret("by hand")}), RULES)


def test_from_generated_to_a_literal_is_an_update_and_no_drift():
    (change,) = compare({"v": "now"}, applied({"v": Generate(16, "hex")}), live({"v": "then"}), RULES).fields
    assert (change.drifted, change.manifest) == (False, True)


@pytest.mark.parametrize("witness", [1, 2])
def test_from_a_secret_to_a_literal_the_live_value_stays_secret(witness):
    one = applied({"v": Secret("s")}, witness=1)
    (change,) = compare({"v": "now"}, one, live({"v": Secret("s")}, witness), RULES).fields
    assert isinstance(change.before, Secret)
    assert (change.drifted, change.manifest) == (witness == 2, True)
    assert compare({"v": "s"}, one, live({"v": Secret("s")}, 1), RULES).fields == ()


def test_what_is_known_only_after_applying_differs():
    assert compare({"p": KNOWN_AFTER_APPLY}, None, live({"p": Secret("x")}), RULES).fields == (FieldChange(("p",), Secret("x"), KNOWN_AFTER_APPLY),)


def test_an_empty_free_mapping_sets_nothing_and_an_empty_whole_one_does():
    assert compare({"free": {}}, None, live({"free": {"k": 1}}), RULES).fields == ()
    assert compare({"whole": {}}, None, live({"whole": {"k": 1}}), RULES).fields


def test_the_parts_of_what_is_compared_as_one_are_told():
    parts = parts_of(("s",), {"a": {"x": 1}, "b": 1}, {"a": {"x": 2}, "c": 1})
    assert parts == (FieldChange(("s", "a", "x"), 1, 2), FieldChange(("s", "b"), 1, ABSENT), FieldChange(("s", "c"), ABSENT, 1))


def test_a_digest_says_nothing_of_a_text_but_whether_it_is_the_same():
    assert recordable({"t": LONG}) == {"t": Digest.of(LONG)}
