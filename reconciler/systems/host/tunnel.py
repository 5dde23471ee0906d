"""Ways through a machine to what only it can reach: a port, a Unix socket, and a Unix socket as another of its accounts.

A Unix socket is offered here in a folder that nobody else may enter. To connect there as an account (peer authentication, what
``sudo -u postgres psql`` does) a program of the machine passes the bytes on, run as that account, one for each connection.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Final

from reconciler.systems.host.shell import printed
from reconciler.systems.host.ssh import SshShell

SOCKET_PORT: Final = "5432"
"""The port that is part of the name of every socket that is offered here."""

_PERL: Final = (
    "use IO::Socket::UNIX;use IO::Select;my $s=IO::Socket::UNIX->new(Peer=>$ARGV[0]) or exit 1;"
    "my $w=IO::Select->new(*STDIN,$s);while(my @r=$w->can_read){for my $f(@r){my $n=sysread($f,my $b,65536);exit 0 unless $n;"
    "my $t=$f==$s?*STDOUT:$s;my $o=0;while($o<$n){my $k=syswrite($t,$b,$n-$o,$o);exit 0 unless defined $k;$o+=$k}}}"
)
_PYTHON: Final = (
    "import os,select,socket,sys\ns=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);f=s.fileno()\n"
    "while 1:\n for r in select.select([0,f],[],[])[0]:\n  b=os.read(r,65536)\n  if not b:sys.exit()\n  t=1 if r==f else f\n"
    "  while b:b=b[os.write(t,b):]\n"
)
_RELAY: Final = f"""
socket=$1 account=$2 probe=$3
id -u -- "$account" >/dev/null 2>&1 || fault rejected "there is no account $account: correct os_user"
[ -S "$socket" ] || fault rejected "there is no socket $socket: is the server running, and is host its folder?"
if command -v socat >/dev/null; then set -- socat - "UNIX-CONNECT:$socket"
elif command -v perl >/dev/null && perl -MIO::Socket::UNIX -e 1 2>/dev/null; then set -- perl -e {shlex.quote(_PERL)} "$socket"
elif command -v python3 >/dev/null; then set -- python3 -c {shlex.quote(_PYTHON)} "$socket"
elif command -v nc >/dev/null && nc -h 2>&1 | grep -q -- -U; then set -- nc -U "$socket"
else fault rejected "none of socat, perl, python3 and nc is there to connect as $account: install one, or log in by SSH as $account"
fi
[ "$(id -un)" = "$account" ] || set -- setpriv --reuid="$account" --regid="$(id -g -- "$account")" --init-groups "$@"
if [ "$(id -un)" != "$account" ] && [ "$(id -u)" != 0 ]; then
    fault denied "only root can connect as the account $account: log in by SSH as root or as $account, or use sudo: true"
fi
[ -z "$probe" ] || exit 0
exec "$@"
"""


class Tunnel:
    """Ways through the machine behind ``shell``, for as long as this is open."""

    def __init__(self, name: str, shell: SshShell) -> None:
        self.name = name
        self._shell = shell
        self._folders: list[Path] = []
        self._relays: list[_Relay] = []

    def port(self, host: str, port: int) -> int:
        """A port of 127.0.0.1 that leads to ``host`` and ``port`` as the machine sees them."""
        return self._shell.forward(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    def socket_folder(self, path: str, account: str | None) -> str:
        """A folder with a socket, of port :data:`SOCKET_PORT`, that leads to the one at ``path`` there, as ``account`` if that is given."""
        folder = Path(tempfile.mkdtemp(prefix="reconciler-", dir="/tmp"))
        self._folders.append(folder)
        here = folder / f".s.PGSQL.{SOCKET_PORT}"
        if account is None:
            self._shell.forward_socket(here, path)
        else:
            printed(self.name, self._shell.run(_RELAY, [path, account, "probe"], writes=False))
            self._relays.append(_Relay(here, self._shell, path, account))
        return str(folder)

    def close(self) -> None:
        """End all of them."""
        for relay in self._relays:
            relay.close()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)


class _Relay:
    """A socket here each connection to which gets a program there; a thread of its own accepts them."""

    def __init__(self, here: Path, shell: SshShell, path: str, account: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(here))
        self._listener.listen()
        self._command = shell.command(_RELAY, [path, account, ""])
        self._programs: list[subprocess.Popen[bytes]] = []
        threading.Thread(target=self._serve, name=f"tunnel of {account}", daemon=True).start()

    def close(self) -> None:
        """Accept no more, and end what runs."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for program in self._programs:
            program.terminate()
        for program in self._programs:
            program.wait()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                # the program holds the connection: there is nothing to pass on here
                program = subprocess.Popen(
                    self._command, stdin=connection.fileno(), stdout=connection.fileno(), stderr=subprocess.DEVNULL, start_new_session=True
                )
            self._programs = [one for one in self._programs if one.poll() is None]
            self._programs.append(program)
