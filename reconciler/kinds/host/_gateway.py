"""What a terminating gateway's ``process`` stands for: account, folder, token file, unit file, unit, registration. Each kind declares its part."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import GatewayProcess, HostSection, TerminatingGateway
from reconciler.model.address import Address
from reconciler.model.resource import Place, System

PORT: Final = 8443
"""Where ``consul connect envoy -gateway=terminating -register`` listens unless it is told otherwise."""

UNIT_FOLDER: Final = "/etc/systemd/system"
_CONSUL: Final = "/usr/bin/consul"
_OWN_FOLDERS: Final = ("/home/", "/root/", "/run/user/")


@dataclass(frozen=True, slots=True)
class Process:
    """One gateway's process. Paths are absolute paths on the host; ``token_file`` is one of the token's own files when ``has_own_token_file``."""

    name: str
    gateway: TerminatingGateway
    process: GatewayProcess
    place: Place
    machine: HostSection | None
    token_file: str
    has_own_token_file: bool

    @property
    def host(self) -> str:
        """The machine's name in the manifest."""
        return self.process.host

    @property
    def system(self) -> System:
        """The machine."""
        return System("host", self.host)

    @property
    def user(self) -> str:
        """The account."""
        return self.process.user or self.name

    @property
    def group(self) -> str:
        """The group."""
        return self.process.group or self.name

    @property
    def directory(self) -> str:
        """The folder for what belongs to it."""
        return self.process.directory or f"/etc/carbonio/{self.name.removeprefix('carbonio-')}/service-discover"

    @property
    def unit(self) -> str:
        """The unit's full name."""
        path = self.process.unit_path
        return self.process.unit or (posixpath.basename(path) if path else f"{self.name}.service")

    @property
    def unit_path(self) -> str:
        """Where its file lies."""
        return self.process.unit_path or f"{UNIT_FOLDER}/{self.unit}"

    @property
    def consul(self) -> str:
        """The consul program."""
        return self.process.consul_binary or _CONSUL

    @property
    def tls_files(self) -> tuple[str, ...]:
        """Certificates and keys that it reads."""
        files = (file for s in self.gateway.services.values() for file in (s.ca_file, s.cert_file, s.key_file) if file)
        return tuple(dict.fromkeys(files))

    @property
    def listens_on(self) -> tuple[str, int]:
        """Address (empty for every one) and port."""
        if self.process.address is None:
            return "", PORT
        address, colon, port = self.process.address.rpartition(":")
        return (address.strip("[]"), int(port)) if colon and port.isdigit() else (self.process.address, PORT)

    def address(self, kind: str) -> Address:
        """The address of its account, group, folder, unit or registration."""
        names = {
            "os-user": self.user,
            "os-group": self.group,
            "directory": self.directory.removeprefix("/"),
            "systemd-unit": self.unit,
            "agent-service": self.name,
        }
        return Address.of(kind, self.host, names[kind])

    def file(self, path: str) -> Address:
        """The address of a file on its machine."""
        return Address.of("file", self.host, path.removeprefix("/"))

    @property
    def command(self) -> list[str]:
        """What the unit runs."""
        process, (address, port) = self.process, self.listens_on
        words = [self.consul, "connect", "envoy", "-token-file", self.token_file, "-admin-bind", "localhost:0"]
        words += ["-gateway=terminating", "-register", "-service", self.name]
        if process.address is not None:
            words += ["-address", f"[{address}]:{port}" if ":" in address else f"{address}:{port}"]
        if process.envoy_binary is not None:
            words += ["-envoy-binary", process.envoy_binary]
        if process.envoy_version_check is False:
            words.append("-ignore-envoy-compatibility")
        words += process.arguments or []
        return [*words, "--", "-l", process.log_level] if process.log_level else words

    @property
    def unit_text(self) -> str:
        """The unit's file."""
        environment = dict(self.process.environment or {})
        if self.machine is not None and self.machine.consul is not None:
            environment.setdefault("CONSUL_HTTP_ADDR", self.machine.consul)
        lines = [
            "[Unit]",
            f"Description=Terminating gateway {_plain(self.name)} of the service mesh",
            "Requires=network-online.target",
            "After=network-online.target",
            "",
            "[Service]",
            "Type=simple",
            f"ExecStart={' '.join(_word(word) for word in self.command)}",
            *(f"Environment={_word(f'{name}={value}', quoted=True)}" for name, value in sorted(environment.items())),
            "Restart=on-failure",
            "RestartSec=15",
            f"User={self.user}",
            f"Group={self.group}",
            "KillMode=process",
            "KillSignal=SIGKILL",
            "LimitNOFILE=65536",
            "TimeoutSec=120",
            "TimeoutStopSec=120",
            *(["AmbientCapabilities=CAP_NET_BIND_SERVICE"] if self.listens_on[1] < 1024 else []),
            *(self._hardening if self.process.hardening is not False else []),
            "",
            "[Install]",
            "WantedBy=multi-user.target",
        ]
        return "\n".join(lines) + "\n"

    @property
    def _hardening(self) -> list[str]:
        reads_at_home = any(path.startswith(_OWN_FOLDERS) for path in (self.token_file, *self.tls_files))
        return [
            "NoNewPrivileges=yes",
            "PrivateTmp=yes",
            "ProtectSystem=full",
            *([] if reads_at_home else ["ProtectHome=yes"]),
            "ProtectControlGroups=yes",
            "ProtectKernelTunables=yes",
            "RestrictSUIDSGID=yes",
            "LockPersonality=yes",
        ]


def processes(manifest: LoadedManifest) -> Iterator[Process]:
    """The gateways that the manifest runs."""
    for name, gateway in manifest.manifest.terminating_gateways.items():
        process = gateway.process
        if process is None:
            continue
        token = manifest.manifest.mesh_credentials.tokens.get(process.token)
        own = [file.path for file in token.file if file.host == process.host] if token else []
        made = Process(
            name, gateway, process, manifest.place("terminating_gateways", name, "process"), manifest.manifest.hosts.get(process.host),
            own[0] if own else "", bool(own),
        )  # fmt: skip
        yield made if own else Process(name, gateway, process, made.place, made.machine, f"{made.directory}/token", has_own_token_file=False)


def owners(manifest: LoadedManifest, host: str, *names: str | None) -> frozenset[Address]:
    """The accounts and groups of gateways on ``host`` that own something there, by their names."""
    found = set()
    for process in processes(manifest):
        if process.host == host:
            found |= {process.address("os-user")} if process.user in names else set()
            found |= {process.address("os-group")} if process.group in names else set()
    return frozenset(found)


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _word(text: str, *, quoted: bool = False) -> str:
    """A word of a unit's file as systemd reads it back (systemd.syntax(7)): specifiers and variables are none."""
    escaped = _plain(text)
    if not quoted:
        escaped = escaped.replace("$", "$$")
    if escaped and not any(c in " \t\"'\\;" for c in escaped) and not quoted:
        return escaped
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'
