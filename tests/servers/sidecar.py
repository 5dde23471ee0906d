"""A client of the mesh on this machine: a service with its sidecar, a real Envoy, and the local port by which it reaches another service."""

from __future__ import annotations

import shutil
import socket
from typing import Self

from tests.servers import envoy
from tests.servers.consul import ConsulServer
from tests.servers.ports import LOOPBACK, free_ports
from tests.servers.supervised import Supervised, fresh_folder


class Sidecar:
    """The service ``client`` with ``upstream`` behind ``host`` and ``port``; started and stopped as a context manager.

    ``server`` is one with ``grpc``. Raises NoEnvoy. That the port answers does not mean that the upstream is reached: it may not be there, or may be
    denied by an intention, and then connections are closed at once.
    """

    host = LOOPBACK

    def __init__(self, server: ConsulServer, upstream: str, *, client: str = "client") -> None:
        self.client, self.upstream = client, upstream
        self._server = server
        self._process: Supervised | None = None
        self.port = 0
        self.folder = fresh_folder("sidecar", None)
        self.log = self.folder / "sidecar.log"

    def start(self) -> Self:
        """Register the service, start its Envoy, and wait until that listens."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the Envoy and deregister the service."""
        if self._process is not None:
            self._process.stop()
            self._process = None
            self._server.request("PUT", f"/v1/agent/service/deregister/{self.client}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        binary = envoy.find()
        self.port, proxy_port = free_ports(2)
        upstream = {"DestinationName": self.upstream, "LocalBindAddress": self.host, "LocalBindPort": self.port}
        proxy = {"Port": proxy_port, "Proxy": {"Upstreams": [upstream]}}
        self._server.put("/v1/agent/service/register", {"Name": self.client, "Connect": {"SidecarService": proxy}})
        services = "".join(f'service "{name}" {{ policy = "write" }} ' for name in (self.client, f"{self.client}-sidecar-proxy"))
        token = self._server.token_for(services + 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }')
        of_consul = ["connect", "envoy", f"-sidecar-for={self.client}", f"-grpc-addr={self.host}:{self._server.grpc_port}", f"-envoy-binary={binary}"]
        # a base id of its own: all Envoys of one machine share memory and sockets by it
        of_envoy = ["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"]
        self._process = Supervised(
            [str(self._server.binary), *of_consul, f"-admin-bind={self.host}:0", "-ignore-envoy-compatibility", "--", *of_envoy],
            log=self.log,
            environ={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "CONSUL_HTTP_ADDR": self._server.address, "CONSUL_HTTP_TOKEN": token},
            remove=self.folder,
        )
        self._process.wait_until(self._is_listening, what="the sidecar", timeout_s=30)

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def log_text(self) -> str:
        """All that Envoy has logged."""
        return self.log.read_text(errors="replace")
