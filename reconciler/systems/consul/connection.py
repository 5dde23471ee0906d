"""Which Consul agent to talk to, and how: the manifest's ``consul`` section, else the CONSUL_* variables as the ``consul`` command reads them.

The rules are those of ``defaultConfig`` and ``NewClient`` in Consul's Go package ``api``; differences are named where they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret

DEFAULT_ADDRESS: Final = "127.0.0.1:8500"
DEFAULT_TIMEOUT_S: Final = 30.0

_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")
_IN_A_HEADER: Final = re.compile(r"[\x21-\x7e]+")


class _Duration(Protocol):
    @property
    def seconds(self) -> float: ...


class Section(Protocol):
    """What is read of the manifest's ``consul`` section; None where it says nothing."""

    @property
    def address(self) -> str | None:
        """URL, or host and port."""

    @property
    def token(self) -> Any:
        """What :func:`consul_settings` gets the secret from."""

    @property
    def ca_file(self) -> str | None:
        """Path of CA certificates."""

    @property
    def ca_path(self) -> str | None:
        """Path of a folder of them."""

    @property
    def cert_file(self) -> str | None:
        """Path of the client certificate."""

    @property
    def key_file(self) -> str | None:
        """Path of its key."""

    @property
    def tls_server_name(self) -> str | None:
        """Name in the agent's certificate."""

    @property
    def verify(self) -> bool | None:
        """Whether that is checked."""

    @property
    def timeout(self) -> _Duration | None:
        """How long a request may take."""


