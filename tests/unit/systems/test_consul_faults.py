"""Consul's sentences, as errors for people."""

from __future__ import annotations

import pytest
from urllib3.connection import HTTPConnection

from reconciler.model.errors import AccessDenied, AlreadyExists, Rejected, SystemFault, Unreachable
from reconciler.model.secret import Secret
from reconciler.systems.consul.connection import ConsulSettings
from reconciler.systems.consul.faults import Failure, NotThere, UnknownToken, fault_of_reply, outcome_unknown
from reconciler.systems.consul.http import HTTPClient, encoded, path_of
from reconciler.systems.consul.retries import Trouble

SETTINGS = ConsulSettings(token=Secret("hunter2-token"), token_from="consul.token")


def failure(status: int, text: str, settings: ConsulSettings = SETTINGS) -> Failure:
    return fault_of_reply(status, text, "PUT /v1/x", settings)


@pytest.mark.parametrize(
    ("status", "text", "trouble", "fault"),
    [
        (403, "ACL not found", Trouble.FINAL, UnknownToken),
        (500, "rpc error making call: ACL not found", Trouble.FINAL, UnknownToken),
        (403, "rpc error making call: Permission denied: token lacks permission 'key:read' on \"a\"", Trouble.FINAL, AccessDenied),
        (403, "Permission denied", Trouble.FINAL, AccessDenied),
        (403, "token does not exist: ACL not found", Trouble.FINAL, NotThere),
        (404, "Requested policy does not exist: ACL not found", Trouble.FINAL, NotThere),
        (404, "", Trouble.FINAL, NotThere),
        (401, "ACL support disabled", Trouble.FINAL, Rejected),
        (400, "Request decoding failed", Trouble.FINAL, Rejected),
        (413, "Request body too large", Trouble.FINAL, Rejected),
        (500, 'Invalid Policy: A Policy with Name "p" already exists', Trouble.FINAL, AlreadyExists),
        (500, "Invalid Token: AccessorID is already in use", Trouble.FINAL, AlreadyExists),
        (500, "Name is required", Trouble.FINAL, Rejected),
        (500, "No cluster leader", Trouble.BUSY, Unreachable),
        (500, "Raft leader not found in server lookup mapping", Trouble.BUSY, Unreachable),
        (429, "", Trouble.BUSY, Unreachable),
        (500, "leadership lost while committing log", Trouble.LOST, Unreachable),
        (500, "rpc error making call: stream closed", Trouble.LOST, Unreachable),
        (502, "", Trouble.LOST, Unreachable),
    ],
)
def test_which_error_it_is(status: int, text: str, trouble: Trouble, fault: type[SystemFault]) -> None:
    found = failure(status, text)
    assert (found.trouble, type(found.fault)) == (trouble, fault)


def test_the_missing_permission_is_named() -> None:
    text = "Permission denied: token with AccessorID '29b8' lacks permission 'service:write' on \"a b\""
    assert str(failure(403, text).fault) == (
        'Consul at http://127.0.0.1:8500 denied PUT /v1/x: the token lacks service:write on "a b": grant that, or use another token'
    )


def test_a_permission_on_nothing_in_particular() -> None:
    assert "the token lacks acl:read: grant" in str(failure(403, "Permission denied: token with AccessorID 'x' lacks permission 'acl:read'").fault)


def test_several_lines_become_one() -> None:
    assert str(failure(400, "2 errors occurred:\n\t* one\n\t* two\n\n").fault).endswith("2 errors occurred: * one * two")


def test_a_text_without_end_is_cut() -> None:
    assert len(str(failure(400, "x" * 100_000).fault)) < 2_200


def test_the_token_is_not_shown_even_if_consul_did() -> None:
    assert "hunter2" not in str(failure(500, "bad token hunter2-token").fault)


def test_an_unknown_outcome_says_why_and_what_to_do() -> None:
    assert str(outcome_unknown("PUT /v1/txn", SETTINGS, failure(502, "").fault)) == (
        "whether PUT /v1/txn was done by Consul at http://127.0.0.1:8500 is not known (did not finish PUT /v1/x: status 502): "
        "run again, which looks first"
    )


def test_a_request_that_was_not_sent_whole_is_made_again_and_its_outcome_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_: object, **__: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(HTTPConnection, "request", break_off)
    client = HTTPClient(ConsulSettings(), pause=lambda _: None)

    with pytest.raises(Unreachable, match="it broke off while PUT /v1/acl/policy was being sent"):
        client.send("PUT", "/v1/acl/policy", body=b"{}", limit_s=0.2)
    assert client.requests > 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web", "/v1/web"),
        ("a/../b", "/v1/a%2F..%2Fb"),
        ("..", "/v1/%2E%2E"),
        (".", "/v1/%2E"),
        ("a b?c#d%2F", "/v1/a%20b%3Fc%23d%252F"),
        ("é", "/v1/%C3%A9"),
    ],
)
def test_a_name_is_one_segment_of_a_path(name: str, expected: str) -> None:
    assert path_of("v1", name) == expected


def test_a_secret_is_revealed_in_the_body_alone() -> None:
    assert encoded({"SecretID": Secret("s")}) == b'{"SecretID":"s"}'
    with pytest.raises(TypeError, match="bytes cannot be sent to Consul"):
        encoded({"x": b"raw"})
