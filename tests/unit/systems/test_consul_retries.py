"""When a request is made again, and for how long."""

from __future__ import annotations

import pytest

from reconciler.systems.consul.retries import Patience, Trouble, is_repeatable


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def waited(trouble: Trouble, *, answered: bool = False, limit_s: float | None = None, each_s: float = 0.0) -> tuple[int, float]:
    """How often a request that always fails so is made, and how long that takes; ``each_s`` is what one try takes."""
    clock = Clock()
    patience = Patience(answered=answered, limit_s=limit_s, clock=clock)
    tries = 1
    clock.now += each_s
    while (pause_s := patience.pause_s(trouble)) is not None:
        clock.now += pause_s + each_s
        tries += 1
    return tries, clock.now - 100.0


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/anything", True),
        ("DELETE", "/v1/acl/policy/1", True),
        ("DELETE", "/v1/config/service-defaults/web", True),
        ("POST", "/v1/internal/acl/authorize", True),
        ("PUT", "/v1/acl/policy/1", True),
        ("PUT", "/v1/acl/token/1", True),
        ("PUT", "/v1/session/renew/1", True),
        ("PUT", "/v1/session/destroy/1", True),
        ("PUT", "/v1/acl/policy", False),
        ("PUT", "/v1/acl/token", False),
        ("PUT", "/v1/acl/token/1/clone", False),
        ("PUT", "/v1/config", False),
        ("PUT", "/v1/txn", False),
        ("PUT", "/v1/session/create", False),
        ("PUT", "/v1/kv/a", False),
        ("POST", "/v1/query", False),
    ],
)
def test_what_may_be_done_twice(method: str, path: str, *, expected: bool) -> None:
    assert is_repeatable(method, path) is expected


def test_nobody_there_is_given_up_within_a_second() -> None:
    tries, seconds = waited(Trouble.REFUSED)
    assert tries > 2
    assert seconds <= 1.0


def test_an_agent_that_answered_before_is_waited_for_longer() -> None:
    _, seconds = waited(Trouble.REFUSED, answered=True)
    assert 5 < seconds <= 10


def test_an_election_is_waited_for() -> None:
    _, seconds = waited(Trouble.BUSY)
    assert 12 < seconds <= 20


def test_an_election_is_waited_for_when_the_server_holds_each_request() -> None:
    tries, seconds = waited(Trouble.BUSY, each_s=7.5)
    assert tries >= 2
    assert seconds > 11.5


def test_a_lost_connection_is_tried_three_times() -> None:
    assert waited(Trouble.LOST)[0] == 3


@pytest.mark.parametrize("trouble", [Trouble.SILENT, Trouble.FINAL])
def test_silence_and_answers_are_final(trouble: Trouble) -> None:
    assert waited(trouble) == (1, 0.0)


def test_a_limit_bounds_all_of_it() -> None:
    assert waited(Trouble.BUSY, limit_s=2.0)[1] <= 2.0


def test_pauses_grow_and_differ() -> None:
    first = [Patience(answered=True).pause_s(Trouble.BUSY) for _ in range(20)]
    assert len(set(first)) > 1
    patience = Patience(answered=True)
    pauses = [patience.pause_s(Trouble.BUSY) or 0.0 for _ in range(4)]
    assert pauses == sorted(pauses)