@dataclass(frozen=True, slots=True)
class ConsulSettings:
    """Everything that a connection needs.

    ``socket`` is the path of a Unix socket, and then host and port mean nothing. ``prefix`` stands before every path, for an agent behind a
    reverse proxy: empty, or ``/consul``. ``token_from`` says where the token came from, for messages. ``basic_auth`` is ``user:password``.
    ``timeout_s`` is how long one request may wait for an answer. ``machine`` is the manifest's name of the machine whose agent this is, empty for
    the agent that everything else is asked of; ``seen_there`` is its URL as seen from there, when another way leads to it.
    """

    scheme: Literal["http", "https"] = "http"
    host: str = "127.0.0.1"
    port: int = 8500
    socket: str = ""
    prefix: str = ""
    token: Secret | None = None
    token_from: str = ""
    basic_auth: Secret | None = None
    ca_file: str = ""
    ca_path: str = ""
    cert_file: str = ""
    key_file: str = ""
    tls_server_name: str = ""
    verify: bool = True
    timeout_s: float = field(default=DEFAULT_TIMEOUT_S)
    machine: str = ""
    seen_there: str = ""

    @property
    def address(self) -> str:
        """The agent's URL, for messages: ``http://127.0.0.1:8500``, ``http://127.0.0.1:8500 on gateway``."""
        return f"{self.seen_there or self.url} on {self.machine}" if self.machine else self.url

    @property
    def point(self) -> str:
        """What names another agent instead of this one."""
        return f"hosts.{self.machine}.consul" if self.machine else "consul.address or CONSUL_HTTP_ADDR"

    @property
    def url(self) -> str:
        """Where it is reached from here."""
        if self.socket:
            return f"unix://{self.socket}"
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}{self.prefix}"

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the agent is reached without leaving the machine, as its address says."""
        return bool(self.socket) or self.host in ("localhost", "::1") or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", self.host) is not None


def consul_settings(
    section: Section | None,
    environ: Mapping[str, str],
    secret: Callable[[Any], Secret],
    *,
    directory: Path | None = None,
    timeout_s: float | None = None,
) -> ConsulSettings:
    """The settings of a connection; what the section says wins over the environment.

    ``secret`` turns the section's ``token`` into the secret. Paths in the section are relative to ``directory``, those in the environment to the
    current one. ``timeout_s`` wins over the section's timeout. Raises ReconcilerError when a setting makes no sense.
    """
    _refuse_enterprise(environ)
    token, token_from = _token(section, environ, secret)
    place = _place(section.address if section else None, environ)
    files: dict[str, Any] = {name: _file(section, name, variable, environ, directory) for name, variable in _FILES.items()}
    if bool(files["cert_file"]) != bool(files["key_file"]):
        raise ReconcilerError(
            "a client certificate for Consul needs its key, and a key its certificate: "
            "set consul.cert_file and consul.key_file, or CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY"
        )
    timeout = timeout_s if timeout_s is not None else section.timeout.seconds if section and section.timeout else DEFAULT_TIMEOUT_S
    if timeout <= 0:
        raise ReconcilerError("the timeout of Consul is 0: give it some time, such as 30s")
    return ConsulSettings(
        **place,
        **files,
        token=token,
        token_from=token_from,
        basic_auth=_basic_auth(environ),
        tls_server_name=_server_name((section.tls_server_name if section else None) or environ.get("CONSUL_TLS_SERVER_NAME", "")),
        verify=_verify(section, environ),
        timeout_s=timeout,
    )


_FILES: Final = {"ca_file": "CONSUL_CACERT", "ca_path": "CONSUL_CAPATH", "cert_file": "CONSUL_CLIENT_CERT", "key_file": "CONSUL_CLIENT_KEY"}


def _refuse_enterprise(environ: Mapping[str, str]) -> None:
    for variable in ("CONSUL_NAMESPACE", "CONSUL_PARTITION"):
        if environ.get(variable, "") not in ("", "default"):
            raise ReconcilerError(f"{variable} is set, but namespaces and partitions belong to Consul Enterprise, which is not supported: unset it")


def _file(section: Section | None, name: str, variable: str, environ: Mapping[str, str], directory: Path | None) -> str:
    written: str | None = getattr(section, name, None)
    return str((directory or Path()) / written) if written else environ.get(variable, "")


def _verify(section: Section | None, environ: Mapping[str, str]) -> bool:
    if section is not None and section.verify is not None:
        return section.verify
    return _flag(environ, "CONSUL_HTTP_SSL_VERIFY", default=True)


def _flag(environ: Mapping[str, str], variable: str, *, default: bool) -> bool:
    # The consul command only warns of anything else, and takes CONSUL_HTTP_SSL_VERIFY=yes for false: certificates would go unchecked unnoticed.
    text = environ.get(variable, "")
    if text and text not in _TRUE + _FALSE:
        raise ReconcilerError(f"{variable} must be true or false, not {text!r}")
    return text in _TRUE if text else default


def _server_name(text: str) -> str:
    """The name without a port, as the consul command takes it."""
    name, colon, port = text.rpartition(":")
    return name if colon and port.isdigit() and (":" not in name or name.endswith("]")) else text


def _basic_auth(environ: Mapping[str, str]) -> Secret | None:
    text = environ.get("CONSUL_HTTP_AUTH", "")
    return Secret(text if ":" in text else f"{text}:") if text else None


TOKEN_VARIABLES: Final = ("CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_TOKEN", "SETUP_CONSUL_TOKEN")
"""Where the environment may have a token."""


def _token(section: Section | None, environ: Mapping[str, str], secret: Callable[[Any], Secret]) -> tuple[Secret | None, str]:
    """The token and where it came from. The file wins over the variable, as in the consul command; SETUP_CONSUL_TOKEN is service-discover's."""
    if section is not None and section.token is not None:
        return fit_for_a_header(secret(section.token), "consul.token"), "consul.token"
    if path := environ.get("CONSUL_HTTP_TOKEN_FILE", ""):
        text = _token_file(path)
        if text:
            return fit_for_a_header(Secret(text), "CONSUL_HTTP_TOKEN_FILE"), "CONSUL_HTTP_TOKEN_FILE"
    for variable in ("CONSUL_HTTP_TOKEN", "SETUP_CONSUL_TOKEN"):
        if text := environ.get(variable, ""):
            return fit_for_a_header(Secret(text), variable), variable
    return None, ""


