"""A token is rotated without a gap: who uses what is in its file is never refused, whatever moment a run breaks off at."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass, field

import pytest

from tests.faults.runs import Run
from tests.hosts.gateways import Gateways, Manifest
from tests.servers.counting_proxy import CountingProxy, Fate, Write
from tests.servers.token_user import PROGRAM, TokenUser

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]

NAME = "carbonio-rotated"
UNIT = f"{NAME}.service"
READER = "reads-anew"
OWN_FILE, OTHER_FILE = "/etc/carbonio/rotated/service-discover/token", "/var/lib/token-of-another"
KILLED = -signal.SIGKILL

When = Callable[[Write], bool]


def writes_record(of: str) -> When:
    """Whether a write records something whose key ends like this."""
    return lambda write: write.path == "/v1/txn" and any(one.get("KV", {}).get("Key", "").endswith(of) for one in json.loads(write.body))


def makes_token(write: Write) -> bool:
    return (write.method, write.path) == ("PUT", "/v1/acl/token")


def deletes_token(write: Write) -> bool:
    return write.method == "DELETE" and write.path.startswith("/v1/acl/token/")


MOMENTS = {
    "its token is made": ("after", makes_token),
    "its files are rewritten": ("before", writes_record(OTHER_FILE.removeprefix("/"))),
    "what was written is recorded": ("after", writes_record(OTHER_FILE.removeprefix("/"))),
    "its unit has been started again": ("before", writes_record(UNIT)),
    "the old one is to be deleted": ("before", deletes_token),
    "the old one is deleted": ("after", deletes_token),
}


@dataclass
class Rotating:
    """A gateway's token that two files hold: its unit reads the one when it starts, a service of somebody else reads the other for each use.

    ``secrets`` are the first parts of all the secrets that the token has had.
    """

    gateways: Gateways
    user: TokenUser
    manifest: Manifest
    secrets: list[str] = field(default_factory=list)

    def tokens(self) -> dict[str, int]:
        """The tokens that there are, by accessor, each with the index at which it was made."""
        return {t["AccessorID"]: t["CreateIndex"] for t in self.gateways.node.server.get("/v1/acl/tokens") if t["Description"] == NAME}

    def policies(self, accessor: str) -> list[str]:
        """What a token may do, as long as these policies are there."""
        return [policy["Name"] for policy in self.gateways.node.server.get(f"/v1/acl/token/{accessor}")["Policies"]]

    def process(self) -> str:
        """The unit's process."""
        return self.user.machine.run("systemctl", "show", "--property=MainPID", "--value", UNIT).stdout.strip()

    def rotate(self) -> Manifest:
        """The manifest with the next rotation."""
        token = self.manifest["mesh_credentials"]["tokens"][NAME]
        token["rotation"] = token.get("rotation", 0) + 1
        return self.manifest

    def run(self, *options: str, before: When | None = None, after: When | None = None, then: Callable[[], object] | None = None) -> Run:
        """Apply it, killed right before or right after a write, or with something done at that write instead."""
        started: Future[Run] = Future()

        def at(when: When | None) -> Callable[[Write], Fate | None]:
            def decide(write: Write) -> Fate | None:
                if when is None or not when(write):
                    return None
                if then is not None:
                    then()
                    return None
                os.kill(started.result(60).pid, signal.SIGKILL)
                return Fate.END

            return decide

        command = self.gateways.run
        arguments = ["apply", self.gateways.write(self.manifest), "--auto-approve", "--wait", "0", *options]
        with CountingProxy(self.gateways.node.server.address, before=at(before), after=at(after)) as proxy:
            os.chdir(command.folder)
            run = Run(arguments, {**command.whole_environment, "CONSUL_HTTP_ADDR": proxy.address}, command.folder)
            started.set_result(run)
            assert run.code is not None
        return run

    def finish(self) -> None:
        """It ends with one token, which both files hold."""
        run = self.run()
        assert run.code == 0, str(run)
        self.demand_one_token()

    def demand_one_token(self) -> None:
        (accessor,) = self.tokens()
        secret = self.gateways.node.server.get(f"/v1/acl/token/{accessor}")["SecretID"]
        assert [self.user.machine.read(path) for path in (OWN_FILE, OTHER_FILE)] == [f"{secret}\n"] * 2
        self.secrets.append(secret.partition("-")[0])

    def restart_is_refused(self, *, refused: bool) -> None:
        """systemd does not start the unit again, and it goes on with what it has read."""
        folder = f"/etc/systemd/system/{UNIT}.d"
        if refused:
            self.user.machine.write(f"{folder}/refuse.conf", "[Unit]\nRefuseManualStop=yes\n")
        else:
            self.user.machine.run("rm", "-rf", folder)


