"""A real Consul server with ACLs on and default deny, on loopback ports of its own."""

from __future__ import annotations

import functools
import http.client
import json
import secrets
import signal
import socket
import subprocess
import uuid
from base64 import b64encode
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.consul_api import ConsulApi
from tests.servers.consul_binary import NoConsul, find
from tests.servers.machine_runner import HERE
from tests.servers.ports import free_ports
from tests.servers.server import Server
from tests.servers.supervised import Supervised, fresh_folder


@functools.cache
def binary() -> Path:
    """The Consul of this machine; never built here, because a silent pause of ten minutes looks like a hang. Raises NoConsul."""
    found = find()
    if found is None:
        raise NoConsul("there is no Consul here: `make servers` gets one")
    return found


class ConsulServer(Server, ConsulApi):
    """One Consul server; started and stopped as a context manager.

    ``extra``: HCL that is read after our own configuration. ``persistent``: keeps its state on disk, so that :meth:`restart` finds it again (the
    other one is in memory, as with ``-dev``). ``tls``: also serves HTTPS, see ``ca_file`` and the others. ``unix_socket``: also serves on that path.
    ``grpc``: also serves xDS, for Envoy. ``for_machines``: agents on test machines can join it. ``bootstrapped``: False for one that has no
    management token yet, so that ``token`` means nothing.
    """

    says_port_is_taken: ClassVar[str] = "address already in use"

    def __init__(
        self,
        *,
        extra: str = "",
        persistent: bool = False,
        tls: bool = False,
        unix_socket: bool = False,
        grpc: bool = False,
        for_machines: bool = False,
        bootstrapped: bool = True,
        datacenter: str = "dc1",
        binary: Path | None = None,
    ) -> None:
        super().__init__()
        self.token = str(uuid.uuid4())
        self.datacenter = datacenter
        self._extra, self._persistent, self._grpc, self._bootstrapped = extra, persistent, grpc, bootstrapped
        self._binary = binary
        self._bind_address = HERE if for_machines else self.host
        # its own, or a machine that goes from one server's mesh to another's joins the two by its gossip
        self.gossip_key = b64encode(secrets.token_bytes(32)).decode() if for_machines else ""
        self.folder = fresh_folder("consul", None)
        self.log = self.folder / "consul.log"
        self.unix_socket = self.folder / "http.sock" if unix_socket else None
        self.ca_file = self.folder / f"{datacenter}-ca.pem" if tls else None
        self.client_cert_file = self.folder / f"{datacenter}-client-consul-0.pem" if tls else None
        self.client_key_file = self.folder / f"{datacenter}-client-consul-0-key.pem" if tls else None
        self._ports: dict[str, int] = {}
        self.port = 0

    # --- running ---

    @property
    def binary(self) -> Path:
        """The Consul that is run."""
        if self._binary is None:
            self._binary = binary()
        return self._binary

    def _prepare(self) -> None:
        if self.ca_file and not self.ca_file.exists():
            self._make_certificates()

    def _choose_ports(self) -> None:
        names = ["http", "server", "serf_lan", *(["https"] if self.ca_file else []), *(["grpc"] if self._grpc else [])]
        closed = dict.fromkeys(("dns", "https", "grpc", "grpc_tls", "serf_wan"), -1)
        self._ports = closed | dict(zip(names, free_ports(len(names)), strict=True))
        self.port = self._ports["http"]

    def _start_once(self) -> None:
        configuration: dict[str, Any] = {
            "node_name": "test-server",
            "datacenter": self.datacenter,
            "bind_addr": self._bind_address,
            "addresses": {"http": " ".join(self._http_at())},
            "ports": self._ports,
            "disable_update_check": True,
            "connect": {"enabled": True},
            "acl": {"enabled": True, "default_policy": "deny", "tokens": {"initial_management": self.token} if self._bootstrapped else {}},
        }
        if self.gossip_key:
            configuration["encrypt"] = self.gossip_key
        if self._persistent:
            configuration |= {"server": True, "bootstrap_expect": 1, "data_dir": str(self.folder / "state"), "performance": {"raft_multiplier": 1}}
        if self.ca_file:
            own = {"cert_file": f"{self.datacenter}-server-consul-0.pem", "key_file": f"{self.datacenter}-server-consul-0-key.pem"}
            configuration["tls"] = {"defaults": {"ca_file": str(self.ca_file)} | {k: str(self.folder / v) for k, v in own.items()}}
        (self.folder / "server.json").write_text(json.dumps(configuration))
        (self.folder / "extra.hcl").write_text(self._extra)
        mode = [] if self._persistent else ["-dev"]
        files = [f"-config-file={self.folder / name}" for name in ("server.json", "extra.hcl")]
        argv = [str(self.binary), "agent", *mode, *files]
        # GOMAXPROCS: a test machine has few cores, and several servers
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "GOMAXPROCS": "2"}
        # SIGKILL: a server in memory has nothing to save, and leaving in order takes time
        stop_signal = signal.SIGTERM if self._persistent else signal.SIGKILL
        self._process = Supervised(argv, log=self.log, environ=environ, stop_signal=stop_signal, remove=self.folder)
        self._process.wait_until(self._is_ready, what="Consul", timeout_s=60)

    def _http_at(self) -> list[str]:
        """For machines also where they see it: an agent would go on taking for a while a token that is gone, and a server does not."""
        more = [f"unix://{self.unix_socket}"] if self.unix_socket else []
        return [self.host, *([self._bind_address] if self._bind_address != self.host else []), *more]

    def _is_ready(self) -> bool:
        """A leader is there, knows our token (so it is our server), has its CA (our trust domain) and has registered itself."""
        try:
            return (
                self.request("GET", "/v1/status/leader").body not in ("", None)
                and (not self._bootstrapped or self.request("GET", "/v1/acl/token/self").status == 200)
                and bool(self.request("GET", "/v1/connect/ca/roots", token=None if self._bootstrapped else "").body["TrustDomain"])
                and (not self._bootstrapped or bool(self.request("GET", "/v1/catalog/node-services/test-server").body["Services"]))
            )
        except (OSError, http.client.HTTPException, TypeError, KeyError):
            return False

    def _make_certificates(self) -> None:
        """With Consul's own certificate maker, so that nothing else is needed."""
        tls = [str(self.binary), "tls"]
        for command in (
            [*tls, "ca", "create", "-domain=consul"],
            [*tls, "cert", "create", "-server", f"-dc={self.datacenter}", f"-additional-ipaddress={self.host}"],
            [*tls, "cert", "create", "-client", f"-dc={self.datacenter}"],
        ):
            subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        assert self.ca_file is not None
        (self.folder / "consul-agent-ca.pem").rename(self.ca_file)

    # --- using ---

    @property
    def address(self) -> str:
        """The HTTP API, as in CONSUL_HTTP_ADDR."""
        return f"http://{self.host}:{self.port}"

    @property
    def https_address(self) -> str:
        """The HTTPS API; only with ``tls``."""
        return f"https://{self.host}:{self._ports['https']}"

    @property
    def grpc_port(self) -> int:
        """Of xDS; only with ``grpc``."""
        return self._ports["grpc"]

    @property
    def join_address(self) -> str:
        """Where agents join it; only those on this machine unless it is ``for_machines``."""
        return f"{self._bind_address}:{self._ports['serf_lan']}"

    @property
    def environment(self) -> dict[str, str]:
        """What a Consul client needs in its environment."""
        return {"CONSUL_HTTP_ADDR": self.address, "CONSUL_HTTP_TOKEN": self.token}

    def is_listening(self) -> bool:
        """Whether anything answers on the port of the HTTP API."""
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def log_text(self) -> str:
        """All that the server has logged."""
        return self.log.read_text(errors="replace")
