import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from reconciler.model.change import Action, FieldChange, Reason, Refusal
from reconciler.model.outcome import ChangeOutcome, NotConverged, Outcome, Status
from reconciler.model.resource import CONSUL, System
from reconciler.model.secret import KNOWN_AFTER_APPLY, Hidden, Secret
from reconciler.model.value import ABSENT, Digest
from reconciler.report import documents
from reconciler.report.json import dumps, plan_document, plan_schema
from tests.unit.report.samples import RULES, TYPICAL, address, plan, rules, update

SCHEMA = Path(__file__).parents[3] / "schemas" / "plan.schema.json"


@pytest.fixture(scope="module")
def valid():
    validator = jsonschema.Draft202012Validator(plan_schema())
    return lambda document: validator.validate(json.loads(dumps(document)))


def test_the_schema_in_the_repository_is_current():
    assert json.loads(SCHEMA.read_text("utf-8")) == plan_schema(), "run: reconciler schema plan > schemas/plan.schema.json"


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(plan_schema())


@pytest.mark.parametrize("operation", get_args(documents.OperationName))
def test_documents_follow_their_schema(valid, operation):
    valid(plan_document(TYPICAL, operation))


def test_a_document_with_everything_in_it_follows_the_schema(valid):
    sides = [ABSENT, Secret("x"), KNOWN_AFTER_APPLY, Hidden("no"), Digest("ab"), rules(RULES), {"a": [1, None, Secret("x")]}, 1.5]
    fields = tuple(FieldChange(("a", str(n)), side, sides[-n]) for n, side in enumerate(sides))
    changed = update(*fields, unreadable=((("password",), "no rights"),), waits_for=frozenset({address("kv/a")}))
    whole = replace(
        TYPICAL,
        changes=(*TYPICAL.changes, changed),
        refusals=(Refusal("conflict", address("kv/x"), "exists", "adopt it", fields), Refusal("limit", None, "12 deletions", "say so")),
        unreadable=((address("db-role/x"), ("password",), "no rights"),),
        warnings=("careful",),
        partial=True,
        systems=((System("postgres", "a"), "7412"), (CONSUL, "dc1")),
    )
    outcome = Outcome((ChangeOutcome(changed, Status.FAILED, "boom", 1.23456),), (NotConverged(changed, fields),), "interrupted", interrupted=True)
    valid(plan_document(whole, "apply", outcome))


def test_the_schema_refuses_what_it_does_not_know(valid):
    document = plan_document(TYPICAL, "plan")
    document["changes"][0]["surprise"] = 1  # type: ignore[typeddict-unknown-key]  # that is the point
    with pytest.raises(jsonschema.ValidationError):
        valid(document)


def test_names_for_programs_cover_the_model():
    assert set(get_args(documents.ActionName)) == {action.value for action in Action}
    assert set(get_args(documents.ReasonName)) == {reason.name.lower() for reason in Reason}


def test_a_document_does_not_depend_on_the_order_of_the_changes():
    assert dumps(plan_document(replace(TYPICAL, changes=TYPICAL.changes[::-1]), "plan")) == dumps(plan_document(TYPICAL, "plan"))


def test_both_sides_of_a_field_are_given_whole():
    (field,) = plan_document(plan(update(FieldChange(("rules",), ABSENT, rules(RULES), manifest=True))), "plan")["changes"][0]["fields"]
    assert field == {
        "path": ["rules"],
        "secret": None,
        "before": {"state": "absent"},
        "after": {"state": "value", "value": {"text": RULES}, "text": RULES},
        "drifted": False,
        "manifest": True,
    }


def test_a_secret_is_only_a_state():
    (field,) = plan_document(plan(update(FieldChange(("value",), "old", Secret("new")))), "plan")["changes"][0]["fields"]
    assert (field["secret"], field["before"], field["after"]) == ("changed", {"state": "secret"}, {"state": "secret"})


def test_the_summary_is_the_last_line_of_the_text():
    assert plan_document(plan(), "plan")["summary"] == "No changes. Live state matches the manifest."
    assert plan_document(plan(), "destroy")["summary"] == "No changes. There is nothing to destroy."
    assert plan_document(plan(), "drift")["summary"] == "No drift. Live state matches what was last applied."
