"""How to connect: what the manifest says explicitly, over what libpq finds by itself (PG* variables, service file, password file)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret
from reconciler.systems.postgres.peer import is_socket, socket_folder

CONNECT_TIMEOUT_S: Final = 10
MAINTENANCE_DATABASE: Final = "postgres"
"""Where to connect when nobody says; libpq would take the user's name. Never template1: any session in it makes CREATE DATABASE fail."""

_PLAIN: Final = (
    "host", "hostaddr", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding", "require_auth",
    "target_session_attrs", "service", "passfile", "connect_timeout", "application_name", "options",
)  # fmt: skip
_SECRET: Final = ("password", "sslpassword")
_SOCKET_FOLDER: Final = "/var/run/postgresql"
"""Where packages of Postgres put their socket."""
_PATHS: Final = frozenset({"sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile"})
# A server that vanishes without a word is noticed within a minute, also in the middle of a statement; the system's default is two hours.
_DEFAULTS: Final = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What is passed to libpq for one server, in libpq's words. ``shown`` is where it is, for messages; ``options`` is libpq's ``options``.

    ``os_user`` is the account to connect as. ``via`` is the host that the way to it leads through, for messages.
    """

    name: str
    keywords: Mapping[str, str | int]
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    shown: str = ""
    options: str = ""
    os_user: str | None = None
    via: str = ""

    @property
    def label(self) -> str:
        """What messages call this server."""
        through = f" via {self.via}" if self.via else ""
        return f"Postgres {self.name} ({self.shown}{through})" if self.shown else f"Postgres {self.name}"


class Way(Protocol):
    """A machine through which servers are reached."""

    name: str

    def port(self, host: str, port: int) -> int:
        """A port of 127.0.0.1 that leads to a server that the machine sees at ``host`` and ``port``."""
        ...

    def socket_folder(self, path: str, account: str | None) -> str:
        """A folder with a socket, of port 5432, that leads to the machine's socket at ``path``, as one of its accounts if that is given."""
        ...


def server_settings(
    name: str, section: Any, environ: Mapping[str, str], secret: Callable[[Any], Secret], directory: Path, way: Way | None = None
) -> ServerSettings:
    """The settings of the server ``name``. Paths in the section are relative to ``directory``. ``way`` leads to it.

    ``section`` is the manifest's PostgresSection, or None (its type lies in a layer above this one). ``secret`` resolves a secret reference.
    """
    defaults = _libpq_defaults(environ)
    keywords: dict[str, str | int] = {k: v for k, v in defaults.items() if k not in _SECRET and _is_foreign(k, environ)}
    secrets = {k: Secret(v) for k, v in defaults.items() if k in _SECRET and _is_foreign(k, environ)}
    if section is not None:
        keywords |= {k: _placed(k, v, directory) for k in _PLAIN if (v := getattr(section, k)) is not None}
        secrets |= {k: _usable(name, k, secret(v)) for k in _SECRET if (v := getattr(section, k)) is not None}
    known = defaults | {k: str(v) for k, v in keywords.items()}
    os_user = section.os_user if section is not None else None
    shown = _shown(known)
    if way is not None:
        keywords |= _through(way, name, known, os_user)
        known |= {k: str(v) for k, v in keywords.items()}
    elif os_user is not None:
        keywords |= _socket(name, known)
        known |= {k: str(v) for k, v in keywords.items()}
    by_service = "service" in known
    if not by_service and not environ.get("PGDATABASE"):
        keywords.setdefault("dbname", MAINTENANCE_DATABASE)
    if not by_service:
        keywords |= {k: v for k, v in _DEFAULTS.items() if k not in keywords}
    if "connect_timeout" not in known:
        keywords["connect_timeout"] = CONNECT_TIMEOUT_S
    keywords |= {"fallback_application_name": "reconciler", "client_encoding": "UTF8"}
    if way is not None:
        return ServerSettings(name, keywords, secrets, shown, known.get("options", ""), via=way.name)
    return ServerSettings(name, keywords, secrets, _shown(known), known.get("options", ""), os_user)


def _through(way: Way, name: str, known: Mapping[str, str], os_user: str | None) -> dict[str, str | int]:
    """How to connect through another machine. A certificate is still checked against the name that the manifest gives."""
    host, port = known.get("hostaddr") or known.get("host") or _SOCKET_FOLDER, known.get("port", "5432")
    if "service" in known or "," in host or "," in port:
        raise ReconcilerError(f"Postgres {name}: via takes one server, by host and port: take service and further hosts out")
    if is_socket(host):
        return {"host": way.socket_folder(f"{host}/.s.PGSQL.{port}", os_user), "port": 5432}
    if os_user is not None:
        raise ReconcilerError(f"Postgres {name}: os_user is for a Unix socket, and {host} is none: take host or os_user out")
    return {"host": known.get("host") or host, "hostaddr": "127.0.0.1", "port": way.port(host, int(port))}


def _socket(name: str, known: Mapping[str, str]) -> dict[str, str | int]:
    """Where the socket is, for peer authentication, which there is on no other way."""
    host = known.get("host")
    if "hostaddr" in known or (host is not None and not is_socket(host)):
        where = known.get("hostaddr") or host
        raise ReconcilerError(f"Postgres {name}: os_user is for the Unix socket of this machine, and {where} is none: take host or os_user out")
    return {} if host is not None or "service" in known else {"host": socket_folder(known.get("port", "5432"))}


def _placed(keyword: str, value: str | int, directory: Path) -> str | int:
    """A path in the manifest's folder, where libpq would look in the working one; ``system`` are the system's own certificates."""
    return str(directory / str(value)) if keyword in _PATHS and value != "system" else value


def _usable(name: str, keyword: str, value: Secret) -> Secret:
    text = value.reveal()
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ReconcilerError(f"Postgres {name}: the {keyword} is not text in UTF-8 without NUL: correct what it refers to")
    return value


def _variables() -> dict[str, str]:
    """The environment variable of each of libpq's options."""
    from psycopg import pq

    return {o.keyword.decode(): o.envvar.decode() for o in pq.Conninfo.get_defaults() if o.envvar}


def _libpq_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    return {k: environ[v] for k, v in _variables().items() if environ.get(v)}


def _is_foreign(keyword: str, environ: Mapping[str, str]) -> bool:
    """Whether the variable of an option is not what libpq itself will find: it looks into the environment of the process."""
    variable = _variables()[keyword]
    return environ.get(variable) != os.environ.get(variable)


def _shown(known: Mapping[str, str]) -> str:
    host = known.get("host") or known.get("hostaddr")
    if host is None:
        return f"service {known['service']}" if "service" in known else "local socket"
    hosts = host.split(",")
    ports = known.get("port", "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return ", ".join(f"{h}:{p}" for h, p in zip(hosts, ports, strict=False))