@pytest.fixture
def rotating(gateways: Gateways) -> Iterator[Rotating]:
    user = TokenUser(gateways.node.machine, gateways.node.server)
    user.put()
    manifest = gateways.manifest(NAME)
    files = [{"host": "gateway", "path": OWN_FILE, "owner": NAME, "group": NAME}, {"host": "gateway", "path": OTHER_FILE}]
    manifest["mesh_credentials"]["tokens"][NAME] |= {"description": NAME, "file": files}
    manifest["terminating_gateways"][NAME]["process"]["consul_binary"] = PROGRAM
    one = Rotating(gateways, user, manifest)
    one.finish()
    user.start_beside(READER, OTHER_FILE)
    yield one
    user.machine.run("systemctl", "stop", READER)
    one.restart_is_refused(refused=False)
    gateways.destroy(manifest)
    user.machine.run("rm", PROGRAM)


def distinct(tokens: list[str]) -> list[str]:
    """Each once, where it begins."""
    return [token for number, token in enumerate(tokens) if number == 0 or tokens[number - 1] != token]


def test_nobody_who_uses_the_file_is_refused_while_its_token_is_rotated(rotating: Rotating) -> None:
    processes = [rotating.process()]
    rotating.rotate()
    assert rotating.run(before=deletes_token, then=lambda: processes.append(rotating.process())).code == 0
    rotating.demand_one_token()
    assert len(set(processes)) == 2 and processes[-1] == rotating.process(), "the old one is deleted when the unit has been started again"

    for moment, (when, which) in MOMENTS.items():
        before = rotating.tokens()
        rotating.rotate()
        run = rotating.run(after=which) if when == "after" else rotating.run(before=which)
        assert run.code == KILLED, (moment, run)
        broken_off = rotating.tokens()
        assert len(broken_off) == (1 if moment == "the old one is deleted" else 2), moment
        rotating.finish()
        ((accessor, index),) = rotating.tokens().items()
        assert broken_off[accessor] == index and accessor not in before, f"no third token is made: {moment}"
    assert rotating.gateways.is_settled(rotating.manifest)

    began = [token for what, token in rotating.user.notes(UNIT) if what == "began"]
    assert distinct(began) == rotating.secrets
    for unit in (UNIT, READER):
        notes = rotating.user.notes(unit)
        assert {what for what, _ in notes} <= {"began", "200", *(["outdated"] if unit == READER else [])}
        assert distinct([token for what, token in notes if what == "200"]) == rotating.secrets


def test_the_old_token_stays_while_a_unit_that_has_read_it_cannot_be_started_again(rotating: Rotating) -> None:
    """Also when its files are rewritten and recorded already, when a third one, and nothing else, is asked for before the second has come in its
    place, and when it is another label's token that comes after it.

    With it stays the policy that it alone has, whose entry is gone.
    """
    (old,) = rotating.tokens()
    rotating.restart_is_refused(refused=True)
    policies = rotating.manifest["mesh_credentials"]["policies"]
    policies["another"] = policies.pop(NAME)
    rotating.manifest["mesh_credentials"]["tokens"][NAME]["policies"] = ["another"]
    for kept, options in ((1, []), (1, []), (2, ["--target", f"acl-token/{NAME}"])):
        if len(rotating.tokens()) == kept:
            rotating.rotate()
        run = rotating.run(*options)
        assert run.code == 3, str(run)
        assert rotating.policies(old) == [NAME], str(run)
        assert f"the old one was kept, because systemd-unit/gateway/{UNIT} does not certainly use the new one" in run.output
        assert len(rotating.tokens()) == kept + 1 and old in rotating.tokens()
    shown = rotating.gateways.run("owned", "show", f"acl-token/{NAME}", rotating.gateways.write(rotating.manifest), expect=0).out
    assert f"    held by: {OWN_FILE} on gateway, {OTHER_FILE} on gateway\n    superseded: {old} (still there), " in shown
    excluded = rotating.gateways.run("plan", rotating.gateways.write(rotating.manifest), "--exclude", "systemd-unit/*", expect=5)
    assert f"while systemd-unit/gateway/{UNIT} is left out" in excluded.out
    rotating.restart_is_refused(refused=False)
    rotating.finish()
    assert old not in rotating.tokens()
    assert {one["Name"] for one in rotating.gateways.node.server.get("/v1/acl/policies")}.isdisjoint({NAME})

    (old,) = rotating.tokens()
    rotating.restart_is_refused(refused=True)
    tokens = rotating.manifest["mesh_credentials"]["tokens"]
    relabelled = deepcopy(tokens.pop(NAME))
    tokens["another"] = relabelled
    rotating.manifest["terminating_gateways"][NAME]["process"]["token"] = "another"
    run = rotating.run()
    assert run.code == 3, str(run)
    assert len(rotating.tokens()) == 2 and old in rotating.tokens()
    rotating.restart_is_refused(refused=False)
    rotating.finish()
    assert old not in rotating.tokens()
    assert {what for what, _ in rotating.user.notes(UNIT)} <= {"began", "200"}