def _token_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ReconcilerError(f"CONSUL_HTTP_TOKEN_FILE: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ReconcilerError(f"CONSUL_HTTP_TOKEN_FILE: {path} is not text: write the token into it") from None


def fit_for_a_header(token: Secret, source: str) -> Secret:
    """The token, if it can be sent. Raises ReconcilerError, naming ``source`` and showing nothing."""
    # checked here, because http.client would show the whole header in its error
    if not _IN_A_HEADER.fullmatch(token.reveal()):
        raise ReconcilerError(f"the token from {source} is empty or contains a space, a line break or a letter outside ASCII: correct it")
    return token


class Way(Protocol):
    """A way to what can be reached from another machine: ``HOST:PORT``, or the path of a socket, as seen from there."""

    def forward(self, target: str) -> int:
        """A port of 127.0.0.1 here that leads to it."""
        ...

    def socket_to(self, target: str) -> Path:
        """A Unix socket here that leads to it, and that nobody else on this machine may use."""
        ...


def elsewhere(settings: ConsulSettings, machine: str, address: str | None, way: Way | None = None) -> ConsulSettings:
    """The settings of the agent on ``machine`` of the same cluster at ``address`` (``http://127.0.0.1:8500`` when None), with the same token.

    ``way`` leads there, when the address is as seen from another machine.
    """
    there = replace(settings, **{"scheme": "http", "socket": "", "prefix": "", **_place(address or DEFAULT_ADDRESS, {})}, machine=machine)
    if way is None:
        return there
    target = there.socket or f"{_bracketed(there.host)}:{there.port}"
    there = replace(there, seen_there=there.url)
    if there.scheme == "http":
        return replace(there, socket=str(way.socket_to(target)))
    return replace(there, host="127.0.0.1", port=way.forward(target), tls_server_name=there.tls_server_name or there.host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _place(written: str | None, environ: Mapping[str, str]) -> dict[str, Any]:
    source = "consul.address" if written else "CONSUL_HTTP_ADDR"
    text = written or environ.get("CONSUL_HTTP_ADDR", "") or DEFAULT_ADDRESS
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    if scheme not in ("", "http", "https", "unix"):
        raise ReconcilerError(f"{source}: {scheme}:// is not a way to reach Consul: use http://, https:// or unix://")
    # A scheme in the manifest is explicit and stands; one in CONSUL_HTTP_ADDR never reverts CONSUL_HTTP_SSL, as in the consul command.
    wants_tls = not (written and scheme) and _flag(environ, "CONSUL_HTTP_SSL", default=False)
    if scheme == "unix":
        return _socket(rest, source, wants_tls=wants_tls)
    if "@" in rest:
        raise ReconcilerError(f"{source} contains a user name or password, which would show in messages: set CONSUL_HTTP_AUTH instead")
    authority, slash, prefix = rest.partition("/")
    host, port = _host_and_port(authority, source, text)
    tls = scheme == "https" or wants_tls
    return {"scheme": "https" if tls else "http", "host": host, "port": port or (443 if tls else 80), "prefix": (slash + prefix).rstrip("/")}


def _socket(path: str, source: str, *, wants_tls: bool) -> dict[str, Any]:
    if not path.startswith("/"):
        raise ReconcilerError(f"{source}: write the whole path of the socket, as in unix:///run/consul.sock")
    if wants_tls:
        raise ReconcilerError(f"{source} is a Unix socket, on which Consul speaks no TLS: unset CONSUL_HTTP_SSL")
    return {"socket": path}


def _host_and_port(authority: str, source: str, text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^\s:\[\]?#]+))(?::([0-9]{1,5}))?", authority)
    if match is None or int(match[3] or 1) not in range(1, 65536):
        hint = "put an IPv6 address in brackets, as in [::1]:8500" if authority.count(":") > 1 else "write it as in http://127.0.0.1:8500"
        raise ReconcilerError(f"{source}: {text!r} is not an address of Consul: {hint}")
    return match[1] or match[2], int(match[3] or 0)
