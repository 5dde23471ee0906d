"""A server of Carbonio Mesh: a real Consul, with stand-ins for systemctl and for service-discover, which is not to be had."""

from __future__ import annotations

import json
import os
import socketserver
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from reconciler.credentials.archive import CA, CA_KEY, GOSSIP_KEY
from tests.credentials.archives import PASSWORD, contents, write
from tests.e2e.command import ROOT, Command
from tests.forks import PROGRAM
from tests.servers.consul import ConsulServer

ADDRESS = "127.0.0.1"
ARCHIVE = "cluster-credentials.tar.gpg"
NEW_PASSWORD = "another horse ß"

_SCRIPT = '#!/bin/sh\nPYTHONPATH={root} exec {python} -m tests.credentials.{module} {folder} "$@"\n'


class MeshServer:
    """A context manager. ``home``, ``configuration`` and ``data`` are its folders, ``members`` what its archive holds. ``look`` is called whenever a
    stand-in has Consul stopped or started. ``address`` is what ``consul`` binds to.
    """

    def __init__(self, folder: Path, consul: ConsulServer | None = None, address: str = ADDRESS) -> None:
        self.address = address
        self.consul = consul or ConsulServer(bootstrapped=False, persistent=True)
        self.folder, self.home, self.configuration, self.programs = folder, folder / "home", folder / "configuration", folder / "bin"
        self.archive = self.configuration / ARCHIVE
        self.members: dict[str, bytes] = {}
        self.look: Callable[[], object] = lambda: None
        self._control = _Control(str(folder / "control"), self)

    def __enter__(self) -> Self:
        if not self.consul.port:
            self.consul.start()
            self.consul.token = self.consul.put("/v1/acl/bootstrap", token="")["SecretID"]
        for path in (self.home, self.configuration, self.programs):
            path.mkdir()
        for name in ("systemctl", "service-discover"):
            script = self.programs / name
            module = f"stand_in_{name.replace('-', '_')}"
            script.write_text(_SCRIPT.format(root=ROOT, python=sys.executable, module=module, folder=self.folder))
            script.chmod(0o755)
        (self.folder / "ports.json").write_text(json.dumps({"http": self.consul.port, "server": self.server_port, "address": self.address}))
        self._write_what_comes_next()
        self.members = contents(self.consul.token)
        self.set_up(self.members)
        write(self.configuration, self.members)
        (self.folder / "new-password").write_text(f"{NEW_PASSWORD}\n")
        threading.Thread(target=self._control.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._control.shutdown()
        self._control.server_close()
        self.consul.stop()

    def _write_what_comes_next(self) -> None:
        """The CA and the gossip key that the stand-in of service-discover makes."""
        texts = {name: content.decode() for name, content in contents(pair=1).items()}
        (self.folder / "next.json").write_text(json.dumps(texts))

    def set_up(self, members: dict[str, bytes]) -> None:
        """The files that set-up leaves."""
        main = {"server": True, "encrypt": members[GOSSIP_KEY].decode(), "ports": {"server": self.server_port}, "data_dir": str(self.data)}
        files = {"main.json": json.dumps(main), "config.json": json.dumps({"bind_addr": self.address})}
        for name, text in files.items():
            (self.configuration / name).write_text(text)
        for name in (CA, CA_KEY):
            (self.home / Path(name).name).write_bytes(members[name])
        for name in ("dc1-server-consul-0.pem", "dc1-server-consul-0-key.pem"):
            (self.home / name).write_text(name)
        (self.home / "password").write_text(PASSWORD)

    @property
    def data(self) -> Path:
        """Consul's data folder."""
        return self.consul.folder / "state"

    @property
    def reset_file(self) -> Path:
        return self.data / "acl-bootstrap-reset"

    @property
    def server_port(self) -> int:
        """The port of server to server."""
        return int(json.loads((self.consul.folder / "server.json").read_text())["ports"]["server"])

    @property
    def options(self) -> tuple[str, ...]:
        """What tells the command where all is."""
        folders = ("--data-dir", str(self.data), "--config-dir", str(self.configuration), "--home-dir", str(self.home))
        return (*folders, "--user", "root" if os.geteuid() == 0 else os.environ["USER"], str(self.archive))

    def command(self, *killed: str, **environment: str) -> Command:
        """The command on this machine. ``killed``: of ``tests.credentials.killed_run``."""
        path = f"{self.programs}:{os.environ['PATH']}"
        program = ("-m", "tests.credentials.killed_run", *killed) if killed else PROGRAM
        given = {"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8", "CONSUL_HTTP_ADDR": self.consul.address}
        return Command(self.folder, given | environment, program)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """How the stand-ins were called."""
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def secret(self, password: str) -> str:
        """The SecretID in the archive."""
        from reconciler.credentials.opening import open_archive
        from reconciler.model.secret import Secret

        return open_archive(self.archive, Secret(password)).secret_id().reveal()

    def is_management(self, secret: str) -> bool:
        """Whether Consul knows this token, as one that may do everything."""
        answer = self.consul.request("GET", "/v1/acl/token/self", token=secret)
        return answer.status == 200 and [p["Name"] for p in answer.body["Policies"]] == ["global-management"]

    def left_over(self) -> list[str]:
        """What of an unfinished run lies beside the archive."""
        return sorted({p.name for p in self.configuration.iterdir()} - {ARCHIVE, "main.json", "config.json"})


class _Control(socketserver.ThreadingUnixStreamServer):
    """Lets the stand-in of systemctl stop and start the Consul."""

    daemon_threads = True

    def __init__(self, path: str, server: MeshServer) -> None:
        self.mesh_server = server
        super().__init__(path, _Request)


class _Request(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Control)
        consul = server.mesh_server.consul
        server.mesh_server.look()
        verb = self.rfile.readline().decode().strip()
        if verb == "stop":
            consul.kill()
        elif not consul.is_listening():
            consul.restart()
        self.wfile.write(b"done\n")


def mode_and_owner(path: Path) -> tuple[str, int]:
    """As ``0600`` and a user's number."""
    seen = path.stat()
    return f"{stat.S_IMODE(seen.st_mode):04o}", seen.st_uid
