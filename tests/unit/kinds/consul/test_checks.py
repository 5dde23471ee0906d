"""Health checks of external services in normal form."""

from __future__ import annotations

from reconciler.kinds.consul import _checks
from reconciler.manifest.models import HealthCheck


def check(**fields):
    return _checks.declared(HealthCheck.model_validate(fields), "label")


def test_the_manifests_words_and_consuls_are_one():
    ours = check(name="n", notes="x", http="http://a", header={"X": ["1"]}, interval="90s", timeout="1500ms", tls_skip_verify=True, status="passing")
    definition = {"HTTP": "http://a", "Header": {"X": ["1"]}, "Interval": "1m30s", "Timeout": "1.5s", "TLSSkipVerify": True}
    assert _checks.live({"Name": "n", "Notes": "x", "Status": "passing", "Output": "o", "Definition": definition}) == ours


def test_the_label_is_the_default_name():
    assert check(tcp="a:1") == {"name": "label", "tcp": "a:1"}


def test_the_state_counts_only_where_both_say_it():
    live = {"name": "label", "tcp": "a:1", "status": "critical"}
    assert _checks.same(check(tcp="a:1"), live)
    assert _checks.same(live, check(tcp="a:1"))
    assert not _checks.same(check(tcp="a:1", status="passing"), live)
    assert not _checks.same(check(tcp="a:2"), live)


def test_what_was_printed_never_counts():
    assert _checks.same(check(tcp="a:1", output="one"), check(tcp="a:1", output="two"))


def test_parts_of_a_definition_that_we_have_no_word_for_are_a_difference():
    live = _checks.live({"Name": "label", "Definition": {"TCP": "a:1", "OSService": "x"}})
    assert not _checks.same(check(tcp="a:1"), live)


def test_an_update_keeps_the_state_and_the_output_and_sends_only_what_a_transaction_takes():
    raw = {
        "Node": "n", "CheckID": "c", "Name": "old", "Status": "warning", "Notes": "old", "Output": "printed", "ServiceID": "s", "ServiceName": "old",
        "ServiceTags": ["old"], "Type": "", "Interval": "", "Timeout": "", "ExposedPort": 0, "Definition": {"TCP": "old"},
        "CreateIndex": 1, "ModifyIndex": 7,
    }  # fmt: skip
    sent = _checks.update(raw, "new", check(tcp="a:1", output="ours"))["Check"]
    assert sent == {
        "Verb": "cas",
        "Check": {
            "Node": "n", "CheckID": "c", "ServiceID": "s", "ServiceName": "new", "Status": "warning", "Output": "printed", "ModifyIndex": 7,
            "Name": "label", "Notes": "",
            "Definition": {"TCP": "a:1"},
        },
    }  # fmt: skip
