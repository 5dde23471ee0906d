"""A terminating gateway as the integration guide has it set up by hand, on a machine and in Consul; without the program under test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Self

from tests.servers.machine_runner import HERE
from tests.servers.mesh_node import MeshNode

GATEWAY: Final = "carbonio-gateway"
SERVICE: Final = "carbonio-files-db"
FOLDER: Final = "/etc/carbonio/gateway/service-discover"
UNIT_FILE: Final = "/lib/systemd/system/carbonio-gateway.service"
RULES: Final = {
    "key_prefix": {f"{GATEWAY}/": {"policy": "read"}},
    "node_prefix": {"": {"policy": "read"}},
    "service": {GATEWAY: {"policy": "write"}, SERVICE: {"policy": "write"}},
}
_UNIT = f"""\
[Unit]
Description=Gateway for external services
Requires=network-online.target
After=network-online.target

[Service]
Type=simple
ExecStart=/usr/bin/consul connect envoy -token-file {FOLDER}/token -admin-bind localhost:0 -gateway=terminating -register \\
    -service {GATEWAY} -ignore-envoy-compatibility
Restart=on-failure
RestartSec=15
User={GATEWAY}
KillMode=process
KillSignal=SIGKILL
LimitNOFILE=65536
TimeoutSec=120
TimeoutStopSec=120

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class GatewayByHand:
    """On ``node``; ``accessor`` is its token's, and ``policy`` the name of the token's policy. It runs until :meth:`undo`."""

    node: MeshNode
    accessor: str
    policy: str

    @classmethod
    def set_up(cls, node: MeshNode, *, policy: str = f"{GATEWAY}-policy", token_mode: str = "0600") -> Self:
        """The steps of the guide. What it serves is to be declared besides (:func:`declare`)."""
        consul, machine = node.server, node.machine
        made = consul.put("/v1/acl/policy", {"Name": policy, "Description": f"Policy for {GATEWAY}", "Rules": json.dumps(RULES)})
        token = consul.put("/v1/acl/token", {"Description": f"Token for {GATEWAY}", "Policies": [{"ID": made["ID"]}]})
        machine.run("groupadd", "--system", GATEWAY)
        machine.run("useradd", "--system", "--no-create-home", f"--gid={GATEWAY}", "--shell=/sbin/nologin", GATEWAY)
        machine.write(f"{FOLDER}/token", token["SecretID"], mode=token_mode)
        machine.run("chown", "--recursive", f"{GATEWAY}:{GATEWAY}", "/etc/carbonio/gateway")
        machine.write(UNIT_FILE, _UNIT)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "enable", "--quiet", "--now", GATEWAY)
        return cls(node, token["AccessorID"], policy)

    def undo(self) -> None:
        """The way back, on the machine; its registration stays, as it does by hand."""
        run = self.node.machine.run
        run("systemctl", "disable", "--quiet", "--now", GATEWAY)
        run("rm", "-r", UNIT_FILE, "/etc/carbonio")
        run("userdel", GATEWAY)
        run("systemctl", "daemon-reload")
        run("systemctl", "reset-failed", GATEWAY)  # so SIGKILL, as in the guide, leaves it; and the name stays known


def declare(node: MeshNode, port: int) -> None:
    """The catalog entry of what is served, at ``port`` of this machine, and the config entry of the gateway."""
    external = {"ID": SERVICE, "Service": SERVICE, "Port": port}
    node.server.put(
        "/v1/catalog/register", {"Node": "external-files-db-node", "Address": HERE, "NodeMeta": {"external-node": "true"}, "Service": external}
    )
    node.server.put("/v1/config", {"Kind": "terminating-gateway", "Name": GATEWAY, "Services": [{"Name": SERVICE}]})
