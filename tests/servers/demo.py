"""``make demo``: the main job from the first plan to the last trace removed, on a Consul and a Postgres of its own, told step by step.

Runs the real command on ``examples/01-external-postgres`` (a copy in a temporary folder). Every exit code is checked: the demo fails with the first
one that is not as it says. Everything is stopped at the end, and when it is interrupted.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from tests.servers.consul import ConsulServer
from tests.servers.consul_binary import NoConsul, obtain
from tests.servers.postgres import PostgresServer
from tests.servers.supervised import ServerFailed

_EXAMPLE = Path(__file__).parents[2] / "examples" / "01-external-postgres"
_MANIFEST = "manifest.yaml"
_KEY = "carbonio-files/db-name"
_ROLE = "carbonio-files-db"
_ENDS = (signal.SIGINT, signal.SIGTERM)
_OWN_TOKENS = ("Initial Management Token", "Anonymous Token")


class DemoFailed(Exception):
    """Something was not as the demo says."""


def _ended(argv: list[str], folder: Path, environ: dict[str, str]) -> int:
    """Run a program to its end; its exit code. When we are interrupted, it is, once, and is waited for.

    It is in a process group of its own, or Ctrl-C on a terminal would reach it twice. We are not interrupted while it starts: between its start and
    our knowing its process id nobody could end it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    with subprocess.Popen(
        argv,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=_may_be_interrupted,  # noqa: PLW1509  # there are no threads here
    ) as program:
        try:
            _may_be_interrupted()
            return program.wait()
        except KeyboardInterrupt:
            program.send_signal(signal.SIGINT)
            program.wait()
            raise


def _may_be_interrupted() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)


class Story:
    """What the reader sees: text, commands, and what the commands print."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._folder, self._environ = folder, environ
        self._steps = 0
        self._is_terminal = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._width = min(shutil.get_terminal_size((110, 24)).columns, 110)

    def step(self, title: str, text: str) -> None:
        """A heading, and what to look at."""
        self._steps += 1
        print(f"\n{self._styled('1', f'{self._steps}. {title}')}\n{textwrap.fill(' '.join(text.split()), self._width)}", flush=True)

    def run(self, *arguments: str, expect: int = 0) -> None:
        """Run the command, shown as one would type it; it must end with ``expect``."""
        print(f"\n{self._styled('2', f'$ reconciler {shlex.join(arguments)}')}", flush=True)
        program = Path(sys.executable).with_name("reconciler")
        code = _ended([str(program), *arguments], self._folder, self._environ)
        print(self._styled("2", f"(exit code {code})"), flush=True)
        if code != expect:
            raise DemoFailed(f"`reconciler {shlex.join(arguments)}` ended with {code}, not {expect}")

    def aside(self, text: str) -> None:
        """Something that happens outside the command."""
        print(f"\n{self._styled('2', f'# {text}')}", flush=True)

    def _styled(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._is_terminal else text


def tell(story: Story, consul: ConsulServer, postgres: PostgresServer, folder: Path) -> None:
    """The steps."""
    story.step(
        "Plan",
        f"""{_MANIFEST} describes the integration of an external database: an ACL policy and a token, a terminating gateway, the external service,
        who may call it, the settings of Carbonio Files, a role and a database. Nothing is there yet. Look at the last line, and at the password:
        it is made when the plan is applied, and never shown.""",
    )
    story.run("plan", _MANIFEST)
    story.step("Apply", "The same plan, carried out in the order of its dependencies.")
    story.run("apply", "--auto-approve", _MANIFEST)
    password = consul.keys()["carbonio-files/db-password"].decode()
    if not postgres.accepts(_ROLE, password, database=_ROLE):
        raise DemoFailed("the new role cannot log in to its database")
    story.aside("Checked: the new role logs in to its database with the password that is now in Consul.")
    story.step("Plan again", "A plan right after an apply is always empty.")
    story.run("plan", "--detailed-exitcode", _MANIFEST)
    story.step("Somebody else changes something by hand", f"An administrator sets the KV entry {_KEY} through Consul's API, and tells nobody.")
    consul.put(f"/v1/kv/{_KEY}", b"something-else")
    story.aside(f"done, as by: consul kv put {_KEY} something-else")
    story.step(
        "Drift", "A cron job would run this every few minutes. Exit code 2 says: something is not as it was applied; the line says what, and how."
    )
    story.run("drift", _MANIFEST, expect=2)
    story.step("Apply puts it back", "Only what differs is written.")
    story.run("apply", "--auto-approve", _MANIFEST)
    if consul.keys()[_KEY] == b"something-else":
        raise DemoFailed(f"{_KEY} was not put back")
    story.step("An entry is removed from the manifest", f"The line of {_KEY} is deleted from the file. The plan deletes what that line had made.")
    remove_line(folder / _MANIFEST, _KEY)
    story.run("plan", _MANIFEST)
    story.run("apply", "--auto-approve", _MANIFEST)
    story.step("Destroy", "Everything this manifest has made goes, in reverse order, and nothing else.")
    story.run("destroy", "--auto-approve", _MANIFEST)
    check_nothing_is_left(story, consul, postgres)


def remove_line(manifest: Path, key: str) -> None:
    """Delete the one line of the manifest that begins with ``key``."""
    text, count = re.subn(rf"^ *{re.escape(key)}:.*\n", "", manifest.read_text(), flags=re.MULTILINE)
    if count != 1:
        raise DemoFailed(f"{manifest.name} has {count} lines that begin with {key}")
    manifest.write_text(text)


def check_nothing_is_left(story: Story, consul: ConsulServer, postgres: PostgresServer) -> None:
    """Compare with what a new Consul and a new Postgres hold."""
    left = {
        "KV entries": list(consul.keys()),
        "ACL policies": [p["Name"] for p in consul.get("/v1/acl/policies") if "files" in p["Name"] or "gateway" in p["Name"]],
        "ACL tokens": [t["Description"] for t in consul.get("/v1/acl/tokens") if t["Description"] not in _OWN_TOKENS],
        "config entries": [e["Name"] for e in consul.get("/v1/config/")],
        "nodes": [n["Node"] for n in consul.get("/v1/catalog/nodes") if n["Node"].startswith("external")],
        "roles": [r["rolname"] for r in postgres.query("SELECT rolname FROM pg_roles WHERE rolname ~ '^carbonio'")],
        "databases": [d["datname"] for d in postgres.query("SELECT datname FROM pg_database WHERE datname ~ '^carbonio'")],
    }
    story.aside("Checked, what is left: " + ", ".join(f"{len(names)} {what}" for what, names in left.items()))
    if any(left.values()):
        raise DemoFailed(f"something was left behind: {left}")


def main() -> int:
    """Start the servers, tell the story, stop the servers."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        obtain()
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="reconciler-demo-") as name, ConsulServer() as consul, PostgresServer() as postgres:
            folder = Path(name)
            shutil.copytree(_EXAMPLE, folder, dirs_exist_ok=True)
            print(
                f"Started for this demo: a Consul (ACLs on, default deny) at {consul.address}, a Postgres {postgres.version} on port {postgres.port}."
            )
            kept = {name: os.environ[name] for name in ("PATH", "HOME", "TERM", "LANG", "NO_COLOR", "COLUMNS") if name in os.environ}
            tell(Story(folder, kept | consul.environment | postgres.environment), consul, postgres, folder)
            seconds = time.monotonic() - started
        print(f"\nDone, in {seconds:.0f} s. Both servers are stopped. `make sandbox` leaves two running for you to try things out on.")
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130
    except (DemoFailed, NoConsul, ServerFailed) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
