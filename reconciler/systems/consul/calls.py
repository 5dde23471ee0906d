"""Requests as nearly everything here makes them: read, write or delete one thing, or list all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from reconciler.model.value import JSON
from reconciler.systems.consul.faults import NotThere
from reconciler.systems.consul.http import HTTPClient, encoded

# Without it, an agent with `discovery_max_stale` answers catalog requests from any server, leader or not.
FROM_THE_LEADER: Final = (("leader", ""),)


class Listing(list[JSON]):
    """What a list call gave. ``is_filtered``: Consul says that it left out what the token may not see (the anonymous token is not told)."""

    def __init__(self, items: Iterable[JSON], *, is_filtered: bool = False) -> None:
        super().__init__(items)
        self.is_filtered = is_filtered


class Calls:
    """The requests of one client. ``path`` is the whole path, its segments quoted (:func:`~reconciler.systems.consul.http.path_of`)."""

    def __init__(self, http: HTTPClient) -> None:
        self._http = http

    def list(self, path: str) -> Listing:
        """Everything there, as the leader knows it."""
        reply = self._http.send("GET", path, query=FROM_THE_LEADER)
        return Listing(reply.json() or [], is_filtered=reply.is_filtered)

    def get(self, path: str) -> JSON | None:
        """One thing, None where there is none."""
        return or_none(lambda: self._http.send("GET", path).json())

    def put(self, path: str, body: Any) -> JSON:
        """Write it; the answer."""
        return self._http.send("PUT", path, body=encoded(body)).json()

    def delete(self, path: str) -> None:
        """Delete it; what is gone is no error."""
        or_none(lambda: self._http.send("DELETE", path))


def or_none(ask: Callable[[], Any]) -> Any:
    """The answer, or None for what does not exist."""
    try:
        return ask()
    except NotThere:
        return None
