"""A proxy in front of Consul that counts, and can make things go wrong at an exact write.

Every request is counted by method and path, and writes are numbered from 1 in the order in which they arrive. What only asks is no write: ``GET``,
``POST /v1/internal/acl/authorize``, a ``PUT /v1/txn`` of nothing but reads and checks. Session renewals are counted apart: they come by the clock.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Self
from urllib.parse import urlsplit

from tests.servers.ports import LOOPBACK

_READING_VERBS = frozenset({"get", "get-tree", "get-or-empty", "check-index", "check-session", "check-not-exists"})
_ASKING = ("/v1/internal/acl/authorize", "/v1/acl/templated-policy/preview/")
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"})


@dataclass(frozen=True, slots=True)
class Write:
    """One numbered write. ``verbs``: those of a transaction, such as ``["kv cas", "node set"]``."""

    number: int
    method: str
    path: str
    body: bytes
    verbs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.number}: {self.method} {self.path} {' '.join(self.verbs)}".rstrip()


class Fate(Enum):
    """What a callback decides about a write, or about its answer."""

    PASS = auto()
    """As if the proxy were not there."""
    CUT = auto()
    """The client's connection ends without an answer; before forwarding, Consul never sees the write."""
    END = auto()
    """The same, and nothing is forwarded any more, as on a dead network."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a callback has the proxy answer in Consul's place; before forwarding, Consul never sees the write."""

    status: int
    text: str


Callback = Callable[[Write], Fate | Refusal | None]
"""Called right before a write is forwarded, or when its answer has arrived and was not passed on. ``None`` is :attr:`Fate.PASS`. What it raises is
:attr:`Fate.END`, and raised again when the proxy is left."""


def transaction_verbs(body: bytes) -> tuple[str, ...]:
    """The operations of a ``/v1/txn`` body in a readable form."""
    verbs = []
    for operation in json.loads(body):
        for what, details in operation.items():
            verbs.append(f"{what.lower()} {details.get('Verb') or details.get('verb')}")
    return tuple(verbs)


class CountingProxy:
    """An HTTP proxy on a loopback port of its own; a context manager.

    ``requests``: how many by (method, path without query). ``writes``: all of them, in order. ``renewals``: of sessions. ``before`` and ``after``
    may be set at any time.
    """

    def __init__(self, upstream: str, *, before: Callback | None = None, after: Callback | None = None) -> None:
        target = urlsplit(upstream)
        assert target.hostname is not None and target.port is not None
        self.upstream = (target.hostname, target.port)
        self.before, self.after = before, after
        self.requests: Counter[tuple[str, str]] = Counter()
        self.writes: list[Write] = []
        self.renewals = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._mistakes: list[Exception] = []
        proxy = self

        class Handler(_Handler):
            """Bound to this proxy."""

            def __init__(self, *arguments: Any) -> None:
                self.proxy = proxy
                super().__init__(*arguments)

        self._server = _Server((LOOPBACK, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self._mistakes and kind is None:
            raise self._mistakes[0]

    @property
    def address(self) -> str:
        """To be used as CONSUL_HTTP_ADDR."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    @property
    def total(self) -> int:
        """All requests, renewals left out."""
        return sum(self.requests.values())

    @property
    def has_ended(self) -> bool:
        """Whether a callback said :attr:`Fate.END`."""
        return self._ended.is_set()

    def end(self) -> None:
        """What :attr:`Fate.END` does, for a callback that lets this one pass."""
        self._ended.set()

    def reset(self) -> None:
        """Count from 0 again, without callbacks."""
        with self._lock:
            self.requests.clear()
            self.writes.clear()
            self.renewals = 0
            self.before = self.after = None
            self._ended.clear()

    def kill_before(self, number: int, pid: Callable[[], int]) -> None:
        """Kill a process right before write ``number`` would be forwarded; nothing that it had sent after that is forwarded either."""
        self.before = _killer(number, pid)

    def kill_after(self, number: int, pid: Callable[[], int]) -> None:
        """Kill a process when write ``number`` was done, before it can see the answer."""
        self.after = _killer(number, pid)

    def _count(self, method: str, path: str, body: bytes) -> Write | None:
        """Count a request; the write, if it is one."""
        plain = urlsplit(path).path
        with self._lock:
            if plain.startswith("/v1/session/renew/"):
                self.renewals += 1
                return None
            self.requests[method, plain] += 1
            if method in ("GET", "HEAD") or plain.startswith(_ASKING):
                return None
            verbs = transaction_verbs(body) if plain == "/v1/txn" else ()
            if verbs and all(verb.split()[1] in _READING_VERBS for verb in verbs):
                return None
            write = Write(len(self.writes) + 1, method, path, body, verbs)
            self.writes.append(write)
            return write

    def _decide(self, callback: Callback | None, write: Write | None) -> Fate | Refusal:
        """How to go on with this request."""
        if self._ended.is_set():
            return Fate.END
        fate = self._ask(callback, write) if callback and write else None
        if fate is Fate.END:
            self._ended.set()
        return fate or Fate.PASS

    def _ask(self, callback: Callback, write: Write) -> Fate | Refusal | None:
        try:
            return callback(write)
        except Exception as error:  # noqa: BLE001  # this is not the test's thread, where it would be seen
            self._mistakes.append(error)
            return Fate.END


def _killer(number: int, pid: Callable[[], int]) -> Callback:
    def kill(write: Write) -> Fate | None:
        if write.number != number:
            return None
        os.kill(pid(), signal.SIGKILL)
        return Fate.END

    return kill


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is what this is for; it needs no traceback."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    proxy: CountingProxy

    def setup(self) -> None:
        super().setup()
        self._connection: http.client.HTTPConnection | None = None

    def finish(self) -> None:
        super().finish()
        if self._connection:
            self._connection.close()

    def _serve(self) -> None:
        """One request. The connection to Consul is kept as long as the client keeps its own."""
        body = self._body()
        write = self.proxy._count(self.command, self.path, body)
        if not self._goes_on(self.proxy._decide(self.proxy.before, write)):
            return
        answer, content = self._forward(body)
        if not self._goes_on(self.proxy._decide(self.proxy.after, write)):
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815  # the names that the library calls

    def _goes_on(self, fate: Fate | Refusal) -> bool:
        """Whether the request is to pass; if not, the client has its answer, or its connection ends without one."""
        if isinstance(fate, Refusal):
            self.send_response_only(fate.status)
            self.send_header("Content-Length", str(len(fate.text)))
            self.end_headers()
            self.wfile.write(fate.text.encode())
        else:
            self.close_connection = self.close_connection or fate is not Fate.PASS
        return fate is Fate.PASS

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _forward(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self.proxy.upstream)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        self._connection.request(self.command, self.path, body or None, headers)
        answer = self._connection.getresponse()
        return answer, answer.read()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the parent's signature
        """Say nothing."""
