"""Where Consul and service-discover keep their things on this machine, by default as Carbonio does."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reconciler.credentials.opening import read_bounded
from reconciler.model.errors import ReconcilerError

_LARGEST_CONFIGURATION_BYTES: Final = 1 << 16
_SERVER_PORT: Final = 8300


@dataclass(frozen=True, slots=True)
class Place:
    """``home`` has the certificates, ``data`` is Consul's ``data_dir``, ``configuration`` has main.json and config.json; ``user`` runs ``unit``."""

    home: Path = Path("/var/lib/service-discover")
    data: Path = Path("/var/lib/service-discover/data")
    configuration: Path = Path("/etc/zextras/service-discover")
    user: str = "service-discover"
    unit: str = "service-discover"

    @property
    def reset_file(self) -> Path:
        """What lets Consul make one more bootstrap token."""
        return self.data / "acl-bootstrap-reset"

    @property
    def main(self) -> Path:
        """The configuration that set-up writes, and whose existence keeps it from doing so again."""
        return self.configuration / "main.json"

    @property
    def bind(self) -> Path:
        """The address that the agent listens on."""
        return self.configuration / "config.json"

    @property
    def password_file(self) -> Path:
        """The password of the archive, as set-up left it here."""
        return self.home / "password"

    def certificates(self) -> list[Path]:
        """What set-up would not make anew, and does."""
        return sorted(self.home.glob("*.pem"))

    def group(self) -> str:
        """The number of the service's group. Raises ReconcilerError when there is no such user."""
        try:
            return str(pwd.getpwnam(self.user).pw_gid)
        except KeyError:
            raise ReconcilerError(f"there is no user {self.user} on this machine: say with --user who runs Consul here") from None

    def own_addresses(self) -> tuple[tuple[str, ...], int]:
        """The addresses that the configuration names, none where it leaves them to Consul, and the port of server to server."""
        main, bind = _read(self.main), _read(self.bind)
        named = (both.get(name) for both in (main, bind) for name in ("advertise_addr", "bind_addr"))
        ports = main.get("ports")
        port = ports.get("server") if isinstance(ports, dict) else None
        every = ("0.0.0.0", "::", "")  # noqa: S104  # where it listens, not where we do
        concrete = tuple(str(address) for address in named if address and address not in every and "{{" not in str(address))
        return concrete, port if isinstance(port, int) else _SERVER_PORT

    def demand_usable(self, *, whole: bool) -> None:
        """Raise ReconcilerError for what would end a run halfway: no data folder, no right to write, no such programs."""
        if not (self.data / "raft").is_dir():
            raise ReconcilerError(f"{self.data} is no data folder of a Consul server, it has no raft in it: say with --data-dir where it is")
        self.group()
        folders = (self.data, self.configuration, self.home) if whole else (self.data,)
        for folder in folders:
            if not os.access(folder, os.W_OK | os.X_OK):
                raise ReconcilerError(f"{folder} cannot be written to: run this as root, on the leader")
        for program in ("systemctl", "service-discover") if whole else ():
            if shutil.which(program, path=search_path()) is None:
                raise ReconcilerError(f"there is no {program} on this machine: run this on a server of Carbonio Mesh, or with --acl-only")


def search_path() -> str:
    """Where programs are looked for; administrators' ones too, whoever asks."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(read_bounded(path, _LARGEST_CONFIGURATION_BYTES, "the agent's configuration"))
    except ValueError:
        raise ReconcilerError(f"the agent's configuration {path} is no JSON: say with --config-dir where it is") from None
    return found if isinstance(found, dict) else {}
