"""Manifests with the processes of gateways, and the command that applies them."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.e2e.command import Command, Run
from tests.servers.idle import IDLE
from tests.servers.mesh_node import MeshNode

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Gateways:
    """``run`` is the command; ``node`` the machine ``gateway`` of its manifests."""

    run: Command
    node: MeshNode

    def host(self, user: str = "root", **options: Any) -> dict[str, Any]:
        """The entry of the machine under ``hosts``."""
        return {"ssh": f"{user}@{self.node.machine.address}", **options}

    def manifest(self, *names: str, owner: str = "gateways", host: Manifest | None = None, first_port: int = 8443, serves: bool = False) -> Manifest:
        """Gateways, each for a service of its own, with a token and a policy each. They listen on ``first_port`` and the ports after it.

        With ``serves`` they do; else a program that only stays is in their place.
        """
        gateways, policies, tokens, services = {}, {}, {}, {}
        for number, name in enumerate(names):
            service = f"{name}-db"
            policies[name] = {"rules": {"node_prefix": {"": "read"}, "service": {name: "write", service: "write"}}}
            tokens[name] = {"policies": [name]}
            process = {"host": "gateway", "token": name, "envoy_version_check": False}
            if not serves:
                process["consul_binary"] = IDLE
            if len(names) > 1 or first_port != 8443:
                process["address"] = f"{self.node.machine.address}:{first_port + number}"
            gateways[name] = {"services": {service: {}}, "process": process}
            services[service] = {"node": f"{service}-node", "address": "10.1.2.3", "port": 5432}
        return {
            "version": 1,
            "name": owner,
            "hosts": {"gateway": host or self.host()},
            "mesh_credentials": {"policies": policies, "tokens": tokens},
            "terminating_gateways": gateways,
            "external_services": services,
        }

    def write(self, manifest: Manifest) -> str:
        """The file of a manifest; JSON is YAML."""
        file = f"{manifest['name']}.yaml"
        (self.run.folder / file).write_text(json.dumps(manifest))
        return file

    def apply(self, manifest: Manifest, *more: str, expect: int = 0) -> Run:
        """Apply it, without waiting until it serves."""
        return self.run("apply", self.write(manifest), "--auto-approve", "--wait", "0", *more, expect=expect)

    def destroy(self, manifest: Manifest, *more: str, expect: int = 0) -> Run:
        """Destroy it."""
        return self.run("destroy", self.write(manifest), "--auto-approve", *more, expect=expect)

    def is_settled(self, manifest: Manifest) -> bool:
        """Whether nothing is left to do."""
        return self.run("plan", self.write(manifest), "--detailed-exitcode").code == 0


def without(manifest: Manifest, *names: str) -> Manifest:
    """The manifest without some of its gateways."""
    left = deepcopy(manifest)
    for name in names:
        del left["terminating_gateways"][name], left["external_services"][f"{name}-db"]
        del left["mesh_credentials"]["policies"][name], left["mesh_credentials"]["tokens"][name]
    return left
