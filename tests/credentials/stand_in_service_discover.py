"""Stands in for service-discover: ``FOLDER setup-wizard --first-instance``, with its prompts, on its terminal, and what it leaves.

What it is to do wrong is in a file ``mishap`` in the folder: ``fail STAGE``, or ``kill STAGE``, which kills the program that runs it, waits for
whoever writes to the pipe ``hold`` where there is one, and goes on.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import tty
from pathlib import Path
from typing import NoReturn

from reconciler.credentials.archive import ACL_TOKEN
from tests.credentials.archives import write
from tests.credentials.mesh_server import ADDRESS
from tests.credentials.stand_in_systemctl import systemctl


class Wizard:
    """One run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.configuration = folder, folder / "home", folder / "configuration"
        self.ports = json.loads((folder / "ports.json").read_text())

    def run(self, argv: list[str]) -> None:
        """What set-up does, in its order."""
        call = {"argv": argv, "terminal": os.isatty(0), "environment": sorted(os.environ)}
        with (self.folder / "calls").open("a") as calls:
            calls.write(json.dumps(call) + "\n")
        if not os.isatty(0):
            self.fail("the provided file descriptor (0) is not a terminal")
        tty.setraw(0)
        if (self.configuration / "main.json").exists():
            self.fail("setup of service-discover already performed, manually reset and try again")
        assert not list(self.home.glob("*.pem"))
        self.stage("asking")
        self.say("Setup of first service-discover server instance\r\neth0 10.0.0.5/24\r\nSpecify the binding address for service discovery: ")
        if self.read(echo=True) != self.ports["address"]:
            self.fail("invalid binding address selected")
        self.say("Create the cluster credentials password (will be used for setups): ")
        password = self.read()
        self.say("\r\nType the credential password again: ")
        if self.read() != password:
            self.fail("passwords do not match")
        self.say("\r\n")
        self.make(password)

    def make(self, password: str) -> None:
        """The files, the token and the archive."""
        members = {name: text.encode() for name, text in json.loads((self.folder / "next.json").read_text()).items()}
        self.stage("files")
        for name, content in members.items():
            if name.endswith(".pem"):
                (self.home / Path(name).name).write_bytes(content)
        (self.configuration / "main.json").write_text(json.dumps({"server": True, "ports": {"server": self.ports["server"]}}))
        (self.configuration / "config.json").write_text(json.dumps({"bind_addr": self.ports["address"]}))
        self.stage("start")
        systemctl(self.folder, "start")
        self.stage("bootstrap")
        connection = http.client.HTTPConnection(ADDRESS, self.ports["http"], timeout=30)

        def ask(method: str, path: str) -> tuple[int, bytes]:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()

        status, token = 500, b"leader"
        while status == 500 and b"leader" in token:  # on a busy machine it may have lost it again
            # a leader may not have read all of its log yet, and know only of an older bootstrap: a consistent read waits for that
            while ask("GET", "/v1/catalog/nodes?consistent")[0] != 200:
                pass
            status, token = ask("PUT", "/v1/acl/bootstrap")
        if status != 200:
            self.fail(f"unable to create ACL bootstrap token: {token.decode()}")
        self.stage("archive")
        write(self.configuration, {**members, ACL_TOKEN: token}, password)
        self.stage("password")
        (self.home / "password").write_text(password)
        self.stage("ldap")

    def stage(self, name: str) -> None:
        """Where something may go wrong."""
        path = self.folder / "mishap"
        mishap, _, stage = path.read_text().partition(" ") if path.exists() else ("", "", "")
        if stage != name:
            return
        path.unlink()
        if mishap == "fail":
            self.fail(f"unable to go on at {name}")
        shell = Path(f"/proc/{os.getppid()}/stat").read_text()
        os.kill(int(shell.rpartition(")")[2].split()[1]), signal.SIGKILL)
        if (self.folder / "hold").exists():
            (self.folder / "hold").read_text()  # a pipe: until somebody writes to it

    def say(self, text: str) -> None:
        """To the terminal."""
        os.write(1, text.encode())

    def read(self, *, echo: bool = False) -> str:
        """A line, as the terminal sends it."""
        line = b""
        while not line.endswith(b"\r"):
            piece = os.read(0, 1)
            if not piece:
                sys.exit(1)
            line += piece
            if echo:
                os.write(1, piece)
        return line[:-1].decode()

    def fail(self, why: str) -> NoReturn:
        """As it reports errors."""
        self.say(f"service-discover: error: {why}\r\n")
        sys.exit(1)


if __name__ == "__main__":
    Wizard(Path(sys.argv[1])).run(["service-discover", *sys.argv[2:]])
