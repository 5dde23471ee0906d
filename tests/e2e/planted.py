"""A mesh with a marked secret in every place that one can come from, and a watch on everything that the command leaves behind."""

from __future__ import annotations

import itertools
import json
import os
import stat
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.canaries import Canary, Evidence, Find, canary, known
from tests.e2e.command import Command, Run
from tests.servers.certificates import two_pairs
from tests.servers.consul import ConsulServer
from tests.servers.counting_proxy import CountingProxy, Fate, Write
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_proxy import PostgresProxy, Statement

# Runs in place of a real command that has a secret: it also notes what it can see of itself and of all processes, while the command waits for it.
EXEC_SCRIPT = """\
cat /proc/$$/environ > seen/$1.environ
cat /proc/$$/cmdline > seen/$1.cmdline
cat /proc/[0-9]*/cmdline > seen/$1.processes 2>/dev/null
cat $1.secret
"""
SPECIAL = "first \"line\" 'of' {}\nsecond \\ $HOME %s {braces} \t \x1b[31m ü € 😀"


class Planted:
    """The mesh. ``canaries`` are all secrets, ``evidence`` is all that the command left anywhere, ``children`` are the commands that it ran."""

    def __init__(
        self, folder: Path, consul: ConsulServer, postgres: PostgresServer, command: Command, proxies: tuple[CountingProxy, PostgresProxy]
    ) -> None:
        self.folder, self.consul, self.postgres = folder, consul, postgres
        self.http, self.sql = proxies
        self.evidence = Evidence()
        self.canaries: list[Canary] = [known("the Consul token", consul.token), known("the Postgres password", postgres.password)]
        self._numbers = itertools.count(1)
        self._watching = threading.Lock()
        self.children: list[Child] = []
        self.interfere: Callable[[Write | Statement], Fate | None] = lambda _: None
        (folder / "seen").mkdir()
        (folder / "print-secret").write_text(EXEC_SCRIPT)
        self.environment = {**command.environment, "CONSUL_HTTP_ADDR": self.http.address, "PGHOST": self.sql.host, "PGPORT": str(self.sql.port)}
        self.environment["CONSUL_HTTP_AUTH"] = self.plant("CONSUL_HTTP_AUTH", "user:{}").value
        self.environment["GITHUB_STEP_SUMMARY"] = str(folder / "job.summary")
        self.program = command.program
        self._key = self.plant("a private key", f"{{}}\n{two_pairs()[0].key}")
        self.manifest = self._manifest()
        self.write(self.manifest)

    # --- planting ---

    def plant(self, name: str, pattern: str = "{}", *, user: str = "") -> Canary:
        """A new secret, to be put somewhere by the caller."""
        made = canary(name, pattern, user=user)
        self.canaries.append(made)
        return made

    def env(self, name: str, value: str | None = None) -> dict[str, Any]:
        """A reference to a variable that holds ``value``, or a new secret."""
        variable = f"CANARY_{next(self._numbers)}"
        self.environment[variable] = value if value is not None else self.plant(name).value
        return {"env": variable}

    def file(self, name: str, value: str | None = None) -> dict[str, Any]:
        """A reference to a file that holds ``value``, or a new secret."""
        path = self.folder / f"file-{next(self._numbers)}.secret"
        path.write_text(f"{self.plant(name).value if value is None else value}\n", "utf-8")
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        return {"file": path.name}

    def exec(self, name: str, value: str | None = None) -> dict[str, Any]:
        """A reference to a command that prints ``value``, or a new secret, and notes what it sees."""
        stem = f"exec-{next(self._numbers)}"
        (self.folder / f"{stem}.secret").write_text(f"{self.plant(name).value if value is None else value}\n", "utf-8")
        return {"exec": ["sh", "print-secret", stem]}

    def live(self, key: str, name: str) -> Canary:
        """A new secret in Consul that somebody else put there."""
        made = self.plant(name)
        self.consul.put(f"/v1/kv/{key}", made.value.encode())
        return made

    def write(self, manifest: dict[str, Any], file: str = "mesh.yaml") -> str:
        """The manifest as a file; JSON is YAML."""
        (self.folder / file).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), "utf-8")
        return file

    def _manifest(self) -> dict[str, Any]:
        self.live("foreign/password", "live in Consul, and referred to")
        kv: dict[str, Any] = {
            "app/literal-password": self.plant("a literal that the key's name masks").value,
            "app/literal": {"value": self.plant("a literal with sensitive: true").value, "sensitive": True, "flags": 7},
            "app/env": self.env("kv from env"),
            "app/file": self.file("kv from file"),
            "app/exec": self.exec("kv from exec"),
            "app/copy": {"kv": "app/env"},
            "app/copy-of-live": {"kv": "foreign/password"},
            "app/generated": {"generate": {"bytes": 24, "encoding": "base64"}},
            "app/tls-key": self.env("", self._key.value),
            "app/special": self.file("", self.plant("with special characters", SPECIAL).value),
            "app/long": self.file("", self.plant("of 5 KiB", "x" * 2500 + "{}" + "y" * 2500).value),
        }
        roles: dict[str, Any] = {
            "literal": self.plant("a literal password", user="literal").value,
            "env": self.env("a password from env"),
            "file": self.file("a password from file"),
            "exec": self.exec("a password from exec"),
            "declared": {"kv": "app/file"},
            "live": {"kv": "foreign/password"},
            "generated": {"kv": "app/generated"},
            "special": {"kv": "app/special"},
        }
        return {
            "version": 1,
            "name": "canaries",
            "consul": {"token": self.exec("", self.consul.token)},
            "postgres": {"default": {"password": self.exec("", self.postgres.password)}},
            "mesh_credentials": {
                "policies": {"app": {"rules": {"key_prefix": {"app/": "read"}}}},
                "tokens": {"app": {"policies": ["app"], "file": {"path": str(self.folder / "token"), "mode": "0600"}}},
            },
            "intentions": {"app": {"client": "allow"}},
            "config_entries": [
                self._certificate("tls", self.file),
                self._certificate("tls-from-kv", lambda _, __: {"kv": "app/tls-key"}),
                *self._free_maps(),
            ],
            "kv": kv,
            "prepared_queries": {
                "app": {"service": {"service": "app"}, "token": self.env("a query's token")},
                "copy": {"service": {"service": "app"}, "token": {"kv": "app/file"}},
            },
            "db_roles": {label: {"login": True, "password": password} for label, password in roles.items()},
        }

    def _certificate(self, name: str, refer: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
        """A certificate with its key; before its first line, where whoever reads PEM looks over it, the key has a mark."""
        return {"Kind": "inline-certificate", "Name": name, "Certificate": two_pairs()[0].certificate, "PrivateKey": refer("", self._key.value)}

    def _free_maps(self) -> list[dict[str, Any]]:
        """Entries with free maps, and a set of keys in base64, that hold secrets in every form."""
        keys = self.plant("a symmetric key", '{"keys": [{"kty": "oct", "k": "{}"}]}').value
        lua = {"ProxyType": "connect-proxy", "Listener": "inbound", "Script": "x", "Authorization": self.exec("a secret in a list")}
        config = {
            "tracing_token": self.plant("a literal that the key's name masks, in a free map").value,
            "tracing": self.env("a secret in a free map"),
            "deeper": [{"Authorization": self.file("a secret deep in a free map")}, {"kv": "app/file"}],
        }
        return [
            {"Kind": "proxy-defaults", "Name": "global", "Config": config},
            {"Kind": "service-defaults", "Name": "app", "EnvoyExtensions": [{"Name": "builtin/lua", "Arguments": lua}]},
            {"Kind": "jwt-provider", "Name": "app", "JSONWebKeySet": {"Local": {"JWKS": self.env("", b64encode(keys.encode()).decode())}}},
        ]

    # --- running, and watching ---

    @property
    def command(self) -> Command:
        """The command with the secrets in its environment."""
        return Command(self.folder, self.environment, self.program)

    def run(self, *arguments: str, expect: int | None = None, command: Callable[..., Run] | None = None) -> Run:
        """Run it, or ``command`` in its place, and collect what it wrote and left, everywhere."""
        log_size = self.postgres.log_size_bytes()
        self.http.before, self.sql.before = self._look, self._look
        run = (command or self.command)(*arguments, expect=expect)
        self._collect(run, self.postgres.logged_since(log_size))
        return run

    def _look(self, write: Write | Statement) -> Fate | None:
        """While the command waits for an answer: the list of all processes."""
        with self._watching:
            self.evidence.add("process list", *command_lines())
        return self.interfere(write)

    def _collect(self, run: Run, postgres_log: str) -> None:
        self.learn()
        evidence = self.evidence
        evidence.add(f"standard output of {run.arguments[0]}", run.out)
        evidence.add(f"standard error of {run.arguments[0]}", run.err)
        evidence.add("Postgres log", postgres_log)
        for key, value in self.consul.keys("reconciler/").items():
            evidence.add("records", key, value)
        for path in self.folder.glob("*.log"):
            evidence.add("log file", path.read_bytes())
            path.unlink()
        for path in self.folder.glob("*.summary"):
            evidence.add("job summary", path.read_bytes())
            path.unlink()
        for path in self.folder.glob("*.plan"):
            evidence.add("saved plan", path.read_bytes())
        for path in self.folder.glob("*.json"):
            evidence.add("JSON file", path.read_bytes())
            path.unlink()
        given = self.command.whole_environment
        for child in self._notes():
            self.children.append(child)
            evidence.add("environment of a child", *(value for name, value in child.environment.items() if given.get(name) != value))

    def learn(self) -> None:
        """The secrets that the command made itself, read back from where they belong: tokens, generated values, verifiers."""
        values = {c.value for c in self.canaries}
        for token in self.consul.get("/v1/acl/tokens"):
            secret = self.consul.get(f"/v1/acl/token/{token['AccessorID']}")["SecretID"]
            if secret not in values and secret != "anonymous":
                self.canaries += [known("a token's SecretID", secret), known("a token's SecretID", secret.replace("-", ""))]
        generated = self.consul.keys().get("app/generated", b"").decode()
        if generated and generated not in values:
            self.canaries.append(known("a generated value", generated, user="generated"))
        found = self.postgres.query("SELECT rolpassword FROM pg_authid WHERE rolpassword LIKE 'SCRAM%' AND rolname <> 'postgres'")
        self.evidence.verifiers |= {row["rolpassword"] for row in found}

    def finds(self) -> list[Find]:
        """Every secret that is where none should be."""
        return self.evidence.search(self.canaries)

    def _notes(self) -> Iterator[Child]:
        """What the commands of ``exec`` have noted."""
        for path in sorted((self.folder / "seen").glob("*.cmdline")):
            arguments = path.read_bytes().decode().split("\0")[:-1]
            path.unlink()
            entries = [part.decode() for part in path.with_suffix(".environ").read_bytes().split(b"\0") if part]
            self.evidence.add("process list", path.with_suffix(".processes").read_bytes())
            yield Child(arguments, dict(entry.split("=", 1) for entry in entries))


@dataclass(frozen=True)
class Child:
    """A command that the program ran, as it was given to it."""

    arguments: list[str]
    environment: dict[str, str]


def command_lines() -> list[bytes]:
    """What ``ps`` shows to everybody."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:  # it has ended meanwhile
            continue
    return found


def environments() -> list[bytes]:
    """What root sees that the programs were given which this process has started, and those that they have."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    found = []
    for process in parents:
        above = process
        while above not in (0, os.getpid()):
            above = parents.get(above, 0)
        if above and process != above:
            with suppress(OSError):
                found.append(Path(f"/proc/{process}/environ").read_bytes())
    return found
