"""One HTTP request to Consul, made again where that is safe. It takes the place of python-consul2's own client.

Unlike that one it has a timeout, keeps the headers, reads nothing from the environment, uses no proxy, follows no redirect, and raises the errors
of :mod:`reconciler.model.errors`, for 404 too.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, urlencode

import urllib3

from reconciler.model.errors import Rejected, Unreachable
from reconciler.model.secret import Secret
from reconciler.model.value import JSON
from reconciler.systems.consul._library import base as library
from reconciler.systems.consul.connection import ConsulSettings
from reconciler.systems.consul.faults import Failure, fault_of_exception, fault_of_reply, outcome_unknown, stale
from reconciler.systems.consul.retries import Patience, Trouble, is_repeatable
from reconciler.systems.consul.transport import connection_pool

Log = Callable[[str, dict[str, Any]], None]
"""Called with an event's name and its fields; never with a secret."""

Query = Sequence[tuple[str, str | int]]

_FILTERED: Final = "X-Consul-Results-Filtered-By-ACLs"
_READS_BY_POST: Final = "/v1/internal/acl/authorize"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``headers`` can be looked up in any case; ``request`` is the method and path that it answers."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    request: str
    address: str

    @property
    def is_filtered(self) -> bool:
        """Whether Consul says that it left something out which the token may not see. It says nothing to the anonymous token."""
        return self.headers.get(_FILTERED, "").lower() == "true"

    @property
    def is_stale(self) -> bool:
        """Whether it comes from a server that had not just heard from the leader. A refusal says so in any case, and means nothing by it."""
        return self.status == 200 and (self.headers.get("X-Consul-KnownLeader") == "false" or self.headers.get("X-Consul-LastContact", "0") != "0")

    def json(self) -> JSON:
        """The body. Raises Rejected when it is not JSON: that is not Consul."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Rejected(f"what answers {self.request} at {self.address} is not Consul: correct consul.address or CONSUL_HTTP_ADDR") from None


def path_of(*segments: str) -> str:
    """A path in which every segment stands for itself, whatever is in it.

    Consul cleans the path before it decodes it, so ``a/../b`` as one encoded segment reaches the object of that name.
    """
    return "/" + "/".join(quote(s, safe="").replace(".", "%2E") if s in (".", "..") else quote(s, safe="") for s in segments)


class HTTPClient:
    """Requests to one agent; threads may share it. ``pause`` is how waiting between tries is done, ``log`` is told of every request."""

    def __init__(self, settings: ConsulSettings, *, log: Log | None = None, pause: Callable[[float], object] = time.sleep) -> None:
        self.settings = settings
        self._pool = connection_pool(settings)
        self._headers = _headers(settings)
        self._log = log
        self._pause = pause
        self._count = 0
        self._counting = threading.Lock()
        self._answered = False

    @property
    def requests(self) -> int:
        """How many requests were sent, those that were made again included."""
        return self._count

    def close(self) -> None:
        """Close the connections; another request would open new ones."""
        self._pool.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        repeatable: bool | None = None,
        accept: Collection[int] = (),
        limit_s: float | None = None,
        token: Secret | None = None,
    ) -> Reply:
        """Make a request and give the answer, which has a status of 2xx or in ``accept``.

        ``path`` is encoded already. ``repeatable`` overrides :func:`~reconciler.systems.consul.retries.is_repeatable`. ``limit_s`` bounds the time
        spent on making it again. ``token`` takes the place of our own. Raises a SystemFault; OutcomeUnknown when a write was sent and its answer was
        lost.
        """
        request = f"{method} {path}"
        again = is_repeatable(method, path) if repeatable is None else repeatable
        changes = method != "GET" and path != _READS_BY_POST and not (path == "/v1/txn" and again)
        patience = Patience(answered=self._answered, limit_s=limit_s)
        perhaps_done = False
        while True:
            try:
                return self._attempt(method, path, query, body, accept, token)
            except Failure as failure:
                sent = failure.trouble in (Trouble.LOST, Trouble.SILENT)
                perhaps_done |= sent and changes
                pause_s = None if sent and not again else patience.pause_s(failure.trouble)
                if pause_s is None:
                    gone = perhaps_done and isinstance(failure.fault, Unreachable)
                    raise (outcome_unknown(request, self.settings, failure.fault) if gone else failure.fault) from failure.__cause__
            self._pause(pause_s)

    def _attempt(self, method: str, path: str, query: Query, body: bytes | None, accept: Collection[int], token: Secret | None) -> Reply:
        target = f"{self.settings.prefix}{path}{'?' + urlencode(query) if query else ''}"
        with self._counting:
            self._count += 1
        began = time.monotonic()
        headers, settings = self._headers, self.settings
        if token is not None:
            headers, settings = {**headers, "X-Consul-Token": token.reveal()}, replace(settings, token=token, token_from="")
        try:
            answer = self._pool.urlopen(method, target, body=body, headers=headers, retries=False, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            self._tell(method, path, type(error).__name__, began)
            raise fault_of_exception(error, f"{method} {path}", settings) from error
        self._answered = True
        self._tell(method, path, answer.status, began)
        reply = Reply(answer.status, answer.headers, answer.data, f"{method} {path}", self.settings.address)
        if not 200 <= reply.status < 300 and reply.status not in accept:
            raise fault_of_reply(reply.status, reply.body.decode("utf-8", "replace"), reply.request, settings)
        if method == "GET" and reply.is_stale:
            raise Failure(Trouble.BUSY, stale(reply.request, self.settings))
        return reply

    def _tell(self, method: str, path: str, status: int | str, began: float) -> None:
        if self._log is not None:
            self._log("consul request", {"method": method, "path": path, "status": status, "seconds": round(time.monotonic() - began, 4)})

    # What python-consul2 calls. Its paths are not encoded, its headers only ever hold a token, which is not its business here.

    def get(self, callback: Callable[[Any], Any], path: str, params: Query | None = None, headers: object = None) -> Any:  # noqa: ARG002  # see above
        """For python-consul2."""
        return self._call("GET", path, params, "", callback)

    def put(self, callback: Callable[[Any], Any], path: str, params: Query | None = None, data: str = "", headers: object = None) -> Any:  # noqa: ARG002  # see above
        """For python-consul2."""
        return self._call("PUT", path, params, data, callback)

    def post(self, callback: Callable[[Any], Any], path: str, params: Query | None = None, data: str = "", headers: object = None) -> Any:  # noqa: ARG002  # see above
        """For python-consul2."""
        return self._call("POST", path, params, data, callback)

    def delete(self, callback: Callable[[Any], Any], path: str, params: Query | None = None, data: str = "", headers: object = None) -> Any:  # noqa: ARG002  # see above
        """For python-consul2."""
        return self._call("DELETE", path, params, data, callback)

    def _call(self, method: str, path: str, params: Query | None, data: str, callback: Callable[[Any], Any]) -> Any:
        reply = self.send(method, quote(path), query=params or (), body=data.encode() or None)
        try:
            return callback(library.Response(reply.status, reply.headers, reply.body.decode("utf-8", "replace"), reply.body))
        except json.JSONDecodeError:
            return reply.json()


def encoded(body: JSON) -> bytes:
    """A body as bytes; a Secret in it is revealed here and nowhere before."""
    return json.dumps(body, default=_reveal, separators=(",", ":")).encode()


def _reveal(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} cannot be sent to Consul")


def _headers(settings: ConsulSettings) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": "reconciler"}
    if settings.token is not None:
        headers["X-Consul-Token"] = settings.token.reveal()
    if settings.basic_auth is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(settings.basic_auth.reveal().encode()).decode()
    return headers
