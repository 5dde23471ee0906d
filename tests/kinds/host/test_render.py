"""``reconciler render``: what it writes makes a host what an apply would make it, but for the secrets, and says which those are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler.cli.main import reconciler
from tests.servers.machine import Machine

MANIFEST = """
version: 1
name: rendered
hosts: {edge: {ssh: root@edge}}
mesh_credentials:
  policies: {rendered-policy: {rules: {service: {rendered-gateway: write}}}}
  tokens: {rendered: {policies: [rendered-policy]}}
terminating_gateways:
  rendered-gateway:
    services: {db: {}}
    process: {host: edge, token: rendered}
files:
  note: {host: edge, path: "/etc/rendered note", content: "it's here\\n", mode: "0640", sensitive: false}
"""
UNIT = "/etc/systemd/system/rendered-gateway.service"
TOKEN = "/etc/carbonio/rendered-gateway/service-discover/token"


def render(folder: Path, *options: str) -> Result:
    (folder / "manifest.yaml").write_text(MANIFEST)
    return CliRunner().invoke(reconciler, ["render", *options, "--output", str(folder / "out"), str(folder / "manifest.yaml")])


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """The folder that was written."""
    result = render(tmp_path, "--host", "edge")
    assert result.exit_code == 0, result.output
    return tmp_path / "out"


def test_every_file_is_written_but_secrets_and_those_are_named(tmp_path):
    result = render(tmp_path, "--host", "edge")
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()) == [
        "files/etc/rendered note",
        f"files{UNIT}",
        "install.sh",
    ]
    assert f"out/files{TOKEN}" in result.stderr
    assert result.stdout.splitlines()[-1].endswith("out/install.sh")


def test_nothing_is_written_over(rendered, tmp_path):
    again = render(tmp_path, "--host", "edge")
    assert isinstance(again.exception, Exception)
    assert "is not empty: name another folder" in str(again.exception)


@pytest.mark.parametrize(("host", "hint"), [("edgy", "did you mean edge?"), ("local", "write one of edge")])
def test_a_host_for_which_there_is_nothing_is_an_error_with_a_hint(tmp_path, host, hint):
    assert hint in str(render(tmp_path, "--host", host).exception)


def carried_to(machine: Machine, folder: Path) -> None:
    packed = subprocess.run(["tar", "-C", folder, "-cf", "-", "."], capture_output=True, check=True).stdout
    machine.run("rm", "-rf", "/root/out")
    machine.run("mkdir", "/root/out")
    subprocess.run(["nsenter", f"--target={machine.pid}", "--mount", "--", "tar", "-C", "/root/out", "-xf", "-"], input=packed, check=True)


def test_the_script_makes_the_host_so_and_running_it_again_puts_it_right(rendered, gateway_host):
    carried_to(gateway_host, rendered)
    stopped = gateway_host.run("sh", "/root/out/install.sh", check=False)
    assert stopped.returncode == 1
    assert f"/root/out/files{TOKEN} is missing: its content is a secret, put it there first" in stopped.stderr

    gateway_host.write(f"/root/out/files{TOKEN}", "not-a-token\n")
    done = gateway_host.run("sh", "/root/out/install.sh")
    assert done.stdout.splitlines()[-1] == "systemd-unit/edge/rendered-gateway.service: made"
    assert gateway_host.read("/etc/rendered note") == "it's here\n"
    seen = gateway_host.run("stat", "-c", "%U:%G %a", TOKEN, "/etc/rendered note").stdout.splitlines()
    assert seen == ["rendered-gateway:rendered-gateway 600", "root:root 640"]
    assert gateway_host.run("systemctl", "is-enabled", "rendered-gateway").stdout.strip() == "enabled"

    gateway_host.run("usermod", "--shell", "/bin/sh", "rendered-gateway")
    gateway_host.write("/etc/rendered note", "no longer\n")
    again = gateway_host.run("sh", "/root/out/install.sh")
    assert "os-user/edge/rendered-gateway: put right" in again.stdout
    assert gateway_host.run("getent", "passwd", "rendered-gateway").stdout.strip().endswith(":/sbin/nologin")
    assert gateway_host.read("/etc/rendered note") == "it's here\n"

    gateway_host.run("systemctl", "disable", "--now", "rendered-gateway")
    gateway_host.run("rm", "-rf", UNIT, "/etc/rendered note", "/etc/carbonio", "/root/out")
    gateway_host.run("userdel", "rendered-gateway")
