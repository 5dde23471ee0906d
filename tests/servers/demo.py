"""``make demo``: the main job from the first plan to the last trace removed, on a Consul and a Postgres of its own, told step by step.

Runs the real command on ``examples/01-external-postgres`` (a copy in a temporary folder). Every exit code is checked: the demo fails with the first
one that is not as it says. Everything is stopped at the end, and when it is interrupted.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer
from tests.servers.story import DemoFailed, Story, environment, nothing_is_left, told
from tests.servers.traces import Traces

_EXAMPLE = Path(__file__).parents[2] / "examples" / "01-external-postgres"
_MANIFEST = "manifest.yaml"
_KEY = "carbonio-files/db-name"
_ROLE = "carbonio-files-db"


def tell(story: Story, consul: ConsulServer, postgres: PostgresServer, folder: Path) -> None:
    """The steps."""
    before = Traces.of(consul, postgres)
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
    nothing_is_left(story, Traces.of(consul, postgres).since(before))


def remove_line(manifest: Path, key: str) -> None:
    """Delete the one line of the manifest that begins with ``key``."""
    text, count = re.subn(rf"^ *{re.escape(key)}:.*\n", "", manifest.read_text(), flags=re.MULTILINE)
    if count != 1:
        raise DemoFailed(f"{manifest.name} has {count} lines that begin with {key}")
    manifest.write_text(text)


def act() -> None:
    """Start the servers, tell the story, stop the servers."""
    with tempfile.TemporaryDirectory(prefix="reconciler-demo-") as name, ConsulServer() as consul, PostgresServer(durable=True) as postgres:
        folder = Path(name)
        shutil.copytree(_EXAMPLE, folder, dirs_exist_ok=True)
        print(f"Started for this demo: a Consul (ACLs on, default deny) at {consul.address}, a Postgres {postgres.version} on port {postgres.port}.")
        tell(Story(folder, environment(consul.environment, postgres.environment)), consul, postgres, folder)
        print("\n`make sandbox` leaves two such servers running for you to try things out on.")


if __name__ == "__main__":
    sys.exit(told(act))
