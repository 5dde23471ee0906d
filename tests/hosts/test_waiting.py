"""An apply ends when its gateways serve, or says which of them do not, and why; a host that cannot run them is found out before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from copy import deepcopy

import pytest

from tests.e2e.command import Command
from tests.servers.machine_runner import HERE
from tests.servers.postgres import installation
from tests.servers.sidecar import Sidecar
from tests.servers.ssh import ssh_config

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]

NAME, SERVICE = "carbonio-gateway", "carbonio-files-db"
UNIT = f"systemd-unit/gateway/{NAME}.service"
ENTRY = f"config-entry/terminating-gateway/{NAME}"
FAKE = "/usr/local/bin/consul"


class Site:
    """The command in a folder, and manifests of one gateway."""

    def __init__(self, node, folder):
        self.node, self.machine, self.mesh = node, node.machine, node.server
        self.folder = folder
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **self.mesh.environment}
        self.run = Command(folder, {**environment, "RECONCILER_SSH_CONFIG": str(ssh_config(self.machine, folder))})

    def manifest(self, port=5432, **process):
        """One gateway for one service."""
        return {
            "version": 1,
            "name": "gateway-test",
            "hosts": {"gateway": {"ssh": f"root@{self.machine.address}"}},
            "mesh_credentials": {
                "policies": {NAME: {"rules": {"node_prefix": {"": "read"}, "service": {NAME: "write", SERVICE: "write"}}}},
                "tokens": {NAME: {"policies": [NAME]}},
            },
            "terminating_gateways": {
                NAME: {"services": {SERVICE: {}}, "process": {"host": "gateway", "token": NAME, "envoy_version_check": False, **process}}
            },
            "external_services": {SERVICE: {"node": "external-files-db-node", "address": HERE, "port": port}},
            "intentions": {SERVICE: {"client": "allow"}},
        }

    def write(self, manifest):
        (self.folder / "gateway.yaml").write_text(json.dumps(manifest))
        return "gateway.yaml"

    def apply(self, manifest, *options, expect=0):
        return self.run("apply", self.write(manifest), "--auto-approve", *options, expect=expect)

    def plan(self, manifest, *options, expect=0):
        return self.run("plan", self.write(manifest), "--detailed-exitcode", *options, expect=expect)

    def destroy(self, manifest):
        self.run("destroy", self.write(manifest), "--auto-approve", expect=0)

    def entry(self, index=0):
        """The gateway's entry, and the index up to which that is so; waits until it is another than at ``index``."""
        query = f"?index={index}&wait=60s" if index else ""
        found = self.mesh.get(f"/v1/config/terminating-gateway/{NAME}{query}")
        return found["ModifyIndex"], [service["Name"] for service in found["Services"] or ()]


@pytest.fixture
def site(gateway_node, tmp_path):
    made = Site(gateway_node, tmp_path)
    yield made
    made.destroy(made.manifest())
    made.machine.run("rm", "-f", FAKE)


@pytest.fixture
def fake(site):
    """Puts a program in the place of consul: it tells a version, and otherwise does what it is given in shell."""

    def put(script):
        site.machine.write(FAKE, f'#!/bin/sh\nif [ "$1" = version ]; then echo Consul v1.22.3; exit; fi\n{script}\n', mode="0755")
        return {"consul_binary": FAKE}

    return put


def without_grant(manifest):
    """The gateway's token may not write the service yet."""
    less = deepcopy(manifest)
    del less["mesh_credentials"]["policies"][NAME]["rules"]["service"][SERVICE]
    return less


