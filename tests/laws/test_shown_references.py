"""A KV value that comes from a reference and is declared to be no secret: shown in plans, kept in the record, compared like any other."""

from __future__ import annotations

import pytest

from reconciler.model.change import Action, Reason
from reconciler.model.secret import Pending, Secret

NAME = "shown"
KEY = f"{NAME}/value"


def manifest(value, sensitive=False, **more):
    return {"name": NAME, "kv": {KEY: {"value": value, **({} if sensitive is None else {"sensitive": sensitive})}, **more}}


@pytest.fixture
def shown(mesh, monkeypatch):
    monkeypatch.setitem(mesh.environment, "SHOWN", "plain")
    mesh.http("PUT", "/v1/kv/foreign/shown", b"plain")
    (mesh.folder / "shown.txt").write_text("plain\n")
    yield mesh
    mesh.destroy(manifest("x"))
    mesh.http("DELETE", "/v1/kv/foreign/shown")


def recorded(mesh):
    return mesh.kv(f"reconciler/owned/kv/{KEY}")


@pytest.mark.parametrize("reference", [{"env": "SHOWN"}, {"file": "shown.txt"}, {"exec": ["printf", "plain"]}, {"kv": "foreign/shown"}], ids=str)
def test_it_is_shown_recorded_and_compared_as_text(shown, reference):
    plan = shown.apply_all(manifest(reference))
    assert plan.changes[0].desired.fields["value"] == "plain"
    assert shown.kv(KEY) == "plain"
    assert '"plain"' in recorded(shown)
    assert shown.plan(manifest(reference)).is_empty
    assert shown.drift(manifest(reference)).is_empty
    shown.http("PUT", f"/v1/kv/{KEY}", b"by hand")
    for drifted in (shown.drift(manifest(reference)), shown.plan(manifest(reference))):
        (field,) = drifted.changes[0].fields
        assert (field.before, field.after, field.drifted) == ("by hand", "plain", True)
    shown.apply_all(manifest(reference))
    assert shown.plan(manifest(reference)).is_empty


def test_what_is_generated_in_the_same_run_is_recorded_as_it_was_made(shown):
    wanted = manifest({"kv": f"{NAME}/source"}, **{f"{NAME}/source": {"generate": {"bytes": 16, "encoding": "hex"}}})
    plan = shown.apply_all(wanted)
    assert isinstance(plan.changes[-1].desired.fields["value"], Pending)
    assert f'"{shown.kv(KEY)}"' in recorded(shown)
    assert shown.plan(wanted).is_empty and shown.drift(wanted).is_empty


def test_masking_it_again_takes_the_value_out_of_the_record(shown):
    for sensitive, is_shown in ((None, False), (False, True), (True, False), (False, True)):
        wanted = manifest({"env": "SHOWN"}, sensitive)
        plan = shown.apply_all(wanted)
        assert [c.action for c in plan.changes] in ([Action.CREATE], [Action.RECORD])
        assert ("plain" in recorded(shown)) is is_shown
        assert shown.plan(wanted).is_empty


def test_a_secret_that_becomes_shown_with_another_value_stays_masked_itself(shown):
    shown.apply_all(manifest({"env": "SHOWN"}, None))
    shown.environment["SHOWN"] = "other"
    (change,) = shown.plan(manifest({"env": "SHOWN"})).changes
    (field,) = change.fields
    assert isinstance(field.before, Secret) and field.after == "other"
    assert change.reasons == (Reason.MANIFEST,)
    shown.apply_all(manifest({"env": "SHOWN"}))
    assert shown.plan(manifest({"env": "SHOWN"})).is_empty
