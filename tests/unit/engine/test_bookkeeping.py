"""What a record says of the secret that was written into a resource: whose it was."""

from __future__ import annotations

from dataclasses import replace

from reconciler.engine.bookkeeping import Bookkeeping
from reconciler.model.change import Action, Change
from reconciler.model.kind import Made
from reconciler.model.resource import CONSUL, Live
from reconciler.model.secret import Reference
from tests.unit.engine.world import World, address, desired

KEY = f"reconciler/owned/{address('token')}"


def test_which_token_a_file_holds_is_said_of_what_was_written_or_compared_and_of_nothing_else():
    world, token = World(), desired("token", {"fixed": 1})
    world.apply(token)
    file = desired("file", {"token": Reference(address("token"), "secret_id")}, frozenset({"token"}))
    situation = world.situation(token, file)
    now = world.records[address("token")]
    books = Bookkeeping(situation, "run", {address("token"): now}.get)
    assert now.incarnation is not None

    created = Change(file.address, Action.CREATE, CONSUL, desired=file)
    assert books.claim(created).holds == {}
    written = books.made(created, Made(None))
    assert written.holds == {KEY: now.incarnation}

    before = replace(written, holds={KEY: "an older one"})
    kept = replace(created, action=Action.RECORD, live=Live(file.address, {}), record=before)
    assert books.confirmed(kept).holds == {KEY: now.incarnation}
    unreadable = replace(kept, unreadable=((("token",), "may not be read"),))
    assert books.confirmed(unreadable).holds == before.holds
    found = replace(unreadable, action=Action.ADOPT, record=None)
    assert books.adopted(found).holds == books.taking_over(replace(kept, record=None)).holds == {}
    assert books.adopted(replace(found, unreadable=())).holds == {KEY: now.incarnation}