def answers(sidecar, postgres):
    """Whether Postgres answers through the mesh."""
    done = subprocess.run(
        [installation(postgres.version) / "bin" / "psql", "--no-psqlrc", "--command=SELECT 1"],
        env={**postgres.environment, "PGHOST": sidecar.host, "PGPORT": str(sidecar.port), "PGCONNECT_TIMEOUT": "5"},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_a_gateway_is_waited_for_and_a_grant_that_comes_later_makes_it_serve_at_once(site, postgres18):
    manifest = site.manifest(postgres18.port)
    run = site.apply(without_grant(manifest), "--wait", "3s", expect=3)
    denied = f"its token {NAME} may not write {SERVICE}, which it is linked to: grant it service:write on that"
    assert run.err.splitlines()[-1].endswith(denied)
    left = run.out.partition("Not ready: written, and does not serve:")[2]
    assert f"+ {UNIT} (create): " in left
    assert denied in left
    assert "lds: add/update listener" in left  # what Envoy said last
    assert run.last.endswith("12 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten, 0 failed, 0 not attempted, 1 not ready.")
    site.plan(without_grant(manifest))
    with Sidecar(site.mesh, SERVICE) as sidecar:
        assert not answers(sidecar, postgres18)
        plan = site.plan(manifest, expect=2)
        assert f"~ {ENTRY} (stands aside)\n    note: {SERVICE} is gone for a moment" in plan.out
        before, _ = site.entry()
        seen = []
        watcher = threading.Thread(target=lambda: seen.extend([first := site.entry(before), site.entry(first[0])]))
        watcher.start()
        site.apply(manifest)
        watcher.join()
        assert [services for _, services in seen] == [[], [SERVICE]]
        deadline = time.monotonic() + 20  # its check may not have been run yet
        while not answers(sidecar, postgres18):
            assert time.monotonic() < deadline, sidecar.log_text()
    site.plan(manifest)
    # started anew, it is waited for again, and serves
    run = site.apply(site.manifest(postgres18.port, log_level="warning"))
    assert f"waiting for {UNIT}: nothing listens on port 8443 yet" in run.err
    assert [check["Status"] for check in site.mesh.get(f"/v1/health/checks/{NAME}")] == ["passing"]


def test_a_gateway_that_ends_by_itself_is_not_ready_and_its_journal_shows_no_secret(site, fake):
    manifest = site.manifest(**fake('echo "it does not like its token $(cat "$4")"; exit 1'))
    run = site.apply(manifest, "--wait", "500ms", "--format", "json", expect=3)
    *_, waiting, not_ready, _, ended = run.events
    assert (waiting["event"], not_ready["event"], not_ready["address"]) == ("change waiting", "change not ready", UNIT)
    why, *journal = not_ready["why"].splitlines()
    assert why.startswith("systemd says that it is activating (auto-restart), its last run ended with exit-code")
    assert "it does not like its token (secret)" in journal
    assert len(journal) <= 10
    assert (ended["outcome"]["not_ready"], ended["outcome"]["not_converged"]) == (1, [])
    secret = site.machine.read("/etc/carbonio/gateway/service-discover/token").strip()
    assert secret not in run.out + run.err
    plan = site.plan(manifest, expect=2)
    assert f"~ {UNIT} (drifted)\n    active: activating → active\n" in plan.out
    # the report for people has the journal as well, and 0 does not wait
    markdown = site.apply(manifest, "--wait", "500ms", "--format", "markdown", expect=3).out
    assert "it does not like its token (secret)" in markdown
    assert "**not ready**: `systemd says that it is" in markdown
    fake("exec sleep infinity")
    assert "1 changed" in site.apply(manifest, "--wait", "0").last


def test_an_interrupted_wait_ends_at_once_with_everything_recorded(site, fake):
    manifest = site.manifest(**fake("exec sleep infinity"))
    process = site.run.start("apply", site.write(manifest), "--auto-approve", "--wait", "10m", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = b""
    while b"waiting for" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"nothing listens on port 8443 yet" in out
    assert b"waiting for it was interrupted" in out
    site.plan(manifest)


def test_a_host_that_is_not_fit_is_refused_before_anything_is_written(site, fake):
    process = {"absent_packages": ["sudo"], "present_packages": ["systemd", "carbonio-files"], "envoy_version_check": True, **fake("exit 1")}
    before = site.machine.snapshot()
    run = site.apply(site.manifest(**process), expect=5)
    refused = run.out.partition("Refused:")[2]
    assert f"{UNIT}: gateway has the package sudo " in refused
    assert "gateway lacks the package carbonio-files, which present_packages demands: install it" in refused
    assert "/usr/bin/envoy on gateway is Envoy 1." in refused
    assert "and Consul 1.22.3 takes 1.33 to 1.35: install one of these, or write envoy_version_check: false" in refused
    assert refused.count(UNIT) == 3
    assert site.machine.snapshot().since(before) == []
    run = site.plan(site.manifest(consul_binary="/opt/consul", envoy_binary="/opt/envoy"), expect=5)
    assert "gateway has no program /opt/consul: install Consul there, or write consul_binary: PATH" in run.out
    assert "gateway has no program /opt/envoy: install Envoy there, or write envoy_binary: PATH" in run.out
    # a gateway that runs already is not touched, so nothing of it is refused
    running = site.manifest(**fake("exec sleep infinity"))
    site.apply(running, "--wait", "0")
    run = site.plan(site.manifest(consul_binary=FAKE, absent_packages=["sudo"]))
    assert "warning: gateway has the package sudo " in run.err


def test_pending_setups_are_a_warning_that_names_the_command(site):
    setup = "/etc/zextras/pending-setups.d/carbonio-files.sh"
    site.machine.write(setup, "true\n")
    try:
        run = site.plan(site.manifest(), expect=2)
    finally:
        site.machine.run("rm", "-r", "/etc/zextras/pending-setups.d")
    assert "warning: gateway has set-ups that were not run yet (carbonio-files.sh): run pending-setups -a there" in run.err
    assert "Refused" not in run.out


def test_packages_of_rpm_count_like_those_of_dpkg(site):
    spec = "Name: from-rpm\nVersion: 1.2\nRelease: 3\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\n%files\n"
    site.machine.write("/tmp/rpm/from-rpm.spec", spec)
    site.machine.write("/etc/rpm/macros", "%_dbpath /tmp/rpm/database\n")
    try:
        site.machine.run("rpmbuild", "-bb", "--quiet", "--define=_topdir /tmp/rpm", "/tmp/rpm/from-rpm.spec")
        site.machine.run("rpm", "--install", "--nodeps", "/tmp/rpm/RPMS/noarch/from-rpm-1.2-3.noarch.rpm")
        run = site.plan(site.manifest(absent_packages=["from-rpm"], present_packages=["from-rpm", "sudo"]), expect=5)
        assert "gateway has the package from-rpm 1.2-3, which absent_packages rules out" in run.out
        assert run.out.count(": gateway ") == 1
        # what cannot be found out is not absent
        site.machine.run("sh", "-c", "echo rubbish >/tmp/rpm/database/rpmdb.sqlite; rm -f /tmp/rpm/database/rpmdb.sqlite-*")
        run = site.plan(site.manifest(absent_packages=["other"]), expect=1)
        assert "gateway: package other cannot be looked at: " in run.err
    finally:
        site.machine.run("rm", "-rf", "/tmp/rpm", "/etc/rpm")
