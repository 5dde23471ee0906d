"""The pool of connections to one agent: plain, TLS, or over a Unix socket. Proxies of the environment are not used, redirects not followed."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, InsecureRequestWarning, NewConnectionError, ProtocolError
from urllib3.util import Timeout

from reconciler.model.errors import ReconcilerError
from reconciler.systems.consul.connection import ConsulSettings

CONNECT_TIMEOUT_S = 5.0
"""How long connecting may take at most; an agent is on the same machine or near."""

_POOL_SIZE = 32
"""Connections kept open: more than the threads that an apply uses, so that none is opened and dropped for each request."""


class NotSentError(ProtocolError):
    """The connection ended before the request had been sent whole, so nobody can have done what it asked for."""


class _TellsWhatWasNotSent:
    """Part of a connection: a failure to send is another than a failure to hear."""

    def request(self, *arguments: Any, **options: Any) -> None:
        """As in urllib3, which must see a BrokenPipeError itself: it then looks for an early answer."""
        try:
            super().request(*arguments, **options)  # type: ignore[misc]  # of the class that this one is put before
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NotSentError("the request was not sent whole", error) from error


class PlainConnection(_TellsWhatWasNotSent, HTTPConnection):
    """A connection without TLS."""


class TlsConnection(_TellsWhatWasNotSent, HTTPSConnection):
    """A connection with TLS."""


class UnixConnection(PlainConnection):
    """A connection to a Unix socket."""

    def __init__(self, *arguments: Any, socket_path: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._socket_path = socket_path

    def _new_conn(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(Timeout.resolve_default_timeout(self.timeout))
        try:
            connection.connect(self._socket_path)
        except TimeoutError as error:
            connection.close()
            raise ConnectTimeoutError(self, "connecting took too long") from error
        except OSError as error:
            connection.close()
            raise NewConnectionError(self, str(error)) from error
        return connection


class PlainPool(urllib3.HTTPConnectionPool):
    """The connections to one agent without TLS."""

    ConnectionCls = PlainConnection


class TlsPool(urllib3.HTTPSConnectionPool):
    """The connections to one agent with TLS."""

    ConnectionCls = TlsConnection


class UnixPool(urllib3.HTTPConnectionPool):
    """The connections to one Unix socket; made with ``socket_path=``."""

    ConnectionCls = UnixConnection


def connection_pool(settings: ConsulSettings) -> urllib3.HTTPConnectionPool:
    """The pool for an agent; nothing is connected yet. Raises ReconcilerError when a certificate or key cannot be used."""
    timeout = Timeout(connect=min(CONNECT_TIMEOUT_S, settings.timeout_s), read=settings.timeout_s)
    shared: dict[str, Any] = {"timeout": timeout, "maxsize": _POOL_SIZE, "block": False, "retries": False}
    if settings.socket:
        return UnixPool("localhost", socket_path=settings.socket, **shared)
    if settings.scheme == "http":
        return PlainPool(settings.host, settings.port, **shared)
    if not settings.verify:
        # asked for in so many words; the library would warn of it at each connection
        urllib3.disable_warnings(InsecureRequestWarning)
    name = settings.tls_server_name or None
    return TlsPool(settings.host, settings.port, ssl_context=_tls(settings), server_hostname=name, **shared)


def _tls(settings: ConsulSettings) -> ssl.SSLContext:
    """As the consul command does it: given CAs replace the system's, the file wins over the folder, in which the names of files mean nothing."""
    if settings.ca_file:
        context = ssl.create_default_context(cadata="")
        _trust(context, settings.ca_file, "consul.ca_file (or CONSUL_CACERT)")
    elif settings.ca_path:
        context = ssl.create_default_context(cadata="")
        for file in _files(settings.ca_path):
            _trust(context, file, "consul.ca_path (or CONSUL_CAPATH)")
    else:
        context = ssl.create_default_context()
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file:
        _identify(context, settings)
    return context


def _files(folder: str) -> list[str]:
    try:
        files = sorted(os.path.join(place, name) for place, _, names in os.walk(folder, onerror=_raise) for name in names)
    except OSError as error:
        raise ReconcilerError(f"consul.ca_path (or CONSUL_CAPATH): {folder} cannot be read: {error.strerror}") from None
    if not files:
        raise ReconcilerError(f"consul.ca_path (or CONSUL_CAPATH): {folder} is empty: put the CA's certificate there")
    return files


def _raise(error: OSError) -> None:
    raise error


def _trust(context: ssl.SSLContext, file: str, setting: str) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise ReconcilerError(f"{setting}: {file} holds no certificate that can be read: give a CA's certificate in PEM form") from None
    except OSError as error:
        raise ReconcilerError(f"{setting}: {file} cannot be read: {error.strerror}") from None


def _identify(context: ssl.SSLContext, settings: ConsulSettings) -> None:
    named = {"consul.cert_file (or CONSUL_CLIENT_CERT)": settings.cert_file, "consul.key_file (or CONSUL_CLIENT_KEY)": settings.key_file}
    for setting, file in named.items():
        try:
            Path(file).open("rb").close()
        except OSError as error:
            raise ReconcilerError(f"{setting}: {file} cannot be read: {error.strerror}") from None
    try:
        # an empty password: without one, a key that is encrypted would make OpenSSL ask for it on the terminal
        context.load_cert_chain(settings.cert_file, settings.key_file, password="")
    except (ssl.SSLError, ValueError):
        raise ReconcilerError(
            f"the client certificate {settings.cert_file} and the key {settings.key_file} cannot be used: "
            "both must be in PEM form, the key without a password, and belong together"
        ) from None
