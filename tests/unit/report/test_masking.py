"""Whatever stands in a field: no report shows a secret, sends an escape sequence to a terminal, or fails."""

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.change import Action, FieldChange, Reason, Refusal
from reconciler.model.outcome import ChangeOutcome, NotConverged, Outcome, Status
from reconciler.model.secret import KNOWN_AFTER_APPLY, Generate, Hidden, Reference, Secret, SecretSource
from reconciler.model.value import ABSENT, WITHHELD, Digest
from reconciler.report.json import dumps, plan_document
from reconciler.report.markdown import plan_markdown
from reconciler.report.outcome import outcome_text
from reconciler.report.text import drift_text, plan_text
from tests.unit.report.samples import SECRET, address, change, desired, plan, rules, update


@dataclass(frozen=True)
class Verifier:
    """As a kind may have one: its representation gives away what it holds."""

    hashed: str

    def matches(self, other: Secret) -> bool:
        return other.reveal() == self.hashed


class Foreign:
    """A value of a type that no report knows."""

    def __repr__(self) -> str:
        return SECRET


MASKED = [
    Secret(SECRET),
    Verifier(SECRET),
    Reference(address("kv/app/password"), "value"),
    SecretSource("exec", ["echo", SECRET]),
    SecretSource("bootstrap_token", {"file": "x", "password": Secret(SECRET)}),
    Generate(16, "hex"),
    Hidden("may not be read"),
    KNOWN_AFTER_APPLY,
    WITHHELD,
    Foreign(),
]


def reports(fields, created):
    changed = update(*fields, reasons=(Reason.MANIFEST, Reason.DRIFTED))
    made = change("kv/new", Action.CREATE, Reason.NEW, desired=desired("kv/new", created))
    refusal = Refusal("conflict", address("kv/x"), "exists", "", fields)
    whole = plan(changed, made, refusals=(refusal,))
    outcome = Outcome((ChangeOutcome(changed, Status.APPLIED),), (NotConverged(changed, fields),))
    yield plan_text(whole)
    yield drift_text(replace(whole, changes=(changed,)))
    yield outcome_text(outcome)
    yield dumps(plan_document(whole, "apply", outcome))
    yield from (plan_markdown(whole), plan_markdown(replace(whole, changes=(changed,)), "drift"), plan_markdown(whole, "apply", outcome))


@pytest.mark.parametrize("one", MASKED, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("other", [*MASKED, ABSENT, SECRET, [SECRET], {"a": SECRET}], ids=lambda v: type(v).__name__)
def test_neither_side_of_a_masked_field_is_shown(one, other):
    for fields in ((FieldChange(("value",), one, other),), (FieldChange(("value",), other, one),)):
        for text in reports(fields, {"value": one}):
            assert SECRET not in text


@pytest.mark.parametrize("value", MASKED, ids=lambda v: type(v).__name__)
def test_a_secret_is_masked_wherever_it_stands(value):
    nested = [{"deep": {"er": [value, "shown"]}}]
    fields = (FieldChange(("value",), {"a": value, "b": nested}, {"a": "x", "b": [*nested, value]}), FieldChange(("list",), ABSENT, nested))
    for text in reports(fields, {"value": nested, "map": {"x": value}}):
        assert SECRET not in text


texts = st.text(max_size=30) | st.sampled_from(["a\nb\n", "x\r\ny", "\x1b[31m", "\ud800", "\u202e", "", " "])
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
values = plain | st.sampled_from([ABSENT, *MASKED, Digest("ab" * 32)]) | texts.map(rules)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.lists(texts, min_size=1, max_size=3), values, values), max_size=3), st.dictionaries(texts, values, max_size=3))
def test_any_value_makes_a_report_that_is_harmless(sides, created):
    fields = tuple(FieldChange(tuple(path), before, after) for path, before, after in sides)
    for text in reports(fields, created):
        assert SECRET not in text
        assert all(line.isprintable() and line == line.rstrip() for line in text.split("\n"))
        text.encode("utf-8")


def test_json_of_awkward_texts_can_be_read_back():
    awkward = "a\x1b\x9b\u202e\udc80\U000e0041é→"
    document = json.loads(dumps(plan_document(plan(update(FieldChange(("value",), ABSENT, awkward))), "plan")))
    assert document["changes"][0]["fields"][0]["after"]["value"] == awkward.replace("\udc80", "\\udc80")
