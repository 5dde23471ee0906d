"""A server that answers what it is told: for the faults that a healthy Consul does not have."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.servers.ports import LOOPBACK


class ScriptedServer:
    """Answers the n-th request with the n-th (status, body), the last one again and again. A context manager; ``seen`` is what came in."""

    def __init__(self, *answers: tuple[int, str], headers: dict[str, str] | None = None) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self._answers = list(answers)
        self._headers = headers or {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.seen.append((self.command, self.path, dict(self.headers)))
                status, body = server._answers.pop(0) if len(server._answers) > 1 else server._answers[0]
                content = body.encode()
                self.send_response_only(status)
                for name, value in {**server._headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"


class RawServer:
    """Accepts connections, reads one request from each and sends ``answer`` (nothing by default); keeps them open unless told to ``close``."""

    def __init__(self, answer: bytes = b"", *, close: bool = False) -> None:
        self.accepted = 0
        self._answer = answer
        self._close = close
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._connections:
            connection.close()

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            connection.recv(65536)
            connection.sendall(self._answer)
            if self._close:
                connection.close()
            else:
                self._connections.append(connection)


class Pauses:
    """Stands in for ``time.sleep``: notes the pauses instead of making them."""

    def __init__(self) -> None:
        self.made: Sequence[float] = []

    def __call__(self, pause_s: float) -> None:
        self.made = [*self.made, pause_s]
