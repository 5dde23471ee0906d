"""The live systems of one run, connected when they are first needed, and what is known of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from reconciler.credentials.node import MeshNode
from reconciler.credentials.sources import resolve
from reconciler.manifest.features import LOCAL
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.errors import ReconcilerError, Unreachable
from reconciler.model.resource import CONSUL, System
from reconciler.model.secret import Reference, Secret, SecretSource
from reconciler.systems.consul.agent_services import AgentServices
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.connection import consul_settings, elsewhere, fit_for_a_header
from reconciler.systems.consul.identity import ConsulIdentity
from reconciler.systems.host import Host, LocalHost, RemoteHost, SshSettings, SshShell, Tunnel

if TYPE_CHECKING:
    from reconciler.systems.postgres import Postgres


class Connections:
    """Consul, the Postgres servers and the hosts of a manifest. A context manager; leaving it closes them.

    ``environ`` is where CONSUL_*, PG* and ``{env: …}`` are looked up. ``timeout_s`` overrides the manifest's timeout of one request. ``node`` is
    where a token is looked for when nobody gave one; without it nowhere.
    """

    def __init__(
        self,
        loaded: LoadedManifest,
        environ: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        log: Any = None,
        node: MeshNode | None = None,
    ) -> None:
        self.loaded = loaded
        self.environ = os.environ if environ is None else environ
        self._timeout_s = timeout_s
        self._log = log
        self._node = node
        self._token: tuple[Secret, str] | None = None
        self._consul: Consul | None = None
        self._postgres: dict[str, Postgres] = {}
        self._hosts: dict[str, Host] = {}
        self._shells: dict[str, SshShell] = {}
        self._tunnels: dict[str, Tunnel] = {}
        self._agents: dict[str, Consul] = {}
        self._secrets: dict[str, Secret] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        for server in self._postgres.values():
            server.close()
        for agent in self._agents.values():
            agent.close()
        for tunnel in self._tunnels.values():
            tunnel.close()
        for host in self._hosts.values():
            host.close()
        if self._consul is not None:
            self._consul.close()

    def use_token(self, token: Secret, token_from: str) -> None:
        """Ask Consul with this token, which came from ``token_from``, and with no other. To be said before anything is asked."""
        self._token = token, token_from

    def prepare(self) -> None:
        """Ask what may have to be asked of the person at the terminal; nothing is connected."""
        _ = self.consul

    @property
    def consul(self) -> Consul:
        """The Consul agent that the manifest, or else the environment, names."""
        if self._consul is None:
            settings = consul_settings(
                self.loaded.manifest.consul, self.environ, self.secret, directory=self.loaded.directory, timeout_s=self._timeout_s
            )
            if self._token is not None:
                settings = replace(settings, token=self._token[0], token_from=self._token[1])
            # Only to an agent of this node: the token of one mesh must not be sent to whatever address a manifest names.
            if settings.token is None and self._node is not None and settings.is_on_this_machine and (found := self._node.token()):
                settings = replace(settings, token=fit_for_a_header(*found), token_from=found[1])
            self._consul = Consul(settings, log=self._log)
        return self._consul

    def demand_consul(self) -> ConsulIdentity:
        """Who Consul is. Raises a SystemFault, with what to do where the mesh itself may not be there yet."""
        try:
            return self.consul.identity()
        except Unreachable as fault:
            cluster = self.loaded.manifest.mesh_credentials.cluster
            first = next((n.host for n in cluster.nodes.values() if n.first_instance), None) if cluster is not None else None
            if first is None:
                raise
            how = "run service-discover setup-wizard --first-instance there first, since everything is recorded in its Consul"
            raise Unreachable(f"{fault}; if the first instance of the mesh, {first}, is not set up yet: {how}") from fault

    def postgres(self, name: str) -> Postgres:
        """The Postgres server ``name``; without a ``postgres`` section there is one, ``default``, from the PG* variables."""
        if name not in self._postgres:
            from reconciler.systems.postgres import Postgres  # imported late: psycopg takes 0.1 s, and many manifests have no database

            section = (self.loaded.manifest.postgres or {}).get(name)
            way = self._tunnel(section.via) if section is not None and section.via else None
            self._postgres[name] = Postgres.connect(name, section, self.environ, self.secret, self.loaded.directory, way)
        return self._postgres[name]

    def host(self, name: str) -> Host:
        """The machine ``name``: ``local`` is the one this runs on, unless the manifest says how else to reach it."""
        if name not in self._hosts:
            self._hosts[name] = self._host(name)
        return self._hosts[name]

    def _host(self, name: str) -> Host:
        section = self.loaded.manifest.hosts.get(name)
        agent_at = section.consul if section else None
        if section is None or section.ssh is None:
            return LocalHost(name, AgentServices(lambda: self._agent(name, agent_at) if agent_at else self.consul))
        config = self.environ.get("RECONCILER_SSH_CONFIG", "")
        shell = self._shells[name] = SshShell(SshSettings(name, section.ssh, section.port, bool(section.sudo), config))
        return RemoteHost(name, shell, AgentServices(lambda: self._agent(name, agent_at, shell)))

    def _tunnel(self, name: str) -> Tunnel | None:
        """The way through a machine; none through this one."""
        self.host(name)
        if name in self._shells and name not in self._tunnels:
            self._tunnels[name] = Tunnel(name, self._shells[name])
        return self._tunnels.get(name)

    def _agent(self, name: str, address: str | None, shell: SshShell | None = None) -> Consul:
        """The Consul agent of a machine, with the token of this run; through ``shell`` when it is another machine."""
        if shell is not None:
            _ = shell.identity  # so that it is connected
        if name not in self._agents:
            there = elsewhere(self.consul.settings, name, address, shell)
            self._agents[name] = Consul(there, log=self._log)
        return self._agents[name]

    def host_names(self) -> list[str]:
        """Every machine that the manifest names, and this one."""
        return sorted({LOCAL, *self.loaded.manifest.hosts})

    def server_names(self) -> list[str]:
        """Every Postgres server that the manifest names."""
        return sorted(self.loaded.manifest.servers)

    def of(self, system: System) -> Any:
        """The connection to a system."""
        if system == CONSUL:
            return self.consul
        return self.postgres(system.name) if system.type == "postgres" else self.host(system.name)

    def identity(self, system: System) -> str:
        """What tells this system from every other: Consul's trust domain and datacenter, Postgres' system identifier, a host's machine-id."""
        return str(self.consul.identity().text if system == CONSUL else self.of(system).identity)

    def identities(self, systems: Iterable[System]) -> dict[System, str]:
        """The same of several: hosts are connected side by side."""
        ordered = sorted(systems)
        hosts = [s for s in ordered if s.type == "host"]
        if len(hosts) < 2:
            return {s: self.identity(s) for s in ordered}
        with ThreadPoolExecutor(len(hosts)) as pool:
            found = {s: pool.submit(self.identity, s) for s in hosts}
            return {s: found[s].result() if s in found else self.identity(s) for s in ordered}

    def secret(self, source: SecretSource | Reference | Secret) -> Secret:
        """The secret behind a reference from the manifest. Raises ReconcilerError when it cannot be had, without showing anything of it."""
        if isinstance(source, Secret):
            return source
        if isinstance(source, Reference):
            pair = self.consul.kv_get([source.address.segments[0]]).get(source.address.segments[0])
            if pair is None:
                raise ReconcilerError(
                    f"{source.address} does not exist in Consul, but a connection's secret refers to it: create it, or correct the key"
                )
            return Secret(pair.value.decode("utf-8", "surrogateescape"))
        key = repr((source.form, source.argument))
        if key not in self._secrets:
            self._secrets[key] = resolve(source, self.loaded.directory, self.environ)
        return self._secrets[key]
