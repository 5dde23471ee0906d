"""A test machine as a node of the mesh: a Consul agent of its own that has joined a server of the tests.

As on a real one: the unit ``service-discover``, configuration and packages' services in /etc/zextras/service-discover, HTTP on 127.0.0.1:8500, xDS on
127.0.0.1:8502, and a token of the node as the agent's default, which is what requests without a token are made with (docs/facts.md: the mesh).
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

from tests.servers.consul import ConsulServer
from tests.servers.machine import Machine
from tests.servers.supervised import ServerFailed

CONFIG_FOLDER: Final = "/etc/zextras/service-discover"
_DATA = "/var/lib/service-discover/data"
_UNIT = f"""\
[Unit]
Description=Consul agent of this node
Requires=network-online.target
After=network-online.target

[Service]
# consul says that it is ready when it has joined
Type=notify
User=service-discover
Environment=GOMAXPROCS=2
ExecStart=/usr/bin/consul agent -config-dir={CONFIG_FOLDER}
KillSignal=SIGKILL

[Install]
WantedBy=multi-user.target
"""


class MeshNode:
    """The agent on ``machine``, which has /usr/bin/consul; made known to ``server``, which is one ``for_machines``."""

    def __init__(self, machine: Machine, server: ConsulServer) -> None:
        self.machine, self.server = machine, server
        self.name = "agent-" + machine.hostname.replace(".", "-")

    def join(self) -> MeshNode:
        """Start the agent and wait until it is in the catalog, so that it has joined and may do what its token grants."""
        rules = f'node "{self.name}" {{ policy = "write" }} node_prefix "" {{ policy = "read" }} service_prefix "" {{ policy = "write" }}'
        policy = self.server.put("/v1/acl/policy", {"Name": self.name, "Rules": rules})
        token = self.server.put("/v1/acl/token", {"Description": self.name, "Policies": [{"ID": policy["ID"]}]})
        self.server.spared |= {self.name, policy["ID"], token["AccessorID"]}
        configuration: dict[str, Any] = {
            "node_name": self.name,
            "datacenter": self.server.datacenter,
            "bind_addr": self.machine.address,
            "retry_join": [self.server.join_address],
            "encrypt": self.server.gossip_key,
            "retry_interval": "1s",
            "data_dir": _DATA,
            "disable_update_check": True,
            "enable_local_script_checks": True,
            "ports": {"grpc": 8502, "grpc_tls": 8503, "serf_wan": -1},
            # it remembers what tokens may for a third of the time that agents do unless told, so that nobody waits that long
            "acl": {
                "enabled": True,
                "default_policy": "deny",
                "enable_token_persistence": True,
                "tokens": {"default": token["SecretID"]},
                "token_ttl": "10s",
                "policy_ttl": "10s",
            },
        }
        run = self.machine.run
        run("useradd", "--system", "--no-create-home", "service-discover")
        self.machine.write(f"{CONFIG_FOLDER}/main.json", json.dumps(configuration), mode="0600")
        run("mkdir", "-p", _DATA)
        run("chown", "-R", "service-discover:service-discover", CONFIG_FOLDER, _DATA)
        self.machine.write("/etc/systemd/system/service-discover.service", _UNIT)
        if run("systemctl", "enable", "--quiet", "--now", "service-discover", check=False).returncode != 0:
            raise ServerFailed(f"the agent of {self.name} did not start\n{self.log_text()}")
        deadline = time.monotonic() + 30
        while not (self.server.get(f"/v1/catalog/node/{self.name}") or {}).get("Node"):
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} has not joined\n{self.log_text()}")
            time.sleep(0.02)
        return self

    def services(self, token: str = "") -> dict[str, Any]:
        """What is registered at the agent, by id; with another token, what that one may see of it."""
        found: dict[str, Any] = json.loads(self._ask("GET", "/v1/agent/services", token=token))
        return found

    def register(self, body: dict[str, Any]) -> None:
        """Register a service at the agent, as the API takes it, in place of what has its ID."""
        self._ask("PUT", "/v1/agent/service/register?replace-existing-checks=true", json.dumps(body))

    def deregister(self, service: str) -> None:
        """Deregister one, if it is there."""
        if service in self.services():
            self._ask("PUT", f"/v1/agent/service/deregister/{service}")

    def wipe(self) -> None:
        """Deregister what is registered at the agent."""
        for service in self.services():
            self.deregister(service)

    def log_text(self) -> str:
        """All that the agent has logged."""
        return self.machine.run("journalctl", "--no-pager", "--output=cat", "--unit=service-discover", check=False).stdout

    def _ask(self, method: str, path: str, body: str = "", token: str = "") -> str:
        """By bash, which can speak to a port: the machine has no HTTP client."""
        headers = (f"{method} {path} HTTP/1.0", f"X-Consul-Token: {token or self.server.token}", f"Content-Length: {len(body.encode())}")
        request = "\r\n".join((*headers, "", body))
        told = self.machine.run("bash", "-ec", "exec 3<>/dev/tcp/127.0.0.1/8500; cat >&3; cat <&3", stdin=request).stdout
        status, _, answer = told.partition("\n\n")
        if " 200 " not in status.splitlines()[0]:
            raise ServerFailed(f"{method} {path} on {self.name}: {told}")
        return answer
