"""Waiting until what was started serves: asked until it does, the time is up, or somebody interrupts."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.engine import readiness
from reconciler.engine.guard import Limits
from reconciler.engine.orders import Orders
from reconciler.engine.readiness import wait_until_ready
from reconciler.model.change import Action
from reconciler.model.errors import Unreachable
from reconciler.model.outcome import ChangeOutcome, Outcome, Status
from reconciler.model.secret import Secret
from tests.unit.engine.world import Thing, World, address, desired


class Slow(Thing):
    """Things that lack what ``lacking`` says, one after the other; the last of it stays."""

    def __init__(self, *lacking, words=()):
        self.lacking = list(lacking)
        self.words = words
        self.asked = 0

    covers: frozenset[str] = frozenset()

    def create(self, system, order): ...

    update = delete = read = address = declare = permissions = create

    def lacks(self, started):
        self.asked += 1
        lack = self.lacking.pop(0) if len(self.lacking) > 1 else self.lacking[0]
        if isinstance(lack, Exception):
            raise lack
        return lack

    def last_words(self, started):
        return self.words


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(readiness, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(readiness, "_LONGEST_PAUSE_S", 0.005)
    monkeypatch.setattr(readiness, "_CERTAIN_AFTER_S", 0.01)


def wait(kind, *, wait_s=60.0, stop=None, action=Action.CREATE, fields=None):
    """What became of one thing, and what was told meanwhile."""
    world = World()
    wanted = desired("a", fields or {})
    situation = replace(world.situation(wanted), kinds={"thing": kind})
    (change,) = world.plan(wanted).changes
    connections: Any = SimpleNamespace(consul=SimpleNamespace(settings=SimpleNamespace(token=Secret("own-token"))), of=lambda _: None)
    outcome = Outcome((ChangeOutcome(replace(change, action=action), Status.APPLIED),))
    told = []
    made = wait_until_ready(
        outcome, situation, connections, Orders(situation, Limits()), wait_s=wait_s, progress=lambda p: told.append((p.stage, p.why)),
        stop=stop or threading.Event(),
    )  # fmt: skip
    assert made.results[0].change.address == address("a")
    return made, told


def test_it_ends_when_everything_serves_and_tells_each_reason_once():
    outcome, told = wait(Slow("first", "first", Unreachable("no answer"), "second", ""))
    assert outcome.complete
    assert told == [("waiting", "first"), ("waiting", "no answer"), ("waiting", "second")]


def test_what_served_for_a_moment_is_waited_for_on():
    outcome, told = wait(Slow("", "it ended", "it ended", ""))
    assert outcome.complete
    assert told == [("waiting", "it ended")]


def test_what_never_serves_is_not_ready_with_what_it_said_and_without_secrets():
    kind = Slow("its check is critical", words=("the key is hunter2-hunter2", "and own-token", "fine"))
    outcome, told = wait(kind, wait_s=0.02, fields={"key": Secret("hunter2-hunter2\nsecond")})
    (result,) = outcome.results
    assert (result.status, outcome.exit_code, outcome.interrupted) == (Status.NOT_READY, 3, False)
    assert result.why == "its check is critical\nthe key is (secret)\nand (secret)\nfine"
    assert told[-1] == ("not ready", result.why)


def test_an_interrupted_wait_ends_at_once():
    stop = threading.Event()
    stop.set()
    kind = Slow("x")
    outcome, _ = wait(kind, stop=stop)
    assert kind.asked == 0
    assert (outcome.exit_code, outcome.stopped, outcome.results[0].status) == (130, "interrupted", Status.NOT_READY)


@pytest.mark.parametrize(("wait_s", "action"), [(0.0, Action.CREATE), (60.0, Action.RECORD), (60.0, Action.UPDATE)])
def test_nothing_is_asked_when_nothing_is_waited_for_or_nothing_was_started(wait_s, action):
    kind = Slow("x")
    outcome, told = wait(kind, wait_s=wait_s, action=action)
    assert (outcome.complete, told, kind.asked) == (True, [], 0)
