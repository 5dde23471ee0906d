"""The archive on other machines: as it is, for root alone, where it differs, and one that fails keeps it from nobody else."""

from __future__ import annotations

import json
import time

import pytest

from tests.credentials.archives import contents, write
from tests.e2e.canaries import Evidence, known
from tests.hosts.gateways import Gateways
from tests.hosts.members import ARCHIVE, PASSWORD

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]


@pytest.fixture
def distribute(gateways: Gateways):
    """The command, with an archive; afterwards there is none on the machine."""
    inside, evidence, machine, since_s = contents(), Evidence(), gateways.node.machine, int(time.time())
    write(gateways.run.folder, inside, PASSWORD)

    def run(*arguments, expect=0):
        found = gateways.run("credentials", "distribute", "cluster-credentials.tar.gpg", *arguments, expect=expect)
        evidence.add("output", found.out, found.err)
        return found

    yield run
    machine.run("rm", "-f", ARCHIVE, "/root/archive")
    evidence.add("journal", machine.run("journalctl", "--no-pager", f"--since=@{since_s}").stdout)
    secrets = [known(name, content.decode()) for name, content in inside.items() if "pem" not in name]
    assert evidence.all("output") and evidence.search([known("password", PASSWORD), *secrets]) == []


def test_the_archive_goes_where_it_differs(distribute, gateways: Gateways):
    machine = gateways.node.machine
    host, denied = f"root@{machine.address}", f"nobody@{machine.address}"
    content = (gateways.run.folder / "cluster-credentials.tar.gpg").read_text()

    def there(path=ARCHIVE):
        return machine.read(path), machine.run("stat", "-c", "%a %U:%G", path).stdout.strip()

    assert distribute("--host", host, "--dry-run").out == f"{host}: would be written: it is not there\n"
    assert not machine.exists(ARCHIVE)
    some = distribute("--host", denied, "--host", host, expect=3)
    assert some.out.startswith(f"{denied}: failed: host {denied}: ") and some.out.endswith(f"\n{host}: written: it is not there\n")
    assert some.err.endswith("1 of 2 machines did not get the archive: put that right, and run again\n")
    assert there() == (content, "600 root:root")
    assert distribute("--host", host, "--host", host).out == f"{host}: has it already\n"

    machine.run("chmod", "0640", ARCHIVE)
    manifest = {
        "version": 1, "name": "mesh", "hosts": {"one": gateways.host("admin", sudo=True)},
        "consul": {"token": {"env": "NOT_SET"}}, "mesh_credentials": {"cluster": {"nodes": {"one": {}}}},
    }  # fmt: skip
    (gateways.run.folder / "mesh.yaml").write_text(json.dumps(manifest))
    assert distribute("--nodes", "mesh.yaml").out == "one: written: it is 0640 root:root\n"
    write(gateways.run.folder, contents(), PASSWORD)
    told = distribute("--nodes", "mesh.yaml", "--host", "one", "--to", "/root/archive", "--json").json
    assert told["hosts"] == [{"host": "one", "result": "written", "why": "it is not there"}] and told["path"] == "/root/archive"
    assert there("/root/archive")[0] != there()[0] == content, "the other place was left as it was"
    assert distribute("--host", f"admin@{machine.address}", "--sudo").out == f"admin@{machine.address}: written: it is another one\n"
    assert there() == there("/root/archive")


def test_what_is_refused(distribute, gateways: Gateways):
    machine = gateways.node.machine
    host = f"root@{machine.address}"
    assert "Missing --host, or --nodes for those of a manifest" in distribute(expect=1).err
    assert "no absolute path" in distribute("--host", host, "--to", "there", expect=1).err
    assert "no SSH destination" in distribute("--host=-oProxyCommand=x", expect=1).err
    failed = distribute("--host", host, "--to", "/no/such/folder/archive", expect=3)
    assert "the folder /no/such/folder does not exist: create it first" in failed.out
    machine.run("ln", "-s", "/etc/passwd", "/root/archive")
    assert "/root/archive is a symbolic link" in distribute("--host", host, "--to", "/root/archive", expect=3).out
    assert "could not be looked at" in distribute("--host", f"nobody@{machine.address}", "--dry-run", expect=1).err
    (gateways.run.folder / "cluster-credentials.tar.gpg").write_text("no archive")
    assert "is no OpenPGP message" in distribute("--host", host, expect=1).err
    (gateways.run.folder / "mesh.yaml").write_text("version: 1\nname: mesh\n")
    assert not machine.exists(ARCHIVE)
