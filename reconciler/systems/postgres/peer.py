"""Connecting as another account of this machine, as ``sudo -u postgres psql`` does, for peer authentication on a Unix socket.

The server asks the kernel for the effective user that called connect(2). libpq makes that call in the calling thread, so for its duration that
thread, and no other, gets another effective user, by the bare system calls: those of the C library would change every thread. Files are still opened
as root.
Why so, and what was rejected: docs/decisions/0009-peer-login-by-thread.md.
"""

from __future__ import annotations

import ctypes
import os
import platform
import pwd
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from reconciler.model.errors import AccessDenied, ReconcilerError

_CALLS: Final[Mapping[str, tuple[int, int]]] = {
    "x86_64": (117, 122), "aarch64": (147, 151), "riscv64": (147, 151), "loongarch64": (147, 151), "ppc64le": (164, 138), "s390x": (208, 215),
}  # fmt: skip
"""The numbers of setresuid and setfsuid, by machine (64 bits only)."""

_SOCKET_FOLDERS: Final = ("/var/run/postgresql", "/tmp")  # noqa: S108  where packages of Postgres put it; nothing is written there
_UNCHANGED: Final = -1


def socket_folder(port: str) -> str:
    """The folder in which the server's socket is: Debian's and Red Hat's, else Postgres' own."""
    return next((f for f in _SOCKET_FOLDERS if Path(f, f".s.PGSQL.{port}").exists()), _SOCKET_FOLDERS[0])


def is_socket(host: str) -> bool:
    """Whether a host, or each of several, is a folder with a socket."""
    return all(one.startswith(("/", "@")) for one in host.split(","))


@contextmanager
def connecting_as(server: str, account: str | None) -> Iterator[None]:
    """Inside, this thread connects as ``account`` (None: as who runs this). Raises AccessDenied when that takes root, ReconcilerError otherwise."""
    if account is None:
        yield
        return
    try:
        user = pwd.getpwnam(account).pw_uid
    except KeyError:
        raise ReconcilerError(f"{server}: there is no account {account} on this machine: correct os_user") from None
    if user == os.geteuid():
        yield
        return
    if os.geteuid() != 0:
        raise AccessDenied(f"{server}: only root can connect as the account {account}: run as root or as {account}, or take os_user out")
    _become(server, user)
    try:
        yield
    finally:
        _become(server, 0)


def _become(server: str, user: int) -> None:
    calls = _CALLS.get(platform.machine()) if sys.platform == "linux" and sys.maxsize > 2**32 else None
    if calls is None:
        raise ReconcilerError(f"{server}: os_user is not supported on this machine ({sys.platform} {platform.machine()}): use user and password")
    system_call = ctypes.CDLL(None, use_errno=True).syscall
    set_users, set_file_user = calls
    # the real and the saved user stay root's, so that this thread can come back
    refused = system_call(ctypes.c_long(set_users), ctypes.c_long(_UNCHANGED), ctypes.c_long(user), ctypes.c_long(_UNCHANGED))
    if refused or os.geteuid() != user:
        raise ReconcilerError(
            f"{server}: the system does not let root act for another account ({os.strerror(ctypes.get_errno())}): use user and password"
        )
    # whatever is opened meanwhile, such as a module or a password file, is opened as root
    system_call(ctypes.c_long(set_file_user), ctypes.c_long(0))
